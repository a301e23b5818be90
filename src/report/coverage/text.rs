//! Coverage as text for a terminal.

use crate::result::coverage::{Alone, CoverageFile, FileCoverage, ScenarioCoverage, Share, by_directory, in_all};
use crate::text::layout::{self, Align};
use crate::text::number;

/// Functions that are named of those that one scenario alone calls.
const MOST_NAMED: usize = 8;
/// Files of which one scenario alone reaches something, those with most lines first.
const MOST_FILES: usize = 8;

/// Returns the whole text of a file; with `functions` those that nothing called are named.
pub fn render(file: &CoverageFile, functions: bool) -> String {
    let kernel = &file.kernel;
    let mut text = format!("{} ({}), told by {}\n", kernel.spec, kernel.release, file.gcov);
    text += &files(&file.files);
    text += &format!("\n{}", scenarios(&file.scenarios));
    for scenario in &file.scenarios {
        text += &ended(scenario);
    }
    if file.scenarios.len() > 1 {
        file.scenarios.iter().for_each(|scenario| text += &alone(scenario));
    }
    if functions {
        file.files.iter().for_each(|file| text += &not_called(file));
    }
    text
}

fn files(files: &[FileCoverage]) -> String {
    let directories = by_directory(files);
    let head = ["file", "lines", "", "functions", "", "branches", ""].map(String::from);
    let of_files = files.iter().map(|file| row(&file.file, file.shares()));
    let of_directories = directories.iter().map(|(directory, sums)| row(&format!("{directory}/"), *sums));
    let rows: Vec<_> =
        [head].into_iter().chain(of_files).chain(of_directories).chain([row("in all", in_all(&directories))]).collect();
    layout::aligned(&rows)
}

fn row(name: &str, [lines, functions, branches]: [Share; 3]) -> [String; 7] {
    let [of_lines, of_functions, of_branches] = [lines, functions, branches].map(|share| share.to_string());
    [name.into(), of_lines, percent(lines), of_functions, percent(functions), of_branches, percent(branches)]
}

/// Returns a share in percent, rounded down, so that 100 % is all of it.
pub fn percent(share: Share) -> String {
    share.reached.saturating_mul(100).checked_div(share.of).map_or_else(|| "-".into(), |percent| format!("{percent} %"))
}

fn scenarios(scenarios: &[ScenarioCoverage]) -> String {
    let head = ["scenario", "units", "lines", "functions", "lines alone", "time"].map(String::from);
    let of_one = |scenario: &ScenarioCoverage| {
        let counts = [scenario.units, scenario.lines, scenario.functions, scenario.lines_alone()];
        let [units, lines, functions, alone] = counts.map(|count| count.to_string());
        [scenario.scenario.clone(), units, lines, functions, alone, number::seconds(scenario.seconds)]
    };
    let rows: Vec<_> = std::iter::once(head).chain(scenarios.iter().map(of_one)).collect();
    layout::aligned(&rows)
}

/// Says what kept a scenario from more.
fn ended(scenario: &ScenarioCoverage) -> String {
    let name = &scenario.scenario;
    scenario.ended_by.iter().map(|why| format!("\n{name} ended early: {why}\n")).collect()
}

/// Says what a scenario alone reached.
fn alone(scenario: &ScenarioCoverage) -> String {
    if scenario.alone.is_empty() {
        return String::new();
    }
    let mut files: Vec<&Alone> = scenario.alone.iter().collect();
    files.sort_by_key(|alone| std::cmp::Reverse(alone.lines));
    let rows: Vec<[String; 3]> = files.iter().take(MOST_FILES).map(|alone| of_file(alone)).collect();
    let lines = layout::table(&rows, [Align::Left, Align::Right, Align::Left]);
    let mut text = format!("\n{} alone reaches\n", scenario.scenario);
    lines.iter().for_each(|line| text += &format!("  {}\n", line.trim_end()));
    match files.len().saturating_sub(MOST_FILES) {
        0 => text,
        more => text + &format!("  and something of {more} more files\n"),
    }
}

fn of_file(alone: &Alone) -> [String; 3] {
    let named = alone.functions.iter().take(MOST_NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = alone.functions.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    [alone.file.clone(), lines_of(alone.lines), format!("{named}{more}")]
}

fn lines_of(count: u64) -> String {
    if count == 1 { "1 line".into() } else { format!("{count} lines") }
}

fn not_called(file: &FileCoverage) -> String {
    let rows: Vec<[String; 3]> = file
        .by_function
        .iter()
        .filter(|function| function.calls == 0)
        .map(|function| [function.function.clone(), format!("line {}", function.line), lines_of(function.lines.of)])
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}: nothing called\n{}", file.file, layout::aligned(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::coverage::tests::example;

    #[test]
    fn text_has_files_directories_scenarios_and_what_one_alone_reached() {
        let expected = "6.1 (6.1.192), told by gcov 12.2.0
  file           lines        functions        branches       
  fs/nfs/dir.c  3 of 4  75 %     1 of 2  50 %    2 of 2  100 %
  fs/nfs/       3 of 4  75 %     1 of 2  50 %    2 of 2  100 %
  in all        3 of 4  75 %     1 of 2  50 %    2 of 2  100 %

  scenario  units  lines  functions  lines alone   time
  quick         4      2          1            0  7.5 s
  other         4      3          1            1  7.5 s

other ended early: the guest's kernel died

other alone reaches
  fs/nfs/dir.c  1 line
";
        assert_eq!(render(&example(), false), expected);
        let text = render(&example(), true);
        assert!(text.ends_with("\nfs/nfs/dir.c: nothing called\n  second  line 9  1 line\n"), "{text}");
    }

    #[test]
    fn share_of_nothing_is_none_and_nearly_all_is_not_all() {
        let share = |reached, of| percent(Share { reached, of });
        assert_eq!([share(0, 0), share(999, 1000), share(3, 3)], ["-", "99 %", "100 %"]);
    }
}
