//! Finding the commit that broke or mended something, without a person: which commits there are (`history`), in which order they are
//! asked (`search`), what each of them says (`judge`, with `ahead` and `verdicts`), and whether the answer holds (`confirm`).

pub(crate) mod ahead;
pub(crate) mod confirm;
pub mod found;
pub mod history;
pub(crate) mod judge;
pub mod record;
pub mod search;
#[cfg(test)]
pub(crate) mod test_history;
pub(crate) mod verdicts;

pub use confirm::{Confirmation, confirm};
pub use found::Found;
pub use judge::KernelTester;
