//! Which name the nth entry of a directory has: a formula of the seed, so that nobody needs to store it.

use crate::scenario::Names;

/// Bytes a name is made of; none of them needs quoting in a shell.
const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Gives names by number.
#[derive(Clone, Debug)]
pub struct NameMaker {
    names: Names,
    seed: u64,
    /// Digits (base 62) that every number below the count fits in.
    digits: usize,
}

/// Digits in base 62 that tell `count` names apart.
pub fn digits_needed(count: u64) -> usize {
    let mut digits = 1;
    let mut reach = 62u64;
    while reach < count {
        reach = reach.saturating_mul(62);
        digits += 1;
    }
    digits
}

/// One step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that scatters neighbouring numbers.
fn scatter(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl NameMaker {
    /// Names for `count` entries.
    pub fn new(names: &Names, count: u64, seed: u64) -> Self {
        Self { names: names.clone(), seed, digits: digits_needed(count) }
    }

    /// The name of entry `number`, counted from 0, appended to `out`.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        match &self.names {
            Names::Pattern { pattern } => {
                out.extend_from_slice(pattern.replace("{n}", &(number + 1).to_string()).as_bytes());
            }
            Names::Random { min_bytes, max_bytes } => self.write_random(number, *min_bytes, *max_bytes, out),
        }
    }

    /// The number stands at the end, so that names are unique; what stands before it is random.
    fn write_random(&self, number: u64, min_bytes: usize, max_bytes: usize, out: &mut Vec<u8>) {
        let mut state = scatter(self.seed ^ scatter(number));
        let span = (max_bytes - min_bytes + 1) as u64;
        let length = min_bytes + (state % span) as usize;
        for place in 0..length.saturating_sub(self.digits) {
            if place % 8 == 0 {
                state = scatter(state);
            }
            out.push(ALPHABET[(state >> (place % 8 * 8)) as usize % 62]);
        }
        let mut rest = number;
        let start = out.len();
        for _ in 0..self.digits {
            out.push(ALPHABET[(rest % 62) as usize]);
            rest /= 62;
        }
        out[start..].reverse();
    }

    /// The name of entry `number`, counted from 0.
    pub fn name(&self, number: u64) -> Vec<u8> {
        let mut name = Vec::new();
        self.write(number, &mut name);
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn random(min_bytes: usize, max_bytes: usize) -> Names {
        Names::Random { min_bytes, max_bytes }
    }

    #[test]
    fn names_are_unique_and_of_the_lengths_asked_for() {
        let maker = NameMaker::new(&random(3, 40), 5_000, 7);
        let names: HashSet<_> = (0..5_000).map(|n| maker.name(n)).collect();
        assert_eq!(names.len(), 5_000);
        assert_eq!(names.iter().map(Vec::len).min(), Some(3));
        assert_eq!(names.iter().map(Vec::len).max(), Some(40));
    }

    #[test]
    fn the_seed_replays_names_and_another_seed_gives_others() {
        let [a, b, c] = [1, 1, 2].map(|seed| NameMaker::new(&random(20, 20), 100, seed).name(42));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn a_pattern_counts_from_one() {
        let names = Names::Pattern { pattern: "{n}_0123456789abcdef".to_owned() };
        assert_eq!(NameMaker::new(&names, 110, 0).name(109), b"110_0123456789abcdef");
    }
}
