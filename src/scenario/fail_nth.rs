//! An allocation that fails on purpose: the nth that a unit asks the kernel for.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// No unit asks for more before it is told that it asks for too much.
pub const MOST_NTH: u32 = 1_000_000;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AllocationKind {
    /// An object of a slab cache (should_failslab in mm/failslab.c).
    Slab,
    /// A page, or several in a row (should_fail_alloc_page in mm/page_alloc.c).
    Page,
}

impl AllocationKind {
    /// Both, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Slab, Self::Page];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Slab => "slab",
            Self::Page => "page",
        }
    }
}

/// The allocation that fails: `slab:7` is the seventh object, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FailNth {
    pub kind: AllocationKind,
    pub nth: u32,
}

impl fmt::Display for FailNth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.nth)
    }
}

impl FromStr for FailNth {
    type Err = String;

    /// Reads `slab:7` and `page:2`.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} names no allocation; `slab:7` is the seventh object, `page:2` the second page");
        let (kind, nth) = text.split_once(':').ok_or_else(wrong)?;
        let kind = AllocationKind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(wrong)?;
        let is_number = !nth.is_empty() && nth.bytes().all(|digit| digit.is_ascii_digit());
        let nth = nth.parse().ok().filter(|nth| is_number && (1..=MOST_NTH).contains(nth)).ok_or_else(wrong)?;
        Ok(Self { kind, nth })
    }
}

impl Serialize for FailNth {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FailNth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for FailNth {
    fn schema_name() -> Cow<'static, str> {
        "FailNth".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The allocation that fails: the nth object of a slab cache, or the nth page.",
            "type": "string", "pattern": "^(slab|page):[1-9][0-9]{0,6}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocation_is_written_as_it_is_read() {
        for text in ["slab:1", "page:2", "slab:1000000"] {
            assert_eq!(text.parse::<FailNth>().unwrap().to_string(), text);
        }
        let json = serde_json::to_string(&FailNth { kind: AllocationKind::Page, nth: 3 }).unwrap();
        assert_eq!(json, r#""page:3""#);
        assert_eq!(serde_json::from_str::<FailNth>(&json).unwrap(), FailNth { kind: AllocationKind::Page, nth: 3 });
    }

    #[test]
    fn what_names_none_is_told() {
        for text in ["", "7", "slab", "slab:", "slab:0", "slab:-1", "slab:+1", "slabs:1", "page:1000001", "page:1:2"] {
            let error = text.parse::<FailNth>().unwrap_err();
            assert!(error.contains("names no allocation; `slab:7`"), "{error}");
        }
    }
}
