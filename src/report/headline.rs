//! What a chapter comes to, in one sentence, and whether that is good news.

use super::bisection;
use super::merge::{Chapter, Merged};
use super::record::{BisectionRecord, BranchRecord, Outcome, Proof, RunRecord, Verdict};
use super::sentence;
use crate::bench::record::{BenchFile, Word};
use crate::bench::words;

/// Whether a reader may put the page away.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Tone {
    /// Clean, proven, found and confirmed, not slower.
    Good,
    /// It could not be judged.
    Open,
    /// A leak, a listing that is wrong or slower, a fix that is none.
    Bad,
}

/// The sentence and its tone.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Headline {
    pub tone: Tone,
    pub sentence: String,
}

/// Of everything: that of the only chapter or bench, or how many came to what.
pub fn of_all(merged: &Merged) -> Headline {
    let benches = merged.benches.iter().map(|bench| of_bench(&bench.file));
    let each: Vec<Headline> = merged.chapters.iter().map(of).chain(benches).collect();
    match each.as_slice() {
        [one] => one.clone(),
        several => {
            let tone = several.iter().map(|h| h.tone).max().unwrap_or(Tone::Open);
            let words = [(Tone::Bad, "bad"), (Tone::Open, "not decided"), (Tone::Good, "good")];
            let count = |tone| several.iter().filter(|h| h.tone == tone).count();
            let counts = words.iter().filter(|(tone, _)| count(*tone) > 0);
            let counts: Vec<String> = counts.map(|(tone, word)| format!("{} {word}", count(*tone))).collect();
            let sentence = format!("{} results: {}.", several.len(), counts.join(", "));
            Headline { tone, sentence }
        }
    }
}

/// Of a bench: good unless something is slower.
pub fn of_bench(file: &BenchFile) -> Headline {
    let (word, sentence) = words::sentence(file);
    let tone = match word {
        Some(word) => of_word(word),
        None if file.results.is_empty() => Tone::Open,
        None => Tone::Good,
    };
    Headline { tone, sentence }
}

/// What a comparison of times means for the kernel that was compared.
pub fn of_word(word: Word) -> Tone {
    match word {
        Word::Faster | Word::Same => Tone::Good,
        Word::Undecided => Tone::Open,
        Word::Slower => Tone::Bad,
    }
}

/// Of one chapter. What is not all there is not good news.
pub fn of(chapter: &Chapter) -> Headline {
    let told = of_what_is_there(chapter);
    match chapter.incomplete() {
        Some(why) => {
            Headline { tone: told.tone.max(Tone::Open), sentence: format!("{}. {}", capital(&why), told.sentence) }
        }
        None => told,
    }
}

fn of_what_is_there(chapter: &Chapter) -> Headline {
    let file = &chapter.file;
    if let Some(record) = &file.bisection {
        return Headline { tone: of_bisection(record), sentence: capital(&bisection::sentence(record)) };
    }
    if !file.branches.is_empty() {
        return of_branches(&file.branches);
    }
    match (&file.proof, file.clusters.as_slice()) {
        (Some(proof), _) => of_proof(proof, &file.results),
        (None, [cluster]) if file.results.iter().all(|record| cluster.has(&record.scenario)) => {
            Headline { sentence: cluster.sentence(), ..of_runs(&file.results) }
        }
        (None, _) => of_runs(&file.results),
    }
}

fn of_proof(proof: &Proof, records: &[RunRecord]) -> Headline {
    let tone = of_outcome(proof.outcome);
    let word = proof.outcome.in_words();
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

/// What a bisection came to.
pub fn of_bisection(record: &BisectionRecord) -> Tone {
    match (&record.commit, record.confirmed) {
        (Some(_), true) => Tone::Good,
        (Some(_), false) => Tone::Bad,
        (None, _) => Tone::Open,
    }
}

/// What an outcome means for the fix.
pub fn of_outcome(outcome: Outcome) -> Tone {
    match outcome {
        Outcome::Proven => Tone::Good,
        Outcome::NotProven => Tone::Bad,
        Outcome::Undecided => Tone::Open,
    }
}

fn of_branches(branches: &[BranchRecord]) -> Headline {
    let tone = branches.iter().map(|branch| of_outcome(branch.proof.outcome)).max().unwrap_or(Tone::Open);
    let proven = branches.iter().filter(|branch| branch.proof.outcome == Outcome::Proven).count();
    Headline {
        tone,
        sentence: format!("The fix is proven on {proven} of {}.", counted(branches.len(), "branch", "branches")),
    }
}

/// The sentence of a single run, or counts and the sentence of the worst.
fn of_runs(records: &[RunRecord]) -> Headline {
    // Of several that are as bad the first, a leak before all others.
    let badness = |verdict| (of_verdict(verdict), verdict == Verdict::Leak, verdict == Verdict::Broken);
    let worst = records.iter().rev().max_by_key(|record| badness(record.verdict));
    let Some(worst) = worst else {
        return Headline { tone: Tone::Open, sentence: "Nothing was run.".into() };
    };
    let tone = of_verdict(worst.verdict);
    let sentence = match records {
        [one] => sentence::of(one),
        _ if tone == Tone::Good => {
            let let_be = records.iter().filter(|record| !sentence::but_for(record).is_empty()).count();
            let growth = if let_be == 0 { String::new() } else { format!(", {let_be} but for growth until unmount") };
            format!("All {} are clean{growth}.", counted(records.len(), "run", "runs"))
        }
        _ => format!("{}. {}", counts(records), sentence::of(worst)),
    };
    Headline { tone, sentence: capital(&sentence) }
}

/// What one verdict means for the kernel that was run.
pub fn of_verdict(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Clean => Tone::Good,
        Verdict::Undecided | Verdict::Unsupported => Tone::Open,
        Verdict::Leak | Verdict::Broken | Verdict::Crash => Tone::Bad,
    }
}

/// `Of 12 runs 2 leak, 1 is undecided, 9 are clean`.
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
            (verdict, 1) => format!("1 is {}", verdict.word()),
            (verdict, n) => format!("{n} are {}", verdict.word()),
        })
        .collect();
    format!("Of {} {}", counted(records.len(), "run", "runs"), parts.join(", "))
}

pub fn counted(number: usize, one: &str, several: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { several })
}

/// A sentence begins with a capital letter, unless it begins with the name of a kernel or a commit.
fn capital(text: &str) -> String {
    match text.strip_prefix("one of ") {
        Some(rest) => format!("One of {rest}"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ci::tests::{bisection, merged, runs};
    use crate::report::example;

    #[test]
    fn a_proof_says_what_leaks_where_and_what_does_not() {
        assert_eq!(
            of_all(&merged(vec![example::verify()])),
            Headline {
                tone: Tone::Good,
                sentence:
                    "Proven: 6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, \
                           allocated in nfs_readdir_page_array_append, and 6.1 is clean."
                        .into()
            }
        );
        let mut file = example::verify();
        let proof = file.proof.as_mut().unwrap();
        (proof.outcome, proof.reason) = (Outcome::NotProven, "the patched kernel leaks in quick".into());
        assert_eq!(of_all(&merged(vec![file])).sentence, "Not proven: the patched kernel leaks in quick.");
    }

    #[test]
    fn growth_that_is_let_be_stands_beside_every_clean() {
        let mut file = example::verify();
        file.results[1].findings = example::leak().findings;
        file.results[1].findings[0].survives_unmount = false;
        let sentence = of_all(&merged(vec![file])).sentence;
        assert!(
            sentence.ends_with(
                "and 6.1 is clean but for 25.0 kmalloc-256 objects per listing (24.8 to 25.2) that stay until unmount."
            ),
            "{sentence}"
        );
        let mut file = runs(&[Verdict::Clean, Verdict::Clean]);
        file.results[1].findings = example::leak().findings;
        assert_eq!(of_all(&merged(vec![file])).sentence, "All 2 runs are clean, 1 but for growth until unmount.");
    }

    #[test]
    fn a_cluster_that_is_all_there_is_speaks_for_its_guests() {
        let mut file = runs(&[Verdict::Leak]);
        file.results[0].scenario = "cluster/server-2".into();
        file.clusters = vec![example::cluster()];
        let headline = of_all(&merged(vec![file.clone()]));
        assert_eq!((headline.tone, headline.sentence), (Tone::Bad, example::cluster().sentence()));
        file.results[0].scenario = "clusters".into();
        assert!(of_all(&merged(vec![file])).sentence.starts_with("6.1+spare-pages leaks"), "there is another run");
    }

    #[test]
    fn several_runs_are_counted_and_the_worst_is_told() {
        use Verdict::*;
        let of = |verdicts: &[Verdict]| of_all(&merged(vec![runs(verdicts)]));
        assert_eq!(of(&[Clean, Clean]), Headline { tone: Tone::Good, sentence: "All 2 runs are clean.".into() });
        let headline = of(&[Clean, Leak, Crash, Undecided, Clean]);
        assert_eq!(headline.tone, Tone::Bad);
        let begin = "Of 5 runs 1 leaks, 1 crashed, 1 is undecided, 2 are clean. 6.1+spare-pages leaks 25.0 ";
        assert!(headline.sentence.starts_with(begin), "{}", headline.sentence);
        assert_eq!(of(&[Clean, Undecided]).tone, Tone::Open);
        assert!(of(&[Clean]).sentence.starts_with("6.1 is clean in scenario-0"));
        assert_eq!(of(&[]).tone, Tone::Open);
    }

    #[test]
    fn chapters_are_counted_and_the_worst_gives_the_tone() {
        let all = of_all(&merged(vec![example::verify(), bisection(), runs(&[Verdict::Leak])]));
        let sentence = "3 results: 1 bad, 2 good.";
        assert_eq!(all, Headline { tone: Tone::Bad, sentence: sentence.into() });
        let one = of_all(&merged(vec![bisection()]));
        assert!(one.sentence.starts_with("000000000003 (\"NFS: read more\") brings the leak in quick; confirmed"));
    }
}
