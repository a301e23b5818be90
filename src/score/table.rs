//! The score as a table in Markdown.

use super::{Row, recipe_accuses, recipe_sees};
use crate::report::number;
use std::fmt::Write;

/// What the columns mean, above the table.
const LEGEND: &str = "\
`caught` is dirleak's verdict for a kernel with the patch in the scenario that triggers it: the leak in its counter, with the
function named and the header's rate within the bounds of the measured one. The plain recipe drops the caches twice and reads
/proc/slabinfo before and after 20 units: it sees the leak if the counter grew by at least half of what the rate promises,
and it accuses whichever cache grew most, if that is half an object per unit. kmemleak scans twice after the same
20 units: it sees the leak if it reports objects of the function. Both run in a guest of their own, without dirleak's
debugging options. `*` marks what is wrong.\n\n";

/// Rows as Markdown, leaks first.
pub fn markdown(rows: &[Row]) -> String {
    let (honest, leaks): (Vec<&Row>, Vec<&Row>) = rows.iter().partition(|row| row.rate.is_none());
    let right = |rows: &[&Row]| rows.iter().filter(|row| row.all_right()).count();
    let mut text = format!(
        "{} of {} leaks caught with the right function and rate, {} of {} honest growths not accused.\n\n{LEGEND}",
        right(&leaks),
        leaks.len(),
        right(&honest),
        honest.len()
    );
    text += "| leak patch | scenario | caught | function | rate | measured | s | plain recipe | kmemleak |\n";
    text += "|---|---|---|---|---|---|---|---|---|\n";
    leaks.iter().for_each(|row| leak(row, &mut text));
    text += "\n| honest patch | scenario | dirleak | s | plain recipe | kmemleak |\n|---|---|---|---|---|---|\n";
    honest.iter().for_each(|row| honest_row(row, &mut text));
    text
}

fn leak(row: &Row, text: &mut String) {
    let mark = |right: Option<bool>| if right == Some(false) { "*" } else { "" };
    let found = row.found.as_ref();
    let site = found.and_then(|f| f.call_sites.first()).map_or("-", |site| site.function.as_str());
    let measured = found.map_or("-".into(), |f| match f.source {
        crate::report::record::Source::Unmount => format!("{} at unmount", f.net_objects),
        _ => format!("{} ({})", number::rate(f.objects_per_listing.estimate), number::bounds(&f.objects_per_listing)),
    });
    let (recipe, kmemleak) = others(row);
    let _ = writeln!(
        text,
        "| {} | {} | {}{} | `{site}`{} | {} {} | {measured}{} | {:.1} | {recipe} | {kmemleak} |",
        row.patch,
        row.scenario,
        row.verdict.word(),
        mark(Some(row.right)),
        mark(row.function_right),
        row.rate.unwrap_or(0.0),
        row.counter.as_deref().unwrap_or("-"),
        mark(row.rate_right),
        row.seconds,
    );
}

fn honest_row(row: &Row, text: &mut String) {
    let (recipe, kmemleak) = others(row);
    let mark = if row.right { "" } else { "*" };
    let (patch, scenario, verdict, seconds) = (&row.patch, &row.scenario, row.verdict.word(), row.seconds);
    let _ = writeln!(text, "| {patch} | {scenario} | {verdict}{mark} | {seconds:.1} | {recipe} | {kmemleak} |");
}

/// What the plain recipe and kmemleak say.
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
