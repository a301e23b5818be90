//! What was changed in one directory while it was served: entries that are gone, renamed or new.

use super::object::Object;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Changes of one directory, over what the formula says. A place is that of an entry in the directory; new ones have
/// places behind those of the formula, and none is ever given twice, so that cookies keep their meaning.
#[derive(Debug, Default)]
pub struct Overlay {
    gone: BTreeSet<u64>,
    /// Names of the entries that are new or renamed.
    names: BTreeMap<u64, Box<[u8]>>,
    places: HashMap<Box<[u8]>, u64>,
    /// File ids of new entries.
    added: BTreeMap<u64, u64>,
    ever_added: u64,
    /// How many of the entries that are gone led to the directory's first file, and were directories.
    pub gone_links: u64,
    pub gone_directories: u64,
}

impl Overlay {
    /// Adds one entry more; gives its place, the formula having `formula` entries.
    pub fn add(&mut self, formula: u64, name: &[u8], fileid: u64) -> u64 {
        let place = formula + self.ever_added;
        self.ever_added += 1;
        self.added.insert(place, fileid);
        self.call(place, name);
        place
    }

    /// Has the entry at this place called so from now on.
    pub fn call(&mut self, place: u64, name: &[u8]) {
        if let Some(before) = self.names.insert(place, name.into()) {
            self.places.remove(&before);
        }
        self.places.insert(name.into(), place);
    }

    /// Takes the entry at this place, which leads to `object`, away.
    pub fn take_away(&mut self, place: u64, object: Object) {
        if self.gone.insert(place) {
            self.gone_links += links(object);
            self.gone_directories += directories(object);
        }
    }

    /// Makes the entry at this place again.
    pub fn give_back(&mut self, place: u64, object: Object) {
        if self.gone.remove(&place) {
            self.gone_links -= links(object);
            self.gone_directories -= directories(object);
        }
    }

    /// Forgets a new entry that is not to come back.
    pub fn forget(&mut self, place: u64) {
        if self.added.remove(&place).is_some() {
            self.gone.remove(&place);
            if let Some(name) = self.names.remove(&place) {
                self.places.remove(&name);
            }
        }
    }

    pub fn is_gone(&self, place: u64) -> bool {
        self.gone.contains(&place)
    }

    /// Returns what the entry at this place is called, if it is new or renamed.
    pub fn name(&self, place: u64) -> Option<&[u8]> {
        self.names.get(&place).map(AsRef::as_ref)
    }

    /// Returns the new or renamed entry with this name, whether it is gone or not.
    pub fn place(&self, name: &[u8]) -> Option<u64> {
        self.places.get(name).copied()
    }

    /// Returns the file id of a new entry.
    pub fn fileid(&self, place: u64) -> Option<u64> {
        self.added.get(&place).copied()
    }

    /// Returns the first place from `place` on that has an entry, given how many the formula has.
    pub fn next(&self, formula: u64, place: u64) -> Option<u64> {
        if let Some(there) = (place..formula).find(|place| !self.is_gone(*place)) {
            return Some(there);
        }
        self.added.range(place.max(formula)..).map(|(place, _)| *place).find(|place| !self.is_gone(*place))
    }
}

fn links(object: Object) -> u64 {
    u64::from(matches!(object, Object::Linked(_)))
}

fn directories(object: Object) -> u64 {
    u64::from(matches!(object, Object::EmptyDirectory { .. } | Object::Node(_)))
}
