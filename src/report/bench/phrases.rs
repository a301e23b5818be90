//! What was timed and what it came to, in words.

use super::format::{self, Format, count, time};
use crate::bench::scaling::MEMORY;
use crate::result::bench::{BenchFile, BenchRecord, BenchVerdict, Comparison, Growth};
use crate::result::bench_metrics::{RPCS, SECONDS};
use crate::stats::estimate::Estimate;
use crate::text::number;

/// Says the whole file in one sentence, and the word for it; `None` where nothing was compared.
pub fn sentence(file: &BenchFile) -> (Option<BenchVerdict>, String) {
    if let Some(worst) = file.comparisons.iter().max_by_key(|comparison| badness(comparison.verdict)) {
        let more = match file.comparisons.len() {
            1 => String::new(),
            n => format!("Of {n} comparisons {}. ", counts(&file.comparisons)),
        };
        return (Some(worst.verdict), format!("{more}{}.", compared(worst)));
    }
    let grown = file.growth.iter().filter(|growth| growth.what == SECONDS);
    if let Some(steepest) = grown.max_by(|a, b| a.last_step.total_cmp(&b.last_step)) {
        return (None, format!("{}.", grows(steepest)));
    }
    match file.results.as_slice() {
        [] => (None, "Nothing was measured.".into()),
        [one] => (None, format!("{}.", took(one))),
        [first, rest @ ..] => (None, format!("{}; and {} more.", took(first), rest.len())),
    }
}

/// Ranks a word, as of several the worst is told.
fn badness(word: BenchVerdict) -> u8 {
    match word {
        BenchVerdict::Slower => 3,
        BenchVerdict::Undecided => 2,
        BenchVerdict::Faster => 1,
        BenchVerdict::Same => 0,
    }
}

/// Counts the words: `1 is slower, 2 are the same`.
fn counts(comparisons: &[Comparison]) -> String {
    let count = |word| comparisons.iter().filter(|comparison| comparison.verdict == word).count();
    let part = |word: BenchVerdict| match (count(word), word.as_predicate()) {
        (0, _) => None,
        (1, words) => Some(format!("1 is {words}")),
        (n, words) => Some(format!("{n} are {words}")),
    };
    let all = [BenchVerdict::Slower, BenchVerdict::Undecided, BenchVerdict::Faster, BenchVerdict::Same];
    all.into_iter().filter_map(part).collect::<Vec<_>>().join(", ")
}

/// Tells how two kernels compare: `Listing huge-flat is slower on 6.1+x than on 6.1: cold 1.104 times as long (1.102 to
/// 1.106), warm ...`.
fn compared(comparison: &Comparison) -> String {
    let Comparison { scenario, base, other, verdict, margin, .. } = comparison;
    let ratios = comparison.states.iter().filter_map(|state| {
        let ratio = format::ratio(state.ratios.get(SECONDS)?);
        Some(format!("{} {ratio}", state.state.as_str()))
    });
    let ratios = ratios.collect::<Vec<_>>().join(", ");
    let percent = margin * 100.0;
    match verdict {
        BenchVerdict::Same => format!(
            "Listing {scenario} takes the same on {other} as on {base}, within {percent:.0} %: {ratios} times as long"
        ),
        BenchVerdict::Undecided => {
            format!(
                "It is undecided whether listing {scenario} takes longer on {other} than on {base}: {ratios} times as long"
            )
        }
        BenchVerdict::Slower | BenchVerdict::Faster => {
            format!("Listing {scenario} is {} on {other} than on {base}: {ratios} times as long", verdict.as_str())
        }
    }
}

/// Tells how something grows: `How the time of a listing of million on 6.1 (cold) grows with the entries: linear, ...`.
fn grows(growth: &Growth) -> String {
    let state = growth.state.map_or(String::new(), |state| format!(" ({})", state.as_str()));
    let Growth { scenario, kernel, called, .. } = growth;
    format!(
        "How the time of a listing of {scenario} on {kernel}{state} grows with the entries: {called}, {}",
        power(growth)
    )
}

/// Tells how long listings took: `A listing of huge-flat (100000 entries) on 6.1 takes 199.04 ms cold, 30.51 ms warm`.
pub fn took(record: &BenchRecord) -> String {
    let times =
        record.states.iter().map(|state| format!("{} {}", time(format::median(state, SECONDS)), state.state.as_str()));
    let times = times.collect::<Vec<_>>().join(", ");
    format!("A listing of {} ({} entries) on {} takes {times}", record.scenario, record.entries, record.kernel.spec)
}

/// Tells what was listed: `100000 entries, NFS 4.2 from knfsd, kernel's default options`.
pub fn listed(record: &BenchRecord) -> String {
    let (server, mount) = (record.setup.server.as_str(), &record.setup.mount);
    let options = if mount.options.is_empty() { "kernel's default options" } else { &mount.options };
    format!("{} entries, NFS {} from {server}, {options}", record.entries, mount.version)
}

/// Tells how much was measured: `medians of 2 listings in each state, 12 s in all`.
pub fn effort(record: &BenchRecord) -> String {
    let listings = record.states.first().map_or(0, |state| state.listings);
    let plural = if listings == 1 { "" } else { "s" };
    format!("medians of {listings} listing{plural} in each state, {:.0} s in all", record.wall_seconds)
}

/// Returns what a listing leaves in the caches, and what timing it adds, a line each.
pub fn memory(record: &BenchRecord) -> Vec<String> {
    let memory = &record.memory;
    let million = |bytes: i64| number::bytes(bytes as f64 / record.entries.max(1) as f64 * 1e6);
    let left = |bytes: i64| number::bytes(bytes as f64);
    let [slab, pages] = [memory.slab_held_bytes, memory.page_held_bytes].map(million);
    let [slab_left, pages_left] = [memory.slab_left_bytes, memory.page_left_bytes].map(left);
    let mut lines = vec![
        format!("cached, per million entries: {slab} of slab, {pages} of pages"),
        format!("left when caches are dropped: {slab_left} of slab, {pages_left} of pages"),
    ];
    if let (Some(timed), Some(bare)) = (memory.timed_seconds, memory.bare_seconds) {
        let percent = (timed / bare - 1.0) * 100.0;
        lines.push(format!("timing each call adds {percent:.1} % to a bare loop around getdents64"));
    }
    lines
}

/// Names what grows: `time, cold`.
pub fn what_grows(growth: &Growth) -> String {
    let state = growth.state.map_or(String::new(), |state| format!(", {}", state.as_str()));
    format!("{}{state}", cost_phrase(growth).0)
}

fn cost_phrase(growth: &Growth) -> (&'static str, Format) {
    match growth.what.as_str() {
        SECONDS => ("time", time),
        RPCS => ("RPCs", count),
        MEMORY => ("memory held", number::bytes),
        _ => ("something else", format::decimal),
    }
}

/// Returns the power with its bounds: `n^0.83 (0.56 to 1.11), last step n^0.98`.
pub fn power(growth: &Growth) -> String {
    let Estimate { estimate, low, high } = growth.exponent;
    format!("n^{estimate:.2} ({low:.2} to {high:.2}), last step n^{:.2}", growth.last_step)
}

/// Lists the points: `1000: 2.10 ms, 10000: 19.92 ms`.
pub fn points(growth: &Growth) -> String {
    let (_, format) = cost_phrase(growth);
    growth.points.iter().map(|(n, y)| format!("{n}: {}", format(*y))).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::bench::example;

    #[test]
    fn worst_comparison_is_told_and_all_are_counted() {
        let mut file = example::compared(&[BenchVerdict::Same]);
        assert_eq!(sentence(&file).0, Some(BenchVerdict::Same));
        let same =
            "Listing huge-flat takes the same on 6.1+slow-readdir as on 6.1, within 5 %: cold 1.100 (1.090 to 1.110), ";
        assert!(sentence(&file).1.starts_with(same), "{}", sentence(&file).1);
        file = example::compared(&[
            BenchVerdict::Faster,
            BenchVerdict::Slower,
            BenchVerdict::Undecided,
            BenchVerdict::Faster,
        ]);
        let (word, text) = sentence(&file);
        let slower = "Of 4 comparisons 1 is slower, 1 is undecided, 2 are faster. Listing huge-flat is slower on 6.1+slow-readdir than";
        assert!(word == Some(BenchVerdict::Slower) && text.starts_with(slower), "{text}");
    }

    #[test]
    fn bench_that_was_not_compared_is_told_by_its_growth_or_its_times() {
        let mut file = BenchFile { comparisons: Vec::new(), ..example::file() };
        let grown = "How the time of a listing of huge-flat on 6.1 (changing) grows with the entries: more than quadratic, \
                     n^-1.05 (-1.23 to -0.87), last step n^-1.01.";
        assert_eq!(sentence(&file), (None, grown.into()));
        file.growth.clear();
        let took = "A listing of huge-flat (100000 entries) on 6.1+slow-readdir takes 123456.79 s cold, ";
        assert!(sentence(&file).1.starts_with(took), "{}", sentence(&file).1);
        file.results.clear();
        assert_eq!(sentence(&file).1, "Nothing was measured.");
    }
}
