//! The result file of `coverage`: what code of NFS the scenarios executed.

use super::record::KernelRecord;
use crate::coverage::reached::ExecutedSource;
use crate::coverage::source::{SourceFile, SourceLine, Sources};
use crate::stats::estimate::finite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The number of the schema; fields are added without a new one.
pub const SCHEMA: u32 = 1;

/// The whole file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CoverageFile {
    /// The schema.
    pub coverage: u32,
    /// Version of the program.
    pub dirleak: String,
    /// As it was typed.
    pub command_line: Vec<String>,
    /// The kernel whose code was counted.
    pub kernel: KernelRecord,
    /// What told lines from counters, with its version.
    pub gcov: String,
    /// One for each scenario, in the order in which they were named.
    pub scenarios: Vec<ScenarioCoverage>,
    /// One for each file of source, by name.
    pub files: Vec<FileCoverage>,
}

/// What one scenario executed, from the boot of its guest on.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ScenarioCoverage {
    /// By its name.
    pub scenario: String,
    /// What names and all that is drawn by lot are made from.
    pub seed: u64,
    /// Units that were made.
    pub units: u64,
    /// Those of them in which an allocation was made to fail.
    pub failures: u64,
    /// What the guest took.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// How often counters were read and set to zero.
    pub readings: u64,
    /// What all of that took.
    #[serde(serialize_with = "finite")]
    pub reading_seconds: f64,
    /// What kept it from doing everything, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_by: Option<String>,
    /// Lines that were executed.
    pub lines: u64,
    /// Functions that were called.
    pub functions: u64,
    /// What no other scenario of this file executed, by file of source.
    pub alone: Vec<Alone>,
}

/// What of a file one scenario alone executed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Alone {
    /// The file of source.
    pub file: String,
    /// How many lines.
    pub lines: u64,
    /// The functions, by name.
    pub functions: Vec<String>,
}

/// How much there is of something, and how much of it was executed.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq, Serialize)]
pub struct Share {
    /// So much was.
    pub reached: u64,
    /// Of so much.
    pub of: u64,
}

/// What was executed of a file of source.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct FileCoverage {
    /// Below the source tree.
    pub file: String,
    /// Lines that have code.
    pub lines: Share,
    /// Its functions.
    pub functions: Share,
    /// Ways out of conditions.
    pub branches: Share,
    /// Each function, in the order of the file.
    pub by_function: Vec<FunctionCoverage>,
    /// Each line that has code, with how often it was executed.
    pub line_counts: Vec<(u32, u64)>,
    /// Each line that has conditions, with how often each way out of them was taken.
    pub branch_counts: Vec<(u32, Vec<u64>)>,
}

/// What was executed of a function.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct FunctionCoverage {
    /// By its name.
    pub function: String,
    /// The line in which it begins.
    pub line: u32,
    /// The line in which it ends.
    pub last_line: u32,
    /// How often it was called.
    pub calls: u64,
    /// Its lines that have code.
    pub lines: Share,
    /// How many scenarios called it.
    pub scenarios: u64,
}

impl Share {
    /// Counts one, which was reached or was not.
    fn count(&mut self, is_reached: bool) {
        self.reached += u64::from(is_reached);
        self.of += 1;
    }

    /// Returns both sums.
    fn plus(self, other: Self) -> Self {
        Self { reached: self.reached + other.reached, of: self.of + other.of }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} of {}", self.reached, self.of)
    }
}

impl ScenarioCoverage {
    /// Returns how many lines it alone executed.
    pub fn lines_alone(&self) -> u64 {
        self.alone.iter().map(|alone| alone.lines).sum()
    }
}

/// Returns the shares of lines, functions and branches of each directory of source.
pub fn by_directory(files: &[FileCoverage]) -> BTreeMap<&str, [Share; 3]> {
    let mut directories: BTreeMap<&str, [Share; 3]> = BTreeMap::new();
    for file in files {
        let directory = file.file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let sums = directories.entry(directory).or_default();
        *sums = plus(*sums, file.shares());
    }
    directories
}

/// Returns the shares of lines, functions and branches of all that these are of.
pub fn in_all(directories: &BTreeMap<&str, [Share; 3]>) -> [Share; 3] {
    directories.values().fold([Share::default(); 3], |all, sums| plus(all, *sums))
}

fn plus(sums: [Share; 3], more: [Share; 3]) -> [Share; 3] {
    std::array::from_fn(|at| sums[at].plus(more[at]))
}

impl FileCoverage {
    /// Returns its shares of lines, functions and branches.
    pub fn shares(&self) -> [Share; 3] {
        [self.lines, self.functions, self.branches]
    }
}

/// Which scenarios reached something: how many, and the first of them by its number.
#[derive(Clone, Copy, Debug)]
struct Owners {
    first: usize,
    count: u64,
}

impl Owners {
    fn add(owners: &mut Option<Self>, number: usize) {
        let first = owners.map_or(number, |owners| owners.first);
        *owners = Some(Self { first, count: owners.map_or(0, |owners| owners.count) + 1 });
    }
}

/// Puts together what scenarios executed, one after the other.
#[derive(Debug, Default)]
pub struct Collected {
    scenarios: Vec<ScenarioCoverage>,
    /// By file and line.
    lines: BTreeMap<(String, u32), Option<Owners>>,
    /// By file, line and name.
    functions: BTreeMap<(String, u32, String), Option<Owners>>,
}

impl Collected {
    /// Adds what one scenario executed.
    pub fn add(&mut self, mut scenario: ScenarioCoverage, executed: &ExecutedSource) {
        let number = self.scenarios.len();
        for (file, lines) in &executed.lines {
            lines.iter().for_each(|line| Owners::add(self.lines.entry((file.clone(), *line)).or_default(), number));
            scenario.lines += lines.len() as u64;
        }
        for function in &executed.functions {
            Owners::add(self.functions.entry(function.clone()).or_default(), number);
        }
        scenario.functions = executed.functions.len() as u64;
        self.scenarios.push(scenario);
    }

    /// Returns the scenarios, each with what it alone executed, and the files, of which all scenarios together executed `sources`.
    pub fn finish(mut self, sources: &Sources) -> (Vec<ScenarioCoverage>, Vec<FileCoverage>) {
        self.tell_alone();
        let files = sources.files.iter().map(|(name, file)| self.file(name, file)).collect();
        (self.scenarios, files)
    }

    fn tell_alone(&mut self) {
        let mut alone: BTreeMap<(usize, &str), Alone> = BTreeMap::new();
        let only = |owners: &Option<Owners>| owners.filter(|owners| owners.count == 1).map(|owners| owners.first);
        for ((file, _), owners) in &self.lines {
            if let Some(number) = only(owners) {
                alone.entry((number, file)).or_default().lines += 1;
            }
        }
        for ((file, _, function), owners) in &self.functions {
            if let Some(number) = only(owners) {
                alone.entry((number, file)).or_default().functions.push(function.clone());
            }
        }
        for ((number, file), of_it) in alone {
            self.scenarios[number].alone.push(Alone { file: file.to_owned(), ..of_it });
        }
    }

    fn file(&self, name: &str, file: &SourceFile) -> FileCoverage {
        let mut told = FileCoverage { file: name.to_owned(), ..FileCoverage::default() };
        let mut by_function: BTreeMap<&str, Share> = BTreeMap::new();
        for (number, SourceLine { count, branches, function }) in &file.lines {
            told.lines.count(*count > 0);
            by_function.entry(function).or_default().count(*count > 0);
            branches.iter().for_each(|branch| told.branches.count(*branch > 0));
            told.line_counts.push((*number, *count));
            if !branches.is_empty() {
                told.branch_counts.push((*number, branches.clone()));
            }
        }
        for ((line, function), of_it) in &file.functions {
            told.functions.count(of_it.calls > 0);
            let owners = self.functions.get(&(name.to_owned(), *line, function.clone())).copied().flatten();
            told.by_function.push(FunctionCoverage {
                function: function.clone(),
                line: *line,
                last_line: of_it.last_line,
                calls: of_it.calls,
                lines: by_function.get(function.as_str()).copied().unwrap_or_default(),
                scenarios: owners.map_or(0, |owners| owners.count),
            });
        }
        told
    }
}

/// Tests, and an example for those of others.
#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::coverage::source::SourceFunction;

    /// Returns what was executed of a file with two functions, the second from line 10 on: lines that were, by number.
    fn sources(executed: &[u32]) -> Sources {
        let count = |line: u32| u64::from(executed.contains(&line));
        let line = |number: u32, function: &str, branches: &[u32]| {
            let branches = branches.iter().map(|line| count(*line)).collect();
            (number, SourceLine { count: count(number), branches, function: function.into() })
        };
        let lines = [line(2, "first", &[3, 4]), line(3, "first", &[]), line(4, "first", &[]), line(10, "second", &[])];
        let function = |begin: u32, name: &str, line: u32, last: u32| {
            ((begin, name.to_owned()), SourceFunction { calls: count(line), last_line: last })
        };
        let functions = [function(1, "first", 2, 5), function(9, "second", 10, 11)];
        let file = SourceFile { lines: lines.into(), functions: functions.into() };
        Sources { files: [("fs/nfs/dir.c".to_owned(), file)].into() }
    }

    /// Returns a file in which two scenarios executed something.
    pub fn example() -> CoverageFile {
        let mut collected = Collected::default();
        let scenario = |name: &str| ScenarioCoverage {
            scenario: name.into(),
            units: 4,
            seconds: 7.5,
            ..ScenarioCoverage::default()
        };
        let executed = |lines: &[u32]| ExecutedSource {
            lines: [("fs/nfs/dir.c".to_owned(), lines.iter().copied().collect())].into(),
            functions: [("fs/nfs/dir.c".to_owned(), 1, "first".to_owned())].into(),
        };
        collected.add(scenario("quick"), &executed(&[2, 3]));
        let ended_by = Some("the guest's kernel died".to_owned());
        collected.add(ScenarioCoverage { ended_by, ..scenario("other") }, &executed(&[2, 3, 4]));
        let (scenarios, files) = collected.finish(&sources(&[2, 3, 4]));
        CoverageFile {
            coverage: SCHEMA,
            dirleak: "0.1.0".into(),
            command_line: vec!["dirleak".into(), "coverage".into()],
            kernel: KernelRecord { spec: "6.1".into(), release: "6.1.192".into(), ..KernelRecord::default() },
            gcov: "gcov 12.2.0".into(),
            scenarios,
            files,
        }
    }

    #[test]
    fn shares_are_those_of_all_scenarios_together_and_what_one_alone_reached_is_told() {
        let CoverageFile { scenarios, files, .. } = example();
        let file = &files[0];
        assert_eq!((file.lines, file.functions), (Share { reached: 3, of: 4 }, Share { reached: 1, of: 2 }));
        assert_eq!(file.branches, Share { reached: 2, of: 2 });
        let functions: Vec<_> =
            file.by_function.iter().map(|f| (f.function.as_str(), f.lines.reached, f.lines.of, f.scenarios)).collect();
        assert_eq!(functions, [("first", 3, 3, 2), ("second", 0, 1, 0)]);
        assert_eq!(file.line_counts, [(2, 1), (3, 1), (4, 1), (10, 0)]);
        assert_eq!(file.branch_counts, [(2, vec![1, 1])]);
        assert_eq!((scenarios[0].lines, scenarios[0].functions, scenarios[0].alone.len()), (2, 1, 0));
        let alone = Alone { file: "fs/nfs/dir.c".into(), lines: 1, functions: Vec::new() };
        assert_eq!(scenarios[1].alone, [alone]);
    }
}
