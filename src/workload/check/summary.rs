//! What was wrong with a listing, in one sentence, and whether it was whole.

use super::changes::Presence;
use super::checker::{Check, DOTS, Last};

impl Check {
    /// Keeps what was wrong first.
    pub(super) fn complain(&mut self, name: &[u8], what: &str) {
        if self.wrong.is_none() {
            let (listing, name, shown) = (self.label(), name.escape_ascii(), self.shown);
            let after = self.last_name().map_or("the first one".into(), |last| format!("after \"{last}\""));
            self.wrong = Some(format!("{listing} showed \"{name}\"{what} (entry {shown}, {after})"));
        }
    }

    /// Takes the listing of another reader in who read the same open file: together they showed each name once.
    pub fn join(&mut self, other: &Self) {
        let again = self.shown_by_both(other);
        if let (None, Some(name)) = (&self.wrong, again) {
            let (one, another) = (self.label(), other.label());
            self.wrong = Some(format!("{one} showed \"{}\", and so did {another}", name.escape_ascii()));
        }
        self.wrong = self.wrong.take().or_else(|| other.wrong.clone());
        self.shown += other.shown;
        self.reader = match (self.reader.take(), &other.reader) {
            (Some(one), Some(another)) => Some(format!("{one} and {another}")),
            (one, another) => one.or_else(|| another.clone()),
        };
        self.seen.join(&other.seen);
    }

    /// Finds a name that two readers have seen and that only one should have.
    fn shown_by_both(&self, other: &Self) -> Option<Vec<u8>> {
        if let Some(dot) = self.seen.dots.common(&other.seen.dots).next() {
            return Some(DOTS[dot as usize].to_vec());
        }
        let node = self.node()?;
        let mut entries = self.seen.entries.common(&other.seen.entries);
        if let Some(place) = entries.find(|place| self.presence(node, *place) != Presence::AnyTimes) {
            return Some(self.entry_name(node, place));
        }
        let both = |number| self.seen.others.get(number) && other.seen.others.get(number);
        let mut others = self.changes.others(node);
        let again = others.find(|(_, number, of)| of.presence != Presence::AnyTimes && both(*number as u64));
        again.map(|(name, ..)| name.to_vec())
    }

    /// Returns what was wrong with a listing that went to the end, in one sentence: the first thing that was, or a name that
    /// is missing.
    pub fn end(&self) -> Result<(), String> {
        self.end_early()?;
        let Some(node) = self.node() else { return Ok(()) };
        let mut missing = self.missing(node);
        let Some(first) = missing.next() else { return Ok(()) };
        let (listing, first, more, shown) = (self.label(), first.escape_ascii(), missing.count(), self.shown);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let last = self.last_name().map_or(String::new(), |last| format!(", the last one \"{last}\""));
        Err(format!("{listing} ended without \"{first}\"{more}: it showed {shown} entries{last}"))
    }

    /// Returns what was wrong with as much of the listing as was made.
    pub fn end_early(&self) -> Result<(), String> {
        let Some(wrong) = &self.wrong else { return Ok(()) };
        if !self.goes_round() {
            return Err(wrong.clone());
        }
        let (shown, entries) = (self.shown, self.entries());
        Err(format!(
            "{wrong}; it goes round and has no end: it had shown {shown} entries of {entries} when the reader gave up"
        ))
    }

    /// Returns the names of a directory of the shape that must have been shown and were not.
    fn missing(&self, node: usize) -> impl Iterator<Item = Vec<u8>> {
        let there = move |place: &u64| self.presence(node, *place) == Presence::Always;
        let entries = self.seen.entries.unset().filter(there);
        let others = self.changes.others(node);
        let others =
            others.filter(|(_, n, other)| other.presence == Presence::Always && !self.seen.others.get(*n as u64));
        entries.map(move |place| self.entry_name(node, place)).chain(others.map(|(name, ..)| name.to_vec()))
    }

    fn entry_name(&self, node: usize, place: u64) -> Vec<u8> {
        let mut name = Vec::new();
        self.tree.entry(node, place, &mut name);
        name
    }

    /// Tells which listing it is: "listing 3 of \"a/b\" by thread 2".
    fn label(&self) -> String {
        let path = self.tree.path_of(self.dir);
        let of_path = if path.is_empty() { String::new() } else { format!(" of \"{}\"", path.escape_ascii()) };
        let by = self.reader.as_ref().map_or(String::new(), |reader| format!(" by {reader}"));
        format!("listing {}{of_path}{by}", self.listing)
    }

    fn last_name(&self) -> Option<String> {
        let mut name = Vec::new();
        match self.last {
            Last::Nothing => return None,
            Last::Place(place) => _ = self.tree.entry(self.node()?, place, &mut name),
            Last::Other => name.clone_from(&self.last_other),
        }
        Some(name.escape_ascii().to_string())
    }
}
