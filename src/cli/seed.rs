//! The seed of a run, which is drawn unless it is given: if everybody had the same, everybody would make the same mistake.

use sha2::{Digest, Sha256};
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

/// Returns the seed of whoever looks for the same, as these words say it: what is kept of a search that was ended is found again, and another
/// search still has another seed.
pub fn of(words: &[&str]) -> u64 {
    let digest = Sha256::digest(words.join("\0"));
    let (number, _) = digest.split_first_chunk().expect("SHA-256 has 32 bytes");
    u64::from_be_bytes(*number) % BELOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawn_seed_stays_the_same_and_is_short() {
        assert_eq!(drawn(), drawn());
        assert!(drawn() < BELOW);
    }

    #[test]
    fn seed_of_the_same_search_is_the_same_and_of_another_another() {
        let ours = of(&["0123abcd", "quick"]);
        assert_eq!(ours, of(&["0123abcd", "quick"]));
        assert!(ours < BELOW && ours != of(&["0123abce", "quick"]) && ours != of(&["0123abcdquick"]));
    }
}
