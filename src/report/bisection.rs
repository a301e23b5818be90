//! What a bisection found, as text on a terminal.

use crate::result::bisection::{BisectionRecord, StepRecord, verb};
use crate::text::number;
use crate::text::truncate::{head_of, short};

/// Describes a step when it is done.
pub fn line(step: &StepRecord) -> String {
    let known = if step.guests == 0 && step.state != "skip" { ", known" } else { "" };
    format!("{} {:<5} {} ({}{known})", short(&step.commit.id), step.state, head_of(&step.commit.subject, 50), {
        let time = number::seconds(step.seconds);
        if step.what.is_empty() { time } else { format!("{}, {time}", head_of(&step.what, 160)) }
    })
}

/// Returns the whole answer, for a terminal.
pub fn text(record: &BisectionRecord) -> String {
    let mut text = String::new();
    for step in &record.steps {
        text += &format!("{}\n", line(step));
    }
    text += "\n";
    let verb = verb(record);
    match &record.commit {
        Some(commit) => {
            text += &format!("{} {verb} the leak in {}.\n", commit, record.scenario);
            text += &format!("  before: {}\n  after:  {}\n  {}.\n", record.before, record.after, record.confirmation);
            text += &format!(
                "  {} guests in {}; at most {} that a verdict on the way is wrong, and {} that both on this commit or \
                 its parent are\n\n",
                record.guests,
                number::seconds(record.seconds),
                percent(record.error_of_path),
                percent(record.error_of_result)
            );
            text += &indented(&record.message);
        }
        None => {
            text +=
                &format!("One of these {verb} the leak in {}; those in between cannot be judged:\n", record.scenario);
            for commit in &record.among {
                text += &format!("  {}\n", commit);
            }
        }
    }
    text + "\n" + &record.log
}

pub(super) fn percent(probability: f64) -> String {
    let percent = probability * 100.0;
    if percent < 0.1 { format!("{percent:.3} %") } else { format!("{percent:.1} %") }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}").trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bisect::confirm::Revert;
    use crate::bisect::found::{State, Step, TestResult};
    use crate::bisect::history::Terms;
    use crate::bisect::record::BisectConfig;
    use crate::bisect::{Confirmation, Found};
    use crate::result::bisection::Commit;
    use crate::result::example;

    pub(crate) fn example(terms: Terms) -> BisectionRecord {
        let commit = |n: u32, subject: &str| Commit { id: format!("{n:012x}{:028x}", 0), subject: subject.into() };
        let judged = |state: State| TestResult {
            record: Some(if state == State::Leaks { example::leak() } else { example::clean() }),
            state,
            guests: 1,
            seconds: 12.3,
            error: 0.01,
        };
        let (old, new) =
            if terms == Terms::Break { (State::Clean, State::Leaks) } else { (State::Leaks, State::Clean) };
        let skipped =
            TestResult { state: State::Unknown("building failed: dir.c:1: error: x".into()), ..TestResult::default() };
        let step = |n, subject: &str, judged: TestResult| Step { commit: commit(n, subject), judged };
        let found = Found {
            commit: Some(commit(3, "NFS: read more")),
            among: vec![],
            steps: vec![
                step(1, "old", judged(old.clone())),
                step(4, "new", judged(new.clone())),
                step(2, "does not build", skipped),
                step(3, "NFS: read more", judged(new.clone())),
            ],
            log: "git bisect start\n".into(),
        };
        let confirmation = Confirmation {
            commit: judged(new),
            parent: commit(2, "parent"),
            parent_judged: judged(old.clone()),
            revert: Revert::Judged(Box::new(judged(old))),
        };
        let question = BisectConfig {
            tree: "linux",
            terms,
            scenario: "quick",
            call_site: None,
            run: &["quick".into(), "-n".into(), "300".into(), "-o".into(), "a b".into()],
            message: "NFS: read more\n\nFaster.\n",
            seconds: 60.0,
        };
        crate::bisect::record::record(&question, &found, Some(&confirmation))
    }

    #[test]
    fn text_tells_commit_rates_and_confirmation() {
        let text = text(&example(Terms::Break));
        for part in [
            "000000000003 (\"NFS: read more\") brings the leak in quick.",
            "before: 6.1 is clean in quick",
            "after:  6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2)",
            "confirmed: in fresh guests the commit and its parent said the same again, and the bad end without it is clean.",
            "6 guests in 60.0 s; at most 3.0 % that a verdict",
            "000000000002 skip  does not build (building failed: dir.c:1: error: x, 0.0 s)",
            "    Faster.",
            "git bisect start",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(super::text(&example(Terms::Fix)).contains(") fixes the leak in quick."));
    }

    #[test]
    fn commits_that_cannot_be_told_apart_are_all_named() {
        let mut record = example(Terms::Break);
        record.among = vec![record.steps[0].commit.clone(), record.commit.take().unwrap()];
        let text = text(&record);
        assert!(text.contains("One of these brings the leak in quick"), "{text}");
        assert!(text.contains("  000000000003 (\"NFS: read more\")"), "{text}");
    }
}
