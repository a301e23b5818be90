//! What became of a fix on each of several branches, as a record and as a table.

use crate::result::branch::{Applies, BranchRecord};
use crate::result::proof::Outcome;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::text::layout::{self, Align};
use crate::text::number;

/// What the columns of the table are called.
pub const HEAD: [&str; 6] = ["branch", "applies", "before", "after", "listing", "outcome"];

/// Returns the table, a sentence per kernel, and the reasons of what is not proven.
pub fn text(branches: &[BranchRecord], records: &[RunRecord]) -> String {
    let head = HEAD.map(String::from);
    let lines: Vec<[String; 6]> =
        std::iter::once(head).chain(branches.iter().map(|branch| cells(branch, records))).collect();
    let lines = layout::table(&lines, [Align::Left; 6]);
    let mut text: String = lines.iter().map(|line| format!("{}\n", line.trim_end())).collect();
    for branch in branches {
        text += &format!("\n{} is {}.\n", branch.branch, branch.commit);
        for record in
            records.iter().filter(|r| [&branch.proof.unpatched, &branch.proof.patched].contains(&&r.kernel.spec))
        {
            text += &format!("  {}\n", sentence::render(record));
        }
        if branch.proof.outcome != Outcome::Proven {
            text += &format!("  {}\n", branch.proof.sentence());
        }
    }
    text
}

/// Returns a row of the table.
pub fn cells(branch: &BranchRecord, records: &[RunRecord]) -> [String; 6] {
    let brief_of = |spec: &str| records.iter().find(|record| record.kernel.spec == spec).map_or("-".into(), brief);
    let applies = match branch.applies {
        Applies::Yes => "yes",
        Applies::Already => "already",
        Applies::No => "no",
    };
    let listing = match branch.listing_complete {
        Some(true) => "complete",
        Some(false) => "broken",
        None => "-",
    };
    let outcome = branch.proof.outcome.as_str().to_lowercase();
    let name = crate::text::truncate::head_of(&branch.branch, 16);
    [name, applies.into(), brief_of(&branch.proof.unpatched), brief_of(&branch.proof.patched), listing.into(), outcome]
}

/// Returns the verdict in short, `leak 25.0` or `clean < 0.13`, of the first scenario.
fn brief(record: &RunRecord) -> String {
    let word = record.verdict.as_str();
    match (record.verdict, record.findings.first()) {
        (Verdict::Leak, Some(finding)) => format!("{word} {}", number::rate(finding.objects_per_listing.estimate)),
        (Verdict::Clean, _) => {
            std::iter::once(word.into()).chain(sentence::at_most(record)).collect::<Vec<_>>().join(", ")
        }
        _ => word.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::bisection::Commit;
    use crate::result::example;
    use crate::result::proof::Proof;

    fn branch(applies: Applies, outcome: Outcome) -> BranchRecord {
        BranchRecord {
            branch: "linux-6.1.y".into(),
            commit: Commit { id: "0123456789abcdef".into(), subject: "Linux 6.1.200".into() },
            applies,
            leaked_before: None,
            clean_after: None,
            listing_complete: None,
            proof: Proof {
                outcome,
                reason: "the fix does not apply".into(),
                unpatched: "6.1+spare-pages".into(),
                patched: "6.1".into(),
                one_is_enough: false,
            },
        }
    }

    #[test]
    fn row_answers_what_was_seen_and_no_more() {
        let answers = |verdicts: [Verdict; 2]| {
            let records: Vec<_> = verdicts.iter().map(|v| RunRecord { verdict: *v, ..example::clean() }).collect();
            let mut branch = branch(Applies::Yes, Outcome::Undecided);
            branch.fill(&records, false);
            [branch.leaked_before, branch.clean_after, branch.listing_complete]
        };
        let (yes, no) = (Some(true), Some(false));
        assert_eq!(answers([Verdict::Leak, Verdict::Clean]), [yes, yes, yes]);
        assert_eq!(answers([Verdict::Clean, Verdict::Leak]), [no, no, yes]);
        assert_eq!(answers([Verdict::Undecided, Verdict::Broken]), [None, None, no]);
        assert_eq!(answers([Verdict::Leak, Verdict::Crash]), [yes, no, None]);
        assert_eq!(answers([Verdict::Leak, Verdict::Undecided]), [yes, None, None]);
    }

    #[test]
    fn table_fits_and_reasons_follow() {
        let mut proven = branch(Applies::Already, Outcome::Proven);
        proven.listing_complete = Some(true);
        let mut not = branch(Applies::No, Outcome::NotProven);
        (not.proof.unpatched, not.proof.patched) = (String::new(), String::new());
        let text = text(&[proven, not], &[example::leak(), example::clean()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "branch       applies  before     after                listing   outcome");
        assert_eq!(lines[1], "linux-6.1.y  already  leak 25.0  clean, at most 0.13  complete  proven");
        assert_eq!(lines[2], "linux-6.1.y  no       -          -                    -         not proven");
        assert!(
            text.contains("linux-6.1.y is 0123456789ab (\"Linux 6.1.200\").\n  6.1+spare-pages leaks 25.0"),
            "{text}"
        );
        assert!(text.ends_with("  Not proven: the fix does not apply.\n"), "{text}");
    }
}
