//! How often each arc of a function was taken: what goes into a block comes out of it, so a few counters tell all of them (solve_flow_graph in
//! gcc/gcov.cc).

use super::gcno::FunctionNotes;
use std::collections::BTreeSet;

/// Blocks that nothing goes into, and that nothing comes out of.
pub const ENTRY: usize = 0;
const EXIT: usize = 1;

/// Returns how often each arc was taken, as the counters of the function tell; missing ones are zero. Counters that are read while the code
/// runs do not fit together quite: what would be less than nothing is nothing.
pub fn arc_counts(function: &FunctionNotes, counters: &[u64]) -> Vec<u64> {
    let mut counters = counters.iter();
    let mut counter = || counters.next().map_or(0, |count| i64::try_from(*count).unwrap_or(i64::MAX));
    let mut counts: Vec<Option<i64>> = function.arcs.iter().map(|arc| arc.is_counted.then(&mut counter)).collect();
    let blocks = Blocks::new(function);
    let mut waiting: Vec<usize> = (0..function.blocks as usize).collect();
    while let Some(block) = waiting.pop() {
        if let Some((arc, count)) = blocks.conclusion(block, &counts) {
            counts[arc] = Some(count);
            let ends = function.arcs[arc];
            waiting.extend([ends.from as usize, ends.to as usize]);
        }
    }
    counts.into_iter().map(|count| count.unwrap_or_default().max(0) as u64).collect()
}

/// Returns the blocks that were executed where arcs were taken so often.
pub fn executed_blocks(function: &FunctionNotes, counts: &[u64]) -> BTreeSet<usize> {
    let taken = function.arcs.iter().zip(counts).filter(|(_, count)| **count > 0);
    taken.flat_map(|(arc, _)| [arc.from as usize, arc.to as usize]).collect()
}

/// The arcs of each block, by their numbers.
struct Blocks {
    into: Vec<Vec<usize>>,
    out: Vec<Vec<usize>>,
}

impl Blocks {
    fn new(function: &FunctionNotes) -> Self {
        let none = vec![Vec::new(); function.blocks as usize];
        let mut blocks = Self { into: none.clone(), out: none };
        for (number, arc) in function.arcs.iter().enumerate() {
            blocks.out[arc.from as usize].push(number);
            blocks.into[arc.to as usize].push(number);
        }
        blocks
    }

    /// Returns an arc of the block of which the count follows from the others, and that count.
    fn conclusion(&self, block: usize, counts: &[Option<i64>]) -> Option<(usize, i64)> {
        let sum = |arcs: &[usize]| arcs.iter().try_fold(0i64, |sum, arc| Some(sum.saturating_add(counts[*arc]?)));
        let (into, out) = (&self.into[block], &self.out[block]);
        if block == ENTRY || block == EXIT {
            return None;
        }
        let (unknown, whole) = match (sum(into), sum(out)) {
            (Some(whole), None) => (out, whole),
            (None, Some(whole)) => (into, whole),
            _ => return None,
        };
        let mut open = unknown.iter().filter(|arc| counts[**arc].is_none());
        let arc = *open.next().filter(|_| open.next().is_none())?;
        let known = unknown.iter().filter_map(|arc| counts[*arc]).fold(0i64, i64::saturating_add);
        Some((arc, whole.saturating_sub(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coverage::gcno::Arc;

    /// Returns a function with a condition: block 2 goes on to 3 or to 4, and both to 5.
    fn condition() -> FunctionNotes {
        let arc = |from, to, is_counted| Arc { from, to, is_counted };
        let arcs = vec![
            arc(0, 2, false),
            arc(2, 3, true),
            arc(2, 4, false),
            arc(3, 5, false),
            arc(4, 5, true),
            arc(5, 1, false),
        ];
        FunctionNotes { blocks: 6, arcs, ..FunctionNotes::default() }
    }

    #[test]
    fn arcs_that_are_not_counted_follow_from_those_that_are() {
        assert_eq!(arc_counts(&condition(), &[3, 4]), [7, 3, 4, 3, 4, 7]);
        assert_eq!(arc_counts(&condition(), &[0, 4]), [4, 0, 4, 0, 4, 4]);
        assert_eq!(arc_counts(&condition(), &[]), [0; 6]);
    }

    #[test]
    fn counters_that_do_not_fit_give_nothing_below_zero() {
        // Two ways into a block that is left once: the other was counted while it was read.
        let arc = |from, to, is_counted| Arc { from, to, is_counted };
        let arcs = vec![arc(0, 2, true), arc(2, 1, true), arc(2, 3, false), arc(3, 1, false)];
        let function = FunctionNotes { blocks: 4, arcs, ..FunctionNotes::default() };
        assert_eq!(arc_counts(&function, &[1, 3]), [1, 3, 0, 0]);
        assert_eq!(arc_counts(&function, &[u64::MAX, 0])[2], i64::MAX as u64);
    }
}
