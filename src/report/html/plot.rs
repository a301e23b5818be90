//! What the picture shows: objects kept against units made, every round a point, with the rate and its bounds as a line and a fan.

use crate::result::parts::{Round, RoundKind};
use crate::result::record::RunRecord;
use crate::stats::estimate::Estimate;
use crate::text::number;
use std::collections::BTreeMap;

/// More series than this cannot be told apart.
const MOST_SERIES: usize = 6;

/// One counter in one scenario, on each kernel that it was run on.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    pub scenario: String,
    pub counter: String,
    pub unit: String,
    pub series: Vec<Series>,
    /// Kernels that are left out.
    pub left_out: usize,
}

/// What was seen on one kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    pub kernel: String,
    pub points: Vec<Point>,
    pub slope: Slope,
}

/// The kernel at rest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Units made since the first reading that counts.
    pub units: u64,
    /// Objects more than there were then.
    pub kept: i64,
    pub mark: Mark,
}

/// What was done before the reading.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mark {
    Dose,
    Control,
    Proof,
    Unmount,
}

/// How the counter grows per unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Slope {
    /// By an estimate with bounds.
    Rate(Estimate),
    /// By this at most: it is not among the counters whose bounds are kept, which are the highest.
    AtMost(f64),
    Unknown,
}

/// Draws a plot for each scenario that has rounds: of what leaks most in it, or of what may yet.
pub fn plots(records: &[RunRecord]) -> Vec<Plot> {
    let mut scenarios: BTreeMap<(usize, &str), Vec<&RunRecord>> = BTreeMap::new();
    for record in records.iter().filter(|record| !points(record, "").is_empty()) {
        let first = records.iter().position(|r| r.scenario == record.scenario).unwrap_or(0);
        scenarios.entry((first, &record.scenario)).or_default().push(record);
    }
    scenarios.into_values().filter_map(|records| plot(&records)).collect()
}

fn plot(records: &[&RunRecord]) -> Option<Plot> {
    let leaking = records.iter().find_map(|record| record.findings.iter().find(|f| moves(record, &f.name)));
    let highest = || records.iter().find_map(|record| Some(record.bounds.as_ref()?.highest.first()?.name.clone()));
    let counter = leaking.map(|finding| finding.name.clone()).or_else(highest)?;
    let series = |record: &&RunRecord| Series {
        kernel: record.kernel.spec.clone(),
        points: points(record, &counter),
        slope: slope(record, &counter),
    };
    Some(Plot {
        scenario: records[0].scenario.clone(),
        unit: records[0].unit.clone(),
        series: records.iter().take(MOST_SERIES).map(series).collect(),
        left_out: records.len().saturating_sub(MOST_SERIES),
        counter,
    })
}

fn moves(record: &RunRecord, counter: &str) -> bool {
    record.rounds.iter().any(|round| round.samples.contains_key(counter))
}

/// Returns the points from the last reading before the rounds that count. A counter that is not in a sample was 0, or
/// never moved.
fn points(record: &RunRecord, counter: &str) -> Vec<Point> {
    let is_prelude = |round: &Round| matches!(round.kind, RoundKind::Warmup | RoundKind::Held);
    let begin = record.rounds.iter().take_while(|round| is_prelude(round)).count();
    let read = |round: &Round| round.samples.get(counter).copied().unwrap_or(0);
    let Some(base) = begin.checked_sub(1).and_then(|i| record.rounds.get(i)).map(read) else { return Vec::new() };
    let mut units = 0;
    let point = |round: &Round| {
        units = round.dose.saturating_add(units);
        let mark = match round.kind {
            RoundKind::Control => Mark::Control,
            RoundKind::Proof => Mark::Proof,
            RoundKind::Unmount | RoundKind::Cgroup => Mark::Unmount,
            RoundKind::Dose | RoundKind::Watched | RoundKind::Warmup | RoundKind::Held => Mark::Dose,
        };
        Point { units, kept: read(round).saturating_sub(base), mark }
    };
    record.rounds[begin..].iter().map(point).collect()
}

fn slope(record: &RunRecord, counter: &str) -> Slope {
    if let Some(finding) = record.findings.iter().find(|finding| finding.name == counter) {
        return Slope::Rate(finding.objects_per_listing);
    }
    let Some(bounds) = &record.bounds else { return Slope::Unknown };
    match (bounds.highest.iter().find(|bound| bound.name == counter), bounds.highest.last()) {
        (Some(bound), _) => Slope::Rate(bound.objects_per_listing),
        (None, Some(lowest)) => Slope::AtMost(lowest.objects_per_listing.high),
        (None, None) => Slope::Unknown,
    }
}

impl Series {
    /// Returns the legend's words: how much it grows.
    pub fn legend(&self, unit: &str) -> String {
        match self.slope {
            Slope::Rate(rate) if rate.low > 0.0 => {
                format!("{} per {unit} ({})", number::rate(rate.estimate), rate.bounds())
            }
            Slope::Rate(Estimate { high, .. }) | Slope::AtMost(high) => {
                format!("at most {} per {unit}", number::upper(high))
            }
            Slope::Unknown => "rate not known".into(),
        }
    }
}

impl Plot {
    /// Says what there is to see, for who cannot see it.
    pub fn alt_text(&self) -> String {
        let series = self.series.iter().map(|series| format!("{}: {}", series.kernel, series.legend(&self.unit)));
        format!("{} objects kept in {}. {}", self.counter, self.scenario, series.collect::<Vec<_>>().join("; "))
    }

    /// Returns what is counted to the right; the legend says what a unit is.
    pub fn across(&self) -> &'static str {
        if self.unit == "listing" { "listings made" } else { "units made" }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::result::example;

    fn round(kind: RoundKind, dose: u64, objects: i64) -> Round {
        let samples = if objects > 0 { BTreeMap::from([("kmalloc-256".into(), objects)]) } else { BTreeMap::new() };
        Round { dose, samples, kind, seconds: 0.5 }
    }

    pub fn with_rounds() -> Vec<RunRecord> {
        use RoundKind::*;
        let rounds = |per_unit: i64| {
            let at = |units: i64| if per_unit > 0 { 160 + per_unit * units } else { 0 };
            vec![
                round(Warmup, 2, at(0)),
                round(Dose, 6, at(6)),
                round(Control, 0, at(6)),
                round(Proof, 2, at(8)),
                round(Unmount, 0, at(8) - i64::from(per_unit > 0)),
            ]
        };
        let mut records = vec![example::leak(), example::clean()];
        records[0].rounds = rounds(25);
        records[1].rounds = rounds(0);
        records
    }

    #[test]
    fn every_round_is_a_point_and_both_kernels_are_in_one_plot() {
        let plots = plots(&with_rounds());
        let [plot] = plots.as_slice() else { panic!("{plots:?}") };
        assert_eq!((plot.counter.as_str(), plot.series.len(), plot.left_out), ("kmalloc-256", 2, 0));
        let point = |units, kept, mark| Point { units, kept, mark };
        let expected = [
            point(6, 150, Mark::Dose),
            point(6, 150, Mark::Control),
            point(8, 200, Mark::Proof),
            point(8, 199, Mark::Unmount),
        ];
        assert_eq!(plot.series[0].points, expected);
        assert!(plot.series[1].points.iter().all(|point| point.kept == 0));
        let words = "kmalloc-256 objects kept in quick. 6.1+spare-pages: 25.0 per listing (24.8 to 25.2); 6.1: at most 0.13 per listing";
        assert_eq!(plot.alt_text(), words);
        assert_eq!(plot.across(), "listings made");
    }

    #[test]
    fn scenario_without_rounds_has_no_plot() {
        assert_eq!(plots(&[example::leak()]), []);
        let mut records = with_rounds();
        records[0].rounds.remove(0);
        assert_eq!(plots(&records[..1]), [], "without a first reading nothing can be said to have grown");
    }

    #[test]
    fn kernels_that_cannot_be_told_apart_are_left_out_and_counted() {
        let records: Vec<RunRecord> = (0..9).flat_map(|_| with_rounds()).collect();
        let plots = plots(&records);
        assert_eq!((plots[0].series.len(), plots[0].left_out), (MOST_SERIES, 12));
    }
}
