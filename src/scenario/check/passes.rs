//! What a pass over a directory can be told at once.

use super::complaint::{Check, complain, in_range};
use crate::scenario::pass::{DirSelector, Errno, Position, ReadCall};
use crate::scenario::step::Pass;
use crate::scenario::types::Scenario;
use nfs_fault_server::dirtree::spec::Shape;

const KEY: &str = "unit";
const MAX_READERS: u32 = 64;
const MAX_SIGNALS_EVERY_US: u32 = 1_000_000;
/// A name of n bytes takes 19 bytes before it and one behind it, rounded up to 8 (`struct linux_dirent64`).
const RECORD_FRAME_BYTES: usize = 20;

/// Refuses the first thing that cannot be.
pub(crate) fn check(pass: &Pass, scenario: &Scenario) -> Check {
    in_range(KEY, pass.mount, 1, scenario.mount.count)?;
    in_range(KEY, pass.threads, 1, MAX_READERS)?;
    in_range(KEY, pass.processes, 1, MAX_READERS)?;
    in_range(KEY, pass.signals_every_us, 0, MAX_SIGNALS_EVERY_US)?;
    places(pass)?;
    directories(pass, scenario)?;
    for (is_asked, what, clash) in exclusions(pass, scenario) {
        if let Some(other) = clash.filter(|_| is_asked) {
            return complain(KEY, format!("a `list` with {what} cannot have {other}"));
        }
    }
    buffer(pass, scenario)
}

/// Refuses directories that are not there.
fn directories(pass: &Pass, scenario: &Scenario) -> Check {
    let DirSelector::Directories(numbers) = &pass.of else { return Ok(()) };
    let last = scenario.directory.shape.directories();
    match numbers.iter().find(|number| **number as u64 > last) {
        Some(number) => {
            complain(KEY, format!("a `list` of directory {number} cannot be: the last has the number {last}"))
        }
        None if numbers.is_empty() => complain(KEY, "a `list` of no directory; name some in `of.directories`"),
        None => Ok(()),
    }
}

fn places(pass: &Pass) -> Check {
    if matches!(pass.from, Position::After(_)) {
        return complain(KEY, "a `list` begins at the first entry or, with `from = \"middle\"`, in the middle");
    }
    let is_whole = pass.to == Position::Outside && pass.middle.is_empty() && pass.every.is_none();
    if pass.from == Position::Middle && !(is_whole && pass.seeks == 0 && pass.rewinds == 0) {
        return complain(KEY, "a `list` from the middle goes to the end, and does nothing in between");
    }
    match pass.every.as_ref().map(|every| (every.entries, every.milliseconds)) {
        Some((None, None) | (Some(_), Some(_))) => {
            complain(KEY, "`every` needs one of `entries` and `milliseconds`, which say how often")
        }
        Some((Some(0), _)) => complain(KEY, "`every.entries` is 0; it must be at least 1"),
        Some((_, Some(0))) => complain(KEY, "`every.milliseconds` is 0; it must be at least 1"),
        _ => Ok(()),
    }
}

/// Returns what goes with few other things: whether it is asked for, what it is called, and what is asked for that it
/// does not go with.
fn exclusions(pass: &Pass, scenario: &Scenario) -> [(bool, &'static str, Option<&'static str>); 6] {
    let asked = [
        (pass.from != Position::Outside, "`from`"),
        (pass.to != Position::Outside, "`to`"),
        (!pass.middle.is_empty(), "`middle`"),
        (pass.every.is_some(), "`every`"),
        (pass.seeks > 0, "`seeks`"),
        (pass.rewinds > 0, "`rewinds`"),
        (pass.killed, "`killed`"),
        (pass.signals_every_us > 0, "`signals_every_us`"),
        (pass.threads > 1, "`threads`"),
        (pass.processes > 1, "`processes`"),
        (pass.getdents_buffer_bytes.is_some(), "`getdents_buffer_bytes`"),
        (pass.stat, "`stat`"),
        (pass.by == ReadCall::Readdir, "`by = \"readdir\"`"),
    ];
    let first_but = |fine: &[&str]| {
        asked.iter().filter(|(is_asked, _)| *is_asked).map(|(_, name)| *name).find(|name| !fine.contains(name))
    };
    let walks = pass.of == DirSelector::All && scenario.directory.shape != Shape::Flat;
    let several = matches!(pass.of, DirSelector::Directories(_));
    let buffer = "`getdents_buffer_bytes`";
    [
        (
            walks,
            "all directories of a shape",
            first_but(&[buffer, "`stat`", "`by = \"readdir\"`", "`processes`", "`threads`"]),
        ),
        (several, "`of.directories`", first_but(&[buffer, "`stat`", "`by = \"readdir\"`"])),
        (
            pass.by == ReadCall::Readdir,
            "`by = \"readdir\"`",
            first_but(&["`by = \"readdir\"`", "`stat`", "`to`", "`processes`"]),
        ),
        (pass.threads > 1, "`threads`", first_but(&["`threads`", buffer])),
        (pass.processes > 1, "`processes`", first_but(&["`processes`", buffer, "`stat`", "`by = \"readdir\"`"])),
        (pass.killed, "`killed`", first_but(&["`killed`", buffer, "`stat`"])),
    ]
}

/// Refuses a buffer that a name does not fit: it makes a listing fail, which must be meant.
fn buffer(pass: &Pass, scenario: &Scenario) -> Check {
    let bytes = pass.getdents_buffer_bytes.unwrap_or(scenario.listing.getdents_buffer_bytes);
    let longest = scenario.directory.names.longest_bytes(scenario.directory.entries);
    let needed = (RECORD_FRAME_BYTES + longest).next_multiple_of(8);
    if pass.by == ReadCall::Getdents && bytes < needed && pass.expected_error != Some(Errno::Einval) {
        let message = format!(
            "a getdents buffer of {bytes} bytes is too small for names of {longest}, which need {needed}; make it larger, or say \
             that the `list` must end with `fails = \"EINVAL\"`"
        );
        return complain("listing.getdents_buffer_bytes", message);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::scenario::load::parse;

    /// Makes a scenario of 150 names of 200 bytes with this pass, and with a shape if one is said.
    fn with(pass: &str, shape: &str) -> Result<(), String> {
        let text = include_str!("../../../scenarios/quick.toml").replace("[mount]", &format!("{shape}\n[mount]"));
        let text = format!("{text}\n[unit]\nsteps = [\"list\", {{ list = {{ {pass} }} }}]\n");
        parse("x.toml", &text).map(|_| ()).map_err(|e| e.to_string())
    }

    const MANY: &str = "shape = { many = { directories = 3 } }";

    #[test]
    fn keys_that_do_not_go_together_are_told() {
        for (pass, shape, expected) in [
            ("threads = 2, seeks = 1", "", "a `list` with `threads` cannot have `seeks`"),
            ("processes = 2, middle = [\"evict\"]", "", "a `list` with `processes` cannot have `middle`"),
            ("by = \"readdir\", rewinds = 1", "", "a `list` with `by = \"readdir\"` cannot have `rewinds`"),
            ("killed = true, threads = 2", "", "cannot have `"),
            ("of = { directories = [1, 4] }", MANY, "a `list` of directory 4 cannot be: the last has the number 3"),
            ("of = { directories = [] }", MANY, "a `list` of no directory"),
            ("of = { directories = [1] }, threads = 2", MANY, "a `list` with `of.directories` cannot have `threads`"),
            ("to = 5", MANY, "a `list` with all directories of a shape cannot have `to`"),
            ("mount = 2", "", "must be between 1 and 1"),
            ("threads = 0", "", "must be between 1 and 64"),
            ("from = 5", "", "with `from = \"middle\"`, in the middle"),
            ("from = \"middle\", seeks = 1", "", "goes to the end, and does nothing in between"),
            ("every = { entries = 0, steps = [] }", "", "`every.entries` is 0"),
            ("every = { milliseconds = 0, steps = [] }", "", "`every.milliseconds` is 0"),
            ("every = { steps = [] }", "", "needs one of `entries` and `milliseconds`"),
            ("getdents_buffer_bytes = 216", "", "too small for names of 200, which need 224"),
        ] {
            let error = with(pass, shape).unwrap_err();
            assert!(error.contains(expected) && !error.contains('\n'), "{pass}: {error}");
        }
    }

    #[test]
    fn keys_that_go_together_are_taken() {
        for (pass, shape) in [
            ("seeks = 3, rewinds = 1, to = 100, stat = true", ""),
            ("getdents_buffer_bytes = 224", ""),
            ("getdents_buffer_bytes = 24, fails = \"EINVAL\"", ""),
            ("to = 5, of = \"drawn\"", MANY),
            ("threads = 4", MANY),
        ] {
            with(pass, shape).unwrap();
        }
    }
}
