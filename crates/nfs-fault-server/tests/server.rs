//! The server that fails on purpose, as a client sees it over TCP.

#[path = "server/changes.rs"]
mod changes;
#[path = "server/client.rs"]
mod client;
#[path = "server/example.rs"]
mod example;
#[path = "server/faults.rs"]
mod faults;
#[path = "server/life.rs"]
mod life;
#[path = "server/shapes.rs"]
mod shapes;

use client::Client;
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::Tree;
use nfs_fault_server::{Export, Server};
use nfs3_types::nfs3::nfs_fh3;

/// Serves a directory on a free port.
fn serve(directory: &Directory) -> Server {
    Server::start(Export::new(Tree::new(directory, 7), 7)).unwrap()
}

/// Serves ten files, `1` to `10`.
fn ten() -> Server {
    serve(&Directory::flat(10, Names::pattern("{n}")))
}

/// Lists the names in a directory, `.` and `..` left away.
fn names(client: &mut Client, dir: &nfs_fh3, plus: bool) -> Vec<String> {
    let entries = client.entries(dir, plus, 4096);
    entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()).collect()
}

/// How large replies are that hold entries with names of up to four bytes.
struct Sizes {
    entry_bytes: u32,
}

/// READDIR: "follows", file id, name with its length, cookie.
const PLAIN: Sizes = Sizes { entry_bytes: 4 + 8 + 8 + 8 };
/// READDIRPLUS: attributes and handle, too.
const PLUS: Sizes = Sizes { entry_bytes: PLAIN.entry_bytes + 4 + 84 + 4 + 4 + 16 };

impl Sizes {
    const fn reply_bytes(&self, entries: u32) -> u32 {
        // Status, attributes, verifier, and two booleans at the end.
        4 + 88 + 8 + 8 + entries * self.entry_bytes
    }
}
