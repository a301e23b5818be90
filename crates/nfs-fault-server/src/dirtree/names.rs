//! Which name the nth entry of a directory has: a formula of the seed, so that nobody needs to store it.

use super::name_spec::{Alphabet, Names, digits_needed};

/// Digits that numbers are written with; none of them needs quoting in a shell.
const DIGITS: &[u8; 62] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// The value of each byte that is a digit; of others, 255.
static VALUES: [u8; 256] = values();

const fn values() -> [u8; 256] {
    let mut values = [255; 256];
    let mut value = 0;
    while value < DIGITS.len() {
        values[DIGITS[value] as usize] = value as u8;
        value += 1;
    }
    values
}

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

/// SplitMix64's odd numbers: how far its state goes on, and what it is multiplied by.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
const FACTOR: u64 = 0xbf58_476d_1ce4_e5b9;

/// Makes one step of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that scatters neighbouring numbers.
pub fn scatter(mut x: u64) -> u64 {
    x = x.wrapping_add(STEP);
    x = (x ^ (x >> 30)).wrapping_mul(FACTOR);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Returns eight times the same byte.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Returns a word with 1 in each byte of `bytes` that is at least `least`; all are below 128.
fn at_least(bytes: u64, least: u8) -> u64 {
    ((bytes + each(128 - least)) >> 7) & each(1)
}

/// Returns a word with 1 in each byte that is 0.
fn zero(bytes: u64) -> u64 {
    // The highest bit of a byte's sum is set if one of the lower bits is.
    (!(((bytes & each(127)) + each(127)) | bytes) >> 7) & each(1)
}

impl Alphabet {
    /// Returns eight bytes of a name, made of eight random ones all at once: a check does this for every name that it
    /// meets.
    fn bytes(self, random: u64) -> [u8; 8] {
        let bytes = match self {
            // 0 to 31 become a to z and 0 to 5.
            Self::Ascii => {
                let low = random & each(31);
                low + each(b'a') - at_least(low, 26) * u64::from(b'a' + 26 - b'0')
            }
            // NUL and `/` become the bytes behind them.
            Self::Bytes => random + zero(random) + zero(random ^ each(b'/')),
        };
        bytes.to_le_bytes()
    }
}

impl NameMaker {
    /// Makes the names of `count` entries.
    pub fn new(names: &Names, count: u64, seed: u64) -> Self {
        let form = match names {
            Names::Pattern { pattern } => {
                Form::Pattern(pattern.split("{n}").map(|piece| piece.as_bytes().into()).collect())
            }
            Names::Random { lengths, alphabet } => Form::Random { lengths: lengths.all(), alphabet: *alphabet },
        };
        Self { form, seed: scatter(seed), digits: digits_needed(count) }
    }

    /// Appends the name of entry `number`, counted from 0, to `out`.
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

    /// Appends a name with the number at its end, so that names are unique; what stands before it is random.
    fn write_random(&self, number: u64, lengths: &[usize], alphabet: Alphabet, out: &mut Vec<u8>) {
        let (length, random) = self.draw(number, lengths);
        let begin = out.len();
        random.take(length.div_ceil(8)).for_each(|word| out.extend_from_slice(&alphabet.bytes(word)));
        out.truncate(begin + length);
        let mut rest = number;
        let begin = out.len();
        for _ in 0..self.digits {
            out.push(DIGITS[(rest % 62) as usize]);
            rest /= 62;
        }
        out[begin..].reverse();
    }

    /// Draws how many random bytes a name has, and what they are made of.
    fn draw(&self, number: u64, lengths: &[usize]) -> (usize, impl Iterator<Item = u64>) {
        let state = scatter(self.seed.wrapping_add(number.wrapping_mul(STEP)));
        // The upper half of a product with a random number is below the other factor.
        let length = lengths[((u128::from(state) * lengths.len() as u128) >> 64) as usize];
        // Each word is made of the whole state, by what a processor does to several words at once: a check makes all of them again.
        let word = move |place: u64| state ^ place.wrapping_mul(STEP);
        (length.saturating_sub(self.digits), (0..).map(word))
    }

    /// Returns the name of entry `number`, counted from 0.
    pub fn name(&self, number: u64) -> Vec<u8> {
        let mut name = Vec::new();
        self.write(number, &mut name);
        name
    }

    /// Returns the number of the entry with exactly this name, which may be larger than the count; `None` if no number has it.
    pub fn number(&self, name: &[u8]) -> Option<u64> {
        match &self.form {
            Form::Pattern(pieces) => number_in_pattern(pieces, name),
            Form::Random { lengths, alphabet } => {
                let (random, digits) = name.split_at_checked(name.len().checked_sub(self.digits)?)?;
                let number = digits.iter().try_fold(0_u64, |number, digit| {
                    let value = VALUES[usize::from(*digit)];
                    if value == 255 { None } else { number.checked_mul(62)?.checked_add(u64::from(value)) }
                })?;
                let (length, words) = self.draw(number, lengths);
                let mut expected = words.map(|word| alphabet.bytes(word));
                let whole = random.chunks_exact(8);
                let rest = whole.remainder();
                if random.len() != length {
                    return None;
                }
                // No branch for each word: nearly every name is right.
                let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("it is a chunk of eight"));
                let eight = |other: [u8; 8]| u64::from_le_bytes(other);
                let difference = whole.zip(&mut expected).fold(0, |d, (one, other)| d | (word(one) ^ eight(other)));
                let same = difference == 0 && expected.next().is_some_and(|other| equal(rest, &other[..rest.len()]));
                same.then_some(number)
            }
        }
    }
}

/// Returns whether both are the same. They are so short that a call of memcmp takes longer.
fn equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a == b)
}

/// Returns what stands behind a beginning.
fn behind<'a>(bytes: &'a [u8], begin: &[u8]) -> Option<&'a [u8]> {
    let (same, rest) = bytes.split_at_checked(begin.len())?;
    equal(same, begin).then_some(rest)
}

/// Returns the number in a name of this pattern: the name's length tells how many digits it has, even where digits
/// stand beside it.
fn number_in_pattern(pieces: &[Box<[u8]>], name: &[u8]) -> Option<u64> {
    let (first, others) = pieces.split_first()?;
    let fixed = pieces.iter().map(|piece| piece.len()).sum::<usize>();
    let mut digits = name.len().checked_sub(fixed)?;
    if others.len() > 1 {
        digits /= others.len();
    }
    let (begin, rest) = name.split_at_checked(first.len())?;
    let shown = rest.get(..digits)?;
    let number = shown.iter().try_fold(0_u64, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { number.checked_mul(10)?.checked_add(u64::from(digit)) }
    })?;
    let rest = others.iter().try_fold(rest, |rest, piece| behind(behind(rest, shown)?, piece))?;
    // A number is not written with a zero in front.
    let same = equal(begin, first) && rest.is_empty() && *shown.first()? != b'0';
    if same { number.checked_sub(1) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dirtree::name_spec::Lengths;
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
    fn seed_replays_names_and_another_seed_gives_others() {
        let [a, b, c] = [1, 1, 2].map(|seed| NameMaker::new(&Names::random(20, 20), 100, seed).name(42));
        assert_eq!(a, b);
        assert_ne!(a, c);
    }

    #[test]
    fn pattern_counts_from_one() {
        let names = Names::pattern("{n}_0123456789abcdef");
        assert_eq!(NameMaker::new(&names, 110, 0).name(109), b"110_0123456789abcdef");
    }

    #[test]
    fn name_tells_its_number_and_another_name_does_not() {
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
