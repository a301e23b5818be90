//! How a kernel is booted: what it finds in its memory when it starts.

pub mod initramfs;
