//! The header of a patch in `vm/patches/`: what it puts into a kernel, and what must be seen of it.

use crate::error::{Error, Result};
use crate::sample::CounterKind;
use std::collections::BTreeMap;

/// What a patch says of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The name of the patch, as it stands behind `+` in a kernel's name.
    pub name: String,
    /// The scenario that triggers it.
    pub scenario: String,
    /// Other scenarios that catch it.
    pub also: Vec<String>,
    /// Whether late frees are to be waited for, in seconds.
    pub settle_seconds: f64,
    /// Whether it is enough that a leak is not called clean: it comes too rarely to be proven in a run of the usual length.
    pub may_be_undecided: bool,
    /// Who asks for the allocations without whose failure nothing leaks; nobody of patches that leak anyway, or never.
    pub fails: Vec<String>,
    pub kind: Kind,
}

/// Whether a patch leaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// It does.
    Leak(Leak),
    /// It grows and does not leak.
    Honest,
}

/// What leaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Leak {
    pub class: String,
    pub source: CounterKind,
    /// The slab cache or other counter.
    pub counter: String,
    /// The function that must be named.
    pub function: String,
    /// Objects per unit; or, of what saturates, objects at unmount.
    pub rate: f64,
}

/// Reads the header of the patch called `name`: the block of `Key: value` lines behind the licence.
pub fn parse(name: &str, text: &str) -> Result<Header> {
    let wrong = |what: String| Error::usage(format!("the header of the patch {name} {what}"));
    let block = text.split("\n\n").nth(1).unwrap_or_default();
    let keys: BTreeMap<&str, &str> = block.lines().filter_map(|line| line.split_once(": ")).collect();
    let get = |key: &str| keys.get(key).copied().ok_or_else(|| wrong(format!("lacks the line \"{key}: ...\"")));
    let scenario = get("Scenario")?.to_owned();
    let also = keys.get("Also").map_or(Vec::new(), |names| names.split(", ").map(str::to_owned).collect());
    let settle_seconds = match keys.get("Arguments").map(|words| words.split_whitespace().collect::<Vec<_>>()) {
        None => 0.0,
        Some(words) => match words.as_slice() {
            ["--settle", seconds] => {
                seconds.parse().map_err(|_| wrong(format!("settles for \"{seconds}\" seconds")))?
            }
            _ => return Err(wrong("has arguments other than \"--settle SECONDS\"".into())),
        },
    };
    let may_be_undecided = keys.get("Expect").is_some_and(|expected| *expected == "not clean");
    let kind = if keys.contains_key("Honest") {
        Kind::Honest
    } else {
        get("Leaks")?;
        let source = get("Source")?;
        let rate = get("Rate")?;
        Kind::Leak(Leak {
            class: get("Class")?.into(),
            source: serde_json::from_value(source.into()).map_err(|_| wrong(format!("has no source \"{source}\"")))?,
            counter: get("Counter")?.into(),
            function: get("Function")?.into(),
            rate: rate
                .split(' ')
                .next()
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| wrong(format!("has the rate \"{rate}\", which does not begin with a number")))?,
        })
    };
    let fails = keys.get("Fails").map_or(Vec::new(), |names| names.split(", ").map(str::to_owned).collect());
    Ok(Header { name: name.into(), scenario, also, settle_seconds, may_be_undecided, fails, kind })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_patch_that_ships_has_a_header_with_a_scenario_that_ships() {
        let patches = crate::score::row::patches("6.1").unwrap();
        let honest = patches.iter().filter(|header| header.kind == Kind::Honest).count();
        assert!(honest >= 6, "{honest} honest patches");
        assert!(patches.len() - honest >= 16, "{} leak patches", patches.len() - honest);
        for header in patches {
            for scenario in [&header.scenario].into_iter().chain(&header.also) {
                crate::scenario::load(scenario).unwrap_or_else(|e| panic!("{}: {e}", header.name));
            }
            let alone = header.also.is_empty() || header.also.contains(&header.scenario);
            assert!(header.kind == Kind::Honest || !alone, "{} is caught by one scenario only", header.name);
        }
    }

    #[test]
    fn line_that_is_missing_or_wrong_is_named() {
        let text = include_str!("../../vm/patches/6.1/spare-pages.patch");
        let Kind::Leak(leak) = parse("spare-pages", text).unwrap().kind else { panic!("it leaks") };
        assert_eq!((leak.rate, leak.function.as_str()), (25.0, "nfs_readdir_page_array_append"));
        let error = |from: &str, to: &str| parse("x", &text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error("Rate: 25 ", "Rate: many ").contains("does not begin with a number"));
        assert!(error("\nFunction: ", "\nFunktion: ").contains("lacks the line \"Function: ...\""));
        assert!(error("Source: slab", "Source: slabs").contains("no source \"slabs\""));
    }
}
