//! Which name the nth entry of a directory has: a formula of the seed, so that nobody needs to store it.

use crate::scenario::{Alphabet, Names};

/// Bytes a name is made of; none of them needs quoting in a shell.
const ALPHABET: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// Gives names by number.
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
    Random {
        lengths: Vec<usize>,
        alphabet: Alphabet,
    },
    Pattern(String),
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

/// Appends so many bytes of an alphabet. Its size is known to the compiler, which makes the division of each byte a
/// multiplication: long names take two thirds of the time.
fn fill<const SIZE: usize>(alphabet: &[u8; SIZE], mut state: u64, length: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + length, 0);
    for piece in out[start..].chunks_mut(8) {
        state = scatter(state);
        let mut bits = state;
        for byte in piece {
            *byte = alphabet[(bits % SIZE as u64) as usize];
            bits >>= 8;
        }
    }
}

impl NameMaker {
    /// Names for `count` entries.
    pub fn new(names: &Names, count: u64, seed: u64) -> Self {
        let form = match names {
            Names::Pattern { pattern } => Form::Pattern(pattern.clone()),
            Names::Random { lengths, alphabet } => Form::Random { lengths: lengths.all(), alphabet: *alphabet },
        };
        Self { form, seed, digits: digits_needed(count) }
    }

    /// The name of entry `number`, counted from 0, appended to `out`.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        match &self.form {
            Form::Pattern(pattern) => {
                out.extend_from_slice(pattern.replace("{n}", &(number + 1).to_string()).as_bytes());
            }
            Form::Random { lengths, alphabet } => self.write_random(number, lengths, *alphabet, out),
        }
    }

    /// The number stands at the end, so that names are unique; what stands before it is random.
    fn write_random(&self, number: u64, lengths: &[usize], alphabet: Alphabet, out: &mut Vec<u8>) {
        let state = scatter(self.seed ^ scatter(number));
        let length = lengths[(state % lengths.len() as u64) as usize].saturating_sub(self.digits);
        match alphabet {
            Alphabet::Ascii => fill(ALPHABET, state, length, out),
            Alphabet::Bytes => fill(&BYTES, state, length, out),
        }
        let mut rest = number;
        let start = out.len();
        for _ in 0..self.digits {
            out.push(ALPHABET[(rest % 62) as usize]);
            rest /= 62;
        }
        out[start..].reverse();
    }

    /// The number of the entry with this name; `None` if no entry has it.
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        let has_it = |number: &u64| self.name(*number) == name;
        match &self.form {
            Form::Pattern(pattern) => {
                let text = std::str::from_utf8(name.get(pattern.find("{n}")?..)?).ok()?;
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                // Digits of the pattern may follow those of the number.
                let counted = (1..=digits).map_while(|end| text[..end].parse::<u64>().ok()?.checked_sub(1));
                counted.into_iter().find(has_it)
            }
            Form::Random { .. } => {
                let digits = name.get(name.len().checked_sub(self.digits)?..)?;
                let number = digits.iter().try_fold(0u64, |number, byte| {
                    let digit = ALPHABET.iter().position(|known| known == byte)?;
                    number.checked_mul(62)?.checked_add(digit as u64)
                })?;
                Some(number).filter(has_it)
            }
        }
    }

    /// The name of entry `number`, counted from 0.
    pub fn name(&self, number: u64) -> Vec<u8> {
        let mut name = Vec::new();
        self.write(number, &mut name);
        name
    }
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
    fn a_seed_gives_the_names_that_it_always_gave() {
        let of = |names: Names| NameMaker::new(&names, 100, 7).name(42);
        assert_eq!(of(Names::random(3, 40)), b"tX6vPs2nZqLpdAD1FkEY89b7py9rgQ90G");
        let bytes = Names::Random { lengths: Lengths::List(vec![21]), alphabet: Alphabet::Bytes };
        assert_eq!(of(bytes), b"M.\x92\x08I`lW\x16\x9aC\xb3\xc3\xd0\x99\x7f\xb7Z\xca0G");
    }

    #[test]
    fn a_pattern_counts_from_one() {
        let names = Names::pattern("{n}_0123456789abcdef");
        assert_eq!(NameMaker::new(&names, 110, 0).name(109), b"110_0123456789abcdef");
    }

    #[test]
    fn a_name_tells_its_number_and_other_names_tell_none() {
        let forms = [
            Names::random(3, 40),
            Names::Random { lengths: Lengths::List(vec![9, 64]), alphabet: Alphabet::Bytes },
            Names::pattern("{n}"),
            Names::pattern("a{n}7-{n}"),
            Names::pattern("\u{e4}{n}\u{df}"),
        ];
        for form in forms {
            let maker = NameMaker::new(&form, 5_000, 7);
            for number in (0..5_000).step_by(7) {
                let name = maker.name(number);
                assert_eq!(maker.number(&name), Some(number), "{form:?}");
                let longer = [b"x", name.as_slice()].concat();
                assert_eq!(maker.number(&longer), None, "{form:?}");
            }
            for strange in [&b""[..], b".", b"..", b"a0", b"0", b"a7-", b"\xff\xff", &[b'Z'; 255]] {
                assert_eq!(maker.number(strange), None, "{form:?}: {strange:?}");
            }
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
