//! Finding scenarios by name, path or set, and reading their TOML with line and column in every complaint.

use super::check;
use super::overrides::Overrides;
use super::types::Scenario;
use crate::error::{Error, Result};
use crate::os::assets;
use std::ops::Range;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// Where the named scenarios are, in a checkout and in the program itself.
const SHELF: &str = "scenarios/";

/// Returns whether `word` is the path of a scenario, and no name: it contains `/` or ends in `.toml`.
fn is_path(word: &str) -> bool {
    word.contains('/') || word.ends_with(".toml")
}

/// Returns whether `word` is one scenario, by name or by path.
pub fn is_scenario(word: &str) -> bool {
    is_path(word) || names().iter().any(|name| name == word)
}

/// Loads the scenario called `word`: a name, or a path.
pub fn load(word: &str) -> Result<Scenario> {
    if is_path(word) {
        let text = std::fs::read_to_string(word)
            .map_err(|e| Error::usage(format!("cannot read the scenario file {word}: {}", plain(&e))))?;
        let mut scenario = parse(word, &text)?;
        scenario.beside = Path::new(word).parent().map(Path::to_owned).unwrap_or_default();
        return Ok(scenario);
    }
    let path = format!("{SHELF}{word}.toml");
    match assets::read(&path) {
        Some(text) => parse(&path, &text),
        None => Err(unknown("scenario", word, &names())),
    }
}

fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::InvalidData => "it is no text".into(),
        _ => error.to_string(),
    }
}

/// Returns the names of all scenarios, sorted.
pub fn names() -> Vec<String> {
    let mut names: Vec<String> = assets::list(SHELF)
        .iter()
        .filter_map(|path| path.strip_prefix(SHELF)?.strip_suffix(".toml").map(String::from))
        .filter(|name| !name.contains('/'))
        .collect();
    names.sort();
    names
}

/// Returns the scenarios that a command line asks for: those called by `words` and those of the set, or else the default
/// ones, each once, with the overrides applied.
pub fn select(words: &[String], set: Option<&str>, default: &[&str], overrides: &Overrides) -> Result<Vec<Scenario>> {
    let mut scenarios: Vec<Scenario> = words.iter().map(|word| load(word)).collect::<Result<_>>()?;
    if let Some(set) = set {
        scenarios.extend(members(set)?);
    } else if words.is_empty() {
        scenarios = default.iter().map(|word| load(word)).collect::<Result<_>>()?;
    }
    let mut chosen: Vec<Scenario> = Vec::new();
    for mut scenario in scenarios {
        overrides.apply(&mut scenario)?;
        match chosen.iter().find(|other| other.name == scenario.name) {
            None => chosen.push(scenario),
            Some(other) if *other == scenario => {}
            Some(_) => {
                let name = scenario.name;
                let message = format!("two different scenarios are called {name}; rename one of the files");
                return Err(Error::usage(message));
            }
        }
    }
    Ok(chosen)
}

fn members(set: &str) -> Result<Vec<Scenario>> {
    let all: Vec<Scenario> = names().iter().map(|name| load(name)).collect::<Result<_>>()?;
    let members: Vec<Scenario> = all.iter().filter(|s| s.sets.iter().any(|s| s == set)).cloned().collect();
    if members.is_empty() {
        let mut sets: Vec<String> = all.into_iter().flat_map(|s| s.sets).collect();
        sets.sort();
        sets.dedup();
        return Err(unknown("set of scenarios", set, &sets));
    }
    Ok(members)
}

/// Makes the error "unknown scenario `quik`; did you mean `quick`? There are …"
fn unknown(what: &str, word: &str, known: &[String]) -> Error {
    let closeness = |name: &String| strsim::jaro_winkler(name, word);
    let near = known.iter().max_by(|a, b| closeness(a).total_cmp(&closeness(b))).filter(|name| closeness(name) > 0.8);
    let hint = near.map_or(String::new(), |name| format!("; did you mean `{name}`?"));
    let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    Error::usage(format!("unknown {what} `{word}`{hint} (there are {list})"))
}

/// Reads a scenario's text; `shown` is its path, which names it and begins every complaint.
pub(super) fn parse(shown: &str, text: &str) -> Result<Scenario> {
    let mut scenario: Scenario = toml::from_str(text)
        .map_err(|e| Error::usage(format!("{}: {}", place(shown, text, e.span()), in_our_words(e.message()))))?;
    scenario.name = Path::new(shown).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    check::check(&scenario).map_err(|complaint| {
        let span = span_of(text, complaint.key);
        Error::usage(format!("{}: {}", place(shown, text, span), complaint.message))
    })?;
    Ok(scenario)
}

/// Returns `path:line:column`, both counted from 1; columns in characters.
fn place(shown: &str, text: &str, span: Option<Range<usize>>) -> String {
    let Some(before) = span.and_then(|span| text.get(..span.start)) else { return shown.to_owned() };
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{shown}:{line}:{column}")
}

/// Puts serde's complaint into our words: it speaks of fields and variants, a TOML file has keys and values.
fn in_our_words(message: &str) -> String {
    let words =
        [("unknown field", "unknown key"), ("missing field", "missing key"), ("unknown variant", "unknown value")];
    let message = words.iter().fold(message.to_owned(), |m, (theirs, ours)| m.replace(theirs, ours));
    message.lines().collect::<Vec<_>>().join("; ")
}

/// Returns where the value of a dotted key stands.
fn span_of(text: &str, key: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut table = document.get_ref();
    let mut parts = key.split('.').peekable();
    while let Some(part) = parts.next() {
        let value = table.get(part)?;
        if parts.peek().is_none() {
            return Some(value.span());
        }
        let DeValue::Table(inner) = value.get_ref() else { return None };
        table = inner;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::types::ServerKind;
    use nfs_fault_server::dirtree::spec::Made;

    #[test]
    fn third_of_the_nightly_scenarios_has_several_processors() {
        let nightly = select(&[], Some("nightly"), &[], &Overrides::default()).unwrap();
        let with = |least: u32| nightly.iter().filter(|scenario| scenario.guest.cpus >= least).count();
        assert!(3 * with(2) >= nightly.len(), "{} of {}", with(2), nightly.len());
        assert!(with(4) >= 5, "{} have four", with(4));
    }

    #[test]
    fn every_scenario_that_ships_is_valid_and_fits_its_guest() {
        let names = names();
        for expected in ["huge-flat", "quick", "recipe-2019"] {
            assert!(names.iter().any(|n| n == expected), "{expected} is gone");
        }
        for name in names {
            let scenario = load(&name).unwrap();
            assert_eq!(scenario.name, name);
            assert_eq!(scenario.memory_shortfall(), None);
        }
    }

    #[test]
    fn scenario_survives_writing_and_reading() {
        for name in names() {
            let scenario = load(&name).unwrap();
            let text = toml::to_string(&scenario).unwrap();
            assert_eq!(parse(&format!("{name}.toml"), &text).unwrap(), scenario, "{text}");
            let json = serde_json::to_string(&scenario).unwrap();
            let read: Scenario = serde_json::from_str(&json).unwrap();
            assert_eq!(Scenario { name: name.clone(), ..read }, scenario, "{json}");
        }
    }

    /// Finds the dotted keys of all values.
    fn keys(prefix: &str, value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(map) if !["directory.names.", "directory.kinds."].contains(&prefix) => {
                map.iter().for_each(|(key, value)| keys(&format!("{prefix}{key}."), value, found));
            }
            _ => found.push(prefix.trim_end_matches('.').to_owned()),
        }
    }

    #[test]
    fn documentation_has_every_key_and_its_example_is_valid() {
        let text = include_str!("../../docs/scenarios.md");
        let mut found = Vec::new();
        keys("", &serde_json::to_value(load("quick").unwrap()).unwrap(), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for key in found {
            assert!(text.contains(&format!("\n| `{key}` | ")), "{key} is not documented");
        }
        let example = text.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        parse("example.toml", example).unwrap();
    }

    #[test]
    fn documentation_names_every_scenario() {
        let text = include_str!("../../docs/scenarios.md");
        for name in names() {
            // `mount-cycle` (and `-v4`).
            let short = name.strip_suffix("-v4").map(|base| format!("`{base}`")).filter(|base| text.contains(base));
            assert!(text.contains(&format!("`{name}`")) || short.is_some(), "{name} is not documented");
        }
    }

    #[test]
    fn recipe_of_2019_is_as_published() {
        let scenario = load("recipe-2019").unwrap();
        assert_eq!(scenario.server, ServerKind::Knfsd);
        assert_eq!(scenario.mount.version.as_str(), "4.2");
        assert_eq!(scenario.directory.entries, 110);
        assert_eq!(scenario.directory.made, Made::Export);
        let maker = nfs_fault_server::dirtree::names::NameMaker::new(&scenario.directory.names, 110, 0);
        assert_eq!(maker.name(0), b"1_0123456789abcdef");
        assert_eq!(maker.name(109), b"110_0123456789abcdef");
    }

    #[test]
    fn unknown_names_are_told_with_the_near_one_and_all() {
        let error = load("quik").unwrap_err().to_string();
        assert!(error.starts_with("unknown scenario `quik`; did you mean `quick`? (there are `"), "{error}");
        let error = load("zzz").unwrap_err().to_string();
        assert!(error.starts_with("unknown scenario `zzz` (there are `"), "{error}");
        let error = select(&[], Some("smok"), &[], &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("set of scenarios `smok`; did you mean `smoke`?"), "{error}");
    }

    #[test]
    fn words_sets_and_defaults_are_chosen_once_each() {
        let chosen = |words: &[&str], set| -> Vec<String> {
            let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
            let scenarios = select(&words, set, &["recipe-2019"], &Overrides::default()).unwrap();
            scenarios.into_iter().map(|s| s.name).collect()
        };
        assert_eq!(chosen(&[], None), ["recipe-2019"]);
        assert_eq!(chosen(&["quick", "huge-flat", "quick"], None), ["quick", "huge-flat"]);
        assert!(chosen(&[], Some("smoke")).contains(&"quick".to_owned()));
        assert_eq!(chosen(&["quick"], Some("smoke")).iter().filter(|n| *n == "quick").count(), 1);
    }

    #[test]
    fn scenarios_of_one_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("quick.toml");
        std::fs::write(&path, include_str!("../../scenarios/quick.toml").replace("150", "151")).unwrap();
        let words = ["quick".to_owned(), path.to_str().unwrap().to_owned()];
        let error = select(&words, None, &[], &Overrides::default()).unwrap_err().to_string();
        assert!(error.contains("two different scenarios are called quick"), "{error}");
    }

    #[test]
    fn path_is_read_from_the_disk() {
        assert!(load("./quick").unwrap_err().to_string().contains("./quick: there is no such file"));
        assert!(load("quick.toml").unwrap_err().to_string().contains("quick.toml: there is no such file"));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.toml");
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(load(path.to_str().unwrap()).unwrap_err().to_string().contains("it is no text"));
    }
}
