//! Drawing by lot, the same for the same seed.

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// Keeps what is drawn here apart from what else comes of the seed.
const SALT: u64 = 0x6578_706c_6f72_6572;

/// What is drawn next.
pub struct Lot(ChaCha8Rng);

impl Lot {
    /// Begins where a seed and the numbers of a batch and of a candidate say.
    pub fn new(seed: u64, batch: u64, candidate: u64) -> Self {
        let mut key = [0; 32];
        for (part, number) in key.chunks_exact_mut(8).zip([seed, batch, candidate, SALT]) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Draws a number below `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end.max(1))
    }

    /// Draws a number from the first to the second.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        self.0.random_range(first..=last.max(first))
    }

    /// Says yes once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// Draws one of several.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// Draws one of several, each as often as the number before it says.
    pub fn weighted<'a, T>(&mut self, of: &'a [(u32, T)]) -> &'a T {
        let all: u32 = of.iter().map(|(weight, _)| weight).sum();
        let mut left = self.below(all as usize) as u32;
        for (weight, one) in of {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return one,
            }
        }
        unreachable!("the number is below the sum")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lot_is_the_same_for_the_same_numbers_and_another_for_each_other() {
        let drawn = |seed, batch, candidate| {
            let mut lot = Lot::new(seed, batch, candidate);
            (0..8).map(|_| lot.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(drawn(1, 2, 3), drawn(1, 2, 3));
        let others = [drawn(2, 2, 3), drawn(1, 3, 3), drawn(1, 2, 4)];
        assert!(others.iter().all(|other| *other != drawn(1, 2, 3)));
    }

    #[test]
    fn weight_says_how_often_one_is_drawn() {
        let mut lot = Lot::new(1, 1, 1);
        let of = [(1, 'a'), (0, 'b'), (9, 'c')];
        let drawn: Vec<char> = (0..1000).map(|_| *lot.weighted(&of)).collect();
        let count = |c| drawn.iter().filter(|d| **d == c).count();
        assert_eq!(count('b'), 0);
        assert!((50..200).contains(&count('a')), "{}", count('a'));
    }
}
