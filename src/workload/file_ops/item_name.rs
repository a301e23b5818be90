//! The names that operations are done to.

use nfs_fault_server::dirtree::names::scatter;

/// Bytes with which names are filled up.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz_+=,~^";

/// Returns the name of this number: the number, and letters by formula behind it until it has so many bytes.
pub fn item_name(number: u32, bytes: usize, seed: u64) -> String {
    let mut name = format!("{number}");
    let mut lot = scatter(seed ^ u64::from(number));
    if name.len() < bytes {
        name.push('-');
    }
    while name.len() < bytes {
        lot = scatter(lot);
        name.push(char::from(LETTERS[lot as usize % LETTERS.len()]));
    }
    name
}

/// Returns the path of what belongs to a name: the name itself if `at` is empty, else one beside it, which begins with it.
pub fn path_of(name: &str, at: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{name}.{at}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_as_long_as_is_said_and_different() {
        for bytes in [3, 24, 200] {
            let names: BTreeSet<String> = (1..=100).map(|number| item_name(number, bytes, 42)).collect();
            assert_eq!(names.len(), 100);
            assert!(names.iter().all(|name| name.len() == bytes), "{names:?}");
        }
        assert_eq!(item_name(7, 24, 1), item_name(7, 24, 1));
        assert_ne!(item_name(7, 24, 1), item_name(7, 24, 2));
        assert_eq!((path_of("7-ab", ""), path_of("7-ab", "d/x")), ("7-ab".to_owned(), "7-ab.d/x".to_owned()));
    }
}
