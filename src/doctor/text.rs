//! The checkup as text of 80 columns.

use super::examine::has_apt;
use super::programs::install;
use crate::result::doctor::{Check, Checkup, CostEstimate, Purpose, State};
use crate::text::layout::{WIDTH, list};
use crate::text::truncate::head_of;

/// Where what is told of a state begins.
const INDENT: &str = "            ";

const PURPOSES: [(Purpose, &str); 7] = [
    (Purpose::Guests, "Running guests"),
    (Purpose::Building, "Building kernels"),
    (Purpose::Fetching, "Fetching kernel sources and knfsd's programs"),
    (Purpose::OwnKernels, "Kernel images and packages of your own"),
    (Purpose::Trees, "Source trees, bisect"),
    (Purpose::Exports, "Scenarios whose export is on ext4, XFS or Btrfs"),
    (Purpose::Host, "This machine's own kernel: dirleak host"),
];

/// Tells what there is, what is missing, and what a verify would take.
pub fn render(checkup: &Checkup) -> String {
    let has_apt = has_apt(&checkup.checks);
    let mut text = String::new();
    for (purpose, title) in PURPOSES {
        let checks: Vec<&Check> = checkup.checks.iter().filter(|check| check.purpose == purpose).collect();
        text += &format!("{title}\n");
        for state in [State::Ok, State::Missing, State::Optional] {
            text += &programs(&checks, state, has_apt);
        }
        let told = checks.iter().filter(|check| check.detail.is_some());
        text.extend(told.map(|check| one(check)));
    }
    text + "\n" + &verify(&checkup.verify)
}

/// Lists on one line the checks of which nothing is to be said but that the thing is there or not.
fn programs(checks: &[&Check], state: State, has_apt: bool) -> String {
    let plain: Vec<&&Check> = checks.iter().filter(|c| c.state == state && c.detail.is_none()).collect();
    if plain.is_empty() {
        return String::new();
    }
    let text = list(&first(state), INDENT, plain.iter().map(|check| check.name.as_str()), ", ", WIDTH);
    if state == State::Ok {
        return text;
    }
    let mut packages: Vec<&str> = plain.iter().filter_map(|check| check.package).collect();
    packages.sort_unstable();
    packages.dedup();
    text + &mend(&install(&packages, has_apt))
}

fn one(check: &Check) -> String {
    let words = format!("{}: {}", check.name, check.detail.as_deref().unwrap_or_default());
    let text = list(&first(check.state), INDENT, words.split_whitespace(), " ", WIDTH);
    text + &check.mend.as_deref().map_or(String::new(), mend)
}

fn first(state: State) -> String {
    let word = match state {
        State::Ok => "ok",
        State::Missing => "missing",
        State::Optional => "optional",
    };
    format!("  {word:8}  ")
}

fn mend(command: &str) -> String {
    let first = format!("{INDENT}mend: ");
    list(&first, &" ".repeat(first.len()), command.split_whitespace(), " ", WIDTH)
}

fn verify(course: &CostEstimate) -> String {
    let mut text = "dirleak verify would take\n".to_owned();
    for kernel in &course.kernels {
        text += &format!("  kernel      {}: {}\n", head_of(&kernel.spec, 30), kernel.step.as_str());
    }
    text += &format!("  download    {} MB\n", course.download_bytes.div_ceil(1_000_000));
    text += &format!("  disk        {} MB\n", course.disk_bytes.div_ceil(1_000_000));
    text += &format!("  memory      {} MiB for the largest guest\n", course.largest_guest_mib);
    text += &format!("  time        about {}\n", minutes(course.seconds));
    text
}

fn minutes(seconds: f64) -> String {
    match (seconds / 60.0).ceil() {
        n if n <= 1.0 => "a minute".into(),
        n => format!("{n:.0} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_fits_80_columns_and_has_no_control_characters() {
        let long = "/a/very/long/path".repeat(3);
        let program = |name: &str, state| Check {
            name: name.into(),
            purpose: Purpose::Building,
            state,
            detail: None,
            package: Some("a-package-with-a-name"),
            mend: None,
        };
        let lacking = |detail: String| {
            let name = format!("disk of {long}");
            Check::lacking(&name, Purpose::Building, true, detail, "x ".repeat(60))
        };
        let mut checks: Vec<Check> = (0..30).map(|n| program(&format!("program-{n}"), State::Missing)).collect();
        checks.push(program("make", State::Ok));
        checks.push(lacking("too small".into()));
        checks.push(Check::ok("memory", Purpose::Guests, "enough ".repeat(30)));
        let verify = CostEstimate::example(true, true);
        let text = render(&Checkup { schema: 1, dirleak: "0", checks, verify });
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert!(text.contains("Building kernels\n  ok        make\n  missing   program-0, program-1,"), "{text}");
        let mend = "mend: install what Debian has in a-package-with-a-name\n";
        assert!(text.contains(mend), "a package is named once: {text}");
        assert!(text.contains("  time        about 7 minutes\n"), "{text}");
    }
}
