//! Names for what is made outside of the cache, by which a later run tells that its maker was killed and takes it away.

use sha2::{Digest, Sha256};
use std::fs;
use std::process;

/// Who made something: a process of this machine, of one of its boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// A digest of what this machine, or this container on it, is called.
    machine: String,
    boot: String,
    process: u32,
    /// When it was started, in clock ticks since the boot: numbers of processes come again.
    started: u64,
}

/// What is known of a maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// It runs, or nobody can tell here.
    MayLive,
    /// It was killed.
    IsDead,
    /// It ran before this machine was started anew.
    WasBefore,
}

const MACHINE_ID: &str = "/etc/machine-id";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";
/// Processes of other containers have other numbers.
const PROCESSES: &str = "/proc/self/ns/pid";
/// Bytes of a digest that are enough to tell a few machines apart.
const DIGEST_BYTES: usize = 4;

impl Mark {
    /// Makes that of this process.
    pub fn from_this_process() -> Self {
        let process = process::id();
        Self { machine: machine(), boot: boot(), process, started: started(process).unwrap_or_default() }
    }

    /// Makes that of a process that was killed, whose number another one was given later.
    #[cfg(test)]
    pub fn dead() -> Self {
        Self { started: 1, ..Self::from_this_process() }
    }

    /// Reads one from a name that begins with `prefix`.
    pub fn parse(name: &str, prefix: &str) -> Option<Self> {
        let mut parts = name.strip_prefix(prefix)?.split('-');
        let mut word = || parts.next().filter(|part| !part.is_empty());
        let (machine, boot) = (word()?.to_owned(), word()?.to_owned());
        let (process, started) = (word()?.parse().ok()?, word()?.parse().ok()?);
        Some(Self { machine, boot, process, started })
    }

    /// Tells whether the maker still lives.
    pub fn maker(&self) -> Maker {
        if self.machine != machine() {
            return Maker::MayLive;
        }
        if self.boot != boot() {
            return Maker::WasBefore;
        }
        if started(self.process) == Some(self.started) { Maker::MayLive } else { Maker::IsDead }
    }
}

impl std::fmt::Display for Mark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { machine, boot, process, started } = self;
        write!(f, "{machine}-{boot}-{process}-{started}-")
    }
}

fn machine() -> String {
    let id = fs::read_to_string(MACHINE_ID).unwrap_or_default();
    let processes = fs::read_link(PROCESSES).unwrap_or_default();
    digest(&format!("{} {}", id.trim(), processes.display()))
}

fn boot() -> String {
    digest(&fs::read_to_string(BOOT_ID).unwrap_or_default())
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns when a process was started; `None` if there is none, or it has ended.
fn started(process: u32) -> Option<u64> {
    parse_started(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
}

/// Reads "`id` (`name`) `state` ...", in which the name may be anything.
fn parse_started(stat: &str) -> Option<u64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    // The third and the 22nd of proc(5).
    let (state, started) = (fields.first()?, fields.get(19)?);
    if ["Z", "X"].contains(state) { None } else { started.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn mark_of_a_process_tells_whether_it_lives() {
        let ours = Mark::from_this_process();
        let read = Mark::parse(&format!(".dirleak-{ours}Ab3"), ".dirleak-").unwrap();
        assert_eq!((&read, read.maker()), (&ours, Maker::MayLive));
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let others = Mark { process: child.id(), started: started(child.id()).unwrap(), ..ours.clone() };
        assert_eq!(others.maker(), Maker::MayLive);
        child.kill().unwrap();
        // Ended, but not waited for.
        while started(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert_eq!(others.maker(), Maker::IsDead);
        child.wait().unwrap();
        assert_eq!(others.maker(), Maker::IsDead);
        // Another process has got the number.
        assert_eq!(Mark { started: ours.started + 1, ..ours.clone() }.maker(), Maker::IsDead);
        assert_eq!(Mark { boot: "00000000".into(), ..ours.clone() }.maker(), Maker::WasBefore);
        assert_eq!(Mark { machine: "00000000".into(), ..ours }.maker(), Maker::MayLive);
    }

    #[test]
    fn names_of_others_are_no_marks() {
        for name in
            [".dirleak-", ".dirleak-Ab3xYz", ".dirleak-a-b-1", ".dirleak-a-b-x-1-", "other", ".dirleak-a--1-1-x"]
        {
            assert_eq!(Mark::parse(name, ".dirleak-"), None, "{name}");
        }
    }

    #[test]
    fn machine_and_boot_are_told_by_the_first_digits_of_digests() {
        // SHA-256 of "abc" in FIPS 180-4.
        assert_eq!(digest("abc"), &"ba7816bf8f01cfea"[..2 * DIGEST_BYTES]);
        let ours = Mark::from_this_process();
        let is_digest = |word: &str| word.len() == 2 * DIGEST_BYTES && word.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(is_digest(&ours.machine) && is_digest(&ours.boot) && ours.machine != ours.boot);
    }
}
