//! Fuzzing of what reads kernels and modules that a user names.

use super::image::compression;
use super::image::extract_vmlinux::payload;
use super::image::identify::{HEAD_BYTES, file_kind};
use super::image::modinfo::Modinfo;
use std::io::Cursor;

/// Reads a vmlinux, a bzImage or a module.
pub fn image(data: &[u8]) {
    let head = &data[..data.len().min(HEAD_BYTES)];
    let _ = file_kind(head, Cursor::new(data));
    if let Some(payload) = payload(data) {
        assert!(payload.len() <= data.len());
        compression::program(payload);
    }
    let _ = Modinfo::parse(data);
    Modinfo::from_section(data);
}
