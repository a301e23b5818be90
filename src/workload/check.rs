//! Whether a listing was complete: each name that was made is seen exactly once, and nothing else.

use super::names::NameMaker;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, DefaultHasher};

/// The names a directory has, and which of them the running listing has seen.
#[derive(Default)]
pub struct Expected {
    /// Hashed without a random key: a guest's process 1 may run before there is any randomness.
    numbers: HashMap<Box<[u8]>, u32, BuildHasherDefault<DefaultHasher>>,
    /// The listing in which each name was last seen.
    seen_in: Vec<u32>,
    listing: u32,
    seen: u64,
    twice: Option<String>,
    strange: Option<String>,
    /// The names that the first half of a listing showed.
    first_half: Vec<u32>,
}

/// A file that comes and goes: a listing may show it or not.
pub const ADDED: &str = "added-by-dirleak";

impl Expected {
    /// The first `count` names of `names`.
    pub fn new(names: &NameMaker, count: u64) -> Self {
        let numbers = (0..count).map(|n| (names.name(n).into_boxed_slice(), n as u32)).collect();
        Self {
            numbers,
            seen_in: vec![0; count as usize],
            listing: 0,
            seen: 0,
            twice: None,
            strange: None,
            first_half: Vec::new(),
        }
    }

    /// A new listing begins.
    pub fn begin(&mut self) {
        self.listing += 1;
        self.seen = 0;
        self.twice = None;
        self.strange = None;
    }

    /// The listing has seen its first half.
    pub fn middle(&mut self) {
        let seen = self.seen_in.iter().enumerate().filter(|(_, listing)| **listing == self.listing);
        self.first_half = seen.map(|(number, _)| number as u32).collect();
    }

    /// A listing begins behind the first half of the last one.
    pub fn begin_in_the_middle(&mut self) {
        self.begin();
        self.first_half.iter().for_each(|number| self.seen_in[*number as usize] = self.listing);
        self.seen = self.first_half.len() as u64;
    }

    /// The listing showed `name`; `.` and `..` are allowed and not counted.
    pub fn see(&mut self, name: &[u8]) {
        let Some(&number) = self.numbers.get(name) else {
            if name != b"." && name != b".." && name != ADDED.as_bytes() {
                self.strange.get_or_insert_with(|| String::from_utf8_lossy(name).into_owned());
            }
            return;
        };
        let last = &mut self.seen_in[number as usize];
        if *last == self.listing {
            self.twice.get_or_insert_with(|| String::from_utf8_lossy(name).into_owned());
        } else {
            *last = self.listing;
            self.seen += 1;
        }
    }

    /// What was wrong with a listing that was to go to the end, in one sentence.
    pub fn end(&self) -> Result<(), String> {
        self.end_early()?;
        let made = self.numbers.len() as u64;
        if self.seen < made {
            let missing = self.numbers.iter().find(|(_, n)| self.seen_in[**n as usize] != self.listing);
            let name = missing.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
            let (listing, seen) = (self.listing, self.seen);
            return Err(format!("listing {listing} showed {seen} of {made} names; \"{name}\" is missing"));
        }
        Ok(())
    }

    /// What was wrong with as much of the listing as was made.
    pub fn end_early(&self) -> Result<(), String> {
        if let Some(name) = &self.twice {
            return Err(format!("listing {} showed \"{name}\" twice", self.listing));
        }
        if let Some(name) = &self.strange {
            return Err(format!("listing {} showed \"{name}\", which was never made", self.listing));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Names;

    fn expected() -> Expected {
        Expected::new(&NameMaker::new(&Names::pattern("f{n}"), 3, 0), 3)
    }

    fn verdict(names: &[&str]) -> Result<(), String> {
        let mut expected = expected();
        expected.begin();
        names.iter().for_each(|n| expected.see(n.as_bytes()));
        expected.end()
    }

    #[test]
    fn any_order_with_dots_is_complete() {
        assert_eq!(verdict(&[".", "..", "f3", "f1", "f2"]), Ok(()));
    }

    #[test]
    fn a_missing_a_repeated_and_a_strange_name_are_named() {
        assert!(verdict(&["f1", "f3"]).unwrap_err().contains("2 of 3 names; \"f2\" is missing"));
        assert!(verdict(&["f1", "f2", "f3", "f2"]).unwrap_err().contains("\"f2\" twice"));
        assert!(verdict(&["f1", "f2", "f3", "f4"]).unwrap_err().contains("\"f4\", which was never made"));
    }

    #[test]
    fn a_listing_in_two_parts_shows_each_name_once() {
        let in_two = |first: &[&str], second: &[&str]| {
            let mut expected = expected();
            expected.begin();
            first.iter().for_each(|n| expected.see(n.as_bytes()));
            expected.middle();
            assert_eq!(expected.end_early(), Ok(()));
            expected.begin_in_the_middle();
            second.iter().for_each(|n| expected.see(n.as_bytes()));
            expected.end()
        };
        assert_eq!(in_two(&["f1", "f2"], &["f3", ADDED]), Ok(()));
        assert!(in_two(&["f1", "f2"], &["f2", "f3"]).unwrap_err().contains("\"f2\" twice"));
        assert!(in_two(&["f1"], &["f3"]).unwrap_err().contains("\"f2\" is missing"));
    }

    #[test]
    fn the_next_listing_starts_anew() {
        let mut expected = expected();
        for _ in 0..2 {
            expected.begin();
            ["f1", "f2", "f3"].iter().for_each(|n| expected.see(n.as_bytes()));
            assert_eq!(expected.end(), Ok(()));
        }
        expected.begin();
        assert!(expected.end().is_err());
    }
}
