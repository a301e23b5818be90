//! A step that does operations to files, as a scenario writes it.

use crate::workload::file_ops::action::{Action, errno_name, errno_of_name};
use nix::errno::Errno;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeOwned, Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// What is done to each of some names in a directory of the mount, which is empty again afterwards.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileSteps {
    /// Names.
    #[schemars(range(min = 1, max = 100000))]
    pub count: u32,
    /// Length of each; what belongs to a name has a few more.
    #[schemars(range(min = 1, max = 200))]
    pub name_bytes: u32,
    /// Through which mount, counted from 1, unless an operation says otherwise.
    #[schemars(range(min = 1, max = 8))]
    pub mount: u32,
    /// What is done to each name, in this order.
    #[serde(rename = "do")]
    pub operations: Vec<FileOp>,
    /// Whether all of it is done to a name before the next name is turned to, or each operation to all names before the next operation.
    pub each: Each,
    /// Operations that are drawn from the seed, after those.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<Draw>,
}

impl Default for FileSteps {
    fn default() -> Self {
        Self { count: 1, name_bytes: 24, mount: 1, operations: Vec::new(), each: Each::Name, draw: None }
    }
}

/// What comes first: all operations of a name, or an operation on all names.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Each {
    #[default]
    Name,
    Operation,
}

/// Operations that are drawn, those that make no sense at that moment left out.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Draw {
    /// How many in a unit, on names that are drawn, too.
    #[schemars(range(min = 1, max = 1000000))]
    pub operations: u32,
    /// Of which, each as often as its `weight` says.
    pub of: Vec<FileOp>,
}

/// An operation on a name.
#[derive(Clone, Debug, PartialEq)]
pub struct FileOp {
    pub action: Action,
    /// What stands behind the name of that to which it is done; empty for the name itself.
    pub at: String,
    /// The error with which it must end.
    pub fails: Option<Errno>,
    /// Through which mount.
    pub mount: Option<u32>,
    /// How often it is drawn, beside others.
    pub weight: u32,
}

/// What operations need that are a word without being told, by their word.
const DEFAULTS: [(&str, &str); 16] = [
    ("read", "4096"),
    ("write", "4096"),
    ("append", "4096"),
    ("mmap-read", "4096"),
    ("mmap-write", "4096"),
    ("truncate", "0"),
    ("ftruncate", "0"),
    ("fallocate", "4096"),
    ("punch", "4096"),
    ("mknod", "\"fifo\""),
    ("chmod", "416"),
    ("utimens", "1000000000"),
    ("lock", "\"posix\""),
    ("lock-shared", "\"posix\""),
    ("unlock", "\"posix\""),
    ("test-lock", "\"posix\""),
];

/// Keys that say more of an operation.
const MORE: [&str; 5] = ["op", "at", "fails", "mount", "weight"];

impl FileOp {
    /// Returns an operation on the name itself that must succeed.
    pub fn new(action: Action) -> Self {
        Self { action, at: String::new(), fails: None, mount: None, weight: 1 }
    }

    /// Returns what an operation is called in a sentence.
    fn from_table(mut table: Map<String, Value>) -> Result<Self, String> {
        let at: String = take(&mut table, "at")?.unwrap_or_default();
        let fails = match take::<String>(&mut table, "fails")? {
            Some(name) => Some(errno_of_name(&name).ok_or_else(|| {
                format!("`fails` is {name:?}, which is no error of errno(3); it is a name such as \"EEXIST\"")
            })?),
            None => None,
        };
        let mount = take(&mut table, "mount")?;
        let weight = take(&mut table, "weight")?.unwrap_or(1);
        let op = take::<String>(&mut table, "op")?;
        let action = match (op, table.len()) {
            (Some(word), 0) => action_of_word(&word)?,
            (None, 1) => action_of_value(Value::Object(table))?,
            (_, 0) => return Err("an operation without a name; say which by `op` or as a key".into()),
            _ => {
                let keys = table.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                return Err(format!("an operation is one key, and beside it {}; here are {keys}", listed(&MORE[1..])));
            }
        };
        Ok(Self { action, at, fails, mount, weight })
    }

    fn to_value(&self) -> Value {
        let mut table = match serde_json::to_value(&self.action).unwrap_or_default() {
            Value::Object(table) => table,
            word => Map::from_iter([("op".to_owned(), word)]),
        };
        if !self.at.is_empty() {
            table.insert("at".into(), self.at.clone().into());
        }
        if let Some(errno) = self.fails {
            table.insert("fails".into(), errno_name(errno).into());
        }
        if let Some(mount) = self.mount {
            table.insert("mount".into(), mount.into());
        }
        if self.weight != 1 {
            table.insert("weight".into(), self.weight.into());
        }
        Value::Object(table)
    }
}

/// Takes a key out of a table; an error says that its value is of another kind.
fn take<T: DeserializeOwned>(table: &mut Map<String, Value>, key: &str) -> Result<Option<T>, String> {
    let Some(value) = table.remove(key) else { return Ok(None) };
    let shown = value.to_string();
    serde_json::from_value(value).map(Some).map_err(|_| format!("`{key}` of an operation cannot be {shown}"))
}

fn action_of_word(word: &str) -> Result<Action, String> {
    match DEFAULTS.iter().find(|(known, _)| *known == word) {
        Some((_, value)) => {
            let value: Value = serde_json::from_str(value).map_err(|e| e.to_string())?;
            action_of_value(Value::Object(Map::from_iter([(word.to_owned(), value)])))
        }
        None => action_of_value(Value::String(word.to_owned())),
    }
}

fn action_of_value(value: Value) -> Result<Action, String> {
    let shown = value.to_string();
    serde_json::from_value(value).map_err(|e| {
        let told = e.to_string();
        match told.contains("unknown variant") {
            true => told.replace("unknown variant", "unknown operation"),
            false => format!("the operation {shown} cannot be: {told}"),
        }
    })
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The operation as it stands in sentences.
impl fmt::Display for FileOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.action)?;
        if !self.at.is_empty() {
            write!(f, " at `{}`", self.at)?;
        }
        Ok(())
    }
}

impl Serialize for FileOp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FileOp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FileOpVisitor)
    }
}

struct FileOpVisitor;

impl<'de> Visitor<'de> for FileOpVisitor {
    type Value = FileOp;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an operation on files: a word, or a table with one such key")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<FileOp, E> {
        action_of_word(word).map(FileOp::new).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<FileOp, A::Error> {
        let mut table = Map::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            table.insert(key, value);
        }
        FileOp::from_table(table).map_err(A::Error::custom)
    }
}

impl JsonSchema for FileOp {
    fn schema_name() -> Cow<'static, str> {
        "FileOp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let of_action = serde_json::to_value(Action::json_schema(generator)).unwrap_or_default();
        let mut words: Vec<Value> = DEFAULTS.iter().map(|(word, _)| Value::from(*word)).collect();
        let mut keys = Map::new();
        for one in of_action["oneOf"].as_array().into_iter().flatten() {
            words.extend(one["const"].as_str().map(Value::from));
            words.extend(one["enum"].as_array().into_iter().flatten().cloned());
            keys.extend(one["properties"].as_object().into_iter().flatten().map(|(k, v)| (k.clone(), v.clone())));
        }
        let words = json_schema!({ "enum": words });
        for (key, schema) in [
            ("op", words.clone()),
            ("at", json_schema!({ "type": "string" })),
            ("fails", json_schema!({ "type": "string", "pattern": "^E[A-Z0-9]+$" })),
            ("mount", json_schema!({ "type": "integer", "minimum": 1, "maximum": 8 })),
            ("weight", json_schema!({ "type": "integer", "minimum": 1, "maximum": 10000 })),
        ] {
            keys.insert(key.into(), serde_json::to_value(schema).unwrap_or_default());
        }
        json_schema!({
            "description": "An operation on a name: a word, or a table with one such key and what more is to be said of it.",
            "oneOf": [words, { "type": "object", "properties": keys, "additionalProperties": false }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::file_ops::action::LockKind;

    fn read(toml: &str) -> Result<FileSteps, String> {
        toml::from_str(toml).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn operations_are_words_and_tables() {
        let steps = read(
            "count = 3\ndo = [\"create\", \"write\", { write = 5 }, { op = \"create-exclusive\", fails = \"EEXIST\" }, \
             { unlink-it = 1 }]",
        );
        assert!(steps.unwrap_err().contains("unknown operation `unlink-it`, expected one of `create`"));
        let steps = read(
            "do = [\"write\", { write = 5, at = \"b\", mount = 2 }, { op = \"create-exclusive\", fails = \"EEXIST\" }, { lock = \"ofd\" }, \
             { chmod = 0o600 }]",
        )
        .unwrap();
        let operations = &steps.operations;
        assert_eq!(operations[0], FileOp::new(Action::Write(4096)));
        assert_eq!((operations[1].at.as_str(), operations[1].mount), ("b", Some(2)));
        assert_eq!((&operations[2].action, operations[2].fails), (&Action::CreateExclusive, Some(Errno::EEXIST)));
        assert_eq!(operations[3].action, Action::Lock(LockKind::Ofd));
        assert_eq!(operations[4].action, Action::Chmod(0o600));
        assert_eq!(operations[1].to_string(), "`write = 5` at `b`");
        let text = serde_json::to_string(&steps).unwrap();
        assert_eq!(serde_json::from_str::<FileSteps>(&text).unwrap(), steps, "the guest reads what the host has read");
    }

    #[test]
    fn what_is_no_operation_is_told() {
        for (one, expected) in [
            ("\"crate\"", "unknown operation `crate`"),
            ("{ write = \"much\" }", "the operation {\"write\":\"much\"} cannot be"),
            ("{ write = 1, read = 1 }", "an operation is one key"),
            ("{ at = \"b\" }", "an operation without a name"),
            ("{ op = \"unlink\", fails = \"ENOPE\" }", "which is no error of errno(3)"),
            ("{ op = \"unlink\", mount = \"2\" }", "`mount` of an operation cannot be \"2\""),
            ("\"rename\"", "rename"),
            ("7", "an operation on files"),
        ] {
            let error = read(&format!("do = [{one}]")).unwrap_err();
            assert!(error.contains(expected), "{one}: {error}");
        }
    }

    #[test]
    fn each_word_with_a_default_is_an_operation() {
        for (word, _) in DEFAULTS {
            assert!(action_of_word(word).is_ok(), "{word}");
        }
    }
}
