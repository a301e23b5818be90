//! `dirleak forecast`: what a leak that was measured does to a fleet of servers.

use crate::error::{Error, Exit, Result};
use crate::fleet::forecast::{ForecastInput, forecast};
use crate::fleet::sites;
use crate::os::output_file::OutputFile;
use crate::report::forecast;
use crate::result::file::SCHEMA;
use crate::result::forecast::{Forecast, ForecastFile, Leak, Per, Site};
use crate::result::read;
use crate::result::record::RunRecord;
use std::path::PathBuf;

/// A ring of more takes more than a gigabyte.
const MOST_POINTS: usize = 50_000_000;
const GIB: f64 = 1024.0 * 1024.0 * 1024.0;

/// Tell from a measured leak which of many servers runs out of memory first, when, and why.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Result files of run or verify in which a kernel leaks; several tell how the leak grows with the directory.
    #[arg(value_name = "RESULT.json", required = true)]
    results: Vec<PathBuf>,
    /// How many servers share the sites.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    servers: u32,
    /// The sites: a CSV file with the columns site, entries and listings_per_day.
    #[arg(long, value_name = "FILE", conflicts_with = "zipf", required_unless_present = "zipf")]
    sites: Option<PathBuf>,
    /// Make up sites whose sizes follow Zipf's law: the site of rank k has 1/k^S of the entries of the largest.
    #[arg(long, value_name = "S", value_parser = exponent)]
    zipf: Option<f64>,
    /// With --zipf: how many sites there are.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000), conflicts_with = "sites")]
    site_count: u32,
    /// With --zipf: entries of the largest site.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000), conflicts_with = "sites")]
    largest: u64,
    /// With --zipf: how often each site is listed a day.
    #[arg(long, value_name = "N", default_value_t = 96.0, value_parser = super::measure_args::positive, conflicts_with = "sites")]
    listings_per_day: f64,
    /// What a server can lose before its memory is gone, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 64.0, value_parser = super::measure_args::positive)]
    memory: f64,
    /// Points that each server has on the ring of the load balancer.
    #[arg(long, value_name = "N", default_value_t = 160, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    virtual_nodes: u32,
    /// What the leak grows with, where only one size of directory was measured.
    #[arg(long, value_enum)]
    per: Option<Per>,
    /// The kernel whose leak is meant, if several leak.
    #[arg(long, value_name = "SPEC")]
    kernel: Option<String>,
    /// Take only what was measured in this scenario. Can be given several times.
    #[arg(long, value_name = "NAME")]
    scenario: Vec<String>,
    /// Seed of the ring.
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Write the forecast to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn exponent(text: &str) -> std::result::Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=10.0).contains(&number) => Ok(number),
        _ => Err("it must be a number from 0 to 10".into()),
    }
}

/// Reads, reckons, writes and shows.
pub fn run(args: &Args) -> Result<Exit> {
    let target = args.json.as_deref().map(OutputFile::check).transpose()?;
    let leak = args.leak()?;
    let question = ForecastInput {
        servers: args.servers as usize,
        virtual_nodes: args.virtual_nodes as usize,
        seed: args.seed,
        memory_bytes: args.memory * GIB,
    };
    if question.servers * question.virtual_nodes > MOST_POINTS {
        return Err(Error::usage(format!(
            "{} servers with {} points each are more than {MOST_POINTS} points; take fewer with --virtual-nodes",
            question.servers, question.virtual_nodes
        )));
    }
    let made = forecast(&question, leak, args.sites()?);
    if let Some(target) = target {
        target.write_bytes(&as_json(&made)?)?;
    }
    super::output::print(&forecast::render(&made)).map(|()| Exit::Clean)
}

impl Args {
    fn leak(&self) -> Result<Leak> {
        let files = self.results.iter().map(|path| read::read(path)).collect::<Result<Vec<_>>>()?;
        let records: Vec<RunRecord> = files.into_iter().flat_map(|file| file.results).collect();
        let names: Vec<String> = self.results.iter().map(|path| path.display().to_string()).collect();
        Leak::from_records(&records, self.kernel.as_deref(), &self.scenario, self.per)
            .map_err(|e| Error::new(e.exit(), format!("cannot forecast from {}: {e}", names.join(", "))))
    }

    fn sites(&self) -> Result<Vec<Site>> {
        match (&self.sites, self.zipf) {
            (Some(file), _) => sites::read(file),
            (None, exponent) => {
                let exponent = exponent.unwrap_or_default();
                Ok(sites::zipf(self.site_count as usize, exponent, self.largest, self.listings_per_day))
            }
        }
    }
}

fn as_json(made: &Forecast) -> Result<Vec<u8>> {
    let command_line = std::env::args_os().map(|a| a.to_string_lossy().into_owned()).collect();
    let file = ForecastFile { schema: SCHEMA, dirleak: env!("CARGO_PKG_VERSION"), command_line, forecast: made };
    let mut text = serde_json::to_vec_pretty(&file)
        .map_err(|e| Error::machine(format!("a bug of dirleak: the forecast cannot be written as JSON: {e}")))?;
    text.push(b'\n');
    Ok(text)
}
