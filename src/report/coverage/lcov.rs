//! Coverage as a tracefile of lcov (geninfo(1), "TRACE FILE FORMAT"), which genhtml and CI services read.

use crate::result::coverage::{CoverageFile, FileCoverage};

/// Returns the whole file. Paths are those below the source tree.
pub fn render(file: &CoverageFile) -> String {
    file.files.iter().map(|file| format!("TN:\n{}", of_file(file))).collect()
}

fn of_file(file: &FileCoverage) -> String {
    let mut text = format!("SF:{}\n", file.file);
    for function in &file.by_function {
        text += &format!("FN:{},{}\n", function.line, function.function);
    }
    for function in &file.by_function {
        text += &format!("FNDA:{},{}\n", function.calls, function.function);
    }
    text += &format!("FNF:{}\nFNH:{}\n", file.functions.of, file.functions.reached);
    for (line, branches) in &file.branch_counts {
        // Where none was taken the condition was never come to.
        let is_reached = branches.iter().any(|count| *count > 0);
        for (number, count) in branches.iter().enumerate() {
            let taken = if is_reached { count.to_string() } else { "-".into() };
            text += &format!("BRDA:{line},0,{number},{taken}\n");
        }
    }
    text += &format!("BRF:{}\nBRH:{}\n", file.branches.of, file.branches.reached);
    for (line, count) in &file.line_counts {
        text += &format!("DA:{line},{count}\n");
    }
    text + &format!("LF:{}\nLH:{}\nend_of_record\n", file.lines.of, file.lines.reached)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::coverage::tests::example;

    #[test]
    fn tracefile_has_functions_branches_and_lines() {
        let expected = "TN:\nSF:fs/nfs/dir.c\nFN:1,first\nFN:9,second\nFNDA:1,first\nFNDA:0,second\nFNF:2\nFNH:1\nBRDA:2,0,0,1\n\
                        BRDA:2,0,1,1\nBRF:2\nBRH:2\nDA:2,1\nDA:3,1\nDA:4,1\nDA:10,0\nLF:4\nLH:3\nend_of_record\n";
        assert_eq!(render(&example()), expected);
    }
}
