//! Fuzzing of what reads and shows result files.

use super::console::Logs;
use super::formats::FORMATS;
use super::formats::csv::Csv;
use super::formats::format::Format;
use super::merge::{InputFile, Report, merge};
use super::{html, mail, text};
use crate::error::{Error, Result};
use crate::fleet::forecast::{ForecastInput, forecast};
use crate::fleet::sites;
use crate::result::file::ResultFile;
use crate::result::forecast::{Leak, Per};
use crate::result::read;

/// Returns the file that a text is, as it is read.
pub fn read(text: &[u8]) -> Result<ResultFile> {
    read::from_value("result.json", read::value(text).map_err(|e| Error::usage(e.to_string()))?)
}

/// Reads the text of a result file: what was read is written again as it was.
pub fn result(data: &[u8]) {
    let Ok(file) = read(data) else { return };
    let written = serde_json::to_vec(&file).expect("a result file is JSON");
    let again = read(&written).expect("it was written so");
    assert_eq!((again.results.len(), again.command_line), (file.results.len(), file.command_line));
}

/// Reads the text of a result file, and shows it in all ways.
pub fn report(data: &[u8]) {
    let Ok(file) = read(data) else { return };
    let told = text::render(&file) + &text::timings(&file.results);
    assert!(!told.contains('\u{1b}'), "what was read sends orders to the terminal");
    if let Some(bisection) = &file.bisection {
        mail::render(bisection);
    }
    let source = |name: &str, file: ResultFile| InputFile { name: name.to_owned(), file };
    let mut other = file.clone();
    other.dirleak.push('+');
    let merged = merge(vec![source("a.json", file), source("b.json", other)], Vec::new());
    shown(&merged);
}

/// Shows it as the files of every format.
pub fn shown(merged: &Report) {
    for format in FORMATS {
        let file = format.render(merged, &Logs::default()).expect("any text can be in a file of any format");
        assert!(!file.contains(&0x1b), "what was read sends orders to the terminal by --{}", format.option());
    }
    let table = Csv.render(merged, &Logs::default()).expect("any text can be in a table");
    let mut rows = csv::Reader::from_reader(table.as_slice());
    assert!(rows.records().all(|row| row.is_ok()), "not every row has all columns");
    assert!(html::page(merged, &Logs::default()).trim_end().ends_with("</html>"));
}

/// Reads the text of a result file, and forecasts what servers would lose by it.
pub fn prediction(data: &[u8]) {
    let Ok(file) = read(data) else { return };
    for per in [None, Some(Per::Entry), Some(Per::Listing)] {
        let Ok(leak) = Leak::from_records(&file.results, None, &[], per) else { continue };
        let question = ForecastInput { servers: 3, virtual_nodes: 4, seed: 42, memory_bytes: 1e9 };
        let made = forecast(&question, leak, sites::zipf(9, 1.2, 100_000, 96.0));
        assert!(made.servers.len() == 3 && made.sites.len() == 9);
        assert!(!super::forecast::render(&made).contains('\u{1b}'));
        serde_json::to_vec(&made).expect("a forecast is JSON");
    }
}
