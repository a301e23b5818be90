//! What a directory showed in one listing, without keeping a name: two listings that differ are told apart.

use crate::workload::listing::entry::is_dot;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The names of one listing, `.` and `..` not counted, in whatever order they came.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NameDigest {
    /// How many there were.
    pub count: u64,
    /// A hash of each, summed; a name that comes twice is summed twice.
    sum: u64,
}

impl NameDigest {
    /// Adds one more name.
    pub fn add(&mut self, name: &[u8]) {
        if is_dot(name) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        self.count += 1;
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// Lengths of an allocation that holds a name, and how many names have it.
#[derive(Clone, Debug, Default)]
pub struct NameLengths(BTreeMap<u64, u64>);

impl NameLengths {
    /// Adds one more name.
    pub fn add(&mut self, name: &[u8]) {
        if !is_dot(name) {
            *self.0.entry(name.len() as u64 + 1).or_default() += 1;
        }
    }

    pub fn counts(&self) -> Vec<(u64, u64)> {
        self.0.iter().map(|(length, count)| (*length, *count)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> NameDigest {
        let mut names = NameDigest::default();
        of.iter().for_each(|name| names.add(name.as_bytes()));
        names
    }

    #[test]
    fn order_does_not_matter_and_a_name_that_is_missing_or_comes_twice_does() {
        assert_eq!(names(&[".", "..", "a", "b", "c"]), names(&["c", "a", "b"]));
        assert_ne!(names(&["a", "b", "c"]), names(&["a", "b"]));
        assert_ne!(names(&["a", "b"]), names(&["a", "a"]));
        assert_eq!(names(&[".", ".."]).count, 0);
    }

    #[test]
    fn names_are_counted_by_the_length_of_their_allocation() {
        let mut lengths = NameLengths::default();
        [".", "..", "a", "bc", "d"].iter().for_each(|name| lengths.add(name.as_bytes()));
        assert_eq!(lengths.counts(), [(2, 2), (3, 1)]);
        assert_eq!(names(&["a", "b", "c"]).count, 3);
    }
}
