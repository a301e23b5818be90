//! Operations on files, one system call or two each, and a model of what they must leave behind.
//!
//! Nothing is believed of a kernel: the model knows which names must be there, what is in them and how many names a file has, so that
//! both a call that should have failed and bytes that nobody wrote are told.

pub mod acl;
pub mod action;
pub mod buffers;
pub mod contents;
pub mod expect;
pub mod item_name;
pub mod locks;
pub mod model;
pub mod perform;
#[cfg(test)]
mod tests;
pub mod verify;
