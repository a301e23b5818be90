//! What a chapter comes to, in one sentence, and whether that is good news.

use super::bench::phrases;
use super::merge::{Report, ReportSection};
use crate::result::bench::{BenchFile, BenchVerdict};
use crate::result::bisection::BisectionRecord;
use crate::result::branch::BranchRecord;
use crate::result::proof::{Outcome, Proof};
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::text::plural::counted;

/// Whether a reader may put the page away.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Status {
    /// Clean, proven, found and confirmed, not slower.
    Pass,
    /// It could not be judged.
    Inconclusive,
    /// A leak, a listing that is wrong or slower, a fix that is none.
    Fail,
}

/// The sentence and its tone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Headline {
    pub tone: Status,
    pub sentence: String,
}

/// Returns the headline of everything: that of the only chapter or bench, or how many came to what.
pub fn for_report(merged: &Report) -> Headline {
    let benches = merged.benches.iter().map(|bench| for_bench(&bench.file));
    let each: Vec<Headline> = merged.chapters.iter().map(for_section).chain(benches).collect();
    match each.as_slice() {
        [one] => one.clone(),
        several => {
            let tone = several.iter().map(|h| h.tone).max().unwrap_or(Status::Inconclusive);
            let words = [(Status::Fail, "bad"), (Status::Inconclusive, "not decided"), (Status::Pass, "good")];
            let count = |tone| several.iter().filter(|h| h.tone == tone).count();
            let counts = words.iter().filter(|(tone, _)| count(*tone) > 0);
            let counts: Vec<String> = counts.map(|(tone, word)| format!("{} {word}", count(*tone))).collect();
            let sentence = format!("{} results: {}.", several.len(), counts.join(", "));
            Headline { tone, sentence }
        }
    }
}

/// Returns the headline of a bench: good unless something is slower.
pub fn for_bench(file: &BenchFile) -> Headline {
    let (word, sentence) = phrases::sentence(file);
    let tone = match word {
        Some(word) => bench_status(word),
        None if file.results.is_empty() => Status::Inconclusive,
        None => Status::Pass,
    };
    Headline { tone, sentence }
}

/// Returns what a comparison of times means for the kernel that was compared.
pub fn bench_status(word: BenchVerdict) -> Status {
    match word {
        BenchVerdict::Faster | BenchVerdict::Same => Status::Pass,
        BenchVerdict::Undecided => Status::Inconclusive,
        BenchVerdict::Slower => Status::Fail,
    }
}

/// Returns the headline of one chapter. What is not all there is not good news.
pub fn for_section(chapter: &ReportSection) -> Headline {
    let told = section_headline(chapter);
    match chapter.incomplete() {
        Some(why) => Headline {
            tone: told.tone.max(Status::Inconclusive),
            sentence: format!("{}. {}", capital(&why), told.sentence),
        },
        None => told,
    }
}

fn section_headline(chapter: &ReportSection) -> Headline {
    let file = &chapter.file;
    if let Some(record) = &file.bisection {
        return Headline {
            tone: bisection_status(record),
            sentence: capital(&crate::result::bisection::sentence(record)),
        };
    }
    if !file.branches.is_empty() {
        return branches_headline(&file.branches);
    }
    match (&file.proof, file.clusters.as_slice()) {
        (Some(proof), _) => proof_headline(proof, &file.results),
        (None, [cluster]) if file.results.iter().all(|record| cluster.has(&record.scenario)) => {
            Headline { sentence: cluster.sentence(), ..runs_headline(&file.results) }
        }
        (None, _) => runs_headline(&file.results),
    }
}

fn proof_headline(proof: &Proof, records: &[RunRecord]) -> Headline {
    let tone = proof_status(proof.outcome);
    let word = proof.outcome.as_str();
    let leaking = records.iter().find(|r| r.kernel.spec == proof.unpatched && r.verdict == Verdict::Leak);
    let found = leaking.and_then(|record| Some((record, record.findings.first()?)));
    let sentence = match (proof.outcome, found) {
        (Outcome::Proven, Some((record, finding))) => {
            let site = finding.call_sites.first().map(|site| format!(", allocated in {}", site.function));
            let of_patched = records.iter().filter(|r| r.kernel.spec == proof.patched);
            let patched = of_patched.map(sentence::but_for).find(|growth| !growth.is_empty());
            format!(
                "{word}: {} leaks {} in {}{}, and {} is clean{}.",
                proof.unpatched,
                sentence::amount(finding, &record.unit),
                record.scenario,
                site.unwrap_or_default(),
                proof.patched,
                patched.unwrap_or_default()
            )
        }
        _ => proof.sentence(),
    };
    Headline { tone, sentence }
}

/// Returns what a bisection came to.
pub fn bisection_status(record: &BisectionRecord) -> Status {
    match (&record.commit, record.confirmed) {
        (Some(_), true) => Status::Pass,
        (Some(_), false) => Status::Fail,
        (None, _) => Status::Inconclusive,
    }
}

/// Returns what an outcome means for the fix.
pub fn proof_status(outcome: Outcome) -> Status {
    match outcome {
        Outcome::Proven => Status::Pass,
        Outcome::NotProven => Status::Fail,
        Outcome::Undecided => Status::Inconclusive,
    }
}

fn branches_headline(branches: &[BranchRecord]) -> Headline {
    let tone = branches.iter().map(|branch| proof_status(branch.proof.outcome)).max().unwrap_or(Status::Inconclusive);
    let proven = branches.iter().filter(|branch| branch.proof.outcome == Outcome::Proven).count();
    Headline {
        tone,
        sentence: format!("The fix is proven on {proven} of {}.", counted(branches.len(), "branch", "branches")),
    }
}

/// Returns the sentence of a single run, or counts and the sentence of the worst.
fn runs_headline(records: &[RunRecord]) -> Headline {
    // Of several that are as bad the first, a leak before all others.
    let badness = |verdict| (verdict_status(verdict), verdict == Verdict::Leak, verdict == Verdict::Broken);
    let worst = records.iter().rev().max_by_key(|record| badness(record.verdict));
    let Some(worst) = worst else {
        return Headline { tone: Status::Inconclusive, sentence: "Nothing was run.".into() };
    };
    let tone = verdict_status(worst.verdict);
    let sentence = match records {
        [one] => sentence::render(one),
        _ if tone == Status::Pass => {
            let let_be = records.iter().filter(|record| !sentence::but_for(record).is_empty()).count();
            let growth = if let_be == 0 { String::new() } else { format!(", {let_be} but for growth until unmount") };
            format!("All {} are clean{growth}.", counted(records.len(), "run", "runs"))
        }
        _ => format!("{}. {}", counts(records), sentence::render(worst)),
    };
    Headline { tone, sentence: capital(&sentence) }
}

/// Returns what one verdict means for the kernel that was run.
pub fn verdict_status(verdict: Verdict) -> Status {
    match verdict {
        Verdict::Clean => Status::Pass,
        Verdict::Undecided | Verdict::Unsupported => Status::Inconclusive,
        Verdict::Leak | Verdict::Broken | Verdict::Crash => Status::Fail,
    }
}

/// Returns `Of 12 runs 2 leak, 1 is undecided, 9 are clean`.
pub fn counts(records: &[RunRecord]) -> String {
    use Verdict::*;
    let count = |verdict| records.iter().filter(|record| record.verdict == verdict).count();
    let all = [Leak, Broken, Crash, Undecided, Unsupported, Clean];
    let parts: Vec<String> = all
        .into_iter()
        .filter(|verdict| count(*verdict) > 0)
        .map(|verdict| match (verdict, count(verdict)) {
            (Leak, 1) => "1 leaks".into(),
            (Leak, n) => format!("{n} leak"),
            (Crash, 1) => "1 crashed".into(),
            (Crash, n) => format!("{n} crashed"),
            (verdict, 1) => format!("1 is {}", verdict.as_str()),
            (verdict, n) => format!("{n} are {}", verdict.as_str()),
        })
        .collect();
    format!("Of {} {}", counted(records.len(), "run", "runs"), parts.join(", "))
}

/// Begins a sentence with a capital letter, unless it begins with the name of a kernel or a commit.
fn capital(text: &str) -> String {
    match text.strip_prefix("one of ") {
        Some(rest) => format!("One of {rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_results::suites::tests::{bisection, merged, runs};
    use crate::result::example;

    #[test]
    fn proof_says_what_leaks_where_and_what_does_not() {
        assert_eq!(
            for_report(&merged(vec![example::verify()])),
            Headline {
                tone: Status::Pass,
                sentence:
                    "Proven: 6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, \
                           allocated in nfs_readdir_page_array_append, and 6.1 is clean."
                        .into()
            }
        );
        let mut file = example::verify();
        let proof = file.proof.as_mut().unwrap();
        (proof.outcome, proof.reason) = (Outcome::NotProven, "the patched kernel leaks in quick".into());
        assert_eq!(for_report(&merged(vec![file])).sentence, "Not proven: the patched kernel leaks in quick.");
    }

    #[test]
    fn growth_that_is_let_be_stands_beside_every_clean() {
        let mut file = example::verify();
        file.results[1].findings = example::leak().findings;
        file.results[1].findings[0].survives_unmount = false;
        let sentence = for_report(&merged(vec![file])).sentence;
        assert!(
            sentence.ends_with(
                "and 6.1 is clean but for 25.0 kmalloc-256 objects per listing (24.8 to 25.2) that stay until unmount."
            ),
            "{sentence}"
        );
        let mut file = runs(&[Verdict::Clean, Verdict::Clean]);
        file.results[1].findings = example::leak().findings;
        assert_eq!(for_report(&merged(vec![file])).sentence, "All 2 runs are clean, 1 but for growth until unmount.");
    }

    #[test]
    fn cluster_that_is_all_there_is_speaks_for_its_guests() {
        let mut file = runs(&[Verdict::Leak]);
        file.results[0].scenario = "cluster/server-2".into();
        file.clusters = vec![example::cluster()];
        let headline = for_report(&merged(vec![file.clone()]));
        assert_eq!((headline.tone, headline.sentence), (Status::Fail, example::cluster().sentence()));
        file.results[0].scenario = "clusters".into();
        assert!(for_report(&merged(vec![file])).sentence.starts_with("6.1+spare-pages leaks"), "there is another run");
    }

    #[test]
    fn runs_are_counted_and_the_worst_is_told() {
        use Verdict::*;
        let headline_of = |verdicts: &[Verdict]| for_report(&merged(vec![runs(verdicts)]));
        assert_eq!(
            headline_of(&[Clean, Clean]),
            Headline { tone: Status::Pass, sentence: "All 2 runs are clean.".into() }
        );
        let headline = headline_of(&[Clean, Leak, Crash, Undecided, Clean]);
        assert_eq!(headline.tone, Status::Fail);
        let begin = "Of 5 runs 1 leaks, 1 crashed, 1 is undecided, 2 are clean. 6.1+spare-pages leaks 25.0 ";
        assert!(headline.sentence.starts_with(begin), "{}", headline.sentence);
        assert_eq!(headline_of(&[Clean, Undecided]).tone, Status::Inconclusive);
        assert!(headline_of(&[Clean]).sentence.starts_with("6.1 is clean in scenario-0"));
        assert_eq!(headline_of(&[]).tone, Status::Inconclusive);
    }

    #[test]
    fn chapters_are_counted_and_the_worst_gives_the_tone() {
        let all = for_report(&merged(vec![example::verify(), bisection(), runs(&[Verdict::Leak])]));
        let sentence = "3 results: 1 bad, 2 good.";
        assert_eq!(all, Headline { tone: Status::Fail, sentence: sentence.into() });
        let one = for_report(&merged(vec![bisection()]));
        assert!(one.sentence.starts_with("000000000003 (\"NFS: read more\") brings the leak in quick; confirmed"));
    }
}
