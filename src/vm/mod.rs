//! How to boot a kernel: QEMU's arguments, the initramfs, the link to the guest, and the watch over it.

pub mod accelerator;
pub mod console;
pub mod initramfs;
pub mod machine;
pub mod qemu;
pub mod sandbox;
