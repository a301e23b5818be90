//! How a directory is read: one pass, or several at once.

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;

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
