//! What the kernel says of its lines of source, beside the call sites of what leaks: who allocated it by `/proc/allocinfo`.

use super::session::{Session, SessionResult};
use crate::protocol::request::{AllocinfoBegin, AllocinfoEnd};
use crate::result::finding::AllocationSite;
use crate::sample::SourceLine;

/// Lines that a result has.
const KEPT: usize = 10;
/// Fewer allocations are what a kernel does beside: on 6.12 coming to rest alone leaves 5 areas of vmalloc.
const FEWEST_CALLS: i64 = 10;
/// Part of the least leak's rate that a line must allocate to have to do with it.
const PART: f64 = 0.1;

/// A first reading of the counts of every line.
pub(super) struct LinesBegun {
    /// Units that were made before it.
    units: u64,
    /// Allocations per unit from which on a line is told.
    pub(super) least: f64,
}

impl Session<'_> {
    /// Has the counts of every line kept in mind, from which on growth is told; `None` if nothing leaks, or if the kernel counts none.
    pub(super) fn begin_allocinfo(&mut self, leaks: &[(String, f64, i64)]) -> SessionResult<Option<LinesBegun>> {
        let Some(rate) = leaks.iter().map(|(_, rate, _)| *rate).min_by(f64::total_cmp) else { return Ok(None) };
        let least = self.outcome.min_rate.max(PART * rate);
        Ok(self.request(AllocinfoBegin {})?.then_some(LinesBegun { units: self.dose, least }))
    }

    /// Notes which lines have allocated more than was freed since then, in all units that were made.
    pub(super) fn end_allocinfo(&mut self, begun: &LinesBegun) -> SessionResult<()> {
        let lines = self.request(AllocinfoEnd {})?.unwrap_or_default();
        self.outcome.allocation_sites = allocation_sites(lines, self.dose.saturating_sub(begun.units), begun.least);
        Ok(())
    }
}

/// Returns the lines that grow by at least `least` allocations per unit, most bytes first; none if no unit was made.
pub fn allocation_sites(lines: Vec<SourceLine>, units: u64, least: f64) -> Vec<AllocationSite> {
    let per_unit = |number: i64| number as f64 / units as f64;
    let is_of_units = |line: &SourceLine| units > 0 && line.calls >= FEWEST_CALLS && per_unit(line.calls) >= least;
    let site = |line: SourceLine| AllocationSite {
        bytes_per_listing: per_unit(line.bytes),
        calls_per_listing: per_unit(line.calls),
        file: line.file,
        line: line.line,
        function: line.function,
        module: line.module,
    };
    lines.into_iter().filter(is_of_units).take(KEPT).map(site).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(file: &str, bytes: i64, calls: i64) -> SourceLine {
        SourceLine { file: file.into(), line: 93, function: "f".into(), module: None, bytes, calls }
    }

    #[test]
    fn line_that_follows_the_units_is_told_per_unit() {
        let sites = allocation_sites(vec![line("mm/util.c", 64_000, 250), line("fs/seq_file.c", 4096, 1)], 10, 0.5);
        assert_eq!(sites.len(), 1);
        assert_eq!((sites[0].bytes_per_listing, sites[0].calls_per_listing), (6400.0, 25.0));
    }

    #[test]
    fn line_that_allocates_a_little_in_every_unit_is_left_out() {
        let areas = vec![line("mm/vmalloc.c", 680, 5), line("lib/maple_tree.c", 5120, 20)];
        assert_eq!(allocation_sites(areas.clone(), 8, 2.6), [], "a unit or a rest leaves a little behind");
        assert_eq!(allocation_sites(areas, 8, 2.5).len(), 1, "if the leak is no larger it may be this");
    }

    #[test]
    fn lines_without_a_unit_are_none() {
        assert_eq!(allocation_sites(vec![line("a.c", 8000, 1000)], 0, 0.5), []);
    }
}
