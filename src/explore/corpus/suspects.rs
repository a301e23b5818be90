//! What is suspected and not judged yet: each in a file of its own, from when it is suspected until it is judged, so that an exploration that
//! is ended in between goes on with it.

use super::{Corpus, PENDING, files_in, finds, unwritable};
use crate::error::{Context, Result};
use crate::explore::symptom::Symptom;
use crate::scenario::write::to_toml;
use crate::scenario::{Scenario, load};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// What was judged so often without being accused of anything is not judged again.
const MOST_DISMISSALS: u32 = 2;

/// A candidate that is to be judged, in its file.
pub struct Suspect {
    file: PathBuf,
    pub scenario: Scenario,
    pub origin: Origin,
}

/// Where a candidate was drawn, and when it was suspected.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Origin {
    pub batch: u64,
    pub number: u64,
    pub candidates: u64,
    pub suspected_seconds: f64,
}

impl Suspect {
    fn read(file: PathBuf) -> Result<Self> {
        let text = fs::read_to_string(&file).machine(|| format!("cannot read {}", file.display()))?;
        let head = text.lines().next().and_then(|line| line.strip_prefix("# ")).unwrap_or_default();
        let origin = serde_json::from_str(head).unwrap_or_default();
        Ok(Self { scenario: load(&file.display().to_string())?, origin, file })
    }
}

impl Corpus {
    /// Claims the first of these that is to be judged, and keeps the candidate until it is; `None` if all are known.
    pub fn claim(&mut self, scenario: &Scenario, symptoms: &[Symptom], origin: Origin) -> Result<Option<Symptom>> {
        let is_new = |symptom: &&Symptom| {
            let signature = symptom.signature();
            let dismissals = self.state.dismissed.get(&signature).copied().unwrap_or(0);
            !self.known.contains(&signature) && !self.claimed.contains(&signature) && dismissals < MOST_DISMISSALS
        };
        let Some(symptom) = symptoms.iter().find(is_new).cloned() else { return Ok(None) };
        let signature = symptom.signature();
        let head = serde_json::to_string(&origin).machine(|| unwritable(&self.dir))?;
        self.write(&file_of(&signature), format!("# {head}\n{}", to_toml(scenario)).as_bytes())?;
        self.claimed.insert(signature);
        self.count_suspects()?;
        Ok(Some(symptom))
    }

    /// Notes that nothing came of what was suspected.
    pub fn dismiss(&mut self, symptom: &Symptom) -> Result<()> {
        let signature = symptom.signature();
        *self.state.dismissed.entry(signature.clone()).or_default() += 1;
        self.record.not_confirmed += 1;
        self.settle(&signature)?;
        self.save()
    }

    /// Takes what was judged out of what is suspected.
    pub(super) fn settle(&mut self, signature: &str) -> Result<()> {
        self.claimed.remove(signature);
        self.remove(&self.dir.join(file_of(signature)))
    }

    /// Takes out what was suspected an earlier time and was tried again, unless it still waits to be judged.
    pub fn tried_again(&mut self, suspect: &Suspect) -> Result<()> {
        let waits = self.claimed.iter().any(|signature| self.dir.join(file_of(signature)) == suspect.file);
        if waits { Ok(()) } else { self.remove(&suspect.file) }
    }

    fn remove(&mut self, file: &Path) -> Result<()> {
        match fs::remove_file(file) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e).machine(|| unwritable(&self.dir)),
            _ => self.count_suspects(),
        }
    }

    pub(super) fn count_suspects(&mut self) -> Result<()> {
        self.record.pending = self.suspect_files()?.len() as u64;
        Ok(())
    }

    /// Returns what was suspected an earlier time and not judged. Each stays in its file until it was tried again.
    pub fn suspects(&self) -> Result<Vec<Suspect>> {
        self.suspect_files()?.into_iter().map(Suspect::read).collect()
    }

    fn suspect_files(&self) -> Result<Vec<PathBuf>> {
        files_in(&self.dir.join(PENDING), "toml")
    }
}

fn file_of(signature: &str) -> PathBuf {
    Path::new(PENDING).join(format!("{}.toml", finds::name(signature)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{open, scenario};
    use super::*;

    fn grows(function: &str) -> Symptom {
        Symptom::Grows { counter: "kmalloc-96".into(), function: function.into(), rate: 1.0 }
    }

    #[test]
    fn what_is_suspected_is_claimed_once_and_is_there_the_next_time_until_it_is_judged() {
        let dir = tempfile::tempdir().unwrap();
        let mut corpus = open(dir.path(), None).unwrap();
        let origin = Origin { batch: 2, number: 3, candidates: 4, suspected_seconds: 5.0 };
        assert_eq!(corpus.claim(&scenario(), &[grows("f")], origin).unwrap(), Some(grows("f")));
        assert_eq!(corpus.claim(&scenario(), &[grows("f")], origin).unwrap(), None);
        assert_eq!(corpus.claim(&scenario(), &[grows("f"), grows("g")], origin).unwrap(), Some(grows("g")));
        corpus.dismiss(&grows("g")).unwrap();
        assert_eq!(corpus.record.pending, 1);
        drop(corpus);
        let mut again = open(dir.path(), None).unwrap();
        let left = again.suspects().unwrap();
        assert_eq!((left.len(), left[0].origin, &left[0].scenario.unit), (1, origin, &scenario().unit));
        assert_eq!(again.record.pending, 1);
        // What came to nothing twice is let be.
        assert!(again.claim(&scenario(), &[grows("g")], origin).unwrap().is_some());
        again.dismiss(&grows("g")).unwrap();
        assert!(again.claim(&scenario(), &[grows("g")], origin).unwrap().is_none());
    }

    #[test]
    fn suspect_of_an_earlier_time_is_kept_until_it_was_tried_again_and_while_it_waits() {
        let dir = tempfile::tempdir().unwrap();
        let mut corpus = open(dir.path(), None).unwrap();
        for function in ["f", "g"] {
            corpus.claim(&scenario(), &[grows(function)], Origin::default()).unwrap();
        }
        drop(corpus);
        // Ended before anything was tried again, it knows both the next time.
        assert_eq!(open(dir.path(), None).unwrap().suspects().unwrap().len(), 2);
        let mut again = open(dir.path(), None).unwrap();
        let left = again.suspects().unwrap();
        let symptom = grows("g");
        let is_g = |suspect: &&Suspect| suspect.file.ends_with(file_of(&symptom.signature()));
        let (g, f) = (left.iter().find(is_g).unwrap(), left.iter().find(|suspect| !is_g(suspect)).unwrap());
        // One shows the same again and waits to be judged, the other shows nothing any more.
        again.claim(&g.scenario, std::slice::from_ref(&symptom), g.origin).unwrap();
        again.tried_again(g).unwrap();
        again.tried_again(f).unwrap();
        assert_eq!((again.record.pending, again.suspects().unwrap()[0].file == g.file), (1, true));
        again.dismiss(&symptom).unwrap();
        assert_eq!((again.record.pending, again.suspects().unwrap().len()), (0, 0));
    }
}
