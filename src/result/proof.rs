//! What `verify` concludes from the records of two kernels: whether the leak and its fix are proven.

use super::record::{RunRecord, Verdict};
use super::sentence;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What `verify` concludes from all records.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Proof {
    /// What is concluded.
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
    /// The leak is there without the fix and gone with it.
    Proven,
    /// It is not so.
    NotProven,
    /// Neither can be said.
    Undecided,
}

impl Outcome {
    /// Returns the word as a sentence begins with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Proven => "Proven",
            Self::NotProven => "Not proven",
            Self::Undecided => "Undecided",
        }
    }
}

impl Proof {
    /// Returns "Proven: why."
    pub fn sentence(&self) -> String {
        format!("{}: {}.", self.outcome.as_str(), self.reason.trim_end_matches('.'))
    }
}

/// Returns the proof that records give, which come in pairs, unpatched first.
pub fn from_records(records: &[RunRecord], one_is_enough: bool, unpatched: &str, patched: &str) -> Proof {
    let (outcome, reason) = judge(records, one_is_enough);
    Proof { outcome, reason, unpatched: unpatched.to_owned(), patched: patched.to_owned(), one_is_enough }
}

/// Returns the same of some of the pairs: that none of them leaks unpatched is no disproof where one of all is enough.
pub fn from_part(records: &[RunRecord], one_is_enough: bool, unpatched: &str, patched: &str) -> Proof {
    let proof = from_records(records, one_is_enough, unpatched, patched);
    let disproved = records.chunks_exact(2).any(|pair| disproves(pair[1].verdict));
    if proof.outcome == Outcome::NotProven && one_is_enough && !disproved {
        let reason = "no scenario of this part leaks on the unpatched kernel; another part may show it".into();
        return Proof { outcome: Outcome::Undecided, reason, ..proof };
    }
    proof
}

impl Proof {
    /// Returns what it is worth where parts are missing: what is disproved stays so, and nothing is proven.
    pub fn weakened_by_gaps(self, records: &[RunRecord]) -> Self {
        let known = from_part(records, self.one_is_enough, &self.unpatched, &self.patched);
        match known.outcome {
            Outcome::Proven => Self {
                outcome: Outcome::Undecided,
                reason: "not all scenarios that belong to it are there".into(),
                ..known
            },
            _ => known,
        }
    }
}

/// Judges records in pairs, unpatched first. Every scenario must leak unpatched (of a set: one), and every one must be
/// clean and complete patched.
pub fn judge(records: &[RunRecord], one_is_enough: bool) -> (Outcome, String) {
    let pairs: Vec<_> = records.chunks_exact(2).map(|pair| (&pair[0], &pair[1])).collect();
    if let Some((_, bad)) = pairs.iter().find(|(_, patched)| disproves(patched.verdict)) {
        return (Outcome::NotProven, format!("the patched kernel {}", does(bad)));
    }
    let leaking = pairs.iter().filter(|(unpatched, _)| unpatched.verdict == Verdict::Leak).count();
    let is_needed = !one_is_enough || leaking == 0;
    let clean = pairs.iter().find(|(unpatched, _)| unpatched.verdict == Verdict::Clean && is_needed);
    if let Some((clean, _)) = clean {
        return (Outcome::NotProven, format!("the unpatched kernel {}", does(clean)));
    }
    if let Some((_, open)) = pairs.iter().find(|(_, patched)| patched.verdict != Verdict::Clean) {
        return (Outcome::Undecided, format!("the patched kernel {}", does(open)));
    }
    let open = pairs.iter().find(|(u, _)| !matches!(u.verdict, Verdict::Leak | Verdict::Clean) && is_needed);
    if let Some((open, _)) = open {
        return (Outcome::Undecided, format!("the unpatched kernel {}", does(open)));
    }
    let both =
        if pairs.len() == 1 { "the scenario".to_owned() } else { format!("{leaking} of {} scenarios", pairs.len()) };
    let let_be = pairs.iter().map(|(_, patched)| sentence::but_for(patched)).find(|growth| !growth.is_empty());
    let growth = let_be.unwrap_or_default();
    (Outcome::Proven, format!("the unpatched kernel leaks in {both}, and the patched one is clean in all{growth}"))
}

/// Returns what the patched kernel must not come to.
fn disproves(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Leak | Verdict::Crash | Verdict::Broken)
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
    use crate::result::record::KernelRecord;
    use Verdict::*;

    fn outcome(pairs: &[(Verdict, Verdict)], set: bool) -> Outcome {
        judge(&records(pairs), set).0
    }

    fn records(pairs: &[(Verdict, Verdict)]) -> Vec<RunRecord> {
        let record = |verdict| {
            let mut record = RunRecord::begin("x", KernelRecord::default(), 1);
            record.verdict = verdict;
            record
        };
        pairs.iter().flat_map(|(u, p)| [record(*u), record(*p)]).collect()
    }

    #[test]
    fn proof_is_every_leak_there_and_every_one_gone() {
        assert_eq!(outcome(&[(Leak, Clean), (Leak, Clean)], false), Outcome::Proven);
        assert_eq!(outcome(&[(Leak, Clean), (Clean, Clean)], false), Outcome::NotProven);
        assert_eq!(outcome(&[(Leak, Clean), (Clean, Clean)], true), Outcome::Proven);
        assert_eq!(outcome(&[(Clean, Clean), (Clean, Clean)], true), Outcome::NotProven);
    }

    #[test]
    fn patched_kernel_that_leaks_crashes_or_lists_wrongly_disproves() {
        for verdict in [Leak, Crash, Broken] {
            assert_eq!(outcome(&[(Leak, verdict)], false), Outcome::NotProven);
            assert_eq!(outcome(&[(Undecided, verdict)], true), Outcome::NotProven);
        }
    }

    #[test]
    fn verdict_that_is_open_proves_nothing_either_way() {
        for verdict in [Undecided, Unsupported] {
            assert_eq!(outcome(&[(Leak, verdict)], false), Outcome::Undecided);
            assert_eq!(outcome(&[(verdict, Clean)], false), Outcome::Undecided);
            assert_eq!(outcome(&[(verdict, Clean), (Leak, Clean)], false), Outcome::Undecided);
        }
    }

    #[test]
    fn part_is_judged_by_what_other_parts_cannot_change() {
        let outcome_of_part = |pairs: &[(Verdict, Verdict)], set| from_part(&records(pairs), set, "a", "b").outcome;
        assert_eq!(outcome_of_part(&[(Leak, Clean)], true), Outcome::Proven);
        assert_eq!(outcome_of_part(&[(Clean, Clean)], true), Outcome::Undecided, "another part may show the leak");
        assert_eq!(outcome_of_part(&[(Clean, Clean)], false), Outcome::NotProven, "each scenario is to leak");
        assert_eq!(outcome_of_part(&[(Clean, Leak)], true), Outcome::NotProven);
    }

    #[test]
    fn proof_is_open_while_parts_are_missing() {
        let outcome = |pairs: &[(Verdict, Verdict)], set| {
            let records = records(pairs);
            crate::result::proof::from_records(&records, set, "a", "b").weakened_by_gaps(&records).outcome
        };
        assert_eq!(outcome(&[(Leak, Clean)], false), Outcome::Undecided);
        assert_eq!(outcome(&[(Clean, Clean)], true), Outcome::Undecided);
        assert_eq!(outcome(&[(Leak, Leak)], false), Outcome::NotProven, "what is disproved stays so");
    }
}
