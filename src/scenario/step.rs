//! One thing that a scenario does to the mount, its server or the kernel's caches.

use super::fail_nth::FailNth;
use super::files::FileSteps;
use super::pass::{DirSelector, Errno, Position, ReadCall};
use super::program::Program;
use nfs_fault_server::{Fault, Nfs3Error};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::borrow::Cow;
use std::fmt;

/// One thing that is done.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The server's directory gets a newer change time.
    Touch,
    /// One pass over the directory.
    List(Pass),
    /// The page cache is dropped, dentries and inodes are kept.
    DropPages,
    /// Dentries and inodes are dropped.
    DropDentries,
    /// Both.
    DropAll,
    /// The directory's own pages are dropped, by posix_fadvise.
    Evict,
    /// The workload's cgroup reclaims what it can.
    Reclaim,
    /// The synthetic server answers the next READDIR or READDIRPLUS with an error.
    Fail(Nfs3Error),
    /// The synthetic server misbehaves, now or later.
    Fault(Fault),
    /// The synthetic server's directory gets a newer change time, which the reply to the next READDIR is the first to show.
    TouchInReply,
    /// The entry that was seen last is gone from the synthetic server.
    RemoveSeen,
    /// It is there again.
    Restore,
    /// The synthetic server's next reply to READDIRPLUS has attributes and no file handles.
    HideHandles,
    /// One file more on the server.
    Add,
    /// A look through the mount at the name of that file, which must not be there.
    Miss,
    /// That file gets another name, or its first one back.
    Rename,
    /// That file is gone again, whatever it is called.
    Remove,
    /// The same three through the mount with this number.
    AddBy(u32),
    RenameBy(u32),
    RemoveBy(u32),
    /// The server stops, and starts again after so many milliseconds.
    RestartServer(u32),
    /// The loopback interface is down for so many milliseconds.
    CutLink(u32),
    /// The export is mounted a second time, listed there and unmounted.
    MountCycle,
    /// The server refuses a mount.
    MountRefused,
    /// A program runs in a directory of the mount.
    Run(Program),
    /// The nth allocation that the steps behind it ask the kernel for fails.
    FailNth(FailNth),
    /// Operations on files in a directory of the mount.
    Files(FileSteps),
}

/// The steps that are a word, by their word.
const WORDS: [(&str, Step); 16] = [
    ("touch", Step::Touch),
    ("drop-pages", Step::DropPages),
    ("drop-dentries", Step::DropDentries),
    ("drop-all", Step::DropAll),
    ("evict", Step::Evict),
    ("reclaim", Step::Reclaim),
    ("touch-in-reply", Step::TouchInReply),
    ("remove-seen", Step::RemoveSeen),
    ("restore", Step::Restore),
    ("hide-handles", Step::HideHandles),
    ("add", Step::Add),
    ("miss", Step::Miss),
    ("rename", Step::Rename),
    ("remove", Step::Remove),
    ("mount-cycle", Step::MountCycle),
    ("mount-refused", Step::MountRefused),
];

/// The steps that are a table of one key.
const TABLES: [&str; 11] = [
    "list",
    "fail",
    "fault",
    "add-by",
    "rename-by",
    "remove-by",
    "restart-server",
    "cut-link",
    "run",
    "fail-nth",
    "files",
];

impl Step {
    /// Returns the words of all steps.
    #[cfg(test)]
    pub fn words() -> impl Iterator<Item = &'static str> {
        WORDS.iter().map(|(word, _)| *word).chain(TABLES)
    }

    /// Returns whether it can be done in the middle of a listing: nothing is listed, mounted, run or made to fail there.
    pub fn fits_within_listing(&self) -> bool {
        use Step::{FailNth, Files, List, MountCycle, MountRefused, Run};
        !matches!(self, List(_) | MountCycle | MountRefused | Run(_) | Files(_) | FailNth(_))
    }

    /// Returns whether the directory that is listed is another one afterwards, for who asks the server.
    pub fn changes_directory(&self) -> bool {
        use Step::{Add, AddBy, Remove, RemoveBy, Rename, RenameBy, Touch};
        matches!(self, Touch | Add | Rename | Remove | AddBy(_) | RenameBy(_) | RemoveBy(_))
    }
}

/// The step as a scenario would have it, without what is so anyway.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut step = serde_json::to_value(self).unwrap_or_default();
        let default = serde_json::to_value(Pass::default()).unwrap_or_default();
        if let Some(pass) = step.get_mut("list").and_then(|pass| pass.as_object_mut()) {
            pass.retain(|key, value| default.get(key) != Some(value));
        }
        write!(f, "{step}")
    }
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a step: a word, or a table with one of the keys {}", listed(TABLES.iter()))
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Step, E> {
        if word == "list" {
            return Ok(Step::List(Pass::default()));
        }
        let known = WORDS.into_iter().find(|(known, _)| *known == word);
        known.map(|(_, step)| step).ok_or_else(|| {
            let words = listed(WORDS.iter().map(|(word, _)| word));
            E::custom(format!(
                "unknown step `{word}`, expected one of {words}, `list`, or a table with one of the keys {}",
                listed(TABLES.iter())
            ))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let step = match map.next_key::<String>()?.as_deref() {
            Some("list") => Step::List(map.next_value()?),
            Some("fail") => Step::Fail(map.next_value()?),
            Some("fault") => Step::Fault(map.next_value()?),
            Some("add-by") => Step::AddBy(map.next_value()?),
            Some("rename-by") => Step::RenameBy(map.next_value()?),
            Some("remove-by") => Step::RemoveBy(map.next_value()?),
            Some("restart-server") => Step::RestartServer(map.next_value()?),
            Some("cut-link") => Step::CutLink(map.next_value()?),
            Some("run") => Step::Run(map.next_value()?),
            Some("fail-nth") => Step::FailNth(map.next_value()?),
            Some("files") => Step::Files(map.next_value()?),
            Some(other) => return Err(A::Error::unknown_field(other, &TABLES)),
            None => return Err(A::Error::custom("an empty table is no step")),
        };
        match map.next_key::<String>()? {
            None => Ok(step),
            Some(second) => Err(A::Error::custom(format!("a step has one key, so `{second}` is one too many"))),
        }
    }
}

fn listed<'a>(words: impl Iterator<Item = &'a &'a str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

impl JsonSchema for Step {
    fn schema_name() -> Cow<'static, str> {
        "Step".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).chain(["list"]).collect();
        let number = json_schema!({ "type": "integer", "minimum": 1 });
        let mut tables = vec![json_schema!({ "enum": words })];
        for key in TABLES {
            let value = match key {
                "list" => generator.subschema_for::<Pass>(),
                "fail" => generator.subschema_for::<Nfs3Error>(),
                "fault" => generator.subschema_for::<Fault>(),
                "fail-nth" => generator.subschema_for::<FailNth>(),
                "files" => generator.subschema_for::<FileSteps>(),
                "run" => json_schema!({ "anyOf": [{ "type": "string" }, generator.subschema_for::<Program>()] }),
                _ => number.clone(),
            };
            tables.push(json_schema!({
                "type": "object", "properties": { key: value }, "required": [key], "additionalProperties": false,
            }));
        }
        json_schema!({ "description": "One thing that is done: a word, or a table with one key.", "oneOf": tables })
    }
}

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

#[cfg(test)]
mod tests {
    use super::super::unit::Unit;
    use super::*;

    fn unit(steps: &str) -> Result<Unit, String> {
        toml::from_str(&format!("steps = {steps}")).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn words_and_tables_are_steps() {
        let unit = unit(r#"["touch", { list = { stat = true, middle = ["drop-all", { fail = "BAD_COOKIE" }] } }]"#);
        let middle = vec![Step::DropAll, Step::Fail(Nfs3Error::BadCookie)];
        let pass = Pass { stat: true, middle, ..Pass::default() };
        assert_eq!(unit.unwrap().steps, [Step::Touch, Step::List(pass)]);
    }

    #[test]
    fn guest_reads_what_the_host_has_read() {
        for (_, step) in WORDS {
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
        }
        let unit = unit(r#"[{ list = { from = "middle", fails = "EIO" } }, { fail = "IO" }]"#).unwrap();
        assert_eq!(serde_json::from_str::<Unit>(&serde_json::to_string(&unit).unwrap()).unwrap(), unit);
        assert!(unit.seeks());
    }

    #[test]
    fn word_that_is_no_step_is_named() {
        assert!(unit(r#"["toch"]"#).unwrap_err().contains("unknown step `toch`, expected one of `touch`"));
        assert!(unit(r#"[{ lst = {} }]"#).unwrap_err().contains("unknown field `lst`"));
        assert!(unit(r#"[{ list = { form = "middle" } }]"#).unwrap_err().contains("unknown field `form`"));
        assert!(unit("[7]").is_err());
    }
}
