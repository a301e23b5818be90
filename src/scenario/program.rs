//! A program that a unit runs, which nobody here wrote.

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::fmt;

/// How long a program may take, unless the scenario says otherwise.
const USUAL_SECONDS: u32 = 60;
/// No program takes longer.
pub const MOST_SECONDS: u32 = 3600;

/// A program, what it is given, and how it must end.
#[derive(Clone, Debug, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// The program and its words, split as a shell splits them and given to no shell. `{dir}` is the directory that it works in, `{mount}` the
    /// mount, `{unit}` the number of the unit, `{seed}` the run's seed.
    pub command: String,
    /// The status with which it must end.
    #[serde(default)]
    pub exit_status: u8,
    /// It is ended, and the unit is wrong, when it takes longer, by the guest's clock.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(default = "usual_seconds")]
    pub timeout_seconds: u32,
}

fn usual_seconds() -> u32 {
    USUAL_SECONDS
}

impl Program {
    /// Returns a program that must end with status 0 within the usual time.
    pub fn new(command: &str) -> Self {
        Self { command: command.into(), exit_status: 0, timeout_seconds: USUAL_SECONDS }
    }

    /// Returns the program and its words; an error says in a sentence why there are none.
    pub fn words(&self) -> Result<Vec<String>, String> {
        match shlex::split(&self.command) {
            Some(words) if !words.is_empty() => Ok(words),
            Some(_) => Err("`run` names no program".into()),
            None => Err(format!("the quotes in {:?} have no end", self.command)),
        }
    }
}

/// A program is written as its command, or as a table if there is more to say.
impl<'de> Deserialize<'de> for Program {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProgramVisitor)
    }
}

/// The same fields, as they are written in a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    command: String,
    #[serde(default)]
    exit_status: u8,
    #[serde(default = "usual_seconds")]
    timeout_seconds: u32,
}

struct ProgramVisitor;

impl<'de> Visitor<'de> for ProgramVisitor {
    type Value = Program;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "a command, or a table with the keys `command`, `exit_status` and `timeout_seconds`")
    }

    fn visit_str<E: Error>(self, command: &str) -> Result<Program, E> {
        Ok(Program::new(command))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Program, A::Error> {
        let Table { command, exit_status, timeout_seconds } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Program { command, exit_status, timeout_seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_is_split_as_a_shell_does() {
        let words = |command: &str| Program::new(command).words();
        assert_eq!(words("./a.sh {dir} 'two words'").unwrap(), ["./a.sh", "{dir}", "two words"]);
        assert_eq!(words(" ").unwrap_err(), "`run` names no program");
        assert!(words("a 'b").unwrap_err().contains("have no end"));
    }

    #[test]
    fn program_is_a_command_or_a_table() {
        let read = |json: &str| serde_json::from_str::<Program>(json).map_err(|e| e.to_string());
        assert_eq!(read(r#""true""#).unwrap(), Program::new("true"));
        let whole = Program { command: "false".into(), exit_status: 1, timeout_seconds: 5 };
        assert_eq!(read(r#"{"command":"false","exit_status":1,"timeout_seconds":5}"#).unwrap(), whole);
        assert_eq!(
            read(&serde_json::to_string(&whole).unwrap()).unwrap(),
            whole,
            "the guest reads what the host has read"
        );
        assert!(read(r#"{"comand":"x"}"#).unwrap_err().contains("unknown field `comand`"));
        assert!(read("7").unwrap_err().contains("a command, or a table"));
    }
}
