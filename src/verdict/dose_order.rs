//! In which order the doses of blocks come: by lot, in pairs of a small and a large one, so that each pair has both.

use super::judge::Phase;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::SliceRandom;

/// Draws one dose after the other.
pub struct Doses {
    spread: [u64; 2],
    lot: ChaCha8Rng,
    drawn: Vec<u64>,
}

impl Doses {
    /// Makes the order of the two doses of a scenario; the same `seed` gives the same order.
    pub fn new(spread: [u64; 2], seed: u64) -> Self {
        Self { spread, lot: ChaCha8Rng::seed_from_u64(seed), drawn: Vec::new() }
    }

    /// Makes the order of a phase: the order in one phase says nothing of that in the other, so that what happens once
    /// at a certain place of a run meets a dose by lot in each.
    pub fn for_phase(phase: Phase, spread: [u64; 2], seed: u64) -> Self {
        let mut doses = Self::new(spread, seed);
        doses.lot.set_stream(match phase {
            Phase::Scout => 0,
            Phase::Full => 2,
        });
        doses
    }

    /// Draws the dose of the next block.
    pub fn draw(&mut self) -> u64 {
        if self.drawn.is_empty() {
            self.drawn.extend(self.spread);
            self.drawn.shuffle(&mut self.lot);
        }
        self.drawn.pop().expect("two were drawn")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_in_one_phase_says_nothing_of_the_order_in_the_other() {
        let first = |phase, seed| Doses::for_phase(phase, [4, 16], seed).draw();
        let same = (0..400).filter(|&seed| first(Phase::Scout, seed) == first(Phase::Full, seed)).count();
        assert!((160..240).contains(&same), "{same} of 400");
    }

    #[test]
    fn every_pair_of_blocks_has_both_doses_in_an_order_that_the_seed_gives() {
        let draw = |seed| {
            let mut doses = Doses::new([4, 16], seed);
            (0..12).map(|_| doses.draw()).collect::<Vec<_>>()
        };
        let doses = draw(7);
        assert_eq!(doses, draw(7));
        assert!(doses.chunks(2).all(|pair| pair[0] != pair[1]));
        assert!((0..50).any(|seed| draw(seed) != doses));
    }
}
