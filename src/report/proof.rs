//! What `verify` concludes from the records of two kernels: whether the leak and its fix are proven.

use super::record::{RunRecord, Verdict};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `verify` concludes from all records.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Proof {
    pub outcome: Outcome,
    /// Why, in one sentence.
    pub reason: String,
    /// The kernel spec that is to leak.
    pub unpatched: String,
    /// The kernel spec that is to be clean.
    pub patched: String,
    /// Whether it is enough that one of the scenarios leaks on the unpatched kernel, as with a set of them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_is_enough: bool,
}

/// Whether the leak and its fix were proven.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Proven,
    NotProven,
    Undecided,
}

impl Outcome {
    /// As a sentence begins with it.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Proven => "Proven",
            Self::NotProven => "Not proven",
            Self::Undecided => "Undecided",
        }
    }
}

impl Proof {
    /// "Proven: why."
    pub fn sentence(&self) -> String {
        format!("{}: {}.", self.outcome.in_words(), self.reason.trim_end_matches('.'))
    }
}

/// The proof that records give, which come in pairs, unpatched first.
pub fn of(records: &[RunRecord], one_is_enough: bool, unpatched: &str, patched: &str) -> Proof {
    let (outcome, reason) = judge(records, one_is_enough);
    Proof { outcome, reason, unpatched: unpatched.to_owned(), patched: patched.to_owned(), one_is_enough }
}

/// Records come in pairs, unpatched first. Every scenario must leak unpatched (of a set: one), and every one must be
/// clean and complete patched.
pub fn judge(records: &[RunRecord], one_is_enough: bool) -> (Outcome, String) {
    let pairs: Vec<_> = records.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect();
    let disproves = |v| matches!(v, Verdict::Leak | Verdict::Crash | Verdict::Broken);
    if let Some((_, bad)) = pairs.iter().find(|(_, patched)| disproves(patched.verdict)) {
        return (Outcome::NotProven, format!("the patched kernel {}", does(bad)));
    }
    let leaking = pairs.iter().filter(|(unpatched, _)| unpatched.verdict == Verdict::Leak).count();
    let clean = pairs.iter().find(|(unpatched, _)| unpatched.verdict == Verdict::Clean);
    if let Some((clean, _)) = clean
        && (!one_is_enough || leaking == 0)
    {
        return (Outcome::NotProven, format!("the unpatched kernel {}", does(clean)));
    }
    if let Some((_, open)) = pairs.iter().find(|(_, patched)| patched.verdict != Verdict::Clean) {
        return (Outcome::Undecided, format!("the patched kernel {}", does(open)));
    }
    let open = pairs.iter().find(|(u, _)| !matches!(u.verdict, Verdict::Leak | Verdict::Clean));
    if let Some((open, _)) = open
        && (!one_is_enough || leaking == 0)
    {
        return (Outcome::Undecided, format!("the unpatched kernel {}", does(open)));
    }
    let both =
        if pairs.len() == 1 { "the scenario".to_owned() } else { format!("{leaking} of {} scenarios", pairs.len()) };
    (Outcome::Proven, format!("the unpatched kernel leaks in {both}, and the patched one is clean in all"))
}

fn does(record: &RunRecord) -> String {
    let (verdict, scenario) = (record.verdict, &record.scenario);
    match verdict {
        Verdict::Leak => format!("leaks in {scenario}"),
        Verdict::Broken => format!("lists wrongly in {scenario}: {}", record.reason),
        Verdict::Crash => format!("crashes in {scenario}: {}", record.reason),
        Verdict::Clean => format!("does not leak in {scenario}"),
        Verdict::Undecided | Verdict::Unsupported => format!("could not be judged in {scenario}: {}", record.reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::record::KernelRecord;
    use Verdict::*;

    fn outcome(pairs: &[(Verdict, Verdict)], set: bool) -> Outcome {
        let record = |verdict| {
            let mut record = RunRecord::begin("x", KernelRecord::default(), 1);
            record.verdict = verdict;
            record
        };
        let records: Vec<_> = pairs.iter().flat_map(|(u, p)| [record(*u), record(*p)]).collect();
        judge(&records, set).0
    }

    #[test]
    fn proven_is_every_leak_there_and_every_one_gone() {
        assert_eq!(outcome(&[(Leak, Clean), (Leak, Clean)], false), Outcome::Proven);
        assert_eq!(outcome(&[(Leak, Clean), (Clean, Clean)], false), Outcome::NotProven);
        assert_eq!(outcome(&[(Leak, Clean), (Clean, Clean)], true), Outcome::Proven);
        assert_eq!(outcome(&[(Clean, Clean), (Clean, Clean)], true), Outcome::NotProven);
    }

    #[test]
    fn a_patched_kernel_that_leaks_crashes_or_lists_wrongly_disproves() {
        for verdict in [Leak, Crash, Broken] {
            assert_eq!(outcome(&[(Leak, verdict)], false), Outcome::NotProven);
            assert_eq!(outcome(&[(Undecided, verdict)], true), Outcome::NotProven);
        }
    }

    #[test]
    fn what_is_open_proves_nothing_either_way() {
        for verdict in [Undecided, Unsupported] {
            assert_eq!(outcome(&[(Leak, verdict)], false), Outcome::Undecided);
            assert_eq!(outcome(&[(verdict, Clean)], false), Outcome::Undecided);
            assert_eq!(outcome(&[(verdict, Clean), (Leak, Clean)], false), Outcome::Undecided);
        }
    }
}
