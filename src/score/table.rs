//! The score as tables in Markdown.

use super::by_patch::{by_patch, share};
use super::report::Score;
use super::row::{Row, recipe_accuses, recipe_sees};
use super::{catches, clean, explored};
use crate::sample::CounterKind;
use crate::stats::estimate::median;
use crate::text::number;
use std::fmt::Write;

/// What the columns mean, above the table.
const LEGEND: &str = "\
`caught` is dirleak's verdict for a kernel with the patch in the scenario that triggers it: the leak in its counter. `function` counts the
runs that named the header's function, `rate` those whose bounds contain the header's rate; `measured` is the first run. The plain recipe
drops the caches twice and reads /proc/slabinfo before and after 20 units: it sees the leak if the counter grew by at least half of
what the rate promises, and it accuses whichever cache grew most, if that is half an object per unit. kmemleak scans
twice after the same 20 units: it sees the leak if it reports objects of the function. Both run in a guest of their
own, without dirleak's debugging options. `*` marks what is wrong.\n\n";

/// Returns the whole score, `command` being what made it.
pub fn markdown(score: &Score, command: &str) -> String {
    let version = &score.source_version;
    let mut text = format!("# How often dirleak is right\n\nMade by `{command}` on Linux {version}.\n\n");
    if !score.rows.is_empty() {
        text += &patches(&score.rows);
    }
    if !score.catches.is_empty() {
        let table = catches::markdown(&score.catches, &score.rows);
        let _ = write!(text, "\n## Which scenarios catch which leak\n\n{table}");
    }
    if !score.clean.is_empty() {
        let _ = write!(text, "\n## The kernel as it is\n\n{}", clean::markdown(&score.clean));
    }
    if !score.explored.is_empty() {
        let _ = write!(text, "\n## Found by random workloads\n\n{}", explored::markdown(&score.explored));
    }
    text
}

/// All runs of one patch.
type Runs<'a> = Vec<&'a Row>;

fn patches(rows: &[Row]) -> String {
    let by_patch = by_patch(rows, |row| &row.patch);
    let (honest, leaks): (Vec<Runs>, Vec<Runs>) = by_patch.into_iter().partition(|runs| runs[0].rate.is_none());
    let (of_leaks, of_honest) = (leaks.concat(), honest.concat());
    let mut text = format!(
        "{} of {} runs caught the leak, {} with the right function and {} with bounds that contain the true rate; {} of {} runs did not \
         accuse honest growth.\n\n{LEGEND}",
        count(&of_leaks, |row| row.right),
        of_leaks.len(),
        count(&of_leaks, |row| row.function_right == Some(true)),
        count(&of_leaks, |row| row.rate_right == Some(true)),
        count(&of_honest, |row| row.right),
        of_honest.len()
    );
    text +=
        "| leak patch | scenario | caught | function | true rate | rate | measured | s | plain recipe | kmemleak |\n";
    text += "|---|---|---|---|---|---|---|---|---|---|\n";
    leaks.iter().for_each(|runs| leak(runs, &mut text));
    text += "\n| honest patch | scenario | not accused | s | plain recipe | kmemleak |\n|---|---|---|---|---|---|\n";
    honest.iter().for_each(|runs| honest_row(runs, &mut text));
    text
}

fn count(runs: &[&Row], is: impl Fn(&Row) -> bool) -> usize {
    runs.iter().filter(|row| is(row)).count()
}

fn leak(runs: &Runs, text: &mut String) {
    let row = runs[0];
    let measured = row.found.as_ref().map_or("-".into(), |f| match f.source {
        CounterKind::Unmount => format!("{} at unmount", f.net_objects),
        _ => format!("{} ({})", number::rate(f.objects_per_listing.estimate), f.objects_per_listing.bounds()),
    });
    let (recipe, kmemleak) = others(row);
    let _ = writeln!(
        text,
        "| {} | {} | {} | `{}` {} | {} {} | {} | {measured} | {:.1} | {recipe} | {kmemleak} |",
        row.patch,
        row.scenario,
        share(runs, |row| row.right),
        row.function.as_deref().unwrap_or("-"),
        share(runs, |row| row.function_right == Some(true)),
        row.rate.unwrap_or(0.0),
        row.counter.as_deref().unwrap_or("-"),
        share(runs, |row| row.rate_right == Some(true)),
        median(runs.iter().map(|row| row.seconds)).unwrap_or_default(),
    );
}

fn honest_row(runs: &Runs, text: &mut String) {
    let row = runs[0];
    let (recipe, kmemleak) = others(row);
    let not_accused = share(runs, |row| row.right);
    let seconds = median(runs.iter().map(|row| row.seconds)).unwrap_or_default();
    let (patch, scenario) = (&row.patch, &row.scenario);
    let _ = writeln!(text, "| {patch} | {scenario} | {not_accused} | {seconds:.1} | {recipe} | {kmemleak} |");
}

/// Returns what the plain recipe and kmemleak say.
fn others(row: &Row) -> (String, String) {
    let Some(others) = &row.others else { return ("not run".into(), "not run".into()) };
    if let Some(failed) = &others.failed {
        return (format!("failed: {failed}"), "failed".into());
    }
    let accuses = recipe_accuses(others).map(|(cache, n)| format!("accuses {cache} (+{n})"));
    let sees = row.counter.as_deref().zip(row.rate).is_some_and(|(counter, rate)| recipe_sees(others, counter, rate));
    let recipe = match (sees, accuses) {
        (true, _) => "sees it".into(),
        (false, Some(accuses)) => format!("{accuses}*"),
        (false, None) if row.rate.is_some() => "no*".into(),
        (false, None) => "silent".into(),
    };
    let kmemleak = match &others.kmemleak {
        None => "not available".into(),
        Some(reported) => match row.function.as_ref() {
            Some(function) => match reported.functions.get(function) {
                Some(n) => format!("sees {n}"),
                None => "no*".into(),
            },
            None if reported.objects > 0 => format!("accuses {} objects*", reported.objects),
            None => "silent".into(),
        },
    };
    (recipe, kmemleak)
}
