//! Which name the nth entry of a directory has: a formula of the seed, so that nobody needs to store it.

use crate::scenario::{Alphabet, Names};

/// Bytes a name is made of; none of them needs quoting in a shell.
const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Gives names by number, and numbers by name.
#[derive(Clone, Debug)]
pub struct NameMaker {
    form: Form,
    seed: u64,
    /// Digits (base 62) that every number below the count fits in.
    digits: usize,
}

#[derive(Clone, Debug)]
enum Form {
    /// Lengths to draw from, and what to fill names with.
    Random { lengths: Vec<usize>, alphabet: Alphabet },
    /// What stands before, between and behind the numbers.
    Pattern(Vec<Box<[u8]>>),
}

/// All bytes that a name can have.
static BYTES: [u8; 254] = bytes();

const fn bytes() -> [u8; 254] {
    let mut all = [0; 254];
    let (mut place, mut byte) = (0, 1u8);
    while place < all.len() {
        if byte != b'/' {
            all[place] = byte;
            place += 1;
        }
        byte = byte.wrapping_add(1);
    }
    all
}

/// Digits in base 62 that tell `count` names apart.
pub fn digits_needed(count: u64) -> usize {
    let mut digits = 1;
    let mut reach = 62u64;
    while reach < count {
        reach = reach.saturating_mul(62);
        digits += 1;
    }
    digits
}

/// One step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that scatters neighbouring numbers.
pub fn scatter(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Alphabet {
    /// The byte that some random bits stand for. Each branch divides by a constant, which the compiler turns into a
    /// multiplication.
    fn byte(self, bits: u64) -> u8 {
        match self {
            Self::Ascii => ALPHABET[bits as usize % ALPHABET.len()],
            Self::Bytes => BYTES[bits as usize % BYTES.len()],
        }
    }
}

impl NameMaker {
    /// Names for `count` entries.
    pub fn new(names: &Names, count: u64, seed: u64) -> Self {
        let form = match names {
            Names::Pattern { pattern } => {
                Form::Pattern(pattern.split("{n}").map(|piece| piece.as_bytes().into()).collect())
            }
            Names::Random { lengths, alphabet } => Form::Random { lengths: lengths.all(), alphabet: *alphabet },
        };
        Self { form, seed, digits: digits_needed(count) }
    }

    /// The name of entry `number`, counted from 0, appended to `out`.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        match &self.form {
            Form::Pattern(pieces) => {
                let shown = (number + 1).to_string();
                for (place, piece) in pieces.iter().enumerate() {
                    out.extend_from_slice(if place == 0 { b"" } else { shown.as_bytes() });
                    out.extend_from_slice(piece);
                }
            }
            Form::Random { lengths, alphabet } => self.write_random(number, lengths, *alphabet, out),
        }
    }

    /// The number stands at the end, so that names are unique; what stands before it is random.
    fn write_random(&self, number: u64, lengths: &[usize], alphabet: Alphabet, out: &mut Vec<u8>) {
        let (mut state, random) = self.draw(number, lengths);
        for place in 0..random {
            if place % 8 == 0 {
                state = scatter(state);
            }
            out.push(alphabet.byte(state >> (place % 8 * 8)));
        }
        let mut rest = number;
        let start = out.len();
        for _ in 0..self.digits {
            out.push(ALPHABET[(rest % 62) as usize]);
            rest /= 62;
        }
        out[start..].reverse();
    }

    /// What the random bytes of a name come of, and how many there are.
    fn draw(&self, number: u64, lengths: &[usize]) -> (u64, usize) {
        let state = scatter(self.seed ^ scatter(number));
        let length = lengths[(state % lengths.len() as u64) as usize];
        (state, length.saturating_sub(self.digits))
    }

    /// The name of entry `number`, counted from 0.
    pub fn name(&self, number: u64) -> Vec<u8> {
        let mut name = Vec::new();
        self.write(number, &mut name);
        name
    }

    /// The number of the entry with exactly this name, which may be larger than the count; `None` if no number has it.
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        match &self.form {
            Form::Pattern(pieces) => number_in_pattern(pieces, name),
            Form::Random { lengths, alphabet } => {
                let (random, digits) = name.split_at_checked(name.len().checked_sub(self.digits)?)?;
                let number = digits.iter().try_fold(0_u64, |n, d| n.checked_mul(62)?.checked_add(digit(*d)?))?;
                let (mut state, length) = self.draw(number, lengths);
                let same = random.len() == length
                    && random.chunks(8).all(|bytes| {
                        state = scatter(state);
                        bytes.iter().zip(0..).all(|(byte, place)| alphabet.byte(state >> (place * 8)) == *byte)
                    });
                same.then_some(number)
            }
        }
    }
}

/// The value of a digit in base 62.
fn digit(byte: u8) -> Option<u64> {
    let value = match byte {
        b'0'..=b'9' => byte - b'0',
        b'a'..=b'z' => byte - b'a' + 10,
        b'A'..=b'Z' => byte - b'A' + 36,
        _ => return None,
    };
    Some(u64::from(value))
}

/// The length of the name tells how many digits the number has, even where digits stand beside it.
fn number_in_pattern(pieces: &[Box<[u8]>], name: &[u8]) -> Option<u64> {
    let fixed = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let digits = name.len().checked_sub(fixed)? / (pieces.len() - 1).max(1);
    let first = pieces[0].len();
    let shown = name.get(first..first + digits)?;
    let number = std::str::from_utf8(shown).ok()?.parse::<u64>().ok()?.checked_sub(1)?;
    let mut rest = name.strip_prefix(&*pieces[0])?;
    for piece in &pieces[1..] {
        rest = rest.strip_prefix(shown)?.strip_prefix(&**piece)?;
    }
    // What parses may be written in another way: "+1", "01".
    (rest.is_empty() && matches!(shown[0], b'1'..=b'9')).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Lengths;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_and_of_the_lengths_asked_for() {
        let maker = NameMaker::new(&Names::random(3, 40), 5_000, 7);
        let names: HashSet<_> = (0..5_000).map(|n| maker.name(n)).collect();
        assert_eq!(names.len(), 5_000);
        assert_eq!(names.iter().map(Vec::len).min(), Some(3));
        assert_eq!(names.iter().map(Vec::len).max(), Some(40));
    }

    #[test]
    fn the_seed_replays_names_and_another_seed_gives_others() {
        let [a, b, c] = [1, 1, 2].map(|seed| NameMaker::new(&Names::random(20, 20), 100, seed).name(42));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn a_pattern_counts_from_one() {
        let names = Names::pattern("{n}_0123456789abcdef");
        assert_eq!(NameMaker::new(&names, 110, 0).name(109), b"110_0123456789abcdef");
    }

    #[test]
    fn a_name_tells_its_number_and_another_name_does_not() {
        let bytes = Names::Random { lengths: Lengths::List(vec![9, 64]), alphabet: Alphabet::Bytes };
        let short = Names::random(2, 2);
        let patterns = ["{n}", "{n}0", "1{n}{n}", "f-{n}-{n}.txt"].map(Names::pattern);
        for names in [Names::random(3, 255), bytes, short].iter().chain(&patterns) {
            let maker = NameMaker::new(names, 2_000, 5);
            for number in 0..2_000 {
                let name = maker.name(number);
                assert_eq!(maker.number(&name), Some(number), "{}", name.escape_ascii());
                for place in 0..name.len() {
                    let mut other = name.clone();
                    other[place] ^= 0x10;
                    assert_ne!(maker.number(&other), Some(number), "{}", other.escape_ascii());
                }
                assert_ne!(maker.number(&name[1..]), Some(number));
                assert_ne!(maker.number(&[&name[..], b"x"].concat()), Some(number));
            }
        }
        for (pattern, strange) in
            [("{n}", "0"), ("{n}", "01"), ("{n}", "+1"), ("{n}", ""), ("{n}{n}", "12"), ("x{n}", "x")]
        {
            assert_eq!(NameMaker::new(&Names::pattern(pattern), 20, 0).number(strange.as_bytes()), None, "{strange}");
        }
    }

    #[test]
    fn names_of_any_bytes_are_names_of_files() {
        let names = Names::Random { lengths: Lengths::List(vec![9, 64]), alphabet: Alphabet::Bytes };
        let maker = NameMaker::new(&names, 2_000, 1);
        let all: HashSet<_> = (0..2_000).map(|n| maker.name(n)).collect();
        assert_eq!(all.len(), 2_000);
        let bytes: HashSet<u8> = all.iter().flatten().copied().collect();
        assert_eq!(bytes.len(), 254);
        assert!(!bytes.contains(&0) && !bytes.contains(&b'/'));
        assert!(all.iter().all(|name| [9, 64].contains(&name.len())));
    }
}
