//! Lines, branches and functions of source that were executed, as gcov tells them (`--json-format`, gcc/gcov.cc of GCC 12).

use serde::Deserialize;
use std::collections::BTreeMap;

/// What was executed of files of source, by file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    pub files: BTreeMap<String, SourceFile>,
}

/// What was executed of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFile {
    /// Lines that have code, by number.
    pub lines: BTreeMap<u32, SourceLine>,
    /// By the line in which it begins, and its name.
    pub functions: BTreeMap<(u32, String), SourceFunction>,
}

/// How often a line was executed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLine {
    pub count: u64,
    /// How often each way out of it was taken.
    pub branches: Vec<u64>,
    /// The function that it is in.
    pub function: String,
}

/// How often a function was called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFunction {
    pub calls: u64,
    pub last_line: u32,
}

/// What gcov says of the notes of one compilation.
#[derive(Deserialize)]
struct Document {
    files: Vec<FileOfDocument>,
}

#[derive(Deserialize)]
struct FileOfDocument {
    file: String,
    lines: Vec<LineOfDocument>,
    functions: Vec<FunctionOfDocument>,
}

#[derive(Deserialize)]
struct LineOfDocument {
    line_number: u32,
    count: u64,
    branches: Vec<BranchOfDocument>,
    #[serde(default)]
    function_name: String,
}

#[derive(Deserialize)]
struct BranchOfDocument {
    count: u64,
}

#[derive(Deserialize)]
struct FunctionOfDocument {
    name: String,
    start_line: u32,
    end_line: u32,
    execution_count: u64,
}

impl Sources {
    /// Adds what gcov printed, a document for each compilation, as far as it is about files that `wanted` says yes to. What is compiled more than
    /// once, as functions of headers are, adds up.
    pub fn read(&mut self, printed: &[u8], wanted: impl Fn(&str) -> bool) -> serde_json::Result<()> {
        for document in serde_json::Deserializer::from_slice(printed).into_iter::<Document>() {
            for file in document?.files {
                if wanted(&file.file) {
                    self.files.entry(file.file).or_default().add(file.lines, file.functions);
                }
            }
        }
        Ok(())
    }
}

impl SourceFile {
    fn add(&mut self, lines: Vec<LineOfDocument>, functions: Vec<FunctionOfDocument>) {
        for LineOfDocument { line_number, count, branches, function_name } in lines {
            let line = self.lines.entry(line_number).or_default();
            line.count = line.count.saturating_add(count);
            line.function = function_name;
            if line.branches.len() < branches.len() {
                line.branches.resize(branches.len(), 0);
            }
            let sums = line.branches.iter_mut().zip(branches);
            sums.for_each(|(sum, branch)| *sum = sum.saturating_add(branch.count));
        }
        for FunctionOfDocument { name, start_line, end_line, execution_count } in functions {
            let function = self.functions.entry((start_line, name)).or_default();
            function.calls = function.calls.saturating_add(execution_count);
            function.last_line = end_line;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As gcov 12.2 prints it of a function in a header that two files include.
    const PRINTED: &str = r#"{"gcc_version": "12.2.0", "files": [{"lines": [
        {"branches": [{"count": 2, "throw": false, "fallthrough": true}, {"count": 0, "throw": false, "fallthrough": false}], "count": 2,
         "line_number": 4, "unexecuted_block": false, "function_name": "nfs_size_to_loff_t"}], "functions": [
        {"blocks": 4, "end_column": 1, "start_line": 3, "name": "nfs_size_to_loff_t", "blocks_executed": 3, "execution_count": 2,
         "demangled_name": "nfs_size_to_loff_t", "start_column": 5, "end_line": 6}], "file": "fs/nfs/internal.h"},
        {"lines": [], "functions": [], "file": "./include/linux/fs.h"}], "format_version": "1"}
        "#;

    #[test]
    fn what_is_compiled_twice_adds_up_and_other_files_are_left_out() {
        let mut sources = Sources::default();
        let twice = PRINTED.repeat(2);
        sources.read(twice.as_bytes(), |file| file.starts_with("fs/nfs/")).unwrap();
        assert_eq!(sources.files.keys().collect::<Vec<_>>(), ["fs/nfs/internal.h"]);
        let file = &sources.files["fs/nfs/internal.h"];
        let function = "nfs_size_to_loff_t".to_owned();
        assert_eq!(file.lines[&4], SourceLine { count: 4, branches: vec![4, 0], function: function.clone() });
        assert_eq!(file.functions[&(3, function)], SourceFunction { calls: 4, last_line: 6 });
    }

    #[test]
    fn other_text_is_refused() {
        assert!(Sources::default().read(b"{\"files\": 3}", |_| true).is_err());
        assert!(Sources::default().read(b"", |_| true).is_ok());
    }
}
