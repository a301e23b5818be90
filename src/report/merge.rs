//! Several result files as one: what belongs together is put together, and what is there twice counts once.

use super::shards;
use crate::result::bench::BenchFile;
use crate::result::file::ResultFile;
use crate::result::proof;
use crate::result::shard::ShardRecord;

/// A result file and where it was read.
#[derive(Clone, Debug)]
pub struct InputFile<File = ResultFile> {
    pub name: String,
    pub file: File,
}

/// Results that mean something together: of all runs, of one comparison of two kernels, of one bisection.
#[derive(Clone, Debug)]
pub struct ReportSection {
    /// The files that it was put together from.
    pub names: Vec<String>,
    /// Their command lines.
    pub commands: Vec<Vec<String>>,
    /// The versions of dirleak that wrote them.
    pub versions: Vec<String>,
    /// Which parts of a run they are, if it was shared among machines.
    pub shards: Vec<ShardRecord>,
    /// Their records. Its own command line is that of the first file.
    pub file: ResultFile,
}

/// Everything there is to report.
#[derive(Clone, Debug)]
pub struct Report {
    pub chapters: Vec<ReportSection>,
    /// Each stands alone.
    pub benches: Vec<InputFile<BenchFile>>,
    /// What is to be known of the files themselves, in sentences.
    pub notes: Vec<String>,
}

/// Puts files together, in the order in which their chapters first come.
pub fn merge(sources: Vec<InputFile>, benches: Vec<InputFile<BenchFile>>) -> Report {
    let mut notes = Vec::new();
    let (sources, benches) = (once(sources, &mut notes), once(benches, &mut notes));
    let mut merged = Report { chapters: Vec::new(), benches, notes };
    for source in sources {
        match merged.chapters.iter_mut().find(|chapter| chapter.accepts(&source.file)) {
            Some(chapter) => chapter.add(source),
            None => merged.chapters.push(ReportSection::new(source)),
        }
    }
    merged.chapters.iter_mut().for_each(ReportSection::doubt_what_is_incomplete);
    let incomplete = |chapter: &ReportSection| chapter.incomplete().map(|why| format!("{}: {why}", chapter.title()));
    merged.notes.extend(merged.chapters.iter().filter_map(incomplete).collect::<Vec<_>>());
    merged
}

/// Keeps each file once, and notes which ones are there twice.
fn once<File: PartialEq>(sources: Vec<InputFile<File>>, notes: &mut Vec<String>) -> Vec<InputFile<File>> {
    let mut seen: Vec<InputFile<File>> = Vec::new();
    for source in sources {
        let note = match seen.iter().find(|other| other.file == source.file) {
            Some(other) if other.name == source.name => format!("{} is named twice and counts once", source.name),
            Some(other) => format!("{} is the same as {} and counts once", source.name, other.name),
            None => {
                seen.push(source);
                continue;
            }
        };
        // A file that is named a thousand times is one fact.
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    seen
}

impl ReportSection {
    fn new(source: InputFile) -> Self {
        let InputFile { name, mut file } = source;
        let (commands, versions) = (vec![file.command_line.clone()], vec![file.dirleak.clone()]);
        let shards = file.shard.take().into_iter().collect();
        Self { names: vec![name], commands, versions, shards, file }
    }

    /// Returns why this is not all that was to be run, in a sentence without its full stop; `None` if it is.
    pub fn incomplete(&self) -> Option<String> {
        shards::incomplete(&self.shards, self.file.results.len())
    }

    fn doubt_what_is_incomplete(&mut self) {
        if self.incomplete().is_some() {
            let records = &self.file.results;
            self.file.proof = self.file.proof.take().map(|proof| proof.weakened_by_gaps(records));
        }
    }

    /// Names its files, the first of them by name.
    pub fn title(&self) -> String {
        match self.names.as_slice() {
            [one] => one.clone(),
            [one, other] => format!("{one} and {other}"),
            several => format!("{} and {} more", several[0], several.len() - 1),
        }
    }

    /// Returns whether the records of `other` belong to this chapter. A bisection and a table of branches stand alone.
    fn accepts(&self, other: &ResultFile) -> bool {
        let alone = |file: &ResultFile| file.bisection.is_some() || !file.branches.is_empty();
        let kernels =
            |file: &ResultFile| file.proof.as_ref().map(|p| (p.unpatched.clone(), p.patched.clone(), p.one_is_enough));
        let whole = |shard: Option<&ShardRecord>| shard.map(|shard| (shard.of, shard.runs));
        !alone(&self.file)
            && !alone(other)
            && kernels(&self.file) == kernels(other)
            && whole(self.shards.first()) == whole(other.shard.as_ref())
    }

    fn add(&mut self, source: InputFile) {
        self.names.push(source.name);
        self.commands.push(source.file.command_line);
        self.shards.extend(source.file.shard);
        if !self.versions.contains(&source.file.dirleak) {
            self.versions.push(source.file.dirleak);
        }
        self.file.results.extend(source.file.results);
        self.file.clusters.extend(source.file.clusters);
        match &mut self.file.proof {
            Some(p) => *p = proof::from_records(&self.file.results, p.one_is_enough, &p.unpatched, &p.patched),
            None => self.by_kernel(),
        }
    }

    /// Puts records of one kernel next to each other, otherwise in their order.
    fn by_kernel(&mut self) {
        let mut kernels: Vec<String> = Vec::new();
        for record in &self.file.results {
            if !kernels.contains(&record.kernel.spec) {
                kernels.push(record.kernel.spec.clone());
            }
        }
        self.file.results.sort_by_key(|record| kernels.iter().position(|spec| *spec == record.kernel.spec));
    }
}

#[cfg(test)]
mod tests {
    use crate::report::bench::example as bench;
    use crate::report::bisection;
    use crate::report::merge::{InputFile, Report};
    use crate::result::example;
    use crate::result::file::ResultFile;
    use crate::result::proof::Outcome;
    use crate::result::record::{RunRecord, Verdict};
    use crate::result::shard::ShardRecord;

    fn merge(sources: Vec<InputFile>) -> Report {
        super::merge(sources, Vec::new())
    }

    fn source(name: &str, file: ResultFile) -> InputFile {
        InputFile { name: name.into(), file }
    }

    fn run(name: &str, records: &[RunRecord]) -> InputFile {
        source(name, ResultFile { results: records.to_vec(), proof: None, ..example::verify() })
    }

    fn record_in(scenario: &str, record: RunRecord) -> RunRecord {
        RunRecord { scenario: scenario.into(), ..record }
    }

    #[test]
    fn runs_are_put_together_by_kernel() {
        let (leak, clean) = (example::leak(), example::clean());
        let merged = merge(vec![
            run("a.json", &[leak.clone(), clean.clone()]),
            run("b.json", &[record_in("huge-flat", leak), record_in("huge-flat", clean)]),
        ]);
        let [chapter] = merged.chapters.as_slice() else { panic!("{merged:?}") };
        assert_eq!(chapter.names, ["a.json", "b.json"]);
        let order: Vec<_> = chapter.file.results.iter().map(|r| format!("{} {}", r.kernel.spec, r.scenario)).collect();
        assert_eq!(order, ["6.1+spare-pages quick", "6.1+spare-pages huge-flat", "6.1 quick", "6.1 huge-flat"]);
        assert!(merged.notes.is_empty());
    }

    #[test]
    fn parts_of_one_comparison_are_judged_as_a_whole() {
        let verify = |scenario: &str, unpatched: RunRecord| {
            let mut file = example::verify();
            file.results = vec![record_in(scenario, unpatched), record_in(scenario, example::clean())];
            file.proof.as_mut().unwrap().one_is_enough = true;
            file
        };
        let does_not_leak = RunRecord { verdict: Verdict::Clean, findings: Vec::new(), ..example::leak() };
        let mut other = verify("recipe-2019", does_not_leak);
        other.proof.as_mut().unwrap().outcome = Outcome::NotProven;
        let merged = merge(vec![source("2.json", other), source("1.json", verify("quick", example::leak()))]);
        assert_eq!(merged.chapters.len(), 1);
        let proof = merged.chapters[0].file.proof.as_ref().unwrap();
        assert_eq!(proof.outcome, Outcome::Proven, "one leaking scenario of a set is enough: {}", proof.reason);
    }

    #[test]
    fn shards_are_put_together_and_one_that_is_missing_is_told() {
        let shard = |number: u32, scenario: &str| {
            let mut source = run(&format!("{number}.json"), &[record_in(scenario, example::clean())]);
            source.file.shard = Some(ShardRecord { number, of: 2, runs: 2 });
            source
        };
        let whole = merge(vec![shard(2, "quick"), shard(1, "huge-flat")]);
        assert_eq!((whole.chapters.len(), whole.notes.len(), whole.chapters[0].incomplete()), (1, 0, None));
        let alone = run("alone.json", &[record_in("quick", example::clean())]);
        let part = merge(vec![shard(2, "quick"), alone]);
        assert_eq!(part.chapters.len(), 2);
        assert!(part.notes[0].starts_with("2.json: shard 1 of 2 is missing"), "{:?}", part.notes);
    }

    #[test]
    fn shards_of_a_comparison_are_a_proof_when_all_are_there() {
        let shard = |number: u32, scenario: &str| {
            let mut file = example::verify();
            file.results = vec![record_in(scenario, example::leak()), record_in(scenario, example::clean())];
            file.shard = Some(ShardRecord { number, of: 2, runs: 4 });
            source(&format!("{number}.json"), file)
        };
        let outcome = |sources| merge(sources).chapters[0].file.proof.clone().unwrap().outcome;
        assert_eq!(outcome(vec![shard(2, "quick"), shard(1, "huge-flat")]), Outcome::Proven);
        assert_eq!(outcome(vec![shard(2, "quick")]), Outcome::Undecided);
    }

    #[test]
    fn files_that_do_not_belong_together_stay_apart() {
        let mut other = example::verify();
        other.proof.as_mut().unwrap().patched = "6.1+fix.patch".into();
        let mut bisect = run("c.json", &[example::leak()]);
        bisect.file.bisection = Some(bisection::tests::example(crate::bisect::history::Terms::Break));
        let mut second = bisect.clone();
        second.file.bisection.as_mut().unwrap().scenario = "huge-flat".into();
        let all = vec![
            source("a.json", example::verify()),
            source("b.json", other),
            bisect,
            second,
            run("d.json", &[example::leak()]),
        ];
        assert_eq!(merge(all).chapters.len(), 5);
    }

    #[test]
    fn file_that_is_there_twice_counts_once_and_is_told() {
        let a = run("a.json", &[example::leak()]);
        let merged = merge(vec![a.clone(), a.clone(), a, run("copy.json", &[example::leak()])]);
        assert_eq!(merged.chapters[0].file.results.len(), 1);
        let told = ["a.json is named twice and counts once", "copy.json is the same as a.json and counts once"];
        assert_eq!(merged.notes, told);
    }

    #[test]
    fn bench_that_is_there_twice_counts_once() {
        let bench = |name: &str| InputFile { name: name.into(), file: bench::file() };
        let merged = super::merge(vec![run("a.json", &[example::leak()])], vec![bench("b.json"), bench("c.json")]);
        assert_eq!((merged.chapters.len(), merged.benches.len()), (1, 1));
        assert_eq!(merged.notes, ["c.json is the same as b.json and counts once"]);
    }
}
