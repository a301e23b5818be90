//! The record of a search, for the result file.

use super::confirm::{Confirmation, Revert};
use super::found::{Found, State, Step, TestResult};
use super::history::Terms;
use crate::result::bisection::{BisectionRecord, Commit, StepRecord};
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::text::quote::quoted;
use crate::text::truncate::short;

/// What was asked.
pub struct BisectConfig<'a> {
    pub tree: &'a str,
    pub terms: Terms,
    pub scenario: &'a str,
    pub call_site: Option<&'a str>,
    /// Words of `dirleak run` after its kernel that do the same once.
    pub run: &'a [String],
    /// The whole message of the found commit.
    pub message: &'a str,
    /// From the first build to the last guest.
    pub seconds: f64,
}

/// Returns the record of a search and what became of it when it was tried again.
pub fn record(question: &BisectConfig, found: &Found, confirmation: Option<&Confirmation>) -> BisectionRecord {
    let doubt = confirmation.and_then(|confirmation| confirmation.doubt(question.terms));
    let again = |judged: Option<&TestResult>| {
        judged.and_then(|judged| judged.record.as_ref()).map(sentence::render).unwrap_or_default()
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
        confirmation: confirmation
            .map_or(String::new(), |c| confirmation_sentence(c, question.terms, doubt.as_deref())),
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

/// Returns the function that allocates most of what leaks, of the side that leaks.
pub fn function(confirmation: &Confirmation, terms: Terms) -> Option<String> {
    let leaking = if terms == Terms::Break { &confirmation.commit } else { &confirmation.parent_judged };
    let first = leaking.record.as_ref()?.findings.first()?;
    Some(first.call_sites.first()?.function.clone())
}

pub fn reproduce(question: &BisectConfig, commit: &Commit) -> Vec<String> {
    let id = short(&commit.id);
    let run = |rev: &str| {
        let words = ["run", "--kernel", &format!(".@{rev}")].map(str::to_owned);
        let words = words.iter().chain(question.run).map(|word| quoted(word));
        format!("dirleak {}", words.collect::<Vec<_>>().join(" "))
    };
    vec![run(&format!("{id}^")), run(id)]
}

/// Returns the runs behind a bisection, in order.
pub fn runs(found: &Found, confirmation: Option<&Confirmation>) -> Vec<RunRecord> {
    let again = confirmation.into_iter().flat_map(|c| {
        let revert = if let Revert::Judged(judged) = &c.revert { Some(judged.as_ref()) } else { None };
        [Some(&c.commit), Some(&c.parent_judged), revert].into_iter().flatten()
    });
    let all = found.steps.iter().map(|step| &step.judged).chain(again);
    all.filter_map(|judged| judged.record.clone()).collect()
}

pub fn confirmation_sentence(confirmation: &Confirmation, terms: Terms, doubt: Option<&str>) -> String {
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

pub fn step(step: &Step) -> StepRecord {
    let TestResult { state, record, guests, seconds, .. } = &step.judged;
    let word = match state {
        State::Leaks => "leak",
        State::Clean => "clean",
        State::Unknown(_) | State::Untested => "skip",
    };
    let what = match (state, record) {
        (State::Unknown(why), _) => why.clone(),
        (State::Clean, Some(record)) if record.verdict == Verdict::Leak => format!("but {} of others", rate(record)),
        (_, Some(record)) => rate(record),
        (_, None) => String::new(),
    };
    StepRecord { commit: step.commit.clone(), state: word.into(), what, seconds: *seconds, guests: *guests }
}

/// Returns the first finding, or what was excluded.
pub fn rate(record: &RunRecord) -> String {
    match record.findings.first() {
        Some(finding) if record.verdict == Verdict::Leak => sentence::amount(finding, &record.unit),
        _ => sentence::at_most(record).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    fn commit(id: &str) -> Commit {
        Commit { id: id.into(), subject: "x".into() }
    }

    fn judged(state: State, record: RunRecord) -> TestResult {
        TestResult { state, record: Some(record), guests: 1, seconds: 2.0, error: 0.01 }
    }

    fn found() -> Found {
        let commit = commit("2");
        let step = Step { commit: commit.clone(), judged: judged(State::Leaks, example::leak()) };
        Found { commit: Some(commit), among: Vec::new(), steps: vec![step], log: "git bisect start".into() }
    }

    fn confirmation(revert: Revert) -> Confirmation {
        Confirmation {
            commit: judged(State::Leaks, example::leak()),
            parent: commit("1"),
            parent_judged: judged(State::Clean, example::clean()),
            revert,
        }
    }

    fn taken_out(state: State) -> Revert {
        Revert::Judged(Box::new(judged(state, example::clean())))
    }

    fn record_of(confirmation: Option<&Confirmation>) -> BisectionRecord {
        let config = BisectConfig {
            tree: "linux",
            terms: Terms::Break,
            scenario: "quick",
            call_site: None,
            run: &["quick".into(), "--largest-cache".into(), "300".into()],
            message: "NFS: x\n\nwhy\n",
            seconds: 60.0,
        };
        record(&config, &found(), confirmation)
    }

    #[test]
    fn result_is_confirmed_only_by_a_confirmation_without_a_doubt() {
        let confirmed = record_of(Some(&confirmation(taken_out(State::Clean))));
        assert!(confirmed.confirmed);
        assert_eq!(
            confirmed.confirmation,
            "confirmed: in fresh guests the commit and its parent said the same again, and the bad end without it is clean"
        );
        assert_eq!(
            (confirmed.guests, confirmed.guests_of_confirmation, confirmed.message.as_str()),
            (4, 3, "NFS: x\n\nwhy")
        );
        assert_eq!(confirmed.function.as_deref(), Some("nfs_readdir_page_array_append"));
        assert_eq!(confirmed.reproduce[1], "dirleak run --kernel .@2 quick --largest-cache 300");
        for revert in [taken_out(State::Leaks), Revert::NotTried("it conflicts".into())] {
            let doubted = record_of(Some(&confirmation(revert)));
            assert!(
                !doubted.confirmed && doubted.confirmation.starts_with("not confirmed: "),
                "{}",
                doubted.confirmation
            );
        }
        let alone = record_of(None);
        assert!(!alone.confirmed && alone.confirmation.is_empty());
        assert_eq!((alone.error_of_result, alone.guests), (1.0, 1));
    }

    #[test]
    fn end_without_a_fix_leaks() {
        let sentence = confirmation_sentence(&confirmation(taken_out(State::Leaks)), Terms::Fix, None);
        assert!(sentence.ends_with("and the fixed end without it leaks"), "{sentence}");
        let sentence = confirmation_sentence(&confirmation(Revert::IsParent), Terms::Fix, None);
        assert!(sentence.ends_with("and it is the fixed end itself"), "{sentence}");
    }

    #[test]
    fn runs_are_those_of_the_steps_and_of_the_confirmation() {
        let confirmation = confirmation(taken_out(State::Clean));
        let verdicts = |confirmation| runs(&found(), confirmation).iter().map(|run| run.verdict).collect::<Vec<_>>();
        assert_eq!(verdicts(None), [Verdict::Leak]);
        assert_eq!(verdicts(Some(&confirmation)), [Verdict::Leak, Verdict::Leak, Verdict::Clean, Verdict::Clean]);
    }

    #[test]
    fn step_says_what_leaks_or_how_much_may() {
        let said = |state, record| {
            let step = step(&Step { commit: commit("1"), judged: judged(state, record) });
            (step.state, step.what)
        };
        let rate = "25.0 kmalloc-256 objects per listing (24.8 to 25.2)".to_owned();
        assert_eq!(said(State::Leaks, example::leak()), ("leak".into(), rate.clone()));
        assert_eq!(said(State::Clean, example::leak()), ("clean".into(), format!("but {rate} of others")));
        assert_eq!(said(State::Clean, example::clean()), ("clean".into(), "at most 0.13".into()));
        assert_eq!(said(State::Unknown("crash".into()), example::clean()), ("skip".into(), "crash".into()));
        let growth = RunRecord { verdict: Verdict::Clean, ..example::leak() };
        assert!(!super::rate(&growth).contains("25.0"), "growth of a clean kernel is no leak");
    }
}
