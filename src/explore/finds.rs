//! What was found, as files: the scenario with what it shows, and the record of its judgement.

use crate::result::explore::{ExploreRecord, FindRecord};
use crate::result::file::ResultFile;
use crate::result::record::RunRecord;
use crate::scenario::Scenario;
use crate::scenario::write::to_toml;
use crate::text::quote::quoted;
use std::path::Path;

/// Of a name.
const MOST_NAME_CHARS: usize = 80;

/// Returns a name for the files of what has this signature.
pub fn name(signature: &str) -> String {
    let plain: String =
        signature.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let parts: Vec<&str> = plain.split('-').filter(|part| !part.is_empty()).collect();
    parts.join("-").chars().take(MOST_NAME_CHARS).collect()
}

/// Returns the command that judges a file again.
pub fn command(kernel: &str, file: &Path, seed: u64) -> String {
    format!("dirleak run --kernel {} {} --seed {seed}", quoted(kernel), quoted(&file.display().to_string()))
}

/// Returns the text of the file of a scenario that shows what the record says.
pub fn text(scenario: &Scenario, find: &FindRecord, record: &RunRecord) -> String {
    let about = [
        format!("Found by dirleak explore on {} ({}).", record.kernel.spec, record.kernel.release),
        record.reason.clone(),
        format!("Seen first as candidate {} of batch {}, seed {}.", find.number, find.batch, record.seed),
        find.command.clone(),
    ];
    let comments: String = about.iter().map(|line| format!("# {}\n", line.replace(['\n', '\r'], " "))).collect();
    comments + &to_toml(scenario)
}

/// Returns the file of a find's evidence: its record, and how far the exploration was.
pub fn evidence(find: &FindRecord, record: &RunRecord, so_far: &ExploreRecord) -> ResultFile {
    let mut file = ResultFile::new();
    file.results.push(record.clone());
    file.explorations.push(ExploreRecord { finds: vec![find.clone()], ..so_far.clone() });
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_a_file_is_made_of_the_signature() {
        assert_eq!(
            name("leak kmalloc-256 nfs_readdir_page_array_append"),
            "leak-kmalloc-256-nfs_readdir_page_array_append"
        );
        assert_eq!(name("broken  is missing (unit #)/x"), "broken-is-missing-unit-x");
        assert!(name(&"a".repeat(300)).len() <= MOST_NAME_CHARS);
    }
}
