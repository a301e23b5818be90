//! The commands that give a result again: those that gave it, without the files that they wrote.

use super::merge::ReportSection;
use crate::result::bench::BenchFile;
use crate::result::coverage::CoverageFile;
use crate::text::quote::quoted;

/// Options whose value is a file that is written.
const OUTPUTS: [&str; 7] = ["--json", "--trace", "--mail", "--bundle", "--plot", "--lcov", "--html"];

/// Returns the commands: those of a bisection show the commit and its parent; else there is one for each file, for a
/// shell.
pub fn commands(chapter: &ReportSection) -> Vec<String> {
    if let Some(record) = chapter.file.bisection.as_ref().filter(|record| !record.reproduce.is_empty()) {
        return record.reproduce.clone();
    }
    let seed = chapter.file.results.first().map(|record| record.seed);
    let mut commands: Vec<String> = Vec::new();
    for words in &chapter.commands {
        let command = command(words, seed);
        if !commands.contains(&command) {
            commands.push(command);
        }
    }
    commands
}

/// Returns the command of a bench.
pub fn bench_commands(file: &BenchFile) -> String {
    command(&file.command_line, file.results.first().map(|record| record.seed))
}

/// Returns the command of a measurement of coverage.
pub fn coverage_command(file: &CoverageFile) -> String {
    command(&file.command_line, file.scenarios.first().map(|scenario| scenario.seed))
}

/// Returns the command with the seed, as a later dirleak may have another one by default.
fn command(words: &[String], seed: Option<u64>) -> String {
    let mut kept = vec!["dirleak".to_owned()];
    let mut words = words.iter().skip(1);
    while let Some(word) = words.next() {
        if OUTPUTS.contains(&word.as_str()) {
            words.next();
        } else if !OUTPUTS.iter().any(|option| word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))) {
            kept.push(quoted(word));
        }
    }
    let is_said = kept.iter().any(|word| word == "--seed" || word.starts_with("--seed="));
    if let (false, Some(seed)) = (is_said, seed) {
        kept.extend(["--seed".to_owned(), seed.to_string()]);
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_leaves_out_what_was_written_and_says_the_seed() {
        let shown = |words: &[&str]| command(&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>(), Some(7));
        assert_eq!(
            shown(&["/x/dirleak", "run", "--json", "a b.json", "--trace=t", "-o", "a b", "quick"]),
            "dirleak run -o 'a b' quick --seed 7"
        );
        assert_eq!(shown(&["dirleak", "run", "--seed", "3", "it's"]), "dirleak run --seed 3 'it'\\''s'");
    }

    #[test]
    fn command_of_a_bench_leaves_out_the_plot() {
        let mut file = crate::report::bench::example::file();
        file.command_line.extend(["--grow", "--plot", "growth.svg"].map(String::from));
        assert_eq!(bench_commands(&file), "dirleak bench huge-flat --grow --seed 42");
    }

    #[test]
    fn command_of_coverage_leaves_out_its_files() {
        let mut file = crate::result::coverage::tests::example();
        file.command_line.extend(["--exec", "./a b", "--lcov", "it.info", "--html=it.html"].map(String::from));
        assert_eq!(coverage_command(&file), "dirleak coverage --exec './a b' --seed 0");
    }
}
