//! The JSON Schemas in `docs/`, held against files that the program really writes. What guests measure is held against them by each
//! trial of `tests/scenarios.rs`.

use dirleak::result::bench::BenchFile;
use dirleak::result::read;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns where a file lies that was measured once.
fn stored(name: &str) -> PathBuf {
    root().join(format!("tests/data/report/{name}.json"))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap_or_else(|e| panic!("{} is no JSON: {e}", path.display()))
}

/// Returns what is wrong with a file by the schema of its kind.
fn faults(kind: &str, file: &Value) -> Vec<String> {
    let schema = json(&root().join(format!("docs/{kind}.schema.json")));
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator.iter_errors(file).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

/// Runs dirleak with `--json` and returns what it wrote, which it may do before it fails. The programs of `path` are all that there are.
fn written(args: &[&str], path: &Path) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out.json");
    let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
    command.args(args).arg("--json").arg(&file).current_dir(root());
    command.env("PATH", path).env("XDG_CACHE_HOME", dir.path().join("cache"));
    let output = command.output().unwrap();
    assert!(file.exists(), "{args:?} wrote nothing: {}", String::from_utf8_lossy(&output.stderr));
    json(&file)
}

#[track_caller]
fn is_valid(kind: &str, file: &Value) {
    assert_eq!(faults(kind, file), Vec::<String>::new());
}

/// Fails unless `file` is refused with `value` at `place`, and taken with a field that later versions may have.
#[track_caller]
fn is_told_from(kind: &str, file: &Value, place: &str, value: Value) {
    let mut wrong = file.clone();
    *wrong.pointer_mut(place).unwrap() = value;
    assert!(!faults(kind, &wrong).is_empty(), "{place}");
    let mut future = file.clone();
    future["field_of_the_future"] = 1.into();
    is_valid(kind, &future);
}

#[test]
fn checkup_of_this_machine_is_valid() {
    let path = PathBuf::from(std::env::var_os("PATH").unwrap());
    let file = written(&["doctor"], &path);
    is_valid("doctor", &file);
    is_told_from("doctor", &file, "/checks/0/state", "perhaps".into());
}

#[test]
fn checkup_of_a_machine_without_programs_is_valid() {
    let empty = tempfile::tempdir().unwrap();
    let file = written(&["doctor"], empty.path());
    is_valid("doctor", &file);
    let checks = file["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| check["state"] == "missing" && check["package"].is_string()), "{file}");
}

#[test]
fn forecast_from_a_result_is_valid() {
    let empty = tempfile::tempdir().unwrap();
    let args = ["forecast", "fuzz/seeds/report/verify", "--servers", "3", "--zipf", "1.2", "--site-count", "50"];
    let file = written(&args, empty.path());
    is_valid("forecast", &file);
    assert_eq!(file["forecast"]["sites"].as_array().unwrap().len(), 50);
    is_told_from("forecast", &file, "/forecast/servers/0/bytes_per_day/low", "little".into());
}

/// Stored files are of older versions; what this one would write of them is valid.
#[test]
fn bench_that_was_measured_is_valid() {
    for name in ["bench", "bench-compared", "bench-growth"] {
        let file = BenchFile::read(&stored(name)).unwrap();
        let file = serde_json::to_value(file).unwrap();
        is_valid("bench", &file);
        is_told_from("bench", &file, "/results/0/states/0/state", "lukewarm".into());
    }
}

#[test]
fn result_that_was_measured_is_valid() {
    for name in ["run", "verify", "bisect", "cluster"] {
        let file = serde_json::to_value(read::read(&stored(name)).unwrap()).unwrap();
        is_valid("result", &file);
        is_told_from("result", &file, "/results/0/verdict", "maybe".into());
    }
}
