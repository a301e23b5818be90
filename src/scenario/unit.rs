//! What a scenario repeats: the steps of one unit.

use crate::server::Nfs3Error;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// One unit, of which a round makes as many as its dose says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// What reports call it, for instance "listing".
    #[serde(default = "listing")]
    pub name: String,
    /// Done one after the other.
    #[serde(default = "touch_and_list")]
    pub steps: Vec<Step>,
}

/// One cold listing.
impl Default for Unit {
    fn default() -> Self {
        Self { name: listing(), steps: touch_and_list() }
    }
}

fn listing() -> String {
    "listing".into()
}

fn touch_and_list() -> Vec<Step> {
    vec![Step::Touch, Step::List(Pass::default())]
}

impl Unit {
    /// Steps that list the mount, or a second one.
    pub fn listings(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::List(_) | Step::MountCycle)).count()
    }

    /// Whether some step needs the cookie in the middle of the directory.
    pub fn seeks(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::List(Pass { from: Place::Middle, .. })))
    }
}

/// One thing that is done to the mount, its server or the kernel's caches.
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
    /// That file is gone again.
    Remove,
    /// The export is mounted a second time, listed there and unmounted.
    MountCycle,
    /// The server refuses a mount.
    MountRefused,
}

/// The steps that are a word, by their word.
const WORDS: [(&str, Step); 15] = [
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
    ("remove", Step::Remove),
    ("mount-cycle", Step::MountCycle),
    ("mount-refused", Step::MountRefused),
];

/// One pass over the directory: open, getdents64, close.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pass {
    /// Whether every entry is looked at by stat(2) as soon as it is seen, as `ls -l` does.
    pub stat: bool,
    /// Where it begins; in the middle: at the cookie that the pass before saw there.
    pub from: Place,
    /// Where it ends.
    pub to: Place,
    /// What is done when half of the entries have been seen, with the directory open.
    pub middle: Vec<Step>,
    /// The error with which it must end.
    pub fails: Option<Errno>,
}

/// A place in the directory.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Its first entry for a pass that begins there, behind its last for one that ends there.
    #[default]
    Outside,
    /// After half of its entries.
    Middle,
}

/// Errors of the system calls that a listing can end with.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Errno {
    Eio,
    Eacces,
    Estale,
    Enoent,
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
        f.write_str("a step: a word, or a table with the key `list` or `fail`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Step, E> {
        if word == "list" {
            return Ok(Step::List(Pass::default()));
        }
        let known = WORDS.into_iter().find(|(known, _)| *known == word);
        known.map(|(_, step)| step).ok_or_else(|| {
            let words: Vec<_> = WORDS.iter().map(|(word, _)| format!("`{word}`")).collect();
            E::custom(format!(
                "unknown step `{word}`, expected one of {}, `list`, or a table with `list` or `fail`",
                words.join(", ")
            ))
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Step, A::Error> {
        let step = match map.next_key::<String>()?.as_deref() {
            Some("list") => Step::List(map.next_value()?),
            Some("fail") => Step::Fail(map.next_value()?),
            Some(other) => return Err(A::Error::unknown_field(other, &["list", "fail"])),
            None => return Err(A::Error::custom("an empty table is no step")),
        };
        match map.next_key::<String>()? {
            None => Ok(step),
            Some(second) => Err(A::Error::custom(format!("a step has one key, so `{second}` is one too many"))),
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn the_guest_reads_what_the_host_has_read() {
        for (_, step) in WORDS {
            let text = serde_json::to_string(&step).unwrap();
            assert_eq!(serde_json::from_str::<Step>(&text).unwrap(), step);
        }
        let unit = unit(r#"[{ list = { from = "middle", fails = "EIO" } }, { fail = "IO" }]"#).unwrap();
        assert_eq!(serde_json::from_str::<Unit>(&serde_json::to_string(&unit).unwrap()).unwrap(), unit);
        assert!(unit.seeks());
    }

    #[test]
    fn what_is_no_step_is_named() {
        assert!(unit(r#"["toch"]"#).unwrap_err().contains("unknown step `toch`, expected one of `touch`"));
        assert!(unit(r#"[{ lst = {} }]"#).unwrap_err().contains("unknown field `lst`"));
        assert!(unit(r#"[{ list = { form = "middle" } }]"#).unwrap_err().contains("unknown field `form`"));
        assert!(unit("[7]").is_err());
    }
}
