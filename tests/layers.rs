//! The law of the house: which room may import which. Read from top to bottom, the list below is the order in which the code base is
//! learned: a room imports only rooms of floors above its own, and no two files import each other, however many others stand between
//! them. `docs/architecture.md` says what each room is for.
//!
//! Imports are read from the source itself: `use` declarations and paths in the code. What is only compiled for tests is left out, as
//! a test may look at anything.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The floors, the ground first.
const FLOORS: [&[&str]; 11] = [
    &["error", "sample", "text"],
    &["stats", "os", "probe", "workload", "coverage"],
    &["verdict", "scenario", "apt"],
    &["kernel", "protocol"],
    &["vm", "agent", "result"],
    &["boot", "guest", "fleet"],
    &["run", "bench", "score"],
    &["report", "bisect", "explore", "host", "doctor"],
    &["cli", "fuzzing"],
    &["internals"],
    &["main", "lib"],
];

/// A module by its path below the crate, and the files of the crate that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

#[test]
fn rooms_import_only_what_stands_above_them() {
    let complaints = upward(&imports(&read(Path::new("src"))));
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn files_import_each_other_in_no_circle() {
    // The failing server is a crate of its own, below all rooms.
    for source in ["src", "crates/nfs-fault-server/src"] {
        let imports = imports(&read(Path::new(source)));
        let circles: Vec<String> = circles(&imports).into_iter().map(|circle| circle.join(" -> ")).collect();
        assert!(circles.is_empty(), "{source}: {}", circles.join("\n"));
    }
}

/// Returns a sentence for each import of a room that stands below, or beside on the same floor.
fn upward(imports: &Imports) -> Vec<String> {
    let mut complaints = Vec::new();
    for (file, targets) in imports {
        for target in targets {
            let (from, to) = (room(file), room(target));
            match (floor(from), floor(to)) {
                _ if from == to => {}
                (None, _) => complaints.push(format!("{file}: the room {from} has no place in the list of floors")),
                (_, None) => complaints.push(format!("{target}: the room {to} has no place in the list of floors")),
                (Some(own), Some(other)) if other >= own => {
                    complaints.push(format!("{file} imports {target}, but {to} does not stand above {from}"));
                }
                _ => {}
            }
        }
    }
    complaints
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap_or(module)
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// Returns one circle for each file from which a way leads back to itself, each circle once.
fn circles(imports: &Imports) -> Vec<Vec<String>> {
    let mut found: BTreeMap<BTreeSet<String>, Vec<String>> = BTreeMap::new();
    for start in imports.keys() {
        let mut ways = vec![vec![start.clone()]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for next in imports.get(&way[way.len() - 1]).into_iter().flatten() {
                let longer = || way.iter().chain([next]).cloned().collect::<Vec<_>>();
                if next == start {
                    found.entry(way.iter().cloned().collect()).or_insert_with(longer);
                } else if seen.insert(next.clone()) {
                    ways.insert(0, longer());
                }
            }
        }
    }
    found.into_values().collect()
}

/// Returns the text of every module below `dir`, by its path.
fn read(dir: &Path) -> BTreeMap<String, String> {
    let mut modules = BTreeMap::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(folder) = dirs.pop() {
        for entry in
            fs::read_dir(&folder).expect("the source is there").map(|entry| entry.expect("it can be read").path())
        {
            if entry.is_dir() {
                dirs.push(entry);
            } else if entry.extension().is_some_and(|extension| extension == "rs") {
                let path = entry.strip_prefix(dir).expect("it is below").with_extension("");
                let name = path.to_string_lossy().replace('/', "::");
                let name = name.strip_suffix("::mod").unwrap_or(&name).to_owned();
                modules.insert(name, fs::read_to_string(&entry).expect("it is text"));
            }
        }
    }
    modules
}

/// Returns which module of `texts` imports which others.
fn imports(texts: &BTreeMap<String, String>) -> Imports {
    let mut reader = Reader { texts, tests: BTreeSet::new(), paths: BTreeMap::new() };
    for (module, text) in texts {
        let own: Vec<String> =
            if module == "lib" { Vec::new() } else { module.split("::").map(str::to_owned).collect() };
        reader.items(module, &own, text.parse().unwrap_or_else(|e| panic!("{module} is no Rust: {e}")));
    }
    let Reader { tests, mut paths, .. } = reader;
    let is_test = |module: &str| tests.iter().any(|test| module == test || module.starts_with(&format!("{test}::")));
    paths.retain(|module, _| !is_test(module));
    paths.values_mut().for_each(|targets| targets.retain(|target| !is_test(target)));
    paths
}

struct Reader<'a> {
    texts: &'a BTreeMap<String, String>,
    /// Modules that are compiled for tests only.
    tests: BTreeSet<String>,
    paths: Imports,
}

impl Reader<'_> {
    /// Reads the tokens of `file`, which are in the module `own`.
    fn items(&mut self, file: &str, own: &[String], tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            if is_for_tests(&tokens[at..]) {
                at = self.skip_item(own, &tokens, at + 2);
                continue;
            }
            match &tokens[at] {
                TokenTree::Ident(word) if word == "use" => at = self.tree(file, own, &[], &tokens, at + 1),
                TokenTree::Ident(word) if word == "mod" => match (tokens.get(at + 1), tokens.get(at + 2)) {
                    (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) => {
                        let inner: Vec<String> = own.iter().cloned().chain([name.to_string()]).collect();
                        self.items(file, &inner, body.stream());
                        at += 3;
                    }
                    _ => at += 2,
                },
                // `pub(super)` names no file.
                TokenTree::Ident(word) if word == "pub" => {
                    let is_within = |token: &TokenTree| matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
                    at += 1 + usize::from(tokens.get(at + 1).is_some_and(is_within));
                }
                TokenTree::Ident(_) => at = self.tree(file, own, &[], &tokens, at),
                TokenTree::Group(group) => {
                    self.items(file, own, group.stream());
                    at += 1;
                }
                _ => at += 1,
            }
        }
    }

    /// Skips an item that is for tests only, and keeps in mind the module that it declares.
    fn skip_item(&mut self, own: &[String], tokens: &[TokenTree], begin: usize) -> usize {
        let is_end = |token: &TokenTree| match token {
            TokenTree::Punct(mark) => mark.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        let end = tokens[begin..].iter().position(is_end).map_or(tokens.len(), |length| begin + length + 1);
        let words: Vec<String> = tokens[begin..end].iter().map(ToString::to_string).collect();
        if let Some(at) = words.iter().position(|word| word == "mod") {
            let name = words.get(at + 1).cloned().into_iter();
            self.tests.insert(own.iter().cloned().chain(name).collect::<Vec<_>>().join("::"));
        }
        end
    }

    /// Reads a path, or the tree of a `use` declaration, behind `prefix`; gives where it ends.
    fn tree(&mut self, file: &str, own: &[String], prefix: &[String], tokens: &[TokenTree], begin: usize) -> usize {
        let (mut path, mut at) = (prefix.to_vec(), begin);
        loop {
            match tokens.get(at) {
                Some(TokenTree::Ident(word)) => path.push(word.to_string()),
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && at > begin => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for part in inner.split(|token| token.to_string() == ",").filter(|part| !part.is_empty()) {
                        self.tree(file, own, &path, part, 0);
                    }
                    return at + 1;
                }
                _ => break,
            }
            let is_colon = |at: usize| matches!(tokens.get(at), Some(TokenTree::Punct(mark)) if mark.as_char() == ':');
            if !(is_colon(at + 1) && is_colon(at + 2)) {
                at += 1;
                break;
            }
            at += 3;
        }
        self.add(file, own, &path);
        at.max(begin + 1)
    }

    /// Adds the file in which `path` ends, as it is written in the module `own` of `file`, if it is one of ours and another one.
    fn add(&mut self, file: &str, own: &[String], path: &[String]) {
        let mut absolute = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("super") => own[..own.len().saturating_sub(1)].to_vec(),
            Some("self") => own.to_vec(),
            Some(first) if self.texts.contains_key(&join(own, first)) => [own, &[first.to_owned()]].concat(),
            _ => return,
        };
        for word in &path[1..] {
            if word == "super" {
                absolute.pop();
            } else {
                absolute.push(word.clone());
            }
        }
        let target = (1..=absolute.len()).rev().map(|length| absolute[..length].join("::"));
        let targets = self.paths.entry(file.to_owned()).or_default();
        targets.extend(target.filter(|target| self.texts.contains_key(target)).take(1).filter(|target| target != file));
    }
}

fn join(own: &[String], name: &str) -> String {
    own.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("::")
}

/// Whether an item begins here that is compiled for tests only: `#[cfg(test)]`, `#[test]` and the like.
fn is_for_tests(tokens: &[TokenTree]) -> bool {
    let [TokenTree::Punct(mark), TokenTree::Group(attribute), ..] = tokens else { return false };
    let text = attribute.stream().to_string().replace(' ', "");
    mark.as_char() == '#' && ["cfg(test)", "cfg(any(test,fuzzing))", "test"].contains(&text.as_str())
}

/// The law, broken on purpose.
mod broken {
    use super::*;

    fn house(files: &[(&str, &str)]) -> Imports {
        imports(&files.iter().map(|(module, text)| ((*module).to_owned(), (*text).to_owned())).collect())
    }

    #[test]
    fn import_of_a_lower_room_is_refused() {
        let used = house(&[("probe::slab", "use crate::{error::Error, run::Options};"), ("error", ""), ("run", "")]);
        assert_eq!(upward(&used), ["probe::slab imports run, but run does not stand above probe"]);
        let named =
            house(&[("probe::slab", "fn f() -> usize { [crate::run::session::N].len() }"), ("run::session", "")]);
        assert_eq!(upward(&named), ["probe::slab imports run::session, but run does not stand above probe"]);
    }

    #[test]
    fn import_of_a_room_beside_is_refused() {
        let beside = house(&[("bench::guest", "use crate::run;"), ("run", "")]);
        assert_eq!(upward(&beside), ["bench::guest imports run, but run does not stand above bench"]);
    }

    #[test]
    fn room_without_a_floor_is_refused() {
        let new = house(&[("attic", "use crate::error;"), ("error", "")]);
        assert_eq!(upward(&new), ["attic: the room attic has no place in the list of floors"]);
    }

    #[test]
    fn circle_of_three_files_is_refused_once() {
        let files =
            [("run::a", "use super::b::B;"), ("run::b", "use super::c;"), ("run::c", "fn f(_: super::a::A) {}")];
        let found = circles(&house(&files));
        assert_eq!(found, [["run::a", "run::b", "run::c", "run::a"]]);
    }

    #[test]
    fn room_that_a_child_leans_on_is_a_circle() {
        let files = [("vm", "mod qemu; pub use qemu::Qemu; pub struct Machine;"), ("vm::qemu", "use super::Machine;")];
        assert_eq!(circles(&house(&files)).len(), 1);
    }

    #[test]
    fn imports_of_tests_are_left_out() {
        let inside = "#[cfg(test)] mod tests { use super::*; use crate::run; } #[test] fn f() { crate::run::run() }";
        let files =
            [("probe", "#[cfg(test)] mod made;"), ("probe::made", "use crate::run;"), ("error", inside), ("run", "")];
        assert_eq!(upward(&house(&files)), [""; 0]);
    }
}
