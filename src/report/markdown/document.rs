//! The document as a whole.

use super::bench;
use super::escape::{fenced, plain, rows_of};
use crate::error::Result;
use crate::report::console::Logs;
use crate::report::formats::format::Format;
use crate::report::headline::{self, Headline};
use crate::report::merge::{Report, ReportSection};
use crate::report::{allocation_sites, bisection, branches, cluster, reproduce, table};
use crate::result::branch::BranchRecord;
use crate::result::finding::{CallSite, Finding};
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::text::number;

/// Call sites of a finding that are shown; the result file has them all.
const SITES: usize = 3;
/// Lines of the console that are shown.
const CONSOLE_LINES: usize = 12;

/// The format of `--markdown`.
#[derive(Debug)]
pub struct Markdown;

impl Format for Markdown {
    fn option(&self) -> &'static str {
        "markdown"
    }

    fn help(&self) -> &'static str {
        "Write Markdown for a mail or a merge request to this file"
    }

    fn render(&self, report: &Report, _: &Logs) -> Result<Vec<u8>> {
        Ok(render(report).into_bytes())
    }
}

/// Returns everything, the verdict first.
pub fn render(merged: &Report) -> String {
    let mut text = format!("# dirleak: {}\n", plain(&headline::for_report(merged).sentence));
    let mut part = |headline: Headline, body: String| {
        if merged.chapters.len() + merged.benches.len() > 1 {
            text += &format!("\n## {}\n", plain(&headline.sentence));
        }
        text += &body;
    };
    merged.chapters.iter().for_each(|chapter| part(headline::for_section(chapter), render_section(chapter)));
    merged.benches.iter().for_each(|bench| part(headline::for_bench(&bench.file), bench::render(&bench.file)));
    for note in &merged.notes {
        text += &format!("\nNote: {}.\n", plain(note));
    }
    text
}

fn render_section(chapter: &ReportSection) -> String {
    let file = &chapter.file;
    let mut text = String::new();
    if let Some(record) = &file.bisection {
        text += &format!("\n{}", fenced(&bisection::text(record)));
    } else {
        if !file.branches.is_empty() {
            text += &format!("\n{}", render_branches(&file.branches, &file.results));
        }
        for cluster in &file.clusters {
            let table = rows_of(&cluster::HEAD, &cluster.cells());
            text += &format!("\n{}\n\n{table}", plain(&cluster.sentence()));
        }
        text += &format!("\n{}", records(&file.results));
        for record in file.results.iter().filter(|record| tells_more(record)) {
            text += &format!("\n{}", render_record(record));
        }
    }
    let commands = reproduce::commands(chapter);
    text + &format!("\nTo see it again:\n\n{}", fenced(&commands.iter().map(|c| format!("{c}\n")).collect::<String>()))
}

fn render_branches(of: &[BranchRecord], records: &[RunRecord]) -> String {
    let rows: Vec<_> = of.iter().map(|branch| branches::cells(branch, records)).collect();
    rows_of(&branches::HEAD, &rows)
}

fn records(records: &[RunRecord]) -> String {
    let row = |record: &RunRecord| {
        let cells = table::Cells::from_record(record);
        let RunRecord { scenario, kernel, unit, .. } = record;
        let per = if cells.objects == "-" { cells.objects } else { format!("{} per {unit}", cells.objects) };
        [scenario.clone(), kernel.spec.clone(), cells.verdict.into(), per, cells.bytes, cells.site, cells.seconds]
    };
    let head = ["scenario", "kernel", "verdict", "objects", "bytes", "counter", "time"];
    rows_of(&head, &records.iter().map(row).collect::<Vec<_>>())
}

/// Returns whether a record says more than its row does, which is all of a clean one.
fn tells_more(record: &RunRecord) -> bool {
    record.verdict != Verdict::Clean || !record.findings.is_empty()
}

fn render_record(record: &RunRecord) -> String {
    let mut text = format!("{}\n", plain(&sentence::render(record)));
    for finding in record.findings.iter().filter(|finding| !finding.call_sites.is_empty()) {
        text += &format!("\n{}", fenced(&sites(finding, &record.unit)));
    }
    let lines = allocation_sites::lines(record);
    if !lines.is_empty() {
        text += &format!("\n{}", fenced(&(lines.join("\n") + "\n")));
    }
    if !record.console_lines.is_empty() {
        let lines = record.console_lines.iter().take(CONSOLE_LINES).map(|line| format!("{line}\n"));
        text += &format!("\n{}", fenced(&lines.collect::<String>()));
    }
    text
}

fn sites(finding: &Finding, unit: &str) -> String {
    let site = |site: &CallSite| {
        let stack: String = site.stack.iter().map(|frame| format!("          {frame}\n")).collect();
        format!("{:>6}  {}\n{stack}", number::share(site.share), site.function)
    };
    let sites: String = finding.call_sites.iter().take(SITES).map(site).collect();
    let more = match finding.call_sites.len().saturating_sub(SITES) {
        0 => String::new(),
        n => format!("and {n} more call sites\n"),
    };
    format!("{}:\n{sites}{more}", sentence::amount(finding, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_results::suites::tests::{bisection, hostile, merged};
    use crate::result::example;

    #[test]
    fn comparison_is_a_verdict_a_table_the_stack_and_a_command() {
        let expected = "\
# dirleak: Proven: 6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, allocated in \
nfs_readdir_page_array_append, and 6.1 is clean.

| scenario | kernel | verdict | objects | bytes | counter | time |
| --- | --- | --- | --- | --- | --- | --- |
| quick | 6.1+spare-pages | leak | 25.0 (24.8 to 25.2) per listing | 6.2 KiB | kmalloc-256 in nfs_readdir_page_array_append | 4.2 s |
| quick | 6.1 | clean | at most 0.13 per listing | - |  | 6.0 s |

6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, allocated in nfs_readdir_page_array_append; \
not freed within 2.0 s; survives unmount.

```
25.0 kmalloc-256 objects per listing (24.8 to 25.2):
 100 %  nfs_readdir_page_array_append
          __kmalloc_track_caller
          kmemdup_nul
          nfs_readdir_page_array_append
          nfs_readdir_xdr_to_array
          nfs_readdir
          iterate_dir
          __x64_sys_getdents64
```

To see it again:

```
dirleak verify --seed 42
```
";
        assert_eq!(render(&merged(vec![example::verify()])), expected);
    }

    #[test]
    fn bisection_is_shown_as_on_a_terminal() {
        let text = render(&merged(vec![bisection()]));
        assert!(text.contains("\n```\n000000000001 clean"), "{text}");
        assert!(text.contains("git bisect start\n```\n"), "{text}");
    }

    #[test]
    fn words_of_a_guest_are_no_markup() {
        let text = render(&merged(vec![hostile()]));
        let mut fence = None;
        for line in text.lines() {
            let ticks = line.chars().take_while(|c| *c == '`').count();
            match fence {
                None if ticks >= 3 => fence = Some(ticks),
                Some(open) if ticks >= open && line.len() == ticks => fence = None,
                None => assert!(!line.contains('<') && !line.contains("`x`"), "{line}"),
                Some(_) => {}
            }
        }
        assert_eq!(fence, None, "{text}");
        assert!(!text.contains(['\u{1b}', '\u{0}', '\r']), "{text}");
    }
}
