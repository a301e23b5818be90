//! Knows where the machine's own apt finds Debian's archive, and how to point the same entries at another suite.

use crate::error::{Context, Error, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What `apt-get indextargets` is asked for: one line per index, fields parted by tabs. A field that apt does not know
/// (nothing was ever fetched) stays as it is written here.
pub const FORMAT: &str = "$(SOURCESENTRY)\t$(RELEASE)\t$(COMPONENT)\t$(ORIGIN)\t$(CODENAME)\t$(TARGET_OF)\t$(REPO_URI)";

/// Which part of an archive an entry stands for: each lives in a suite of its own, named after the base suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Base,
    Updates,
    Security,
}

/// One line of `apt-get indextargets`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    /// The file and the number of the line or stanza in it.
    file: String,
    number: usize,
    part: Part,
    /// The base suite's name: the codename where apt knows it.
    suite: String,
    /// Whether a fetched Release file says that this is Debian; `None` if none was fetched yet.
    debian: Option<bool>,
}

/// Debian's archive as the machine's apt sees it.
#[derive(Debug)]
pub struct Sources {
    targets: BTreeSet<Target>,
}

/// An entry as it goes into a private source directory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// `list` or `sources`, the two formats that apt reads.
    pub format: &'static str,
    pub text: String,
}

/// Options by which the machine's apt takes what is not signed, or badly. Kernels are made of what comes from there.
const UNCHECKED: [&str; 4] = ["trusted", "allow-insecure", "allow-weak", "allow-downgrade-to-insecure"];

impl Sources {
    /// Reads what `apt-get indextargets` printed, first with and then without `--no-release-info`.
    pub fn parse(all: &str, fetched: &str) -> Self {
        let known: BTreeSet<Target> = fetched.lines().filter_map(target).collect();
        let unknown = all
            .lines()
            .filter_map(target)
            .filter(|t| !known.iter().any(|k| (&k.file, k.number, k.part) == (&t.file, t.number, t.part)));
        let mut targets: BTreeSet<Target> = unknown.collect();
        targets.extend(known);
        targets.retain(|t| t.debian != Some(false));
        Self { targets }
    }

    /// Returns the machine's own suite: the one that `os-release` names if apt has it, else the first that apt has.
    pub fn own_suite(&self, os_release: &str) -> Option<String> {
        let named = os_release.lines().find_map(|l| l.strip_prefix("VERSION_CODENAME="));
        let mut suites = self.targets.iter().filter(|t| t.part == Part::Base).map(|t| t.suite.as_str());
        let first = suites.clone().next();
        suites.find(|s| Some(*s) == named).or(first).map(str::to_owned)
    }

    /// Returns the entries that lead to Debian's archive, every option of theirs kept but pointed at `suite`.
    pub fn entries(&self, suite: &str) -> Result<BTreeSet<Entry>> {
        let places: BTreeSet<(&str, usize)> = self.targets.iter().map(|t| (t.file.as_str(), t.number)).collect();
        let mut entries = BTreeSet::new();
        for (file, number) in places {
            let here = self.targets.iter().filter(|t| t.file == file && t.number == number);
            let certain = here.clone().any(|t| t.debian == Some(true));
            let parts: BTreeSet<Part> = here.map(|t| t.part).collect();
            let suites: Vec<String> = parts.into_iter().filter_map(|p| suite_name(suite, p)).collect();
            if suites.is_empty() {
                continue;
            }
            let text = fs::read_to_string(file).machine(|| format!("cannot read apt's source list {file}"))?;
            let entry = if Path::new(file).extension().is_some_and(|e| e == "sources") {
                stanza(&text, number).map(|s| retarget_stanza(&s, &suites))
            } else {
                text.lines().nth(number - 1).and_then(|l| retarget_line(l, &suites))
            };
            let entry = entry.ok_or_else(|| Error::machine(format!("cannot find entry {number} of {file}")))?;
            if certain || looks_like_debian(&entry.text) {
                entries.insert(entry);
            }
        }
        Ok(entries)
    }
}

fn target(line: &str) -> Option<Target> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [entry, release, component, origin, codename, kind, uri] = fields[..] else { return None };
    let (file, number) = entry.rsplit_once(':')?;
    if kind != "deb" || component != "main" || uri.starts_with("cdrom:") {
        return None;
    }
    let known = |field: &str| !field.starts_with("$(") && !field.is_empty();
    let (part, base) = part_of(release)?;
    let suite = match known(codename) {
        true => part_of(codename)?.1,
        false => base,
    };
    Some(Target {
        file: file.to_owned(),
        number: number.parse().ok().filter(|n| *n > 0)?,
        part,
        suite: suite.to_owned(),
        debian: known(origin).then_some(origin == "Debian"),
    })
}

/// Returns the part of the archive that a suite's name stands for and the base suite's name; `None` for parts such as
/// backports, which would bring other versions than the suite's own.
fn part_of(release: &str) -> Option<(Part, &str)> {
    for (suffix, part) in [("-updates", Part::Updates), ("-security", Part::Security), ("/updates", Part::Security)] {
        if let Some(base) = release.strip_suffix(suffix) {
            return (!base.ends_with("-proposed")).then_some((part, base));
        }
    }
    let other = release.contains(['-', '/', ' ']) || release == "experimental";
    (!other).then_some((Part::Base, release))
}

fn suite_name(suite: &str, part: Part) -> Option<String> {
    let alone = ["sid", "unstable"].contains(&suite) || suite.ends_with("-backports");
    match part {
        Part::Base => Some(suite.to_owned()),
        _ if alone => None,
        Part::Updates => Some(format!("{suite}-updates")),
        Part::Security => Some(format!("{suite}-security")),
    }
}

/// Returns whether an entry leads to Debian's archive, on a machine that never ran `apt-get update`: other archives use
/// Debian's suite names too, but they bring their own keys, and Debian's entries name Debian's keyring or none.
fn looks_like_debian(entry: &str) -> bool {
    let lower = entry.to_ascii_lowercase();
    !lower.contains("signed-by") || lower.contains("debian-archive")
}

/// Returns stanza `number` as apt counts them: groups of only comments do not count.
fn stanza(text: &str, number: usize) -> Option<String> {
    let is_blank = |line: &str| line.trim().is_empty();
    let lines: Vec<&str> = text.lines().filter(|l| !l.starts_with('#')).collect();
    lines.split(|l| is_blank(l)).filter(|group| !group.is_empty()).nth(number - 1).map(|g| g.join("\n"))
}

fn retarget_stanza(stanza: &str, suites: &[String]) -> Entry {
    let replaced = [&["types", "suites", "components", "enabled"][..], &UNCHECKED].concat();
    let mut keeping = true;
    let mut text = String::new();
    for line in stanza.lines() {
        // A line that begins with a blank goes on with the field before it.
        if !line.starts_with([' ', '\t']) {
            let field = line.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
            keeping = !replaced.contains(&field.as_str());
        }
        if keeping {
            text.push_str(line);
            text.push('\n');
        }
    }
    text.push_str(&format!("Types: deb\nSuites: {}\nComponents: main\n", suites.join(" ")));
    Entry { format: "sources", text }
}

/// Returns the options of an entry without those that take what is not signed; with a blank behind them, or nothing.
fn checked(options: &str) -> String {
    let name =
        |option: &str| option.split(['=', '+']).next().unwrap_or_default().trim_end_matches('-').to_ascii_lowercase();
    let is_kept = |option: &&str| !UNCHECKED.contains(&name(option).as_str());
    let kept: Vec<&str> = options.split_whitespace().filter(is_kept).collect();
    if kept.is_empty() { String::new() } else { format!("[{}] ", kept.join(" ")) }
}

fn retarget_line(line: &str, suites: &[String]) -> Option<Entry> {
    let rest = line.trim().strip_prefix("deb")?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inner) => inner.split_once(']').map(|(options, rest)| (checked(options), rest))?,
        None => (String::new(), rest),
    };
    let uri = rest.split_whitespace().next()?;
    let text = suites.iter().map(|suite| format!("deb {options}{uri} {suite} main\n")).collect();
    Some(Entry { format: "list", text })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(entry: &str, release: &str, origin: &str, codename: &str) -> String {
        format!("{entry}\t{release}\tmain\t{origin}\t{codename}\tdeb\tmirror:/debian/\n")
    }

    fn never_fetched(entry: &str, release: &str) -> String {
        line(entry, release, "$(ORIGIN)", "$(CODENAME)")
    }

    #[test]
    fn stanza_keeps_its_options_and_gets_the_wanted_suites() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("debian.sources");
        let text = "# only a comment\n\n# a comment\nTypes: deb deb-src\nURIs: mirror:/debian\n# inside\nSuites: trixie\n \
                    trixie-updates\nComponents: main contrib\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n \
                    debian-archive\n";
        fs::write(&file, text).unwrap();
        let entry = format!("{}:1", file.display());
        let all = never_fetched(&entry, "trixie") + &never_fetched(&entry, "trixie-updates");
        let entries = Sources::parse(&all, "").entries("bookworm").unwrap();
        let text = &entries.first().unwrap().text;
        assert_eq!(entries.len(), 1);
        let wanted = "URIs: mirror:/debian\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n debian-archive\n\
                      Types: deb\nSuites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn line_keeps_its_options_and_gets_the_wanted_suite() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sources.list");
        fs::write(
            &file,
            "# first\ndeb [ arch=amd64 signed-by=/k/debian-archive.gpg ] mirror:/sec stable/updates main # x\n",
        )
        .unwrap();
        let all = never_fetched(&format!("{}:2", file.display()), "stable/updates");
        let entries = Sources::parse(&all, "").entries("trixie").unwrap();
        let text = &entries.first().unwrap().text;
        assert_eq!(text, "deb [arch=amd64 signed-by=/k/debian-archive.gpg] mirror:/sec trixie-security main\n");
    }

    #[test]
    fn entry_that_takes_what_is_not_signed_is_told_to_check() {
        let unchecked = "trusted=yes Allow-Insecure=yes allow-weak=yes allow-downgrade-to-insecure=yes";
        let retargeted = |line: &str| retarget_line(line, &["trixie".to_owned()]).unwrap().text;
        assert_eq!(retargeted(&format!("deb [{unchecked}] mirror:/a x main")), "deb mirror:/a trixie main\n");
        let line = format!("deb [arch=amd64 {unchecked}] mirror:/a x main");
        assert_eq!(retargeted(&line), "deb [arch=amd64] mirror:/a trixie main\n");
        let stanza = "URIs: mirror:/a\nTrusted: yes\nAllow-Insecure: yes\nAllow-Weak: yes\nSigned-By: /k\n";
        let text = retarget_stanza(stanza, &["trixie".to_owned()]).text;
        assert_eq!(text, "URIs: mirror:/a\nSigned-By: /k\nTypes: deb\nSuites: trixie\nComponents: main\n");
    }

    #[test]
    fn other_archives_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("other.list");
        fs::write(&file, "deb [signed-by=/k/other.gpg] mirror:/o bookworm main\ndeb mirror:/p bookworm main\n")
            .unwrap();
        let (keyed, plain) = (format!("{}:1", file.display()), format!("{}:2", file.display()));
        let all = never_fetched(&keyed, "bookworm") + &never_fetched(&plain, "bookworm");
        let fetched = line(&plain, "bookworm", "Somebody", "bookworm");
        assert!(Sources::parse(&all, &fetched).entries("bookworm").unwrap().is_empty());
        let backports = never_fetched(&plain, "bookworm-backports");
        assert!(Sources::parse(&backports, "").entries("bookworm").unwrap().is_empty());
    }

    #[test]
    fn own_suite_is_a_codename() {
        let fetched =
            line("/a.sources:1", "testing", "Debian", "forky") + &line("/a.sources:2", "stable", "Debian", "trixie");
        let sources = Sources::parse(&fetched, &fetched);
        assert_eq!(sources.own_suite("ID=debian\nVERSION_CODENAME=trixie\n").unwrap(), "trixie");
        assert_eq!(sources.own_suite("ID=debian\n").unwrap(), "forky");
        assert_eq!(Sources::parse("", "").own_suite(""), None);
    }

    #[test]
    fn rolling_suite_has_no_other_parts() {
        assert_eq!(suite_name("sid", Part::Security), None);
        assert_eq!(suite_name("trixie-backports", Part::Base).unwrap(), "trixie-backports");
        assert_eq!([Part::Updates, Part::Security].map(|part| suite_name("trixie-backports", part)), [None, None]);
        assert_eq!(suite_name("bookworm", Part::Security).unwrap(), "bookworm-security");
    }
}
