//! Which of two versions of Debian packages is the newer one.

use std::cmp::Ordering;

/// Compares two versions as Debian's policy does (5.6.12): `epoch:upstream-revision`, texts and numbers by turns, and a tilde before
/// everything else, even the end.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (a_epoch, a) = epoch(a);
    let (b_epoch, b) = epoch(b);
    let ((a, a_revision), (b, b_revision)) = (revision(a), revision(b));
    a_epoch.cmp(&b_epoch).then_with(|| compare_part(a, b)).then_with(|| compare_part(a_revision, b_revision))
}

fn epoch(version: &str) -> (u64, &str) {
    let split = version.split_once(':').and_then(|(epoch, rest)| Some((epoch.parse().ok()?, rest)));
    split.unwrap_or((0, version))
}

fn revision(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

fn compare_part(mut a: &str, mut b: &str) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        let (a_text, b_text) = (taken(&mut a, |c| !c.is_ascii_digit()), taken(&mut b, |c| !c.is_ascii_digit()));
        let texts = ranks(a_text).cmp(ranks(b_text));
        let (a_number, b_number) = (taken(&mut a, |c| c.is_ascii_digit()), taken(&mut b, |c| c.is_ascii_digit()));
        let (a_number, b_number) = (a_number.trim_start_matches('0'), b_number.trim_start_matches('0'));
        let numbers = a_number.len().cmp(&b_number.len()).then_with(|| a_number.cmp(b_number));
        if texts.then(numbers).is_ne() {
            return texts.then(numbers);
        }
    }
    Ordering::Equal
}

/// Takes the longest beginning of `text` of such characters.
fn taken<'a>(text: &mut &'a str, is_of_it: impl Fn(char) -> bool) -> &'a str {
    let (head, rest) = text.split_at(text.find(|c| !is_of_it(c)).unwrap_or(text.len()));
    *text = rest;
    head
}

/// Returns how characters are ordered: tildes, the end, letters, everything else.
fn ranks(text: &str) -> impl Iterator<Item = u32> + '_ {
    let rank = |c: char| match c {
        '~' => 0,
        c if c.is_ascii_alphabetic() => 2 + u32::from(c),
        c => 0x1000 + u32::from(c),
    };
    text.chars().map(rank).chain([1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_dpkg_orders_them() {
        let ascending = [
            "6.1~rc3-1",
            "6.1.9-1",
            "6.1.172-1~deb11u1",
            "6.1.172-1",
            "6.1.192-2",
            "6.1.192-3",
            "6.1.192-3+deb12u1",
            "6.1.192-10",
            "6.12.117-1~deb12u1",
            "6.12.117-1",
            "7.3.4-1~bpo13+1",
            "7.3.4-1",
            "1:2.6",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare("6.01-1", "6.1-1"), Ordering::Equal);
    }
}
