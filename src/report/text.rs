//! Results as text for a terminal: tables, the verdict in a sentence, who allocated it, where the time went.

use super::{allocation_sites, bisection, branches, explore, other_evidence, sweep, table};
use crate::result::file::ResultFile;
use crate::result::finding::CallSite;
use crate::result::parts::SourceControl;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sentence;
use crate::text::layout::{self, Align};
use crate::text::number;

/// Frames of a stack that are shown; the result file has them all.
const FRAMES: usize = 5;
/// Call sites that are shown of a finding.
const SITES: usize = 3;
/// Lines of the console that are shown; the log has them all.
const CONSOLE_LINES: usize = 12;
/// What is left of a control is told from this part of it on; less is what the kernel keeps of doing things for the first time.
const UNTOLD_PART: i64 = 16;

/// Returns the whole text of a result file.
pub fn render(file: &ResultFile) -> String {
    if let Some(bisection) = &file.bisection {
        return bisection::text(bisection);
    }
    if !file.branches.is_empty() {
        return branches::text(&file.branches, &file.results);
    }
    if !file.explorations.is_empty() {
        return explore::render(file, details);
    }
    if !file.sweeps.is_empty() {
        return sweep::render(file, details);
    }
    let mut text = match &file.proof {
        Some(proof) => table::side_by_side(&file.results, &proof.unpatched, &proof.patched),
        None => table::rows(&file.results),
    };
    for record in &file.results {
        text.push('\n');
        text += &details(record);
    }
    for cluster in &file.clusters {
        text += &format!("\n{}", cluster.text());
    }
    if let Some(proof) = &file.proof {
        text += &format!("\n{}\n", proof.sentence());
    }
    text
}

/// Describes one run: the sentence, what was done, and what shows it.
pub fn details(record: &RunRecord) -> String {
    let mut text = sentence::render(record) + "\n";
    text += &work(record);
    text += &trust(record);
    for finding in &record.findings {
        if !finding.call_sites.is_empty() {
            text += &format!("  {}:\n", sentence::amount(finding, &record.unit));
        }
        for site in finding.call_sites.iter().take(SITES) {
            text += &call_site(site);
        }
        if finding.call_sites.len() > SITES {
            text += &format!("    and {} more call sites\n", finding.call_sites.len() - SITES);
        }
    }
    for line in allocation_sites::lines(record) {
        text += &format!("  {line}\n");
    }
    text += &other_evidence::render(record);
    for line in record.console_lines.iter().take(CONSOLE_LINES) {
        text += &format!("  | {line}\n");
    }
    let unexplained = !matches!(record.verdict, Verdict::Leak | Verdict::Clean);
    if let Some(log) = record.console_log.as_ref().filter(|_| unexplained) {
        text += &format!("  the guest's console: {log}\n");
    }
    text
}

/// Tells what was done in a run: without it a rate means nothing.
pub(super) fn work(record: &RunRecord) -> String {
    if record.listings == 0 {
        return String::new();
    }
    let calls: Vec<String> = record.rpcs.iter().map(|(name, count)| format!("{count} {name}")).collect();
    let calls = if calls.is_empty() { String::new() } else { format!("; RPCs: {}", calls.join(", ")) };
    let (times, cold) = (record.listings, record.cold_listings);
    let mut text = format!("  {times} x {} of {} entries, {cold} cold{calls}\n", record.unit, record.entries);
    if !record.failed_rpcs.is_empty() {
        let failed: Vec<String> = record.failed_rpcs.iter().map(|(name, count)| format!("{count} {name}")).collect();
        text += &format!("  of these failed: {}\n", failed.join(", "));
    }
    if let (Some(operations), Some(rate)) = (record.operations, record.operations_per_second) {
        text += &format!("  {operations} operations on files, {rate:.0} a second by the guest's clock\n");
    }
    if let Some(signals) = record.signals {
        text += &format!("  the reader took {signals} signals\n");
    }
    if let Some(failing) = &record.failing {
        let (times, place, then) = (failing.failed, failing.place(), failing.outcome());
        text += &format!("  {place} failed in {times} of them, and they ended so: {then}\n");
    }
    for fault in &record.faults {
        text += &format!("  {fault} happened {} times\n", fault.happened);
    }
    text
}

/// Tells why the verdict can be believed, and what it says nothing about.
pub(super) fn trust(record: &RunRecord) -> String {
    let c = &record.controls;
    if c.held == 0 {
        return String::new();
    }
    let sources: Vec<String> = c.sources.iter().map(control).collect();
    // Older files have but this one.
    let objects = if sources.is_empty() { format!("{} of {} objects", c.seen, c.held) } else { sources.join(", ") };
    let mut text = format!(
        "  controls: held on purpose and seen were {objects}; of the names in the cache {} were seen and {} dropped\n",
        c.names_cached, c.names_removed
    );
    if !record.not_looked_for.is_empty() {
        text += &format!("  not looked for: {}\n", record.not_looked_for.join(", "));
    }
    for note in &record.notes {
        text += &format!("  note: {note}\n");
    }
    text
}

fn control(control: &SourceControl) -> String {
    let SourceControl { name, held, seen, left, .. } = control;
    let little = left.saturating_abs() <= held / UNTOLD_PART;
    let left = if little { String::new() } else { format!(" ({left} after the release)") };
    format!("{seen} of {held} {name}{left}")
}

fn call_site(site: &CallSite) -> String {
    let mut text = format!("    {:>6}  {}\n", number::share(site.share), site.function);
    for frame in site.stack.iter().take(FRAMES) {
        text += &format!("              {frame}\n");
    }
    if site.stack.len() > FRAMES {
        text += &format!("              and {} more\n", site.stack.len() - FRAMES);
    }
    text
}

/// Tells where the time of each run went.
pub fn timings(records: &[RunRecord]) -> String {
    let mut text = String::new();
    for record in records {
        text += &format!("time of {} on {}\n", record.scenario, record.kernel.spec);
        let named: f64 = record.timings.iter().map(|t| t.seconds).sum();
        let rest = record.seconds - named;
        let mut lines: Vec<(&str, f64)> = record.timings.iter().map(|t| (t.phase.as_str(), t.seconds)).collect();
        // Phases may lie outside the run's own clock (building), or overlap; then there is no rest to tell.
        if rest >= 0.05 {
            lines.push(("everything else", rest));
        }
        lines.push(("start to verdict", record.seconds));
        let lines: Vec<_> =
            lines.iter().map(|(phase, seconds)| [(*phase).into(), format!("{seconds:>7.2} s")]).collect();
        for line in layout::table(&lines, [Align::Left; 2]) {
            text += &format!("  {}\n", line.trim_end());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::result::parts::Controls;
    use crate::result::record::Verdict;

    #[test]
    fn verify_is_a_comparison_the_evidence_and_a_sentence() {
        let expected = "                       6.1+spare-pages                6.1
quick                  leak                           clean
  objects per listing  25.0 (24.8 to 25.2)            at most 0.13
  bytes per listing    6.2 KiB                        -
  counter              kmalloc-256                    -
  allocated in         nfs_readdir_page_array_append  -
  time                 4.2 s                          6.0 s

6.1+spare-pages leaks 25.0 kmalloc-256 objects per listing (24.8 to 25.2) in quick, allocated in \
nfs_readdir_page_array_append; not freed within 2.0 s; survives unmount.
  63 x listing of 150 entries, 63 cold; RPCs: 0 READDIR, 126 READDIRPLUS
  controls: held on purpose and seen were 584 of 584 filp, 512 of 512 eventfd, 2 of 2 console; of the names in the \
cache 150 were seen and 150 dropped
  not looked for: pages, vmalloc, percpu
  25.0 kmalloc-256 objects per listing (24.8 to 25.2):
     100 %  nfs_readdir_page_array_append
              __kmalloc_track_caller
              kmemdup_nul
              nfs_readdir_page_array_append
              nfs_readdir_xdr_to_array
              nfs_readdir
              and 2 more

6.1 is clean in quick: none of 93 counters grows by 0.50 or more per listing (highest bound 0.13, dentry); what leaks in fewer than 1 of 18 listings is not excluded.
  63 x listing of 150 entries, 63 cold; RPCs: 0 READDIR, 126 READDIRPLUS
  controls: held on purpose and seen were 584 of 584 filp, 512 of 512 eventfd, 2 of 2 console; of the names in the \
cache 150 were seen and 150 dropped
  not looked for: pages, vmalloc, percpu

Proven: quick leaks on 6.1+spare-pages and is clean on 6.1.
";
        assert_eq!(render(&example::verify()), expected);
    }

    #[test]
    fn control_that_left_something_is_told_and_a_file_without_sources_is_read() {
        let mut record = example::clean();
        record.controls.sources.truncate(1);
        record.controls.sources[0].left = 36;
        assert!(details(&record).contains("seen were 584 of 584 filp; of the names"));
        record.controls.sources[0].left = 37;
        assert!(details(&record).contains("seen were 584 of 584 filp (37 after the release); of the names"));
        record.controls.sources.clear();
        assert!(details(&record).contains("seen were 584 of 584 objects; of the names"));
    }

    #[test]
    fn crash_shows_the_lines_and_the_log() {
        let mut record = example::clean();
        record.verdict = Verdict::Crash;
        record.reason = "the kernel panicked".into();
        record.listings = 0;
        record.controls = Controls::default();
        record.console_lines = vec!["Kernel panic - not syncing: made up".into()];
        record.console_log = Some("console.log".into());
        assert_eq!(
            details(&record),
            "quick on 6.1 is a crash: the kernel panicked.\n  | Kernel panic - not syncing: made up\n  \
             the guest's console: console.log\n"
        );
    }

    #[test]
    fn timings_end_with_the_whole_and_name_what_is_missing() {
        let mut record = example::leak();
        let expected = "\
time of quick on 6.1+spare-pages
  build initramfs      0.05 s
  boot                 0.90 s
  measure              3.10 s
  everything else      0.15 s
  start to verdict     4.20 s
";
        assert_eq!(timings(&[record.clone()]), expected);
        record.seconds = 4.0;
        assert!(!timings(&[record]).contains("everything else"));
    }
}
