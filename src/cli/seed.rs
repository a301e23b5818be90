//! The seed of a run, which is drawn unless it is given: if everybody had the same, everybody would make the same mistake.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// Seeds that are drawn are below, so that one can type them again.
const BELOW: u64 = 1_000_000;

/// Draws the seed of this run of the program, the same whenever it is asked.
pub fn drawn() -> u64 {
    static DRAWN: OnceLock<u64> = OnceLock::new();
    // The keys of the standard library's hashes come from the kernel's random numbers.
    *DRAWN.get_or_init(|| RandomState::new().build_hasher().finish() % BELOW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_seed_stays_the_same_and_is_short() {
        assert_eq!(drawn(), drawn());
        assert!(drawn() < BELOW);
    }
}
