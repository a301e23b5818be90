//! What a bisection found, as a record and as text on a terminal.

use super::record::{RunRecord, Verdict};
use super::table::head_of;
use super::{number, sentence};
use crate::bisect::history::Terms;
use crate::bisect::search::{Judged, State, Step};
use crate::bisect::{Commit, Confirmation, Found, Revert};
use crate::child::quoted;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was asked.
pub struct Question<'a> {
    pub tree: &'a str,
    pub terms: Terms,
    pub scenario: &'a str,
    pub call_site: Option<&'a str>,
    /// What else changes the kernels and what is done with them, as words of a command line.
    pub options: &'a [String],
    /// The whole message of the found commit.
    pub message: &'a str,
    /// From the first build to the last guest.
    pub seconds: f64,
}

/// A bisection, in the result file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct BisectionRecord {
    pub tree: String,
    pub scenario: String,
    /// Whether the commit that fixed the leak was looked for.
    pub find_fix: bool,
    /// The function whose allocations alone counted, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_site: Option<String>,
    /// The first bad commit, or the first fixed one; none if skipped commits leave several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The message of that commit.
    #[serde(default)]
    pub message: String,
    /// The function that allocated most of what leaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Commands that show it again in the tree's directory: the commit's parent, then the commit.
    #[serde(default)]
    pub reproduce: Vec<String>,
    /// What it can be where skipped commits leave several.
    pub among: Vec<Commit>,
    /// Whether the found commit and its parent said the same again in fresh guests, and the new end without it agreed.
    pub confirmed: bool,
    /// What the confirmation came to, in one sentence.
    pub confirmation: String,
    /// What the kernel before the found commit said, in one sentence.
    pub before: String,
    /// What the kernel of the found commit said, in one sentence.
    pub after: String,
    /// Probability, at most, that one of the verdicts that led there is wrong.
    pub error_of_path: f64,
    /// Probability, at most, that both verdicts on the found commit or both on its parent are wrong.
    pub error_of_result: f64,
    /// Guests that were run, and those of them for the confirmation.
    pub guests: u64,
    pub guests_of_confirmation: u64,
    pub seconds: f64,
    pub steps: Vec<StepRecord>,
    /// `git bisect log`.
    pub log: String,
}

/// One commit that was judged on the way.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct StepRecord {
    pub commit: Commit,
    /// `leak`, `clean` or `skip`.
    pub state: String,
    /// The rate, or why it was skipped.
    pub what: String,
    pub seconds: f64,
    /// Guests that were run for it; none if the verdict was known.
    pub guests: u64,
}

/// The record of a search and what became of it when it was tried again.
pub fn record(question: &Question, found: &Found, confirmation: Option<&Confirmation>) -> BisectionRecord {
    let doubt = confirmation.and_then(|confirmation| confirmation.doubt(question.terms));
    let again = |judged: Option<&Judged>| {
        judged.and_then(|judged| judged.record.as_ref()).map(sentence::of).unwrap_or_default()
    };
    let guests_of_confirmation = confirmation.map_or(0, Confirmation::guests);
    BisectionRecord {
        tree: question.tree.to_owned(),
        scenario: question.scenario.to_owned(),
        find_fix: question.terms == Terms::Fix,
        call_site: question.call_site.map(str::to_owned),
        commit: found.commit.clone(),
        message: question.message.trim_end().to_owned(),
        function: confirmation.and_then(|confirmation| function(confirmation, question.terms)),
        reproduce: found.commit.as_ref().map(|commit| reproduce(question, commit)).unwrap_or_default(),
        among: found.among.clone(),
        confirmed: confirmation.is_some() && doubt.is_none(),
        confirmation: confirmation.map_or(String::new(), |c| in_words(c, question.terms, doubt.as_deref())),
        before: again(confirmation.map(|c| &c.parent_judged)),
        after: again(confirmation.map(|c| &c.commit)),
        error_of_path: found.error(),
        error_of_result: confirmation.map_or(1.0, |confirmation| confirmation.error(found)),
        guests: found.guests() + guests_of_confirmation,
        guests_of_confirmation,
        seconds: question.seconds,
        steps: found.steps.iter().map(step).collect(),
        log: found.log.clone(),
    }
}

/// Of the side that leaks.
fn function(confirmation: &Confirmation, terms: Terms) -> Option<String> {
    let leaking = if terms == Terms::Break { &confirmation.commit } else { &confirmation.parent_judged };
    let first = leaking.record.as_ref()?.findings.first()?;
    Some(first.call_sites.first()?.function.clone())
}

fn reproduce(question: &Question, commit: &Commit) -> Vec<String> {
    let id = short(&commit.id);
    let run = |rev: &str| {
        let words = ["run", "--kernel", &format!(".@{rev}"), question.scenario].map(str::to_owned);
        let words = words.iter().chain(question.options).map(|word| quoted(word));
        format!("dirleak {}", words.collect::<Vec<_>>().join(" "))
    };
    vec![run(&format!("{id}^")), run(id)]
}

/// The runs behind a bisection, in order.
pub fn runs(found: &Found, confirmation: Option<&Confirmation>) -> Vec<RunRecord> {
    let again = confirmation.into_iter().flat_map(|c| {
        let revert = if let Revert::Judged(judged) = &c.revert { Some(judged.as_ref()) } else { None };
        [Some(&c.commit), Some(&c.parent_judged), revert].into_iter().flatten()
    });
    let all = found.steps.iter().map(|step| &step.judged).chain(again);
    all.filter_map(|judged| judged.record.clone()).collect()
}

fn in_words(confirmation: &Confirmation, terms: Terms, doubt: Option<&str>) -> String {
    if let Some(doubt) = doubt {
        return format!("not confirmed: {doubt}");
    }
    let end = terms.after();
    let revert = match &confirmation.revert {
        Revert::IsParent => format!("it is the {end} end itself"),
        Revert::NotTried(why) => format!("the {end} end without it was not tried, as {why}"),
        Revert::Judged(_) if terms == Terms::Break => format!("the {end} end without it is clean"),
        Revert::Judged(_) => format!("the {end} end without it leaks"),
    };
    format!("confirmed: in fresh guests the commit and its parent said the same again, and {revert}")
}

fn step(step: &Step) -> StepRecord {
    let Judged { state, record, guests, seconds, .. } = &step.judged;
    let word = match state {
        State::Leaks => "leak",
        State::Clean => "clean",
        State::Unknown(_) | State::Nothing => "skip",
    };
    let what = match (state, record) {
        (State::Unknown(why), _) => why.clone(),
        (State::Clean, Some(record)) if record.verdict == Verdict::Leak => format!("but {} of others", rate(record)),
        (_, Some(record)) => rate(record),
        (_, None) => String::new(),
    };
    StepRecord { commit: step.commit.clone(), state: word.into(), what, seconds: *seconds, guests: *guests }
}

/// The first finding, or what was excluded.
fn rate(record: &RunRecord) -> String {
    match record.findings.first() {
        Some(finding) if record.verdict == Verdict::Leak => sentence::amount(finding, &record.unit),
        _ => sentence::at_most(record).unwrap_or_default(),
    }
}

/// A step as it is told when it is done.
pub fn step_line(done: &Step) -> String {
    line(&step(done))
}

fn line(step: &StepRecord) -> String {
    let known = if step.guests == 0 && step.state != "skip" { ", known" } else { "" };
    format!("{} {:<5} {} ({}{known})", short(&step.commit.id), step.state, head_of(&step.commit.subject, 50), {
        let time = number::seconds(step.seconds);
        if step.what.is_empty() { time } else { format!("{}, {time}", head_of(&step.what, 160)) }
    })
}

fn short(id: &str) -> &str {
    crate::kernel::snapshot::short(id)
}

/// The answer in one sentence.
pub fn sentence(record: &BisectionRecord) -> String {
    let verb = verb(record);
    match &record.commit {
        Some(commit) => {
            format!("{} {verb} the leak in {}; {}.", commit.in_words(), record.scenario, record.confirmation)
        }
        None => {
            let (count, scenario) = (record.among.len(), &record.scenario);
            format!("one of {count} commits {verb} the leak in {scenario}; those in between cannot be judged.")
        }
    }
}

fn verb(record: &BisectionRecord) -> &'static str {
    if record.find_fix { "fixes" } else { "brings" }
}

/// The whole answer, for a terminal.
pub fn text(record: &BisectionRecord) -> String {
    let mut text = String::new();
    for step in &record.steps {
        text += &format!("{}\n", line(step));
    }
    text += "\n";
    let verb = verb(record);
    match &record.commit {
        Some(commit) => {
            text += &format!("{} {verb} the leak in {}.\n", commit.in_words(), record.scenario);
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
                text += &format!("  {}\n", commit.in_words());
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
    use crate::report::example;

    pub(crate) fn example(terms: Terms) -> BisectionRecord {
        let commit = |n: u32, subject: &str| Commit { id: format!("{n:012x}{:028x}", 0), subject: subject.into() };
        let judged = |state: State| Judged {
            record: Some(if state == State::Leaks { example::leak() } else { example::clean() }),
            state,
            guests: 1,
            seconds: 12.3,
            error: 0.01,
        };
        let (old, new) =
            if terms == Terms::Break { (State::Clean, State::Leaks) } else { (State::Leaks, State::Clean) };
        let skipped =
            Judged { state: State::Unknown("building failed: dir.c:1: error: x".into()), ..Judged::default() };
        let step = |n, subject: &str, judged: Judged| Step { commit: commit(n, subject), judged };
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
        let question = Question {
            tree: "linux",
            terms,
            scenario: "quick",
            call_site: None,
            options: &["-n".into(), "300".into(), "-o".into(), "a b".into()],
            message: "NFS: read more\n\nFaster.\n",
            seconds: 60.0,
        };
        record(&question, &found, Some(&confirmation))
    }

    #[test]
    fn the_text_tells_commit_rates_and_confirmation() {
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
    fn several_that_cannot_be_told_apart_are_all_named() {
        let mut record = example(Terms::Break);
        record.among = vec![record.steps[0].commit.clone(), record.commit.take().unwrap()];
        let text = text(&record);
        assert!(text.contains("One of these brings the leak in quick"), "{text}");
        assert!(text.contains("  000000000003 (\"NFS: read more\")"), "{text}");
    }
}
