//! Kernels that are not built here: images, packages and their modules.

pub(crate) mod compression;
pub(crate) mod distro_package;
mod extract_package;
pub(crate) mod extract_vmlinux;
pub mod identify;
pub(crate) mod modinfo;
pub mod modules;
pub(crate) mod package_names;
pub(crate) mod user_kernel;
