//! The directory that was named and the NFS mount that it is on; what is neither is told in a sentence of its own.

use crate::error::{Context, Error, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::statfs::{AUTOFS_SUPER_MAGIC, NFS_SUPER_MAGIC, fstatfs};
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const MOUNTS: &str = "/proc/self/mountinfo";

/// A directory on an NFS mount. As long as this lives an automounter does not take the mount away.
pub struct Mounted {
    /// As it was named, but absolute and without symbolic links.
    pub dir: PathBuf,
    pub mount: Mount,
    /// Open, so that the mount is in use.
    _fd: OwnedFd,
}

/// An NFS mount as the kernel shows it, with blanks and the like as octal numbers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mount {
    /// Where it is mounted.
    pub point: String,
    /// What is mounted there: `server:/path`.
    pub source: String,
    /// Of the mount and of its file system.
    pub options: String,
}

impl Mount {
    /// Returns the value of an option: "4.2" of `vers`.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// Returns its mount point as mountstats has it.
    pub fn path(&self) -> &Path {
        Path::new(&self.point)
    }
}

impl Mounted {
    /// Returns a descriptor of the directory itself, whatever is put in its place meanwhile.
    pub fn descriptor(&self) -> Result<OwnedFd> {
        self._fd.try_clone().machine(|| format!("cannot open {} once more", self.dir.display()))
    }

    /// Finds the mount of a directory. Opening it has an automounter mount it.
    pub fn find(dir: &Path) -> Result<Self> {
        let shown = dir.display();
        let opened = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
        let fd = opened.map_err(|errno| match errno {
            Errno::ENOENT => Error::usage(format!("there is no directory {shown}; name one on an NFS mount")),
            Errno::ENOTDIR => Error::usage(format!("{shown} is no directory; name the directory that holds it")),
            Errno::EACCES => Error::usage(format!(
                "the NFS server does not let root open {shown} (root_squash); name a directory that others may read"
            )),
            Errno::ESTALE => Error::machine(format!("the NFS mount of {shown} is stale; mount it anew")),
            other => Error::machine(format!("cannot open {shown}: {other}")),
        })?;
        let kind = fstatfs(&fd).machine(|| format!("cannot tell the file system of {shown}"))?.filesystem_type();
        if kind == AUTOFS_SUPER_MAGIC {
            return Err(Error::usage(format!(
                "{shown} belongs to the automounter itself and nothing is mounted on it; name a directory below it"
            )));
        }
        if kind != NFS_SUPER_MAGIC {
            return Err(Error::usage(format!(
                "{shown} is on no NFS mount; `findmnt -t nfs,nfs4` shows those of this machine"
            )));
        }
        let dir = fs::canonicalize(dir).machine(|| format!("cannot tell the path of {shown}"))?;
        let id = mount_id(&fd)?;
        // Mount points are bytes, whatever they mean; mountstats has the same ones.
        let text = fs::read(MOUNTS).machine(|| format!("cannot read {MOUNTS}"))?;
        let mount = parse(&String::from_utf8_lossy(&text), &id)
            .ok_or_else(|| Error::machine(format!("{MOUNTS} has no NFS mount {id}, on which {shown} is")))?;
        Ok(Self { dir, mount, _fd: fd })
    }
}

#[cfg(test)]
impl Mounted {
    /// Takes a directory for one on an NFS mount.
    pub fn made_up(dir: &Path) -> Self {
        let fd = open(dir, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).unwrap();
        let point = dir.display().to_string();
        let mount = Mount { point, source: "server:/export".into(), options: "rw,vers=4.2,rsize=4096".into() };
        Self { dir: dir.to_owned(), mount, _fd: fd }
    }
}

/// Returns the number of the mount that an open file is on.
fn mount_id(fd: &OwnedFd) -> Result<String> {
    let path = format!("/proc/self/fdinfo/{}", fd.as_raw_fd());
    let text = fs::read_to_string(&path).machine(|| format!("cannot read {path}"))?;
    let id = text.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    id.map(|id| id.trim().to_owned()).ok_or_else(|| Error::machine(format!("{path} tells no mount")))
}

/// Reads a line: "`id` `parent` `major`:`minor` `root` `point` `options` ... - `type` `source` `options`".
fn parse(text: &str, id: &str) -> Option<Mount> {
    let line = text.lines().find(|line| line.split(' ').next() == Some(id))?;
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let [kind, source, options] = right.split(' ').collect::<Vec<_>>()[..] else { return None };
    kind.starts_with("nfs").then(|| Mount {
        point: left.get(4).copied().unwrap_or_default().to_owned(),
        source: source.to_owned(),
        options: format!("{},{options}", left.get(5).copied().unwrap_or_default()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    const TEXT: &str = "21 1 0:20 / / rw,relatime - overlay overlay rw\n\
        40 21 0:45 / /srv/www\\040data rw,noatime shared:9 - nfs4 files:/www rw,vers=4.2,rsize=1048576,addr=10.0.0.1\n\
        41 21 0:46 / /srv/other rw - nfs files:/other rw,vers=3\n";

    #[test]
    fn mount_is_found_by_its_number() {
        let mount = parse(TEXT, "40").unwrap();
        assert_eq!((mount.point.as_str(), mount.source.as_str()), ("/srv/www\\040data", "files:/www"));
        assert_eq!(
            (mount.option("vers"), mount.option("rsize"), mount.option("size")),
            (Some("4.2"), Some("1048576"), None)
        );
        assert_eq!(parse(TEXT, "21"), None, "it is no NFS");
        assert_eq!(parse(TEXT, "4"), None);
    }

    #[test]
    fn mount_point_that_is_no_text_hides_no_other_mount() {
        let bytes = [&b"77 21 0:51 / /mnt/pok\xe9mon rw - tmpfs none rw\n"[..], TEXT.as_bytes()].concat();
        let mount = parse(&String::from_utf8_lossy(&bytes), "40").unwrap();
        assert_eq!(mount.source, "files:/www");
    }

    #[test]
    fn path_that_is_no_directory_on_nfs_is_told_in_a_sentence_of_its_own() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        for (path, sentence) in [
            (home.path().join("missing"), "there is no directory "),
            (file, "is no directory; name the directory that holds it"),
            (home.path().to_owned(), "is on no NFS mount"),
        ] {
            let error = Mounted::find(&path).err().unwrap();
            assert_eq!(error.exit(), Exit::Usage);
            assert!(error.to_string().contains(sentence), "{error}");
        }
    }

    #[test]
    fn number_of_a_mount_is_one_of_those_that_are_there() {
        let id = mount_id(&open("/", OFlag::O_PATH, Mode::empty()).unwrap()).unwrap();
        let mounts = fs::read_to_string(MOUNTS).unwrap();
        assert!(mounts.lines().any(|line| line.starts_with(&format!("{id} "))), "{id} is not in {mounts}");
    }
}
