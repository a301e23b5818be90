//! What the entries of a scenario's directory take up on their way: in a server's reply and in a getdents64 buffer.

use dirleak::internals::scenario::{Scenario, ServerKind};
use nfs_fault_server::dirtree::name_spec::{Lengths, Names};

/// A directory of names of one length.
pub struct Directory {
    /// Names in it, `.` and `..` included.
    pub names: u64,
    name_bytes: u64,
    /// What a reply holds beside the entries, and a file handle.
    frame_bytes: u64,
    handle_bytes: u64,
}

impl Directory {
    pub fn from_scenario(scenario: &Scenario) -> Self {
        let Names::Random { lengths: Lengths::Range(min_bytes, max_bytes), .. } = scenario.directory.names else {
            panic!("the models know names of one length only");
        };
        assert_eq!(min_bytes, max_bytes, "the models know names of one length only");
        // tests measure both; the frame of the synthetic server counts the directory's attributes, too.
        let (frame_bytes, handle_bytes) = match scenario.server {
            ServerKind::Synthetic => (108, 16),
            ServerKind::Knfsd => (8, 20),
        };
        Self { names: scenario.directory.entries + 2, name_bytes: min_bytes as u64, frame_bytes, handle_bytes }
    }

    /// How many entries from `name` on fit one reply of so many bytes.
    pub fn in_reply(&self, name: u64, reply_bytes: u64, plus: bool) -> u64 {
        let mut room = reply_bytes - self.frame_bytes;
        let fits = |name: &u64| {
            // Three numbers and two lengths, the name; then attributes and handle, each with its own "here it is".
            let plain = 24 + self.length(*name).next_multiple_of(4);
            let entry = if plus { plain + 4 + 84 + 4 + 4 + self.handle_bytes } else { plain };
            let enough = entry <= room;
            room = room.saturating_sub(entry);
            enough
        };
        (name..self.names).take_while(fits).count() as u64
    }

    /// What a name takes up in a getdents64 buffer: a record holds 19 bytes, the name and its NUL, and is aligned to 8.
    pub fn record_bytes(&self, name: u64) -> u64 {
        (20 + self.length(name)).next_multiple_of(8)
    }

    /// The length of a name; the first two are `.` and `..`.
    fn length(&self, name: u64) -> u64 {
        if name < 2 { name + 1 } else { self.name_bytes }
    }
}
