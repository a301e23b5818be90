//! Serves a directory that goes wrong as a file says, to try an NFS client on:
//! `cargo run -p nfs-fault-server --example failing_server -- faults.toml`
//!
//! ```toml
//! entries = 100000      # files in the directory, 0 to 100000000
//! name_bytes = 24       # length of their names, 8 to 255; 24 unless said otherwise
//! port = 20490          # TCP port on 127.0.0.1; a free one unless said otherwise
//! seed = 42             # what names and random bytes come of; 42 unless said otherwise
//!
//! [[faults]]            # see docs/server.md
//! when = { reply = 3 }
//! what = { error = "JUKEBOX" }
//! times = 2
//! ```

use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::Tree;
use nfs_fault_server::{Export, Fault, Server};
use serde::Deserialize;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::ExitCode;

const MAX_ENTRIES: u64 = 100_000_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    entries: u64,
    #[serde(default = "name_bytes")]
    name_bytes: usize,
    #[serde(default)]
    port: u16,
    #[serde(default = "seed")]
    seed: u64,
    #[serde(default)]
    faults: Vec<Fault>,
}

fn name_bytes() -> usize {
    24
}

fn seed() -> u64 {
    42
}

/// Serves what the text of a file says; an error is a sentence.
pub fn serve(text: &str) -> Result<Server, Box<dyn Error>> {
    let config: Config = toml::from_str(text)?;
    if config.entries > MAX_ENTRIES {
        return Err(format!("`entries` is {}; it must be between 0 and {MAX_ENTRIES}", config.entries).into());
    }
    if !(8..=255).contains(&config.name_bytes) {
        return Err(format!("`name_bytes` is {}; it must be between 8 and 255", config.name_bytes).into());
    }
    let names = Names::random(config.name_bytes, config.name_bytes);
    let tree = Tree::new(&Directory::flat(config.entries, names), config.seed);
    let export = Export::new(tree, config.seed);
    for fault in config.faults {
        export.arm(fault)?;
    }
    Ok(Server::start_at(export, SocketAddrV4::new(Ipv4Addr::LOCALHOST, config.port))?)
}

/// Returns the command by which root mounts the directory.
pub fn mount_command(port: u16) -> String {
    format!("mount -t nfs -o vers=3,tcp,nolock,port={port},mountport={port},mountproto=tcp 127.0.0.1:/ /mnt")
}

fn run() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name a file of faults, such as faults.toml")?;
    let text = std::fs::read_to_string(&path).map_err(|e| format!("cannot read {path}: {e}"))?;
    let server = serve(&text).map_err(|e| format!("{path}: {e}"))?;
    println!("{}\nPress Enter to stop; unmount first.", mount_command(server.port()));
    std::io::stdin().read_line(&mut String::new())?;
    for tally in server.export().faults() {
        let fault = serde_json::to_string(&tally.fault).expect("a fault is JSON");
        println!("happened {} times: {fault}", tally.happened);
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
