//! What an exploration keeps in its directory: how far it is, the scenarios that did something new, those that are suspected, and what was
//! found. Whatever is written is whole, and is there as soon as it is known, so that an exploration that is ended loses nothing.

pub(crate) mod suspects;

use super::finds;
use super::symptom::Symptom;
use super::trial::Tried;
use crate::error::{Context, Error, Result};
use crate::os::cache::install_atomically;
use crate::result::explore::{ExploreRecord, FindRecord};
use crate::result::read;
use crate::result::record::RunRecord;
use crate::scenario::write::to_toml;
use crate::scenario::{Scenario, load};
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const STATE: &str = "explore.json";
const KEPT: &str = "corpus";
const PENDING: &str = "pending";
const FINDS: &str = "finds";
const LOCK: &str = "lock";
/// Scenarios that are kept at most.
const MOST_KEPT: usize = 4000;
/// Reasons that are told.
const MOST_REASONS: usize = 12;

/// How far an exploration is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct State {
    /// The version of dirleak that wrote it.
    pub dirleak: String,
    pub seed: u64,
    /// The batches that were begun.
    pub batches: u64,
    pub candidates: u64,
    /// What was judged in vain, and how often.
    pub dismissed: BTreeMap<String, u32>,
    /// The ways of behaving that were seen.
    pub features: BTreeSet<String>,
    /// The counters of its code that were not zero once, by file, where they were asked for.
    #[serde(default)]
    pub reached: BTreeMap<String, BTreeSet<u32>>,
    /// The kernel that was explored.
    pub image_sha256: String,
}

/// The directory, held by one dirleak at a time.
pub struct Corpus {
    dir: PathBuf,
    pub state: State,
    pub kept: Vec<Scenario>,
    pub record: ExploreRecord,
    /// The records of the finds.
    pub results: Vec<RunRecord>,
    /// Signatures of what was found, and of what is being judged.
    known: BTreeSet<String>,
    claimed: BTreeSet<String>,
    _lock: Flock<File>,
}

impl Corpus {
    /// Opens a directory, or makes it; one of another version of dirleak is refused in a sentence. `seed` is the user's, if one was given, and
    /// `image_sha256` the kernel's.
    pub fn open(dir: &Path, seed: Option<u64>, drawn: u64, (spec, image_sha256): (&str, &str)) -> Result<Self> {
        for part in [KEPT, PENDING, FINDS] {
            fs::create_dir_all(dir.join(part)).machine(|| unwritable(dir))?;
        }
        let lock = File::create(dir.join(LOCK)).machine(|| unwritable(dir))?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(|_| {
            Error::usage(format!("another dirleak explores with {}; name another directory by --corpus", dir.display()))
        })?;
        let blank = State {
            dirleak: env!("CARGO_PKG_VERSION").into(),
            seed: seed.unwrap_or(drawn),
            batches: 0,
            candidates: 0,
            dismissed: BTreeMap::new(),
            features: BTreeSet::new(),
            reached: BTreeMap::new(),
            image_sha256: image_sha256.into(),
        };
        let mut state = read_state(dir)?.unwrap_or_else(|| blank.clone());
        if seed.is_some_and(|seed| seed != state.seed) {
            // What another seed draws is drawn from its beginning.
            (state.seed, state.batches) = (blank.seed, 0);
        }
        if state.image_sha256 != image_sha256 {
            // What was judged of another kernel is not known of this one.
            state = State { seed: state.seed, ..blank };
        }
        let mut corpus = Self {
            dir: dir.to_owned(),
            record: ExploreRecord {
                kernel: spec.into(),
                seed: state.seed,
                corpus: dir.display().to_string(),
                all_candidates: state.candidates,
                ..ExploreRecord::default()
            },
            state,
            kept: scenarios_in(&dir.join(KEPT))?,
            results: Vec::new(),
            known: BTreeSet::new(),
            claimed: BTreeSet::new(),
            _lock: lock,
        };
        corpus.read_finds(image_sha256)?;
        corpus.count_suspects()?;
        corpus.count();
        corpus.save()?;
        Ok(corpus)
    }

    fn read_finds(&mut self, image_sha256: &str) -> Result<()> {
        for file in files_in(&self.dir.join(FINDS), "json")? {
            let mut found = read::read(&file)?;
            let (Some(record), Some(exploration)) = (found.results.pop(), found.explorations.pop()) else { continue };
            if record.kernel.image_sha256 == image_sha256 {
                self.record.finds.extend(exploration.finds);
                self.results.push(record);
            }
        }
        self.known.extend(self.record.finds.iter().flat_map(|find| find.signatures.clone()));
        Ok(())
    }

    /// Puts how far it is into its file.
    pub fn save(&self) -> Result<()> {
        let text = serde_json::to_vec_pretty(&self.state).machine(|| unwritable(&self.dir))?;
        self.write(Path::new(STATE), &text)
    }

    fn write(&self, name: &Path, text: &[u8]) -> Result<()> {
        let path = self.dir.join(name);
        install_atomically(&path, |fresh| fs::write(fresh, text).machine(|| unwritable(&self.dir)))
    }

    /// Begins the next batch.
    pub fn next_batch(&mut self) -> Result<u64> {
        self.state.batches += 1;
        self.save()?;
        Ok(self.state.batches)
    }

    /// Books a candidate that was tried, and keeps it if it did what none did before.
    pub fn tried(&mut self, scenario: &Scenario, tried: &Tried) -> Result<()> {
        self.counted(tried.units);
        tried.seconds.iter().for_each(|(what, seconds)| self.took(what, *seconds));
        for counter in &tried.until_unmount {
            if !self.record.until_unmount.contains(counter) {
                self.record.until_unmount.push(counter.clone());
            }
        }
        let fresh: Vec<&String> = tried.features.iter().filter(|way| !self.state.features.contains(*way)).collect();
        let fresh: Vec<String> = fresh.into_iter().cloned().collect();
        let is_fresh = self.reaches_new_code(tried) || !fresh.is_empty();
        if !is_fresh || self.kept.len() >= MOST_KEPT {
            return Ok(());
        }
        self.state.features.extend(fresh);
        let name = format!("{:05}.toml", self.kept.len() + 1);
        self.write(&Path::new(KEPT).join(name), to_toml(scenario).as_bytes())?;
        self.kept.push(scenario.clone());
        self.count();
        Ok(())
    }

    /// Books what code was reached, and returns whether some of it never was before.
    fn reaches_new_code(&mut self, tried: &Tried) -> bool {
        let mut is_new = false;
        for (file, numbers) in &tried.reached {
            let known = self.state.reached.entry(file.clone()).or_default();
            let before = known.len();
            known.extend(numbers);
            is_new |= known.len() > before;
        }
        is_new
    }

    /// Books how long a part of the work took.
    pub fn took(&mut self, what: &str, seconds: f64) {
        *self.record.seconds_of.entry(what.to_owned()).or_default() += seconds;
    }

    /// Books a candidate that could not be done.
    pub fn not_done(&mut self, reason: &str) {
        self.counted(0);
        self.record.not_done += 1;
        let reason = reason.split("; its console is in").next().unwrap_or(reason).to_owned();
        let known = |known: &String| Symptom::Broken { sentence: known.clone() }.signature();
        let is_known = self.record.reasons.iter().any(|other| known(other) == known(&reason));
        if !is_known && self.record.reasons.len() < MOST_REASONS {
            self.record.reasons.push(reason);
        }
    }

    fn counted(&mut self, units: u64) {
        self.record.candidates += 1;
        self.state.candidates += 1;
        self.record.all_candidates = self.state.candidates;
        self.record.units += units;
    }

    fn count(&mut self) {
        (self.record.kept, self.record.ways) = (self.kept.len() as u64, self.state.features.len() as u64);
        self.record.reached = self.state.reached.values().map(|numbers| numbers.len() as u64).sum();
    }

    /// Returns whether one of these is not known yet.
    pub fn is_news(&self, signatures: &[String]) -> bool {
        signatures.iter().any(|signature| !self.known.contains(signature))
    }

    /// Puts a find in its place: the scenario, its record and how far the exploration was.
    pub fn found(
        &mut self,
        symptom: &Symptom,
        scenario: &Scenario,
        mut find: FindRecord,
        mut record: RunRecord,
    ) -> Result<()> {
        find.name = self.free_name(&finds::name(&symptom.signature()));
        let file = Path::new(FINDS).join(format!("{}.toml", find.name));
        find.file = self.dir.join(&file).display().to_string();
        find.command = finds::command(&record.kernel.spec, &self.dir.join(&file), record.seed);
        record.scenario.clone_from(&find.name);
        let mut named = scenario.clone();
        named.summary = format!("Found by explore: {}.", symptom.signature());
        find.scenario = finds::text(&named, &find, &record);
        self.write(&file, find.scenario.as_bytes())?;
        let evidence = serde_json::to_vec_pretty(&finds::evidence(&find, &record, &self.record))
            .machine(|| unwritable(&self.dir))?;
        self.write(&file.with_extension("json"), &evidence)?;
        self.known.extend(find.signatures.iter().cloned().chain([symptom.signature()]));
        self.record.finds.push(find);
        self.results.push(record);
        self.settle(&symptom.signature())
    }

    fn free_name(&self, name: &str) -> String {
        let is_free = |name: &String| !self.dir.join(FINDS).join(format!("{name}.json")).exists();
        let numbered = (2..).map(|number| format!("{name}-{number}"));
        // What was found of another kernel keeps its name.
        std::iter::once(name.to_owned()).chain(numbered).find(is_free).unwrap_or_default()
    }
}

fn unwritable(dir: &Path) -> String {
    format!("cannot write the corpus {} (what was found before is there; --corpus names another place)", dir.display())
}

/// Reads how far it was; `None` if it was not begun.
fn read_state(dir: &Path) -> Result<Option<State>> {
    let path = dir.join(STATE);
    let text = match fs::read_to_string(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.machine(|| format!("cannot read {}", path.display()))?,
    };
    let version = |value: serde_json::Value| value.get("dirleak").and_then(|v| v.as_str()).map(str::to_owned);
    let written_by = serde_json::from_str(&text).ok().and_then(version);
    let ours = env!("CARGO_PKG_VERSION");
    let refused = |by: &str| {
        let dir = dir.display();
        Error::usage(format!(
            "the corpus {dir} was written by {by}, and this is dirleak {ours}; name another directory by --corpus, or remove this one"
        ))
    };
    match written_by {
        Some(version) if version == ours => {}
        Some(version) => return Err(refused(&format!("dirleak {}", crate::text::sanitize::beginning(&version, 40)))),
        None => return Err(refused("something else")),
    }
    serde_json::from_str(&text).map(Some).map_err(|_| refused("another build of it"))
}

fn files_in(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let cannot = || format!("cannot read {}", dir.display());
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).machine(cannot)? {
        let path = entry.machine(cannot)?.path();
        if path.extension().is_some_and(|e| e == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn scenarios_in(dir: &Path) -> Result<Vec<Scenario>> {
    files_in(dir, "toml")?.iter().map(|file| load(&file.display().to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::suspects::Origin;
    use super::*;
    use crate::error::Exit;
    use crate::result::example;

    pub fn open(dir: &Path, seed: Option<u64>) -> Result<Corpus> {
        Corpus::open(dir, seed, 5, ("6.1", "abc"))
    }

    fn grows(function: &str) -> Symptom {
        Symptom::Grows { counter: "kmalloc-96".into(), function: function.into(), rate: 1.0 }
    }

    fn tried(ways: &[&str]) -> Tried {
        Tried { features: ways.iter().map(|way| (*way).to_owned()).collect(), units: 15, ..Tried::default() }
    }

    pub fn scenario() -> Scenario {
        load("seek").unwrap()
    }

    #[test]
    fn candidate_that_reaches_new_code_is_kept_though_it_behaves_as_others() {
        let dir = tempfile::tempdir().unwrap();
        let mut corpus = open(dir.path(), None).unwrap();
        let reaching = |numbers: &[u32]| {
            let reached = [("fs/nfs/dir".to_owned(), numbers.iter().copied().collect())].into();
            Tried { reached, ..tried(&["a"]) }
        };
        for (numbers, kept) in [(&[1, 2][..], 1), (&[2], 1), (&[2, 3], 2), (&[1, 3], 2)] {
            corpus.tried(&scenario(), &reaching(numbers)).unwrap();
            assert_eq!(corpus.kept.len(), kept, "{numbers:?}");
        }
        assert_eq!(corpus.record.reached, 3);
    }

    #[test]
    fn corpus_goes_on_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut corpus = open(dir.path(), None).unwrap();
        assert_eq!((corpus.state.seed, corpus.next_batch().unwrap()), (5, 1));
        corpus.tried(&scenario(), &tried(&["a", "b"])).unwrap();
        corpus.tried(&scenario(), &tried(&["b"])).unwrap();
        assert_eq!((corpus.kept.len(), corpus.record.kept, corpus.record.ways, corpus.record.units), (1, 1, 2, 30));
        corpus.save().unwrap();
        drop(corpus);
        let mut again = open(dir.path(), None).unwrap();
        assert_eq!(
            (again.kept.len(), again.record.ways, again.record.all_candidates, again.record.candidates),
            (1, 2, 2, 0)
        );
        assert_eq!(again.kept[0].unit, scenario().unit);
        assert_eq!(again.next_batch().unwrap(), 2);
        drop(again);
        let mut other = open(dir.path(), Some(6)).unwrap();
        assert_eq!((other.state.seed, other.next_batch().unwrap()), (6, 1), "another seed begins at its beginning");
    }

    #[test]
    fn find_is_a_scenario_that_run_takes_with_its_record_and_is_known_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let mut corpus = open(dir.path(), None).unwrap();
        let mut record = example::leak();
        record.kernel.image_sha256 = "abc".into();
        let find = FindRecord {
            name: String::new(),
            file: String::new(),
            command: String::new(),
            signatures: vec!["leak kmalloc-96 f".into()],
            batch: 1,
            number: 1,
            candidates: 1,
            suspected_seconds: 1.0,
            seconds: 2.0,
            smaller_tried: 3,
            smaller_shown: 1,
            scenario: String::new(),
            drawn: String::new(),
        };
        corpus.found(&grows("f"), &scenario(), find, record).unwrap();
        let find = corpus.record.finds[0].clone();
        assert_eq!(find.name, "leak-kmalloc-96-f");
        assert_eq!(load(&find.file).unwrap().unit, scenario().unit);
        assert!(
            find.command.ends_with(&format!("leak-kmalloc-96-f.toml --seed {}", corpus.results[0].seed)),
            "{}",
            find.command
        );
        drop(corpus);
        let mut again = open(dir.path(), None).unwrap();
        assert_eq!((again.record.finds.len(), again.results.len()), (1, 1));
        assert!(!again.is_news(&["leak kmalloc-96 f".to_owned()]) && again.is_news(&["leak x".to_owned()]));
        assert_eq!(again.claim(&scenario(), &[grows("f")], Origin::default()).unwrap(), None);
        drop(again);
        let other = Corpus::open(dir.path(), None, 5, ("6.1", "another image")).unwrap();
        assert!(other.is_news(&["leak kmalloc-96 f".to_owned()]), "of another kernel nothing is known");
    }

    #[test]
    fn corpus_of_another_version_or_in_use_is_refused_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let corpus = open(dir.path(), None).unwrap();
        let error = open(dir.path(), None).err().unwrap();
        assert!(error.to_string().contains("another dirleak explores with"), "{error}");
        drop(corpus);
        let state = dir.path().join(STATE);
        for (text, by) in [
            (r#"{"dirleak":"99.0.0"}"#, "was written by dirleak 99.0.0"),
            ("{}", "something else"),
            ("x", "something else"),
            (&format!(r#"{{"dirleak":"{}"}}"#, env!("CARGO_PKG_VERSION")), "another build of it"),
        ] {
            fs::write(&state, text).unwrap();
            let error = open(dir.path(), None).err().unwrap();
            assert_eq!(error.exit(), Exit::Usage);
            assert!(error.to_string().contains(by) && !error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn corpus_that_cannot_be_written_is_an_error_of_the_machine() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = open(&file.join("corpus"), None).err().unwrap();
        assert_eq!(error.exit(), Exit::Machine);
        assert!(error.to_string().contains("--corpus names another place"), "{error}");
    }
}
