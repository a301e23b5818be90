//! Text of an exploration: what was tried, one line for each find, then each in full.

use super::table::Cells;
use crate::result::explore::{ExploreRecord, FindRecord};
use crate::result::file::ResultFile;
use crate::result::record::RunRecord;
use crate::text::layout::{self, Align};
use crate::text::number;

/// Reasons that are shown; the result file has more.
const REASONS: usize = 3;

/// Returns the text of all explorations of a file; `details` describes a record in full.
pub fn render(file: &ResultFile, details: fn(&RunRecord) -> String) -> String {
    let mut rest = file.results.as_slice();
    let mut texts = Vec::new();
    for exploration in &file.explorations {
        let (of_it, others) = rest.split_at(exploration.finds.len().min(rest.len()));
        texts.push(one(exploration, of_it, details));
        rest = others;
    }
    texts.join("\n")
}

fn one(exploration: &ExploreRecord, records: &[RunRecord], details: fn(&RunRecord) -> String) -> String {
    let ExploreRecord { kernel, seed, candidates, units, guests, guests_lost, kept, ways, .. } = exploration;
    let (time, rate) = (number::seconds(exploration.seconds), exploration.candidates_a_minute());
    let mut text =
        format!("{kernel}: {candidates} random workloads in {time} ({rate:.0} a minute), {units} units, seed {seed}\n");
    text += &format!(
        "  {} of them could not be done; {guests} guests were shared, {guests_lost} were lost\n",
        exploration.not_done
    );
    for reason in exploration.reasons.iter().take(REASONS) {
        text += &format!("    {reason}\n");
    }
    text += &format!("  {ways} ways of behaving were seen; {kept} workloads are kept in {}\n", exploration.corpus);
    if exploration.reached > 0 {
        text += &format!("  of the counters of the kernel's NFS code {} were not zero once\n", exploration.reached);
    }
    if exploration.all_candidates > *candidates {
        text += &format!("  with those of the times before: {} workloads\n", exploration.all_candidates);
    }
    text += &format!(
        "  judged in guests of their own: {} runs; {} suspicions were not confirmed\n",
        exploration.judged, exploration.not_confirmed
    );
    let times: Vec<String> =
        exploration.seconds_of.iter().map(|(what, seconds)| format!("{what} {}", number::seconds(*seconds))).collect();
    text += &format!("  where the time of all guests went: {}\n", times.join(", "));
    if !exploration.until_unmount.is_empty() {
        text += &format!("  grew until it was unmounted, and was let be: {}\n", exploration.until_unmount.join(", "));
    }
    if exploration.pending > 0 {
        text +=
            &format!("  {} are suspected and not judged yet; the same command begins with them\n", exploration.pending);
    }
    if records.is_empty() {
        return text + "  nothing was found, which says nothing of what was not drawn\n";
    }
    text += &table(&exploration.finds, records);
    for (find, record) in exploration.finds.iter().zip(records) {
        text += &format!("\n{}  {}\n", details(record), find.command);
    }
    text
}

fn table(finds: &[FindRecord], records: &[RunRecord]) -> String {
    let head = ["found", "verdict", "objects per unit", "after workloads", "after", "smaller tried"].map(String::from);
    let rows = finds.iter().zip(records).map(|(find, record)| {
        let cells = Cells::from_record(record);
        [
            find.name.clone(),
            cells.verdict.into(),
            cells.objects,
            find.candidates.to_string(),
            number::seconds(find.suspected_seconds),
            find.smaller_tried.to_string(),
        ]
    });
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows).collect();
    let align = [Align::Left, Align::Left, Align::Left, Align::Right, Align::Right, Align::Right];
    layout::table(&lines, align).iter().map(|line| format!("  {}\n", line.trim_end())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    #[test]
    fn exploration_tells_what_was_tried_and_each_find_with_its_command() {
        let mut file = ResultFile::new();
        let mut exploration = ExploreRecord {
            kernel: "6.1+spare-pages".into(),
            seed: 7,
            corpus: "/c".into(),
            seconds: 60.0,
            candidates: 80,
            all_candidates: 80,
            units: 1200,
            guests: 2,
            ..ExploreRecord::default()
        };
        file.explorations.push(exploration.clone());
        let text = render(&file, |record| format!("the record of {}\n", record.scenario));
        assert!(
            text.starts_with("6.1+spare-pages: 80 random workloads in 60.0 s (80 a minute), 1200 units, seed 7\n"),
            "{text}"
        );
        assert!(text.ends_with("nothing was found, which says nothing of what was not drawn\n"), "{text}");
        exploration.finds.push(FindRecord {
            name: "leak-kmalloc-256".into(),
            file: "/c/x.toml".into(),
            command: "dirleak run x.toml".into(),
            signatures: Vec::new(),
            batch: 1,
            number: 2,
            candidates: 2,
            suspected_seconds: 3.0,
            seconds: 30.0,
            smaller_tried: 20,
            smaller_shown: 4,
            scenario: String::new(),
            drawn: String::new(),
        });
        exploration.pending = 1;
        file.explorations = vec![exploration];
        file.results = vec![example::leak()];
        let text = render(&file, |record| format!("the record of {}\n", record.scenario));
        assert!(text.contains("1 are suspected and not judged yet"), "{text}");
        assert!(text.contains("leak-kmalloc-256  leak"), "{text}");
        assert!(text.ends_with("the record of quick\n  dirleak run x.toml\n"), "{text}");
    }
}
