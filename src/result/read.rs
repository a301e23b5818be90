//! The result file on disk: checked before anything is measured, put there whole, read back with plain words.

use super::file::{ResultFile, SCHEMA};
use crate::error::{Error, Result};
use crate::text::sanitize;
use serde_json::Value;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// A longer file is none that was written here: of a thousand rounds it has some megabytes.
const MOST_BYTES: u64 = 64 << 20;

/// Reads a result file; what is none, or is newer than this program, is said in one sentence.
pub fn read(path: &Path) -> Result<ResultFile> {
    from_value(&path.display().to_string(), read_value(path)?)
}

/// Reads what a file says, whatever of dirleak it is.
pub fn read_value(path: &Path) -> Result<Value> {
    value(&text(path)?).map_err(|e| none(&path.display().to_string(), &e))
}

/// Reads the text of a result file of any kind.
pub fn text(path: &Path) -> Result<Vec<u8>> {
    let shown = path.display();
    let file = File::open(path).map_err(|e| Error::usage(format!("cannot read {shown}: {}", reason(&e))))?;
    let mut text = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut text);
    read.map_err(|e| Error::usage(format!("cannot read {shown}: {}", reason(&e))))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Error::usage(format!("{shown} has more than {} MiB, which no result file has", MOST_BYTES >> 20)));
    }
    Ok(text)
}

/// Reads what such a text says. It may have been mailed, and goes to a terminal, which is given no orders.
pub fn value(text: &[u8]) -> serde_json::Result<Value> {
    let mut value = serde_json::from_slice(text)?;
    plainly(&mut value);
    Ok(value)
}

fn none(shown: &str, why: &serde_json::Error) -> Error {
    Error::usage(format!("{shown} is no result file of dirleak: {why}"))
}

/// Understands what the result file `shown` says.
pub fn from_value(shown: &str, value: Value) -> Result<ResultFile> {
    let schema = value.get("schema").and_then(Value::as_u64);
    match schema {
        Some(schema) if schema == u64::from(SCHEMA) && value.get("results").is_none() => {
            return Err(Error::usage(format!("{shown} is {}, not what run, verify or bisect found", kind(&value))));
        }
        Some(schema) if schema == u64::from(SCHEMA) => {}
        Some(schema) if schema > u64::from(SCHEMA) => {
            return Err(Error::usage(format!(
                "{shown} has schema {schema}, and this dirleak reads up to {SCHEMA}; use the dirleak that wrote it"
            )));
        }
        Some(schema) => return Err(Error::usage(format!("{shown} has schema {schema}, which never was"))),
        None => {
            return Err(Error::usage(format!("{shown} is no result file of dirleak: it has no field \"schema\"")));
        }
    }
    serde_json::from_value(value).map_err(|e| none(shown, &e))
}

fn plainly(value: &mut Value) {
    match value {
        Value::String(text) => *text = sanitize::text(text).into_owned(),
        Value::Array(values) => values.iter_mut().for_each(plainly),
        Value::Object(fields) => {
            *fields = std::mem::take(fields)
                .into_iter()
                .map(|(key, value)| (sanitize::text(&key).into_owned(), value))
                .collect();
            fields.values_mut().for_each(plainly);
        }
        _ => {}
    }
}

/// Tells what a file is that has no results.
fn kind(value: &Value) -> String {
    let known = ["dirleak", "schema", "command_line"];
    let keys = value.as_object().into_iter().flat_map(|object| object.keys());
    let own: Vec<&str> = keys.map(String::as_str).filter(|key| !known.contains(key)).collect();
    match own.as_slice() {
        [] => "a result file without results".into(),
        [first, ..] => format!("a result file of another kind (of \"{first}\")"),
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file".into(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use std::fs;

    #[test]
    fn file_that_is_no_result_is_told_in_a_sentence() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.json");
        let table = [
            ("", "is no result file"),
            ("[1, 2]", "no field \"schema\""),
            ("{\"schema\": 1}", "is a result file without results, not what run, verify or bisect found"),
            ("{\"schema\": 1, \"results\": []}", "missing field"),
            ("{\"schema\": 1, \"forecast\": {}}", "is a result file of another kind (of \"forecast\")"),
            ("{\"schema\": 2}", "has schema 2, and this dirleak reads up to 1"),
            ("{\"schema\": 0}", "schema 0"),
        ];
        for (text, expected) in table {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
        fs::remove_file(&path).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("there is no such file"));
    }

    #[test]
    fn file_that_was_mailed_gives_the_terminal_no_orders() {
        let mut file = crate::report::test_results::suites::tests::hostile();
        file.results[0].rpcs = [("\u{1b}[2J".to_owned(), 1)].into();
        let read = from_value("x", value(&serde_json::to_vec(&file).unwrap()).unwrap()).unwrap();
        let shown = crate::report::text::render(&read);
        assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
        assert_eq!(read.results[0].rpcs, [("\u{fffd}[2J".to_owned(), 1)].into());
    }
}
