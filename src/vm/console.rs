//! What the guest's console says: whether the kernel is in trouble, and what it complains of at unmount.

use crate::protocol::guest_paths::SAID;
use crate::text::sanitize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What a kernel prints when it is lost, and what that is called. Each stands in the kernel's sources: panic.c,
/// traps.c and bug.c, hung_task.c, watchdog.c, oom_kill.c.
const TROUBLES: [(&str, &str); 12] = [
    ("Kernel panic - not syncing", "panic"),
    ("Out of memory: Killed process", "out of memory"),
    ("Out of memory and no killable processes", "out of memory"),
    ("kernel BUG at ", "BUG"),
    // Without CONFIG_DEBUG_BUGVERBOSE.
    ("Kernel BUG at ", "BUG"),
    ("BUG: unable to handle", "oops"),
    ("BUG: kernel NULL pointer dereference", "oops"),
    ("general protection fault", "oops"),
    ("Oops: ", "oops"),
    ("BUG: soft lockup", "soft lockup"),
    ("blocked for more than", "hung task"),
    ("BUG: sleeping function called from invalid context", "BUG"),
];

/// What unmounting a file system whose objects are still referenced prints, and destroying a cache with objects in it: fs/dcache.c,
/// fs/super.c, mm/slub.c, mm/slab_common.c. The third is "Objects remaining in nfsd_file on __kmem_cache_shutdown()" on Linux 6.1 and
/// "Objects remaining on __kmem_cache_shutdown()" since 6.15; where SLUB says nothing (SLAB, no CONFIG_SLUB_DEBUG) the fourth stands alone.
const UNMOUNT: [(&str, &str); 4] = [
    ("still in use (", "Dentry still in use"),
    ("Busy inodes after unmount", "Busy inodes after unmount"),
    (OBJECTS_REMAIN, "Objects remaining"),
    (CACHE_KEPT, "Objects remaining"),
];
const OBJECTS_REMAIN: &str = "Objects remaining ";
const CACHE_KEPT: &str = "Slab cache still has objects";

/// Lines after the first of a trouble that are kept to show it.
const SHOWN_LINES: usize = 40;
/// Complaints at unmount that are kept; the others are counted.
const SHOWN_COMPLAINTS: usize = 1000;
/// The kernel's own lines have up to 1024 bytes (LOG_LINE_MAX); of longer ones the beginning is looked at.
const MOST_LINE_BYTES: usize = 4096;
/// So much is read at a time.
const READ_BYTES: usize = 64 * 1024;
/// What a log may grow to. A kernel that complains of each of twenty thousand dentries at unmount with its stack prints so much.
pub const MOST_LOG_BYTES: u64 = 64 << 20;

/// Follows a console log while QEMU writes it.
pub struct Console {
    path: PathBuf,
    file: Option<File>,
    /// The beginning of a line whose end is still to come.
    partial: Vec<u8>,
    bytes: u64,
    trouble: Option<CrashReport>,
    complaints: Complaints,
    times_heard: i64,
}

/// The kernel is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrashReport {
    /// What it is called: panic, oops, hung task and so on.
    pub kind: &'static str,
    /// The lines that show it.
    pub lines: Vec<String>,
}

/// What the kernel complained of at unmount: something was still referenced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Complaints {
    /// What the first of them is called; `None` without any.
    pub kind: Option<&'static str>,
    /// How many there were.
    pub count: u64,
    /// The lines of the first ones.
    pub lines: Vec<String>,
}

impl Console {
    /// Follows the log at `path`, which need not exist yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            partial: Vec::new(),
            bytes: 0,
            trouble: None,
            complaints: Complaints::default(),
            times_heard: 0,
        }
    }

    /// Reads what is new, but no more than a log may have: a guest may print faster than we read.
    pub fn look(&mut self) {
        if self.file.is_none() {
            self.file = File::open(&self.path).ok();
        }
        let Some(mut file) = self.file.take() else { return };
        let mut bytes = vec![0; READ_BYTES];
        let end = self.bytes + MOST_LOG_BYTES;
        // A log that cannot be read shows nothing; the deadlines still hold.
        while self.bytes < end {
            let Ok(length @ 1..) = file.read(&mut bytes) else { break };
            self.take(&bytes[..length]);
        }
        self.file = Some(file);
    }

    /// Takes what the guest has printed behind what was taken before.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        for piece in bytes.split_inclusive(|&b| b == b'\n') {
            let room = MOST_LINE_BYTES.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.partial);
                self.line(&sanitize::line(String::from_utf8_lossy(&line).trim_end()));
            }
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(trouble) = &mut self.trouble {
            if trouble.lines.len() < SHOWN_LINES {
                trouble.lines.push(line.to_owned());
            }
            return;
        }
        if line.ends_with(SAID) {
            self.times_heard += 1;
        } else if let Some((text, kind)) = UNMOUNT.iter().find(|(text, _)| line.contains(text)) {
            // Of the same cache, of which SLUB has said it with more words.
            let is_repeated =
                *text == CACHE_KEPT && self.complaints.lines.last().is_some_and(|last| last.contains(OBJECTS_REMAIN));
            if !is_repeated {
                self.complaints.add(kind, line);
            }
        } else if let Some((_, kind)) = TROUBLES.iter().find(|(text, _)| line.contains(text)) {
            self.trouble = Some(CrashReport { kind, lines: vec![line.to_owned()] });
        }
    }

    /// Returns how many bytes the guest has printed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the first trouble, with what followed it.
    pub fn trouble(&self) -> Option<&CrashReport> {
        self.trouble.as_ref()
    }

    /// Returns all complaints at unmount.
    pub fn complaints(&self) -> &Complaints {
        &self.complaints
    }

    /// Returns how often the guest was heard to say what it says around unmount.
    pub fn times_heard(&self) -> i64 {
        self.times_heard
    }

    /// Returns the log.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Complaints {
    fn add(&mut self, kind: &'static str, line: &str) {
        self.kind.get_or_insert(kind);
        self.count += 1;
        if self.lines.len() < SHOWN_COMPLAINTS {
            self.lines.push(line.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn console(text: &str) -> (Console, tempfile::NamedTempFile) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let mut console = Console::new(file.path());
        console.look();
        (console, file)
    }

    #[test]
    fn each_trouble_is_called_by_its_name() {
        for (line, kind) in [
            ("[    1.0] Kernel panic - not syncing: Fatal exception", "panic"),
            ("[    1.0] BUG: unable to handle page fault for address: dead", "oops"),
            ("[    1.0] BUG: kernel NULL pointer dereference, address: 0", "oops"),
            ("[    1.0] kernel BUG at fs/nfs/dir.c:1!", "BUG"),
            ("Kernel BUG at nfs_readdir+0x1/0x2 [verbose debug info unavailable]", "BUG"),
            ("[    1.0] INFO: task init:1 blocked for more than 20 seconds.", "hung task"),
            ("[    1.0] watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [init:1]", "soft lockup"),
            ("[    1.0] Out of memory: Killed process 77 (rpc.mountd)", "out of memory"),
        ] {
            let (console, _file) = console(&format!("fine\n{line}\nmore\n"));
            let trouble = console.trouble().unwrap();
            assert_eq!(trouble.kind, kind);
            assert_eq!(trouble.lines, [line, "more"]);
        }
    }

    #[test]
    fn complaints_at_unmount_are_findings_and_no_trouble() {
        let (console, _file) = console(
            "BUG: Dentry 000000001 {i=1,n=f}  still in use (1) [unmount of nfs 0:15]\n\
             VFS: Busy inodes after unmount of 0:15. Self-destruct in 5 seconds.  Have a nice day...\n\
             BUG nfs_inode_cache (Not tainted): Objects remaining in nfs_inode_cache on __kmem_cache_shutdown()\n",
        );
        assert_eq!(console.trouble(), None);
        let complaints = console.complaints();
        assert_eq!((complaints.kind, complaints.count), (Some("Dentry still in use"), 3));
        assert!(complaints.lines[1].starts_with("VFS: Busy inodes"));
        assert!(complaints.lines[2].starts_with("BUG nfs_inode_cache"));
    }

    #[test]
    fn objects_that_remain_are_seen_in_every_wording() {
        for line in [
            "BUG nfs_inode_cache (Not tainted): Objects remaining in nfs_inode_cache on kmem_cache_close()",
            "[  301.1] BUG nfs_inode_cache (Not tainted): Objects remaining in nfs_inode_cache on __kmem_cache_shutdown()",
            "[  812.4] BUG nfsd_file (Tainted: G    B   W          ): Objects remaining on __kmem_cache_shutdown()",
            "kmem_cache_destroy nfsd_file: Slab cache still has objects when called from nfsd_file_cache_shutdown+0x1/0x2",
            "kmem_cache_destroy nfsd_file: Slab cache still has objects",
        ] {
            let (console, _file) = console(&format!("fine\n{line}\n"));
            assert_eq!(
                (console.complaints().kind, console.complaints().count),
                (Some("Objects remaining"), 1),
                "{line}"
            );
        }
    }

    #[test]
    fn cache_of_which_the_kernel_says_it_twice_is_one_complaint() {
        let (console, _file) = console(
            "BUG nfsd_file (Not tainted): Objects remaining in nfsd_file on __kmem_cache_shutdown()\n\
             kmem_cache_destroy nfsd_file: Slab cache still has objects when called from nfsd_shutdown_generic+0x1/0x2\n\
             BUG nfsd_drc (Not tainted): Objects remaining in nfsd_drc on __kmem_cache_shutdown()\n",
        );
        assert_eq!(console.complaints().count, 2);
    }

    #[test]
    fn words_of_the_guest_are_counted_and_are_no_complaint() {
        let (console, _file) = console("dirleak is heard\n[    1.0] dirleak is heard\nno dirleak is heard here\n");
        assert_eq!(console.times_heard(), 2);
        assert_eq!(console.complaints(), &Complaints::default());
    }

    #[test]
    fn line_that_comes_in_two_pieces_is_one_line() {
        let (mut console, mut file) = console("Kernel panic - not");
        assert_eq!(console.trouble(), None);
        file.write_all(b" syncing: x\n").unwrap();
        console.look();
        assert_eq!(console.trouble().unwrap().kind, "panic");
    }

    #[test]
    fn guest_that_prints_without_end_takes_no_memory() {
        let mut console = Console::new(Path::new("/nowhere"));
        for _ in 0..1000 {
            console.take(&[b'x'; READ_BYTES]);
        }
        assert!(console.partial.capacity() <= 2 * MOST_LINE_BYTES);
        console.take(b"\n");
        for _ in 0..5000 {
            console.take(b"BUG: Dentry 1 still in use (1) [unmount of nfs 0:15]\n");
        }
        assert_eq!((console.complaints().count, console.complaints().lines.len()), (5000, SHOWN_COMPLAINTS));
        assert_eq!(console.bytes(), 1000 * READ_BYTES as u64 + 1 + 5000 * 53);
    }

    #[test]
    fn lines_of_the_guest_give_the_terminal_no_orders() {
        let (console, _file) = console("Kernel panic - not syncing: \u{1b}[2J\u{9b}x\n\u{1b}]0;title\u{7}\n");
        assert_eq!(console.trouble().unwrap().lines[0], "Kernel panic - not syncing: \u{fffd}[2J\u{fffd}x");
        assert_eq!(console.trouble().unwrap().lines[1], "\u{fffd}]0;title\u{fffd}");
    }
}
