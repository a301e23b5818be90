//! How to boot a kernel: QEMU's arguments, the initramfs, the link to the guest, and the watch over it.

pub mod accelerator;
pub mod console;
mod credible;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod initramfs;
mod lines;
mod link;
pub mod machine;
pub mod qemu;
pub mod sandbox;
mod syscalls;
