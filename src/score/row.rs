//! One run of a patch, and what it shows.

use super::header::{self, Header, Kind, Leak};
use super::other_tools::Compared;
use crate::error::{Error, Result};
use crate::os::assets;
use crate::result::finding::Finding;
use crate::result::record::{RunRecord, Verdict};
use serde::Serialize;

/// Of a hundred bounds, as many must contain the true rate.
pub(super) const LEAST_COVERAGE_PERCENT: usize = 95;

/// One patch in one run, and what was seen of it.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub patch: String,
    pub scenario: String,
    pub seed: u64,
    /// Of a leak patch: the class of leak. `honest` for the others.
    pub class: String,
    /// The counter and the rate of the header; for what saturates, objects at unmount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counter: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// What dirleak says.
    pub verdict: Verdict,
    /// Why, in one sentence.
    pub reason: String,
    /// Whether that is right: the leak found in its counter, or the honest growth not accused.
    pub right: bool,
    /// Whether the function is the one of the header; absent for honest patches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_right: Option<bool>,
    /// Whether the interval of the rate contains the one of the header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_right: Option<bool>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Finding>,
    pub seconds: f64,
    /// What others say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub others: Option<Compared>,
}

/// Returns the headers of all patches of a series, by name.
pub fn patches(series: &str) -> Result<Vec<Header>> {
    let prefix = format!("vm/patches/{series}");
    let paths = assets::list(&prefix);
    if paths.is_empty() {
        return Err(Error::usage(format!(
            "there are no patches for the series {series}; `dirleak kernel list` tells what there is"
        )));
    }
    let read = |path: &String| {
        let name = path.trim_start_matches(&prefix).trim_matches('/').trim_end_matches(".patch");
        header::parse(name, &assets::read(path).unwrap_or_default())
    };
    paths.iter().map(read).collect()
}

impl Row {
    /// Notes what a run says of the patch with this header.
    pub fn new(header: &Header, record: &RunRecord, others: Option<Compared>) -> Self {
        let leak = match &header.kind {
            Kind::Leak(leak) => Some(leak),
            Kind::Honest => None,
        };
        let found =
            leak.and_then(|leak| record.findings.iter().find(|f| (f.source, &f.name) == (leak.source, &leak.counter)));
        let right = match leak {
            Some(_) if header.may_be_undecided && record.verdict == Verdict::Undecided => names_growth(header, record),
            Some(_) => record.verdict == Verdict::Leak && found.is_some(),
            None => record.verdict != Verdict::Leak,
        };
        // A verdict that is rightly left open tells no rate and no function.
        let is_told = !header.may_be_undecided || record.verdict == Verdict::Leak;
        let function_right =
            |leak: &Leak| found.and_then(|f| f.call_sites.first()).is_some_and(|site| site.function == leak.function);
        Self {
            patch: header.name.clone(),
            scenario: header.scenario.clone(),
            seed: record.seed,
            class: leak.map_or("honest".into(), |leak| leak.class.clone()),
            counter: leak.map(|leak| leak.counter.clone()),
            rate: leak.map(|leak| leak.rate),
            function: leak.map(|leak| leak.function.clone()),
            verdict: record.verdict,
            reason: record.reason.clone(),
            right,
            function_right: leak.filter(|_| is_told).map(function_right),
            rate_right: leak.filter(|_| is_told).map(|leak| found.is_some_and(|f| rate_right(f, leak))),
            found: found.or(record.findings.first()).cloned(),
            seconds: record.seconds,
            others,
        }
    }
}

impl Row {
    /// Notes what a sweep says of the patch with this header: right is the leak at the place whose failure brings it, and no accusation of
    /// another.
    pub fn of_sweep(header: &Header, places: &[RunRecord], seconds: f64) -> Self {
        let fails_there = |record: &&RunRecord| {
            record.failing.as_ref().is_some_and(|failing| header.fails.contains(&failing.function))
        };
        let accused = |record: &&RunRecord| record.verdict == Verdict::Leak;
        let wrongly = places.iter().find(|record| accused(record) && !fails_there(record));
        let there = || places.iter().filter(fails_there);
        let told = wrongly.or_else(|| there().find(accused)).or_else(|| there().next()).or(places.first());
        let Some(record) = told else {
            let none = RunRecord::begin(&header.scenario, Default::default(), 0);
            return Self::new(header, &none, None);
        };
        let row = Self::new(header, record, None);
        let (right, reason) = match wrongly {
            Some(_) => (false, format!("{} leaks, where nothing was put: {}", record.scenario, record.reason)),
            None => (row.right, row.reason.clone()),
        };
        Self { right, reason, seconds, ..row }
    }
}

/// Returns whether an undecided verdict says what has grown: the counter of the header, or the sum of which it is a part.
fn names_growth(header: &Header, record: &RunRecord) -> bool {
    let Kind::Leak(leak) = &header.kind else { return false };
    record.reason.contains(" grow") && (record.reason.contains(&leak.counter) || record.reason.contains("kmalloc"))
}

/// Returns whether the interval contains the header's rate; of what saturates, whether as many objects stayed, give or take
/// those of the directory itself.
fn rate_right(found: &Finding, leak: &Leak) -> bool {
    if leak.source == crate::sample::CounterKind::Unmount {
        return (found.net_objects as f64 - leak.rate).abs() <= 4.0;
    }
    let rate = &found.objects_per_listing;
    rate.low <= leak.rate && leak.rate <= rate.high
}

/// Returns what the plain recipe shows for a counter: growth, and whether that is at least half of what the rate promises.
pub fn recipe_sees(others: &Compared, leak_counter: &str, rate: f64) -> bool {
    others.recipe.get(leak_counter).is_some_and(|n| *n as f64 >= 0.5 * rate * others.units as f64)
}

/// Returns the cache that the plain recipe would accuse: the one that grew most, if that is half an object per unit.
pub fn recipe_accuses(others: &Compared) -> Option<(&str, i64)> {
    let most = others.recipe.iter().max_by_key(|(_, n)| **n)?;
    (*most.1 as f64 >= 0.5 * others.units as f64).then_some((most.0.as_str(), *most.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::score::report::Score;

    fn row(patch: &str, record: &RunRecord) -> Row {
        let header = patches("6.1").unwrap().into_iter().find(|h| h.name == patch).unwrap();
        Row::new(&header, record, None)
    }

    fn score(rows: Vec<Row>) -> Score {
        Score {
            series: "6.1".into(),
            source_version: "6.1.192-2".into(),
            rows,
            catches: Vec::new(),
            clean: Vec::new(),
            explored: Vec::new(),
        }
    }

    #[test]
    fn leak_is_right_with_its_counter_function_and_rate() {
        let mut record = example::leak();
        let right = row("spare-pages", &record);
        assert!(score(vec![right.clone(); 20]).all_right());
        record.findings[0].call_sites[0].function = "single_open".into();
        assert_eq!(row("spare-pages", &record).function_right, Some(false));
        assert!(!score(vec![row("spare-pages", &record)]).all_right());
        record.findings[0].call_sites = example::leak().findings[0].call_sites.clone();
        record.findings[0].objects_per_listing.low = 25.1;
        let wrong_rate = row("spare-pages", &record);
        assert_eq!((wrong_rate.function_right, wrong_rate.rate_right), (Some(true), Some(false)));
        let mut rows = vec![wrong_rate];
        rows.extend(vec![right; 19]);
        assert!(score(rows.clone()).all_right(), "95 of 100");
        rows.pop();
        assert!(!score(rows).all_right());
        assert!(!row("spare-pages", &example::clean()).right);
    }

    #[test]
    fn leak_that_comes_rarely_may_be_undecided_with_its_growth_named_but_not_clean() {
        let right = |record: &RunRecord| row("lump-per-64-opens", record).right;
        let mut record = example::clean();
        assert!(!right(&record));
        record.verdict = Verdict::Undecided;
        record.reason = "kmalloc-256 has grown by 64 in 100 listings, which may be a cache".into();
        assert!(right(&record));
        assert!(!row("spare-pages", &record).right, "one that comes with every listing is to be found");
        record.reason = "the guest was silent".into();
        assert!(!right(&record));
    }

    #[test]
    fn sweep_is_right_with_the_leak_where_it_fails_and_nowhere_else() {
        use crate::result::sweep::FailingRecord;
        let patches = patches("6.1").unwrap();
        let mut header = patches.into_iter().find(|h| h.name == "spare-pages").unwrap();
        header.fails = vec!["nfs_alloc_fhandle".into()];
        let at = |function: &str, record: RunRecord| RunRecord {
            failing: Some(FailingRecord { function: function.into(), ..FailingRecord::new("slab:7") }),
            ..record
        };
        let (there, elsewhere) = ("nfs_alloc_fhandle", "nfs_opendir");
        let right = |records: &[RunRecord]| Row::of_sweep(&header, records, 60.0).right;
        assert!(right(&[at(elsewhere, example::clean()), at(there, example::clean()), at(there, example::leak())]));
        assert!(!right(&[at(elsewhere, example::leak()), at(there, example::leak())]), "another place is accused");
        assert!(!right(&[at(elsewhere, example::clean()), at(there, example::clean())]), "it is missed");
        assert!(!right(&[at(elsewhere, example::clean())]) && !right(&[]), "it never failed there");
    }

    #[test]
    fn honest_patch_is_right_unless_it_is_accused() {
        assert!(score(vec![row("honest-first-use", &example::clean())]).all_right());
        assert!(!score(vec![row("honest-first-use", &example::leak())]).all_right());
    }

    #[test]
    fn recipe_sees_and_accuses_by_growth_per_unit() {
        let recipe = [("kmalloc-256".to_owned(), 260), ("dentry".to_owned(), 400)].into();
        let others = Compared { units: 20, recipe, ..Compared::default() };
        assert!(recipe_sees(&others, "kmalloc-256", 25.0) && !recipe_sees(&others, "kmalloc-256", 27.0));
        assert_eq!(recipe_accuses(&others), Some(("dentry", 400)));
        assert_eq!(recipe_accuses(&Compared { units: 20, ..Compared::default() }), None);
    }
}
