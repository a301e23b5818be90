//! Makes the file of recorded noise for the simulation of `tests/statistics.rs` from result files:
//! `cargo run --release --example record_noise -- FILE... >tests/data/noise-6.1.json`

#[path = "../tests/statistics/noise.rs"]
#[allow(dead_code)]
mod noise;

use dirleak::result::read;
use noise::Noise;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut paths: Vec<String> = std::env::args().skip(1).collect();
    // The order of the arguments must not change the file.
    paths.sort();
    let mut noise = Noise::default();
    for path in &paths {
        match read::read(Path::new(path)) {
            Ok(file) => file.results.iter().for_each(|run| noise.add(run)),
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    noise.setups.sort_by_key(|setup| (setup.kind, setup.cpus, setup.stock));
    let pairs: usize = noise.setups.iter().map(|setup| setup.count()).sum();
    if pairs == 0 {
        eprintln!("there are no rounds in these {} files", paths.len());
        return ExitCode::FAILURE;
    }
    let text = serde_json::to_string(&noise).expect("maps of numbers are JSON");
    // One pair of blocks a line.
    println!("{}", text.replace(",[{", ",\n[{"));
    let runs: u64 = noise.setups.iter().flat_map(|setup| setup.runs.values()).sum();
    eprintln!("{pairs} pairs of blocks of {runs} runs in {} kinds of guests", noise.setups.len());
    ExitCode::SUCCESS
}
