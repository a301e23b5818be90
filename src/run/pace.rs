//! What a second of the machine that is measured is to whoever waits for it.

use crate::protocol::message::RoundStats;
use crate::vm::qemu::Accelerator;

/// Seconds of a host in which a guest gets through the instructions of one of its own, a thousand million, where its clock counts them: 1.9 on a
/// host with two shared cores of 2026 while a directory of 100,000 was made beside other jobs. It is a constant and not measured, so that the
/// same seed makes the same units however busy the host is.
const HOST_SECONDS_A_COUNTED_ONE: f64 = 2.5;

/// How the time that units take is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// By a clock that goes as ours does.
    Real,
    /// By one that counts instructions and leaves out what nobody does.
    Counted,
}

impl From<Accelerator> for Pace {
    fn from(accelerator: Accelerator) -> Self {
        if accelerator == Accelerator::Counted { Self::Counted } else { Self::Real }
    }
}

impl Pace {
    /// Returns about how many seconds of ours the units of a round took.
    pub(super) fn seconds(self, worked: &RoundStats) -> f64 {
        match self {
            Self::Real => worked.listing_seconds,
            Self::Counted => worked.busy_seconds * HOST_SECONDS_A_COUNTED_ONE,
        }
    }

    /// Returns how many units to make of `most` that the time allows. Where the same seed is to make the same units the number is of a few only,
    /// so that it does not follow what little the time of a unit differs by from run to run.
    pub(super) fn units(self, most: u64) -> u64 {
        match (self, most.checked_ilog2()) {
            (Self::Counted, Some(log)) if most >= 3 << log >> 1 => 3 << log >> 1,
            (Self::Counted, Some(log)) => 1 << log,
            _ => most,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_a_counting_clock_leaves_out_takes_nobody_s_time() {
        let worked = RoundStats { listing_seconds: 20.0, busy_seconds: 0.5, ..RoundStats::default() };
        assert_eq!(Pace::from(Accelerator::Counted).seconds(&worked), 1.25);
        let units = |most| Pace::Counted.units(most);
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 88, 95, 96, 127, 128].map(units), [0, 1, 2, 3, 4, 4, 6, 64, 64, 96, 96, 128]);
        assert_eq!(Pace::Real.units(89), 89);
        assert_eq!([Accelerator::Kvm, Accelerator::Tcg].map(|clock| Pace::from(clock).seconds(&worked)), [20.0; 2]);
    }
}
