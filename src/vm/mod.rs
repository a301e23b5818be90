//! How to boot a kernel: QEMU's arguments, the initramfs, the link to the guest, and the watch over it.

pub mod accelerator;
pub mod console;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod initramfs;
pub mod launch;
mod link;
pub mod machine;
pub mod qemu;
pub mod sandbox;
