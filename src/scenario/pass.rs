//! How a directory is read: one pass, or several at once.

use super::step::Step;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

/// One pass over the directory: open, getdents64, close.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pass {
    /// Whether every entry is looked at by stat(2) as soon as it is seen, as `ls -l` does.
    pub stat: bool,
    /// Which system calls read it.
    pub by: ReadCall,
    /// Size of the buffer given to getdents64; the scenario's if it is not said.
    #[schemars(range(min = 24, max = 16777216))]
    pub getdents_buffer_bytes: Option<usize>,
    /// Where it begins; in the middle: at the cookie that the pass before saw there.
    pub from: Position,
    /// Where it ends.
    pub to: Position,
    /// What is done when half of the entries have been seen, with the directory open.
    pub middle: Vec<Step>,
    /// What is done after every so many entries.
    pub every: Option<Every>,
    /// How often the pass goes back to a cookie that it has seen, by lseek, and reads on from there.
    #[schemars(range(max = 10000))]
    pub seeks: u32,
    /// How often it is rewound when half of the entries have been seen, and begins anew.
    #[schemars(range(max = 1000))]
    pub rewinds: u32,
    /// Threads that read the same open directory.
    #[schemars(range(min = 1, max = 64))]
    pub threads: u32,
    /// Processes that read the directory at the same time, each by an open directory of its own.
    #[schemars(range(min = 1, max = 64))]
    pub processes: u32,
    /// Whether the process that reads it is killed when half of the entries have been seen.
    pub killed: bool,
    /// So often a signal interrupts the reader, in microseconds; never if it is 0.
    #[schemars(range(max = 1000000))]
    pub signals_every_us: u32,
    /// Which directories are read.
    pub of: DirSelector,
    /// Through which mount it is read, counted from 1.
    #[schemars(range(min = 1, max = 8))]
    pub mount: u32,
    /// Whether the server lies, so that it does not matter what the pass shows and how it ends.
    #[serde(rename = "lied_to")]
    pub server_lies: bool,
    /// The error with which it must end.
    #[serde(rename = "fails")]
    pub expected_error: Option<Errno>,
}

impl Default for Pass {
    fn default() -> Self {
        Self {
            stat: false,
            by: ReadCall::Getdents,
            getdents_buffer_bytes: None,
            from: Position::Outside,
            to: Position::Outside,
            middle: Vec::new(),
            every: None,
            seeks: 0,
            rewinds: 0,
            threads: 1,
            processes: 1,
            killed: false,
            signals_every_us: 0,
            of: DirSelector::All,
            mount: 1,
            server_lies: false,
            expected_error: None,
        }
    }
}

/// The system calls that read a directory.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "By")]
pub enum ReadCall {
    /// getdents64(2) with a buffer of ours.
    #[default]
    Getdents,
    /// readdir(3) of the C library, which has a buffer of 32 KiB.
    Readdir,
}

/// Which of the directories a pass reads.
#[derive(Clone, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "Which")]
pub enum DirSelector {
    /// All of them, from the first down.
    #[default]
    All,
    /// The one that is mounted.
    First,
    /// One that is drawn by lot, as often as its share of the entries.
    Drawn,
    /// Those with these numbers, one after the other; directories of a shape are counted from 1, and 0 is the one that is mounted.
    Directories(Vec<usize>),
}

/// Steps that are done again and again while a directory is read.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Every {
    /// After so many entries.
    #[schemars(range(min = 1))]
    pub entries: Option<u64>,
    /// Or after so much time, by the guest's clock.
    #[schemars(range(min = 1))]
    pub milliseconds: Option<u64>,
    /// What is done then.
    pub steps: Vec<Step>,
}

/// A place in the directory.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Position {
    /// Its first entry for a pass that begins there, behind its last for one that ends there.
    #[default]
    Outside,
    /// After half of its entries.
    Middle,
    /// After so many entries.
    After(u64),
}

const OUTSIDE: &str = "outside";
const MIDDLE: &str = "middle";

impl Serialize for Position {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Outside => serializer.serialize_str(OUTSIDE),
            Self::Middle => serializer.serialize_str(MIDDLE),
            Self::After(entries) => serializer.serialize_u64(*entries),
        }
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PositionVisitor)
    }
}

struct PositionVisitor;

impl Visitor<'_> for PositionVisitor {
    type Value = Position;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "\"{MIDDLE}\", \"{OUTSIDE}\" or a number of entries")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Position, E> {
        match word {
            OUTSIDE => Ok(Position::Outside),
            MIDDLE => Ok(Position::Middle),
            _ => Err(E::unknown_variant(word, &[MIDDLE, OUTSIDE])),
        }
    }

    fn visit_u64<E: Error>(self, entries: u64) -> Result<Position, E> {
        Ok(Position::After(entries))
    }

    fn visit_i64<E: Error>(self, entries: i64) -> Result<Position, E> {
        u64::try_from(entries).map(Position::After).map_err(|_| E::custom("a place cannot be before the first entry"))
    }
}

impl JsonSchema for Position {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A place in the directory: a word, or after so many entries.",
            "oneOf": [{ "enum": [OUTSIDE, MIDDLE] }, { "type": "integer", "minimum": 0 }],
        })
    }
}

/// Errors of the system calls that a listing can end with.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Errno {
    Eio,
    Eacces,
    Einval,
    Estale,
    Enoent,
    Eloop,
    Eremoteio,
    Etimedout,
}
