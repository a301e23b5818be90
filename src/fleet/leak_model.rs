//! How many bytes one listing of a directory of any size loses, from the sizes that were measured.

use crate::error::{Error, Result};
use crate::result::finding::Finding;
use crate::result::forecast::{GrowthModel, Leak, Measured, Per};
use crate::result::record::{RunRecord, Verdict};
use crate::stats::estimate::Estimate;
use std::collections::BTreeSet;

/// A leak of fewer objects than this has nothing to do with the entries of a directory: it is of the open, or of the reply.
const OF_ENTRIES: f64 = 2.0;

impl Leak {
    /// Takes the leak from the records that leak on one kernel, in all scenarios or in those that are named.
    pub fn from_records(
        records: &[RunRecord],
        kernel: Option<&str>,
        scenarios: &[String],
        per: Option<Per>,
    ) -> Result<Self> {
        let wanted = |r: &&RunRecord| {
            let in_scenario = scenarios.is_empty() || scenarios.contains(&r.scenario);
            r.verdict == Verdict::Leak && in_scenario && kernel.is_none_or(|spec| spec == r.kernel.spec)
        };
        let leaking: Vec<&RunRecord> = records.iter().filter(wanted).collect();
        let Some(first) = leaking.first() else { return Err(no_leak(records)) };
        one(&leaking, "kernels leak", "--kernel", |r| &r.kernel.spec)?;
        one(&leaking, "units are repeated", "--scenario", |r| &r.unit)?;
        let leak = Self::made(first, &leaking, per);
        if leak.measured.iter().all(|m| m.bytes_per_listing.estimate <= 0.0) {
            return Err(Error::usage(format!("the size of what leaks on {} is not known", first.kernel.spec)));
        }
        Ok(leak)
    }

    /// Takes the leak from records of one kernel and unit that are all meant, in which a clean one loses nothing;
    /// `None` if one is not decided, or there is none.
    pub fn through(records: &[&RunRecord]) -> Option<Self> {
        let is_decided = |record: &&RunRecord| matches!(record.verdict, Verdict::Leak | Verdict::Clean);
        let first = records.first().filter(|_| records.iter().all(is_decided))?;
        Some(Self::made(first, records, None))
    }

    /// Makes the leak that all of `records` show, of which `first` is one.
    fn made(first: &RunRecord, records: &[&RunRecord], per: Option<Per>) -> Self {
        let measured = sizes(records);
        Self {
            kernel: first.kernel.spec.clone(),
            unit: first.unit.clone(),
            grows: grows(&measured, per),
            measured,
            not_counted: not_counted(records),
        }
    }

    /// Returns the bytes that a listing of so many entries loses, never less than nothing.
    pub fn bytes_per_listing(&self, entries: u64) -> Estimate {
        let largest = self.measured.last().expect("something was measured");
        match self.grows {
            GrowthModel::PerListing => largest.bytes_per_listing,
            GrowthModel::PerEntry => {
                let factor = entries as f64 / (largest.entries.max(1)) as f64;
                each(largest.bytes_per_listing, largest.bytes_per_listing, |bytes, _| bytes * factor)
            }
            GrowthModel::ThroughMeasured => {
                let above = self.measured.iter().position(|m| m.entries >= entries).unwrap_or(self.measured.len());
                let right = above.clamp(1, self.measured.len() - 1);
                let [a, b] = [&self.measured[right - 1], &self.measured[right]];
                let part = (entries as f64 - a.entries as f64) / (b.entries - a.entries) as f64;
                each(a.bytes_per_listing, b.bytes_per_listing, |a, b| (a + part * (b - a)).max(0.0))
            }
        }
    }
}

/// Works out estimate and bounds, each from the two of two rates.
fn each(a: Estimate, b: Estimate, f: impl Fn(f64, f64) -> f64) -> Estimate {
    Estimate { estimate: f(a.estimate, b.estimate), low: f(a.low, b.low), high: f(a.high, b.high) }
}

fn no_leak(records: &[RunRecord]) -> Error {
    let leaking: BTreeSet<String> = records
        .iter()
        .filter(|record| record.verdict == Verdict::Leak)
        .map(|record| format!("{} in {}", record.kernel.spec, record.scenario))
        .collect();
    Error::usage(match leaking.is_empty() {
        true => "there is no leak in it, and nothing to forecast".into(),
        false => {
            format!("no leak in it is of that kernel and scenario; there are {}", Vec::from_iter(leaking).join(", "))
        }
    })
}

/// Fails unless all records have the same of something.
fn one(records: &[&RunRecord], what: &str, option: &str, of: impl Fn(&RunRecord) -> &String) -> Result<()> {
    let different: BTreeSet<&str> = records.iter().map(|record| of(record).as_str()).collect();
    match different.len() {
        1 => Ok(()),
        n => {
            let names = Vec::from_iter(different).join(", ");
            Err(Error::usage(format!("{n} {what} in it ({names}); choose with {option}")))
        }
    }
}

/// Returns what each size loses; of one that was measured more than once the mean.
fn sizes(records: &[&RunRecord]) -> Vec<Measured> {
    let entries: BTreeSet<u64> = records.iter().map(|record| record.entries).collect();
    let of_size = |entries: u64| {
        let same: Vec<&&RunRecord> = records.iter().filter(|record| record.entries == entries).collect();
        let mean = |of: &dyn Fn(&RunRecord) -> f64| same.iter().map(|r| of(r)).sum::<f64>() / same.len() as f64;
        let scenarios: BTreeSet<&str> = same.iter().map(|record| record.scenario.as_str()).collect();
        Measured {
            scenario: Vec::from_iter(scenarios).join(", "),
            entries,
            objects_per_listing: mean(&|r| r.findings.iter().map(|f| f.objects_per_listing.estimate).sum()),
            bytes_per_listing: Estimate {
                estimate: mean(&|r| bytes(r).estimate),
                low: mean(&|r| bytes(r).low),
                high: mean(&|r| bytes(r).high),
            },
        }
    };
    entries.into_iter().map(of_size).collect()
}

fn grows(measured: &[Measured], per: Option<Per>) -> GrowthModel {
    let few = measured.iter().all(|m| m.objects_per_listing < OF_ENTRIES);
    match (measured.len(), per) {
        (_, Some(Per::Listing)) => GrowthModel::PerListing,
        (_, Some(Per::Entry)) => GrowthModel::PerEntry,
        (1, None) if few || measured[0].entries == 0 => GrowthModel::PerListing,
        (1, None) => GrowthModel::PerEntry,
        (_, None) => GrowthModel::ThroughMeasured,
    }
}

/// Returns the counters that leak objects whose size is not known.
fn not_counted(records: &[&RunRecord]) -> Vec<String> {
    let findings = records.iter().flat_map(|record| &record.findings);
    let unknown: BTreeSet<String> =
        findings.filter(|finding| finding.bytes_per_listing <= 0.0).map(|finding| finding.name.clone()).collect();
    unknown.into_iter().collect()
}

/// Returns the bytes per unit of all that leaks: a mount that stays keeps what only unmounting frees.
pub fn bytes(record: &RunRecord) -> Estimate {
    let sum = |sum: fn(&Estimate) -> f64| sum_of_bytes(record, sum);
    Estimate { estimate: sum(|rate| rate.estimate), low: sum(|rate| rate.low), high: sum(|rate| rate.high) }
}

fn sum_of_bytes(record: &RunRecord, of: impl Fn(&Estimate) -> f64) -> f64 {
    let findings = record.findings.iter().filter(|finding| finding.objects_per_listing.estimate > 0.0);
    let bytes =
        |f: &Finding| f.bytes_per_listing / f.objects_per_listing.estimate * of(&f.objects_per_listing).max(0.0);
    // The sum of nothing is a negative zero.
    findings.map(bytes).sum::<f64>() + 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    fn leaks(scenario: &str, entries: u64, objects: f64, object_bytes: f64) -> RunRecord {
        let mut record = RunRecord { scenario: scenario.into(), entries, ..example::leak() };
        let finding = &mut record.findings[0];
        finding.objects_per_listing = Estimate { estimate: objects, low: 0.9 * objects, high: 1.1 * objects };
        finding.bytes_per_listing = objects * object_bytes;
        record
    }

    fn at(leak: &Leak, entries: u64) -> f64 {
        leak.bytes_per_listing(entries).estimate
    }

    #[test]
    fn sizes_that_were_measured_are_joined_by_lines() {
        let records =
            [leaks("large", 10_000, 5000.0, 32.0), leaks("small", 100, 50.0, 32.0), leaks("mid", 1000, 50.0, 32.0)];
        let leak = Leak::from_records(&records, None, &[], None).unwrap();
        assert_eq!(leak.grows, GrowthModel::ThroughMeasured);
        for (entries, expected) in [
            (0, 1600.0),
            (100, 1600.0),
            (550, 1600.0),
            (1000, 1600.0),
            (5500, 80_800.0),
            (10_000, 160_000.0),
            (19_000, 318_400.0),
        ] {
            assert!((at(&leak, entries) - expected).abs() < 1e-6, "{entries}: {}", at(&leak, entries));
        }
        let rate = leak.bytes_per_listing(10_000);
        assert!((rate.low - 144_000.0).abs() < 1e-6 && (rate.high - 176_000.0).abs() < 1e-6);
        let steep =
            Leak::from_records(&[leaks("a", 100, 0.5, 8.0), leaks("b", 200, 500.0, 8.0)], None, &[], None).unwrap();
        assert_eq!(at(&steep, 1), 0.0, "less than nothing cannot leak");
    }

    #[test]
    fn leak_of_one_size_grows_with_the_entries_unless_few_objects_leak() {
        let names = Leak::from_records(&[leaks("quick", 150, 25.0, 256.0)], None, &[], None).unwrap();
        assert_eq!((names.grows, at(&names, 300)), (GrowthModel::PerEntry, 12_800.0));
        let opens = Leak::from_records(&[leaks("quick", 150, 1.0, 64.0)], None, &[], None).unwrap();
        assert_eq!((opens.grows, at(&opens, 300)), (GrowthModel::PerListing, 64.0));
        let said = Leak::from_records(&[leaks("quick", 150, 1.0, 64.0)], None, &[], Some(Per::Entry)).unwrap();
        assert_eq!((said.grows, at(&said, 300)), (GrowthModel::PerEntry, 128.0));
    }

    #[test]
    fn leak_that_cannot_be_forecast_is_told() {
        let refused = |records: &[RunRecord], kernel: Option<&str>| {
            Leak::from_records(records, kernel, &[], None).unwrap_err().to_string()
        };
        assert!(refused(&[example::clean()], None).contains("there is no leak in it"));
        let mut other = leaks("quick", 150, 25.0, 256.0);
        other.kernel.spec = "6.12".into();
        let both = [example::leak(), other];
        assert!(refused(&both, None).contains("2 kernels leak in it (6.1+spare-pages, 6.12); choose with --kernel"));
        assert!(refused(&both, Some("5.10")).contains("there are 6.1+spare-pages in quick, 6.12 in quick"));
        assert!(refused(&[leaks("quick", 150, 3.0, 0.0)], None).contains("the size of what leaks"));
        assert_eq!(Leak::from_records(&both, Some("6.12"), &[], None).unwrap().kernel, "6.12");
    }

    #[test]
    fn counter_of_unknown_size_is_named() {
        let mut record = leaks("quick", 150, 25.0, 256.0);
        let mut second = record.findings[0].clone();
        (second.name, second.bytes_per_listing) = ("vmalloc".into(), 0.0);
        record.findings.push(second);
        assert_eq!(Leak::from_records(&[record], None, &[], None).unwrap().not_counted, ["vmalloc"]);
    }
}
