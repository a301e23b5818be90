//! Reading the kernel's memory, and bringing it to rest first.

pub mod access;
pub mod alloc_calls;
pub mod alloc_traces;
pub mod allocinfo;
pub mod clock;
pub mod control_allocs;
pub mod counters;
pub mod ftrace;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod kernel_files;
pub mod kmemleak;
pub mod memory;
pub mod mountstats;
mod object_allocators;
pub(crate) mod page_allocator;
pub mod page_owner;
pub mod privileges;
pub mod processors;
pub mod procfs;
pub mod quiesce;
pub mod site_text;
pub mod slab;
pub mod slabinfo;
mod stack_depot;
pub mod version;
