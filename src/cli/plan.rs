//! What a command is about to do before the first guest boots, told at once: nobody should wonder what the next minutes are spent on.

use crate::doctor::request::CheckRequest;
use crate::error::Result;
use crate::kernel::source::catalog::Catalog;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::doctor::CostEstimate;
use crate::scenario::Scenario;

/// Tells what is fetched and built, and about how long that and the guests take, if anything is. Nothing is told of kernels of the user's,
/// as what is left to be done for a tree is known only when it was read. What is misspelt is an error, told before what would be done for it.
pub fn tell(kernels: &[String], scenarios: &[Scenario], cache: &Cache, ui: &Ui) -> Result<()> {
    let catalog = Catalog::load()?;
    let is_named = |spec: &String| spec.split([':', '+']).next().is_some_and(|name| catalog.series(name).is_some());
    if !kernels.iter().all(is_named) {
        return Ok(());
    }
    let question = CheckRequest { kernels: kernels.to_vec(), scenarios: scenarios.to_vec() };
    let cost = CostEstimate::from_cache(&question, cache)?;
    if let Some(sentence) = sentence(&cost) {
        ui.line(&sentence);
    }
    Ok(())
}

/// Says it in a sentence, unless kernels and programs are all there. How fast the connection is nobody knows before.
fn sentence(cost: &CostEstimate) -> Option<String> {
    let mut parts = Vec::new();
    if cost.fetches() {
        parts.push(format!("fetches {} MB", cost.download_bytes.div_ceil(1_000_000)));
    }
    if cost.builds() {
        let what = if cost.builds_kernels() { "a kernel" } else { "the modules of the patch" };
        parts.push(format!("builds {what} in about {}", duration(cost.build_seconds)));
    }
    if parts.is_empty() {
        return None;
    }
    let runs = format!("{} on {}", many(cost.scenarios.len(), "scenario"), many(cost.kernels.len(), "kernel"));
    Some(format!("{}, then judges {runs} in about {}", parts.join(", "), duration(cost.run_seconds)))
}

fn many(count: usize, thing: &str) -> String {
    if count == 1 { format!("a {thing}") } else { format!("{count} {thing}s") }
}

/// Rounds to what an estimate is worth: 10 s, from two minutes on minutes.
fn duration(seconds: f64) -> String {
    if seconds < 120.0 {
        format!("{:.0} s", (seconds / 10.0).ceil() * 10.0)
    } else {
        format!("{:.0} minutes", seconds / 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentence_says_what_is_to_be_done_and_nothing_of_what_is_there() {
        let cost = CostEstimate::example(true, true);
        let expected =
            "fetches 160 MB, builds a kernel in about 5 minutes, then judges 2 scenarios on 2 kernels in about 70 s";
        assert_eq!(sentence(&cost).unwrap(), expected);
        let begin = "builds a kernel in about 5 minutes, then";
        assert!(sentence(&CostEstimate::example(true, false)).unwrap().starts_with(begin));
        assert_eq!(sentence(&CostEstimate::example(false, false)), None);
    }

    #[test]
    fn one_is_not_counted() {
        let mut cost = CostEstimate::example(false, true);
        cost.kernels.truncate(1);
        cost.scenarios.truncate(1);
        assert_eq!(sentence(&cost).unwrap(), "fetches 160 MB, then judges a scenario on a kernel in about 70 s");
    }

    #[test]
    fn durations_are_rounded_up_to_ten_seconds_and_then_to_minutes() {
        assert_eq!([4.0, 31.0, 119.0, 121.0, 400.0].map(duration), ["10 s", "40 s", "120 s", "2 minutes", "7 minutes"]);
    }
}
