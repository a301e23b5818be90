//! The result file, schema 1: what a run found, field by field, as users' scripts read it.
//!
//! Fields may be added; none is ever renamed or removed without a new schema number. Fields that were added after
//! the first ones have defaults, so that older files stay readable. All floating point numbers are finite.

use super::finding::{AllocationSite, Finding};
use super::parts::*;
use super::sweep::FailingRecord;
use crate::stats::estimate::finite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What stands in the place of an accelerator where nothing was booted.
pub const NO_ACCELERATOR: &str = "none";

/// One scenario on one kernel.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct RunRecord {
    /// The scenario by its name.
    pub scenario: String,
    /// The kernel that was booted.
    pub kernel: KernelRecord,
    /// What the run says of the kernel.
    pub verdict: Verdict,
    /// The verdict's reason, in one sentence.
    pub reason: String,
    /// Of all that was drawn by lot: names, order of rounds.
    pub seed: u64,
    /// Seeds of other guests that were asked about the same and said clean, too: where others rely on a clean verdict, one is not enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_seeds: Vec<u64>,
    /// `kvm`, `tcg`, `tcg-icount` where the guest's clock counts instructions, or `none` of a live machine.
    pub accelerator: String,
    /// From starting the virtual machine to the verdict.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// How long late frees were waited for before what was still there was called leaked.
    #[serde(serialize_with = "finite")]
    pub settled_seconds: f64,
    /// What one unit is; a `listing` unless the scenario repeats something else.
    pub unit: String,
    /// Units made in all.
    pub listings: u64,
    /// Those of them that were filled by READDIR calls, not from the client's cache.
    pub cold_listings: u64,
    /// Entries of the directory, `.` and `..` not counted.
    pub entries: u64,
    /// Calls by name, as the client counted them in mountstats.
    pub rpcs: BTreeMap<String, u64>,
    /// Those of them that ended with an error, where the client counts them (from Linux 5.3 on).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed_rpcs: BTreeMap<String, u64>,
    /// Whether the probe was shown to work in this very run.
    pub controls: Controls,
    /// Sources of leaks that this run could not see.
    pub not_looked_for: Vec<String>,
    /// What else is to be known of the findings, in sentences.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Counters whose growth follows the dose, largest first.
    pub findings: Vec<Finding>,
    /// Lines of source that allocated what grew, most bytes first, where the kernel counts by line (`/proc/allocinfo`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocation_sites: Vec<AllocationSite>,
    /// What was read, in the order in which it was read.
    pub rounds: Vec<Round>,
    /// Lengths of all names of the directory together.
    #[serde(default)]
    pub name_bytes: u64,
    /// Listings in which each name was seen exactly once.
    #[serde(default)]
    pub complete_listings: u64,
    /// Mounts that the server refused, as the scenario wanted.
    #[serde(default)]
    pub refused_mounts: u64,
    /// Signals that the reader of the NFS mount took, if they were to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signals: Option<u64>,
    /// Programs that ran on the mount, if units run some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub programs: Option<u64>,
    /// The allocation that was made to fail in each unit, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<FailingRecord>,
    /// Operations on files of the mount, if units do some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<u64>,
    /// How many of them were done in a second of the time that units took, by the clock of the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations_per_second: Option<f64>,
    /// What the server did wrong, as the scenario wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultRecord>,
    /// What the workload's own cgroup was charged with, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<CgroupRecord>,
    /// What the kernel's own leak detector reported, if it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kmemleak: Option<KmemleakRecord>,
    /// What was pinned because it changes the rate of a leak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub setup: Option<Setup>,
    /// How sure the verdict is about what it did not find.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<Bounds>,
    /// Where the time went, in order.
    #[serde(default)]
    pub timings: Vec<Timing>,
    /// The lines of the console that show a crash or a complaint of the kernel.
    #[serde(default)]
    pub console_lines: Vec<String>,
    /// The calls that the workload made, a line each, if it was to tell. They have a file of their own.
    #[serde(skip)]
    pub called: String,
    /// Where the guest's console was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub console_log: Option<String>,
}

impl RunRecord {
    /// Returns whether the file system was unmounted at the end, as in every guest; a live machine keeps its mounts.
    pub fn unmounted(&self) -> bool {
        self.accelerator != NO_ACCELERATOR
    }

    /// Returns this record of a clean kernel with the seed of `second`, if that is clean, too, else `second`: one that is not clean
    /// says more.
    pub fn with_second(mut self, mut second: Self) -> Self {
        if second.verdict == Verdict::Clean {
            self.other_seeds.push(second.seed);
            self.seconds += second.seconds;
            return self;
        }
        second.notes.push(format!("with the seed {} it was clean", self.seed));
        second
    }

    /// Makes a record that knows what is run and nothing of how it went: undecided, because nothing was measured.
    pub fn begin(scenario: &str, kernel: KernelRecord, seed: u64) -> Self {
        Self {
            scenario: scenario.into(),
            kernel,
            verdict: Verdict::Undecided,
            reason: "nothing was measured".into(),
            seed,
            other_seeds: Vec::new(),
            accelerator: String::new(),
            seconds: 0.0,
            settled_seconds: 0.0,
            unit: "listing".into(),
            listings: 0,
            cold_listings: 0,
            entries: 0,
            // A call that was never made is a fact, too.
            rpcs: ["READDIR", "READDIRPLUS"].map(|name| (name.to_owned(), 0)).into(),
            failed_rpcs: BTreeMap::new(),
            controls: Controls::default(),
            not_looked_for: Vec::new(),
            notes: Vec::new(),
            findings: Vec::new(),
            allocation_sites: Vec::new(),
            rounds: Vec::new(),
            name_bytes: 0,
            complete_listings: 0,
            refused_mounts: 0,
            signals: None,
            programs: None,
            failing: None,
            operations: None,
            operations_per_second: None,
            faults: Vec::new(),
            cgroup: None,
            kmemleak: None,
            setup: None,
            bounds: None,
            timings: Vec::new(),
            console_lines: Vec::new(),
            called: String::new(),
            console_log: None,
        }
    }
}

/// What was booted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct KernelRecord {
    /// The word of the command line.
    pub spec: String,
    /// `uname -r` of the guest.
    pub release: String,
    /// Of the image, in hexadecimal.
    pub image_sha256: String,
    /// In the order in which they were applied.
    pub patches: Vec<String>,
    /// Version of the source package it was built from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<String>,
    /// SHA-256 of each module that was built with the patches and took the place of the distribution's, by its file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rebuilt_modules: BTreeMap<String, String>,
}

/// The six things that can be said about a scenario on a kernel.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Some counter follows the dose.
    Leak,
    /// No counter does, and the bounds are narrow enough to say so.
    Clean,
    /// The bounds allow both, or a control failed.
    Undecided,
    /// A listing was wrong: names missing, twice, or an error.
    Broken,
    /// The kernel died.
    Crash,
    /// This kernel or guest cannot do what the scenario asks for.
    Unsupported,
}

impl Verdict {
    /// Returns the word used in the file and on the terminal.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leak => "leak",
            Self::Clean => "clean",
            Self::Undecided => "undecided",
            Self::Broken => "broken",
            Self::Crash => "crash",
            Self::Unsupported => "unsupported",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::result::file::ResultFile;
    use crate::result::shard::ShardRecord;
    use crate::sample::CounterKind;
    use crate::stats::estimate::Estimate;
    use serde_json::{Value, json};

    /// Returns the fields that users script against. Renaming one of them fails here.
    fn documented() -> Value {
        json!({ "schema": 1, "dirleak": "0.1.0", "command_line": ["dirleak", "run"], "results": [ {
            "scenario": "quick", "kernel": { "spec": "6.1+spare-pages", "release": "6.1.192", "image_sha256": "00ff",
            "patches": ["spare-pages"] }, "verdict": "leak", "reason": "made up", "seed": 42, "accelerator": "tcg",
            "seconds": 4.2, "settled_seconds": 0.9, "unit": "listing", "listings": 63, "cold_listings": 63,
            "entries": 150, "rpcs": { "READDIR": 0, "READDIRPLUS": 126 }, "controls": { "held": 512, "seen": 512 },
            "not_looked_for": ["pages"], "findings": [ { "source": "slab", "name": "kmalloc-256",
                "objects_per_listing": { "estimate": 24.0, "low": 23.8, "high": 24.2 },
                "bytes_per_listing": 6144.0, "survives_unmount": true,
                "call_sites": [ { "function": "f", "share": 1.0, "stack": ["g", "f"] } ] } ],
            "rounds": [ { "dose": 4, "samples": { "kmalloc-256": 355 } } ] } ] })
    }

    /// Fails unless every field of `part` is in `whole` with the same value.
    fn assert_contains(whole: &Value, part: &Value, path: &str) {
        match (whole, part) {
            (Value::Object(whole), Value::Object(part)) => {
                for (key, value) in part {
                    let found = whole.get(key).unwrap_or_else(|| panic!("{path}.{key} is gone"));
                    assert_contains(found, value, &format!("{path}.{key}"));
                }
            }
            (Value::Array(whole), Value::Array(part)) => {
                assert_eq!(whole.len(), part.len(), "{path}");
                whole.iter().zip(part).for_each(|(w, p)| assert_contains(w, p, &format!("{path}[]")));
            }
            _ => assert_eq!(whole, part, "{path}"),
        }
    }

    #[test]
    fn two_clean_guests_are_one_clean_record_with_both_seeds() {
        let record = example::clean().with_second(RunRecord { seed: 7, ..example::clean() });
        assert_eq!((record.verdict, record.seed, record.other_seeds.as_slice()), (Verdict::Clean, 42, &[7][..]));
    }

    #[test]
    fn guest_that_is_not_clean_is_the_one_that_counts() {
        let record = example::clean().with_second(RunRecord { seed: 7, ..example::leak() });
        assert_eq!((record.verdict, record.seed), (Verdict::Leak, 7));
        assert_eq!(record.notes, ["with the seed 42 it was clean"]);
    }

    #[test]
    fn documented_fields_are_read_and_written() {
        let file: ResultFile = serde_json::from_value(documented()).unwrap();
        assert_contains(&serde_json::to_value(&file).unwrap(), &documented(), "$");
    }

    #[test]
    fn record_is_read_back_as_it_was_written() {
        let mut file: ResultFile = serde_json::from_value(documented()).unwrap();
        let rate = Estimate { estimate: 1.0 / 3.0, low: -0.0, high: 1e300 };
        file.results[0].findings[0].objects_per_rpc = Some(rate);
        file.results[0].bounds = Some(Bounds {
            highest: vec![CounterBound {
                source: CounterKind::Percpu,
                name: "percpu".into(),
                objects_per_listing: rate,
            }],
            ..Bounds::begin(0.99, 0.5, 90)
        });
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(serde_json::from_str::<ResultFile>(&text).unwrap(), file);
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        let mut value = documented();
        value["results"][0]["field_of_the_future"] = json!(1);
        assert!(serde_json::from_value::<ResultFile>(value).is_ok());
    }

    #[test]
    fn number_that_is_not_finite_is_never_written() {
        let mut file: ResultFile = serde_json::from_value(documented()).unwrap();
        file.results[0].findings[0].objects_per_listing.high = f64::INFINITY;
        assert!(serde_json::to_string(&file).is_err());
    }

    #[test]
    fn words_of_the_verdicts_are_those_of_the_file() {
        use Verdict::*;
        for verdict in [Leak, Clean, Undecided, Broken, Crash, Unsupported] {
            assert_eq!(serde_json::to_value(verdict).unwrap(), json!(verdict.as_str()));
        }
    }

    /// Finds all field names, but not the names of counters and RPCs, which are data.
    fn fields(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| {
                found.push(key.clone());
                if !["rpcs", "failed_rpcs", "samples", "freed_by_removal", "objects_by_function"]
                    .contains(&key.as_str())
                {
                    fields(value, found);
                }
            }),
            Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
            _ => {}
        }
    }

    #[test]
    fn documentation_has_every_field() {
        let text = include_str!("../../docs/result.md");
        let mut file = crate::result::example::verify();
        file.results.push(crate::result::example::every_field());
        file.proof.as_mut().unwrap().one_is_enough = true;
        file.shard = Some(ShardRecord { number: 1, of: 2, runs: 4 });
        let mut found = Vec::new();
        fields(&serde_json::to_value(&file).unwrap(), &mut found);
        assert!(found.len() > 60, "{found:?}");
        for field in found {
            assert!(text.contains(&format!("`{field}`")), "{field} is not documented");
        }
    }
}
