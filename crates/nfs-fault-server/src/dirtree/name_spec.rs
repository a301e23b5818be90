//! How the entries of a directory are called: the lengths of names decide which slab caches hold them.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest name of a file in Linux (NAME_MAX).
pub const NAME_MAX: usize = 255;
/// kmalloc's size classes that can hold a name. The client allocates one byte more than a name has.
const SIZE_CLASSES: [usize; 8] = [8, 16, 32, 64, 96, 128, 192, 256];

/// How the entries of a directory are called.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(try_from = "NamesKeys", into = "NamesKeys")]
pub enum Names {
    /// Seeded names.
    Random {
        /// How long they are.
        lengths: Lengths,
        /// What they are made of.
        alphabet: Alphabet,
    },
    /// `pattern` with `{n}` replaced by 1, 2, 3 and so on.
    Pattern {
        /// Contains `{n}`.
        pattern: String,
    },
}

/// Lengths in bytes, each drawn as often as the others.
#[derive(Clone, Debug, PartialEq)]
pub enum Lengths {
    /// All from the first to the second.
    Range(usize, usize),
    /// These; one that is there twice is drawn twice as often.
    List(Vec<usize>),
    /// Those at the edges of kmalloc's size classes: two bytes of a class left over, none, and one too many.
    SizeClasses,
}

/// What random names are made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Alphabet {
    /// Letters and digits.
    #[default]
    Ascii,
    /// All bytes that a name can have: anything but NUL and `/`.
    Bytes,
}

impl Names {
    /// Describes ASCII names whose lengths are drawn evenly from `min_bytes` to `max_bytes`.
    pub fn random(min_bytes: usize, max_bytes: usize) -> Self {
        Self::Random { lengths: Lengths::Range(min_bytes, max_bytes), alphabet: Alphabet::Ascii }
    }

    /// Describes names that are `pattern` with `{n}` replaced by the entry's number.
    pub fn pattern(pattern: &str) -> Self {
        Self::Pattern { pattern: pattern.into() }
    }

    /// Returns the length of the longest of `count` names.
    pub fn longest_bytes(&self, count: u64) -> usize {
        match self {
            Self::Random { lengths, .. } => lengths.all().into_iter().max().unwrap_or(0),
            Self::Pattern { pattern } => pattern.replace("{n}", &count.to_string()).len(),
        }
    }

    /// Returns the mean length of `count` names, rounded up.
    pub fn mean_bytes(&self, count: u64) -> u64 {
        match self {
            Self::Random { lengths, .. } => {
                let all = lengths.all();
                (all.iter().sum::<usize>() as u64).div_ceil(all.len().max(1) as u64)
            }
            Self::Pattern { pattern } => pattern.replace("{n}", &count.to_string()).len() as u64,
        }
    }
}

impl Lengths {
    /// Returns every length, as often as it is drawn among as many names.
    pub fn all(&self) -> Vec<usize> {
        match self {
            Self::Range(min, max) => (*min..=*max).collect(),
            Self::List(lengths) => lengths.clone(),
            Self::SizeClasses => {
                let edges = SIZE_CLASSES.iter().flat_map(|class| [class - 2, class - 1, *class]);
                edges.filter(|length| *length <= NAME_MAX).collect()
            }
        }
    }
}

/// The keys of `names`, of which some exclude each other. Read as they are: an untagged enum would answer every
/// mistake with "did not match any variant".
#[derive(Clone, Default, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
struct NamesKeys {
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_bytes: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lengths_bytes: Option<Vec<usize>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    size_classes: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    alphabet: Option<Alphabet>,
}

impl TryFrom<NamesKeys> for Names {
    type Error = &'static str;

    fn try_from(keys: NamesKeys) -> Result<Self, Self::Error> {
        let NamesKeys { bytes, min_bytes, max_bytes, lengths_bytes, size_classes, pattern, alphabet } = keys;
        let range = match (bytes, min_bytes, max_bytes) {
            (None, None, None) => None,
            (Some(bytes), None, None) => Some(Lengths::Range(bytes, bytes)),
            (None, Some(min), Some(max)) => Some(Lengths::Range(min, max)),
            _ => return Err("`names` takes either `bytes`, or `min_bytes` and `max_bytes`"),
        };
        let list = lengths_bytes.map(Lengths::List);
        let classes = size_classes.then_some(Lengths::SizeClasses);
        let mut lengths = [range, list, classes].into_iter().flatten();
        match (lengths.next(), lengths.next(), pattern) {
            (Some(lengths), None, None) => Ok(Self::Random { lengths, alphabet: alphabet.unwrap_or_default() }),
            (None, None, Some(pattern)) if alphabet.is_none() => Ok(Self::Pattern { pattern }),
            (None, None, Some(_)) => Err("`names` with a `pattern` takes no `alphabet`"),
            _ => Err(
                "`names` takes one of `bytes`, `min_bytes` and `max_bytes`, `lengths_bytes`, `size_classes = true`, \
                      or `pattern`",
            ),
        }
    }
}

impl From<Names> for NamesKeys {
    fn from(names: Names) -> Self {
        let keys = Self::default();
        match names {
            Names::Pattern { pattern } => Self { pattern: Some(pattern), ..keys },
            Names::Random { lengths, alphabet } => {
                let keys = Self { alphabet: Some(alphabet), ..keys };
                match lengths {
                    Lengths::Range(min, max) => Self { min_bytes: Some(min), max_bytes: Some(max), ..keys },
                    Lengths::List(lengths) => Self { lengths_bytes: Some(lengths), ..keys },
                    Lengths::SizeClasses => Self { size_classes: true, ..keys },
                }
            }
        }
    }
}

/// Returns how many digits in base 62 tell `count` names apart.
pub fn digits_needed(count: u64) -> usize {
    let mut digits = 1;
    let mut reach = 62u64;
    while reach < count {
        reach = reach.saturating_mul(62);
        digits += 1;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_written_again() {
        for (text, names) in [
            ("bytes = 24", Names::random(24, 24)),
            ("min_bytes = 3\nmax_bytes = 9", Names::random(3, 9)),
            ("pattern = \"{n}\"", Names::pattern("{n}")),
            (
                "lengths_bytes = [7, 8]\nalphabet = \"bytes\"",
                Names::Random { lengths: Lengths::List(vec![7, 8]), alphabet: Alphabet::Bytes },
            ),
            ("size_classes = true", Names::Random { lengths: Lengths::SizeClasses, alphabet: Alphabet::Ascii }),
        ] {
            let read: Names = toml::from_str(text).unwrap();
            assert_eq!(read, names);
            assert_eq!(serde_json::from_str::<Names>(&serde_json::to_string(&read).unwrap()).unwrap(), names);
        }
    }

    #[test]
    fn forms_that_exclude_each_other_are_refused() {
        for text in ["", "bytes = 3\nmin_bytes = 2", "bytes = 3\nsize_classes = true", "pattern = \"{n}\"\nbytes = 3"] {
            assert!(toml::from_str::<Names>(text).is_err(), "{text}");
        }
        assert!(toml::from_str::<Names>("pattern = \"{n}\"\nalphabet = \"bytes\"").is_err());
    }

    #[test]
    fn size_classes_have_names_at_each_edge() {
        let all = Lengths::SizeClasses.all();
        assert_eq!(all[..6], [6, 7, 8, 14, 15, 16]);
        // A name of 255 bytes fills the largest class; one of 256 is none.
        assert_eq!(all[all.len() - 2..], [254, 255]);
    }
}
