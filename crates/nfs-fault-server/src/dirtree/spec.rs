//! The directories of a scenario: their shape, what their entries are called, and what they are.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use super::name_spec::{Alphabet, Lengths, Names};

/// PATH_MAX is 4096 and a name has up to 255 bytes.
pub const MAX_DEPTH: u64 = 12;

/// What is made and listed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Number of entries that are no directories of the shape, over all directories; `.` and `..` not counted.
    pub entries: u64,
    /// How the entries are called.
    pub names: Names,
    /// Which directories there are.
    #[serde(default)]
    pub shape: Shape,
    /// What the entries are.
    #[serde(default)]
    pub kinds: Kinds,
    /// Where they are made.
    #[serde(default)]
    pub made: Made,
}

/// Which directories there are below the one that is mounted.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// None: every entry is in the directory that is mounted.
    #[default]
    Flat,
    /// So many, side by side, with the same number of entries in each.
    Many {
        /// How many.
        directories: u64,
    },
    /// Every directory has `fan_out` directories, down to `depth` levels below the first; entries are spread evenly.
    Tree {
        /// Directories in each directory.
        fan_out: u64,
        /// Levels below the first directory.
        depth: u64,
    },
    /// The sites of a web server: so many directories side by side, the nth largest of which has a share of the entries
    /// that is proportional to 1 / n^`exponent` (Zipf's law).
    WebSite {
        /// How many sites.
        directories: u64,
        /// Of Zipf's law, 0 to 10.
        exponent: f64,
    },
    /// Side by side, with so many entries each, which are `entries` together.
    Sizes(Vec<u64>),
}

/// What the entries are, by weight: with `{ files = 999, symlinks = 1 }` one entry of a thousand is a symbolic link.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct Kinds {
    /// Empty regular files.
    pub files: u32,
    /// Empty directories.
    pub directories: u32,
    /// Symbolic links to a name that does not exist.
    pub symlinks: u32,
    /// Further names of the first file in the directory.
    pub hard_links: u32,
}

impl Default for Kinds {
    fn default() -> Self {
        Self { files: 1, directories: 0, symlinks: 0, hard_links: 0 }
    }
}

/// Where the entries are made.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Made {
    /// On the exported file system itself.
    #[default]
    Export,
    /// Through the NFS mount.
    Mount,
}

impl Shape {
    /// Returns how many directories there are below the one that is mounted.
    pub fn directories(&self) -> u64 {
        match self {
            Self::Flat => 0,
            Self::Many { directories } | Self::WebSite { directories, .. } => *directories,
            Self::Sizes(sizes) => sizes.len() as u64,
            Self::Tree { fan_out, depth } => {
                let level = |level: u64| fan_out.saturating_pow(u32::try_from(level).unwrap_or(u32::MAX));
                (1..=MAX_DEPTH.min(*depth)).fold(0, |sum: u64, l| sum.saturating_add(level(l)))
            }
        }
    }
}

impl Directory {
    /// Returns a flat directory of regular files, made on the export.
    pub fn flat(entries: u64, names: Names) -> Self {
        Self { entries, names, shape: Shape::Flat, kinds: Kinds::default(), made: Made::Export }
    }

    /// Returns the same with no more entries than this; where sizes are said, each is as much smaller as all are.
    pub fn with_at_most(&self, most: u64) -> Self {
        let entries = self.entries.min(most);
        match &self.shape {
            Shape::Sizes(sizes) if entries < self.entries => {
                let smaller = |size: &u64| (u128::from(*size) * u128::from(entries) / u128::from(self.entries)) as u64;
                let sizes: Vec<u64> = sizes.iter().map(smaller).collect();
                Self { entries: sizes.iter().sum(), shape: Shape::Sizes(sizes), ..self.clone() }
            }
            _ => Self { entries, ..self.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smaller_directory_has_the_same_shape() {
        let sizes = |sizes: &[u64]| {
            let directory = Directory::flat(sizes.iter().sum(), Names::random(8, 8));
            Directory { shape: Shape::Sizes(sizes.to_vec()), ..directory }
        };
        assert_eq!(sizes(&[700, 0, 300]).with_at_most(100), sizes(&[70, 0, 30]));
        assert_eq!(sizes(&[700, 0, 300]).with_at_most(1000), sizes(&[700, 0, 300]));
        let flat = Directory::flat(1000, Names::random(8, 8));
        assert_eq!(flat.with_at_most(100).entries, 100);
    }
}
