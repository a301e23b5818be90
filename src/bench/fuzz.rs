//! Fuzzing of what reads and shows results of a bench.

use crate::report::bench::text;
use crate::report::fuzz::shown;
use crate::report::merge::{InputFile, merge};
use crate::result::bench::BenchFile;
use crate::result::read;

/// Reads the text of such a result.
pub fn bench(data: &[u8]) {
    let Ok(value) = read::value(data) else { return };
    let Ok(file) = BenchFile::from_value("bench.json", value) else { return };
    serde_json::to_vec(&file).expect("a result is JSON");
    assert!(!text::render(&file).contains('\u{1b}'), "what was read sends orders to the terminal");
    shown(&merge(Vec::new(), vec![InputFile { name: "bench.json".to_owned(), file }]));
}
