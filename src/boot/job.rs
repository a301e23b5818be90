//! One scenario on one kernel, and what a guest of both is booted with.

use crate::kernel::bootable::Kernel;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::scenario::Scenario;
use crate::vm::machine::Limits;
use crate::vm::qemu::Accelerator;
use std::path::PathBuf;
use std::time::Duration;

/// The seed where several machines, or a search that is begun again, must take the same without asking each other.
pub const AGREED_SEED: u64 = 42;
/// Added for guests that are asked a second time; of a seed that was drawn (`cli/seed.rs`) the sum is short enough to be
/// typed.
const SECOND: u64 = 500_009;

/// Returns the seed of guests that are asked a second time, so that no dose and no name is drawn as it was with `seed`.
pub fn second_seed(seed: u64) -> u64 {
    seed.wrapping_add(SECOND)
}

/// What the user can say about a guest.
#[derive(Clone, Debug)]
pub struct BootOptions {
    /// Of all that is drawn by lot.
    pub seed: u64,
    /// Whether each call of the workload is written down.
    pub trace: bool,
    /// Whether kmemleak is on.
    pub kmemleak: bool,
    /// Whether the guest's clock is to go as ours does, where it could count instructions.
    pub real_time: bool,
    /// How long the guest may take.
    pub limits: Limits,
    /// The program that the guest is: this one.
    pub program: PathBuf,
}

impl Default for BootOptions {
    fn default() -> Self {
        Self {
            seed: AGREED_SEED,
            trace: false,
            kmemleak: false,
            real_time: false,
            limits: Limits::default(),
            program: crate::os::assets::OURSELVES.into(),
        }
    }
}

impl BootOptions {
    /// Returns the same, for a guest that may take `whole` unless the user says otherwise.
    pub fn within(&self, whole: Duration) -> Self {
        let limits = Limits { whole: self.limits.whole.or(Some(whole)), ..self.limits };
        Self { limits, ..self.clone() }
    }
}

/// One scenario on one kernel, and what it takes to run it.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    pub scenario: &'a Scenario,
    pub kernel: &'a Kernel,
    pub accelerator: Accelerator,
    pub options: &'a BootOptions,
    pub cache: &'a Cache,
    pub ui: &'a Ui,
}

impl Job<'_> {
    /// Returns what executes the guest's instructions, and by what clock.
    pub fn clocked(&self) -> Accelerator {
        let guest = &self.scenario.guest;
        clocked(self.accelerator, guest.cpus, guest.real_time || self.options.real_time)
    }
}

/// Has the guest's clock count instructions where there is no KVM, unless the user or the scenario wants real time: what nobody does takes no
/// time then, and how busy the host is makes no difference. Several processors would take turns, and one that waits for another goes round in
/// a loop for the whole of its turn.
pub fn clocked(accelerator: Accelerator, cpus: u32, real_time: bool) -> Accelerator {
    if accelerator == Accelerator::Tcg && cpus == 1 && !real_time { Accelerator::Counted } else { accelerator }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_of_one_emulated_processor_counts_unless_that_is_not_wanted() {
        assert_eq!(clocked(Accelerator::Tcg, 1, false), Accelerator::Counted);
        assert_eq!(clocked(Accelerator::Tcg, 1, true), Accelerator::Tcg);
        assert_eq!(clocked(Accelerator::Tcg, 2, false), Accelerator::Tcg);
        assert_eq!(clocked(Accelerator::Kvm, 1, false), Accelerator::Kvm);
        assert_eq!(clocked(Accelerator::Counted, 4, true), Accelerator::Counted, "a bench says so itself");
    }
}
