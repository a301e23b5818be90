//! What the user can say about judging.

use crate::boot::guest_image::KernelDebug;
use crate::boot::job::BootOptions;
use crate::kernel::bootable::Kernel;
use crate::scenario::Scenario;
use std::time::Duration;

/// Objects that a cache may hold without being called a leak, unless the user says otherwise: as many as the largest of the rings and
/// caches in `vm/patches`.
pub const LARGEST_CACHE: u64 = 5_000;
/// Units of a run before it is called clean, unless the user says otherwise, and as far as some seconds allow: a leak in one of
/// eighteen units is then excluded, for a fifth more seconds of `quick`.
pub const LISTINGS: u64 = 100;

/// What the user can say about judging.
#[derive(Clone, Debug)]
pub struct Options {
    /// What its guests are booted with; kmemleak, if it is on, is asked at the end.
    pub boot: BootOptions,
    /// The smallest rate that counts, in objects per unit.
    pub min_rate: f64,
    /// How long to wait for late frees before growth is called a leak.
    pub settle: Duration,
    /// Whether growth that unmounting frees is a leak.
    pub strict: bool,
    /// Whether growth that unmounting frees may be in a clean verdict.
    pub allow_until_unmount: bool,
    /// Units before anything is called clean; `None` for as many as are usual, if the time allows them.
    pub listings: Option<u64>,
    /// Objects that a cache may hold: growth is a leak when it has gone past them.
    pub largest_cache: u64,
    /// Whether the kernel is booted without the debugging that says who allocated what.
    pub stock: bool,
    /// Whether a packaged kernel is booted with it, too.
    pub track: bool,
    /// Whether to go on until every counter is judged, though one is known to leak.
    pub every_counter: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            boot: BootOptions::default(),
            min_rate: crate::verdict::judge::MIN_RATE,
            settle: Duration::ZERO,
            strict: false,
            allow_until_unmount: false,
            listings: None,
            largest_cache: LARGEST_CACHE,
            stock: false,
            track: false,
            every_counter: false,
        }
    }
}

impl Options {
    /// Returns what is usual, with this seed.
    pub fn seeded(seed: u64) -> Self {
        Self { boot: BootOptions { seed, ..BootOptions::default() }, ..Self::default() }
    }

    /// Returns whether `kernel` is booted without the debugging that says who allocated what, because the user or the scenario
    /// wants it so. A distribution's kernel is, unless that is asked for: there it costs up to a third more time, as stacks
    /// are unwound by ORC tables.
    pub fn is_stock(&self, scenario: &Scenario, kernel: &Kernel) -> bool {
        self.stock || scenario.guest.stock || (kernel.is_package && !self.track)
    }

    /// Returns what a guest of both is booted with.
    pub fn debugging(&self, scenario: &Scenario, kernel: &Kernel) -> KernelDebug {
        if self.is_stock(scenario, kernel) { KernelDebug::Stock } else { KernelDebug::Sites }
    }
}

/// When enough has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Something leaks, or nothing does.
    Decided,
    /// It is known of every counter.
    AllDecided,
}
