//! Which answers of a guest are believed: its kernel may be broken or hostile, so numbers, names and maps have bounds that no honest
//! guest meets.

use super::message::{Ready, Response, RoundStats};
use crate::coverage::counters::FileCounters;
use crate::probe::procfs::MOST;
use crate::sample::{Sample, Site, SourceLine};
use crate::text::sanitize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Of a cache, a counter, a function of the kernel (KSYM_NAME_LEN is 512), and of any key.
const MOST_NAME_BYTES: usize = 512;
/// Of a sentence; what is behind it is left out.
const MOST_SENTENCE_BYTES: usize = 4096;
/// A kernel has some two hundred caches.
const MOST_NAMES: usize = 4096;
/// Frames of a stack; SLUB keeps 16.
const MOST_FRAMES: usize = 256;
/// Names of a directory have lengths up to 255, and an allocation holds one.
const MOST_LENGTH: u64 = 4096;
/// So much of a line is shown that cannot be believed.
const SHOWN_BYTES: usize = 120;
/// Texts that are shown to nobody as they are: outputs of programs, and calls.
const TEXTS: [&str; 3] = ["stdout", "stderr", "lines"];
/// Sentences, in which a file's name may stand.
const SENTENCES: [&str; 3] = ["message", "broken", "untraceable"];

/// Reads what a line says, or what is wrong with it.
pub fn parse_response(line: &[u8]) -> Result<Response, String> {
    let shown = || {
        format!(
            "{:?}",
            sanitize::beginning(&String::from_utf8_lossy(&line[..line.len().min(SHOWN_BYTES)]), SHOWN_BYTES)
        )
    };
    let mut value: Value = serde_json::from_slice(line).map_err(|_| format!("no answer: {}", shown()))?;
    check_value("", &mut value)?;
    let answer: Response = serde_json::from_value(value).map_err(|_| format!("no answer: {}", shown()))?;
    check_response(&answer)?;
    Ok(answer)
}

/// Checks what holds of everything that is ever said, and cuts sentences.
fn check_value(key: &str, value: &mut Value) -> Result<(), String> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Number(number) => match number.as_f64() {
            Some(number) if number.abs() <= MOST as f64 => Ok(()),
            _ => Err(format!("the number {number}")),
        },
        Value::String(text) if TEXTS.contains(&key) => {
            *text = sanitize::text(text).into_owned();
            Ok(())
        }
        Value::String(text) if SENTENCES.contains(&key) => {
            *text = sanitize::text(sanitize::beginning(text, MOST_SENTENCE_BYTES)).into_owned();
            Ok(())
        }
        Value::String(text) => check_name(text),
        Value::Array(values) => values.iter_mut().try_for_each(|value| check_value(key, value)),
        Value::Object(fields) if fields.len() > MOST_NAMES => Err(format!("{} names at once", fields.len())),
        Value::Object(fields) => fields.iter_mut().try_for_each(|(key, value)| {
            check_name(key)?;
            check_value(key, value)
        }),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let shown = sanitize::beginning(name, SHOWN_BYTES);
    if sanitize::is_line(name, MOST_NAME_BYTES) { Ok(()) } else { Err(format!("the name {shown:?}")) }
}

/// Checks what holds of each kind of answer.
fn check_response(answer: &Response) -> Result<(), String> {
    match answer {
        Response::Ready(Ready { name_allocations, missing_sources, before_mount, sites_before_mount, .. }) => {
            check_allocations(name_allocations)?;
            if missing_sources.len() > MOST_NAMES {
                return Err(format!("{} missing sources", missing_sources.len()));
            }
            check_sample(before_mount)?;
            check_sites(sites_before_mount)
        }
        Response::Worked(worked) => check_round_stats(worked),
        Response::Held(held) => {
            let all = [Some(held.files), Some(held.eventfds), Some(held.pages), held.filters];
            match all.iter().flatten().find(|held| **held < 1) {
                Some(held) => Err(format!("{held} things held")),
                None if held.eventfd_caches.len() > MOST_NAMES => Err(format!("{} caches", held.eventfd_caches.len())),
                None => Ok(()),
            }
        }
        Response::Sample { sample, settled_seconds, clock_seconds } => {
            check_time(settled_seconds.unwrap_or_default())?;
            check_time(*clock_seconds)?;
            check_sample(sample)
        }
        Response::Coverage { files } if files.len() > MOST_NAMES => Err(format!("counters of {} files", files.len())),
        Response::Coverage { files } => files.iter().try_for_each(FileCounters::check),
        Response::Step { seconds, .. } => check_time(*seconds),
        Response::Allocinfo { lines: Some(lines) } => check_lines(lines),
        Response::Sites { sites } | Response::Traced { sites: Some(sites) } => check_sites(sites),
        _ => Ok(()),
    }
}

fn check_allocations(allocations: &[(u64, u64)]) -> Result<(), String> {
    match allocations.iter().find(|(length, _)| !(1..=MOST_LENGTH).contains(length)) {
        Some((length, _)) => Err(format!("names of {length} bytes")),
        None if allocations.len() as u64 > MOST_LENGTH => Err(format!("names of {} lengths", allocations.len())),
        None => Ok(()),
    }
}

fn check_round_stats(worked: &RoundStats) -> Result<(), String> {
    check_time(worked.listing_seconds)?;
    check_time(worked.seconds)?;
    check_time(worked.busy_seconds)?;
    check_time(worked.clock_seconds)?;
    match worked.cold_listings.max(worked.complete_listings) {
        more if more > worked.listings => Err(format!("{more} of {} listings", worked.listings)),
        _ if worked.failures.units > worked.listings => {
            Err(format!("{} failures in {} listings", worked.failures.units, worked.listings))
        }
        _ if worked.failures.stack.len() > MOST_FRAMES => {
            Err(format!("a stack of {} frames", worked.failures.stack.len()))
        }
        _ if worked.faults.len() > MOST_NAMES => Err(format!("{} faults", worked.faults.len())),
        _ if worked.left_out.len() > MOST_NAMES => Err(format!("{} operations left out", worked.left_out.len())),
        _ => Ok(()),
    }
}

fn check_time(seconds: f64) -> Result<(), String> {
    if seconds >= 0.0 { Ok(()) } else { Err(format!("a time of {seconds} s")) }
}

fn check_sample(sample: &Sample) -> Result<(), String> {
    if sample.objects.is_empty() { Err("a reading of nothing".into()) } else { Ok(()) }
}

fn check_sites(sites: &BTreeMap<String, Vec<Site>>) -> Result<(), String> {
    let wrong = sites.values().flatten().find(|site| site.objects < 1 || site.stack.len() > MOST_FRAMES);
    wrong.map_or(Ok(()), |site| Err(format!("{} objects of {} frames", site.objects, site.stack.len())))
}

fn check_lines(lines: &[SourceLine]) -> Result<(), String> {
    let wrong = lines.iter().find(|line| line.bytes < 1 || line.calls < 1);
    match wrong {
        Some(line) => Err(format!("{} bytes in {} allocations", line.bytes, line.calls)),
        None if lines.len() > MOST_NAMES => Err(format!("{} lines of source", lines.len())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> String {
        parse_response(line.as_bytes()).map(|answer| panic!("{answer:?} is believed")).unwrap_err()
    }

    #[test]
    fn honest_guests_are_believed() {
        for line in [
            r#"{"answer":"hello","release":"6.12.118+deb13-cloud-amd64"}"#,
            r#"{"answer":"sample","sample":{"objects":{"kmalloc-64":12,"pages":-3}},"settled_seconds":0.61}"#,
            r#"{"answer":"sample","sample":{"objects":{"a b(c:/d)":1}},"settled_seconds":null}"#,
            r#"{"answer":"sites","sites":{"kmalloc-64":[{"function":"","stack":["a","b"],"objects":1}],"dentry":[]}}"#,
            r#"{"answer":"traced","sites":null}"#,
            r#"{"answer":"coverage","files":[{"file":"fs/nfs/dir","stamp":9,"runs":[3,2],"counts":[1,7]}]}"#,
            r#"{"answer":"executed","ended":[{"status":0,"stdout":"one\ntwo","stderr":"","files":{"/a/b":[1,2]}}]}"#,
        ] {
            assert!(parse_response(line.as_bytes()).is_ok(), "{line}");
        }
    }

    #[test]
    fn lies_about_numbers_are_not_believed() {
        let sample = |objects: &str| {
            refused(&format!(r#"{{"answer":"sample","sample":{{"objects":{objects}}},"settled_seconds":0}}"#))
        };
        assert_eq!(sample(r#"{"dentry":9223372036854775807}"#), "the number 9223372036854775807");
        assert_eq!(sample(r#"{"dentry":-9223372036854775808}"#), "the number -9223372036854775808");
        assert_eq!(sample("{}"), "a reading of nothing");
        let time = r#"{"answer":"step","name":"x","seconds":"#;
        assert_eq!(refused(&format!("{time}1e300}}")), "the number 1e+300");
        assert_eq!(refused(&format!("{time}-1}}")), "a time of -1 s");
        assert!(refused(&format!("{time}1e999}}")).starts_with("no answer: "));
        assert!(refused(&format!("{time}NaN}}")).starts_with("no answer: "));
        let site = |objects| {
            refused(&format!(
                r#"{{"answer":"sites","sites":{{"x":[{{"function":"f","stack":[],"objects":{objects}}}]}}}}"#
            ))
        };
        assert_eq!(site("0"), "0 objects of 0 frames");
        assert_eq!(site("-5"), "-5 objects of 0 frames");
        let line = r#"{"file":"mm/util.c","line":93,"function":"f","module":null,"bytes":64,"calls":0}"#;
        let lines = format!(r#"{{"answer":"allocinfo","lines":[{line}]}}"#);
        assert_eq!(refused(&lines), "64 bytes in 0 allocations");
        assert!(parse_response(lines.replace(r#""calls":0"#, r#""calls":1"#).as_bytes()).is_ok());
        let counters = r#"{"answer":"coverage","files":[{"file":"fs/nfs/dir","stamp":9,"runs":[3,2],"counts":[1]}]}"#;
        assert_eq!(refused(counters), "1 counts of 2 counters");
        let held =
            r#"{"answer":"held","files":9,"eventfds":5,"eventfd_caches":[],"pages":5,"pages_owned":null,"filters":0}"#;
        assert_eq!(refused(held), "0 things held");
    }

    #[test]
    fn claim_of_more_than_was_done_is_not_believed() {
        let worked = |listings: u64, cold: u64| {
            let worked = RoundStats { listings, cold_listings: cold, ..RoundStats::default() };
            serde_json::to_string(&Response::Worked(worked)).unwrap()
        };
        assert!(parse_response(worked(5, 5).as_bytes()).is_ok());
        assert_eq!(refused(&worked(5, 6)), "6 of 5 listings");
        let negative = worked(5, 5).replace("\"listings\":5", "\"listings\":-5");
        assert!(refused(&negative).starts_with("no answer: "), "{negative}");
    }

    #[test]
    fn names_and_sentences_give_the_terminal_no_orders() {
        assert!(refused(r#"{"answer":"hello","release":"6.1\u001b[2J"}"#).starts_with("the name "));
        assert!(refused(r#"{"answer":"slabinfo","objects":{"a\nok 1 b":1}}"#).starts_with("the name "));
        assert!(refused(&format!(r#"{{"answer":"hello","release":"{}"}}"#, "6".repeat(513))).len() < 200);
        let message =
            format!(r#"{{"answer":"trouble","trouble":"failed","message":"\u001b[31m{}"}}"#, "x".repeat(9999));
        match parse_response(message.as_bytes()) {
            Ok(Response::Trouble { message, .. }) => {
                assert!(message.len() < 5000 && message.starts_with("\u{fffd}[31mx"))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_and_frames_that_are_too_many_are_not_believed() {
        let objects: Vec<_> = (0..5000).map(|n| format!("\"cache-{n}\":1")).collect();
        let line = format!(r#"{{"answer":"slabinfo","objects":{{{}}}}}"#, objects.join(","));
        assert_eq!(refused(&line), "5000 names at once");
        let stack = vec!["\"f\""; 300].join(",");
        let site =
            format!(r#"{{"answer":"traced","sites":{{"x":[{{"function":"f","stack":[{stack}],"objects":1}}]}}}}"#);
        assert_eq!(refused(&site), "1 objects of 300 frames");
        assert!(refused(&"[".repeat(100_000)).starts_with("no answer: "), "deeper than a stack");
    }
}
