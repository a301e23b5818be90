//! Whether this machine has all that dirleak needs: each thing, its state, what mends it, and what a verify would take here.

pub(crate) mod cost;
pub mod examine;
mod host;
pub(crate) mod machine;
pub(crate) mod programs;
pub mod request;
pub(crate) mod text;

pub use examine::examine;
pub use programs::installed_by_setup as packages;
pub use text::render as text;
