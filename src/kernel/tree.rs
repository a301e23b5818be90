//! The private source tree of a series, in which its kernels are built: unpacked whole, patched for one build and put
//! back after it, and thrown away when a build in it died without cleaning up.
//!
//! Everything here happens under the lock of the series.

use super::patch::Change;
use super::program;
use super::source::Source;
use crate::cache::place;
use crate::error::{Context, Error, Result};
use crate::ui::Ui;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::Seek;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the unpacked source and its objects take, measured for 6.1, and a little more.
const NEEDED_MIB: u64 = 1900;

/// In the tree: the version of the source it was unpacked from.
const VERSION: &str = ".dirleak-source";

/// A tree that is as its source package has it, and the objects of earlier builds.
pub struct Tree {
    home: PathBuf,
}

/// A tree with changes in it. Undone at the end, or by the next `Tree::open`.
pub struct Changed<'a> {
    tree: &'a Tree,
}

/// The copies of what a patched build overwrites, kept until it is put back.
#[derive(Deserialize, Serialize)]
struct Original {
    path: PathBuf,
    /// `None`: there was no such file.
    copy: Option<String>,
}

impl Tree {
    /// Finds the tree of `source` in the directory `home`, unpacking it where needed.
    pub fn open(home: PathBuf, source: &Source, ui: &Ui) -> Result<Self> {
        fs::create_dir_all(&home).machine(|| format!("cannot make {}", home.display()))?;
        let tree = Self { home };
        tree.sweep()?;
        let version = fs::read_to_string(tree.src().join(VERSION)).ok();
        let stale = version.as_ref().is_some_and(|v| *v != source.version);
        if version.is_some() && !stale && !tree.busy().exists() {
            tree.put_back()?;
            return Ok(tree);
        }
        if version.is_some() && !stale {
            ui.line(&format!("the last build of {} was cut off; starting it afresh", source.package));
        }
        tree.throw_away()?;
        tree.unpack(source, ui)?;
        Ok(tree)
    }

    /// Where the sources are.
    pub fn src(&self) -> PathBuf {
        self.home.join("tree")
    }

    /// A file beside the sources, for instance a log.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Notes that objects are about to be written: if nobody takes the note away, they are not trusted.
    pub fn begin_writing(&self) -> Result<()> {
        File::create(self.busy()).machine(|| format!("cannot write {}", self.busy().display())).map(drop)
    }

    /// All objects are whole.
    pub fn end_writing(&self) -> Result<()> {
        fs::remove_file(self.busy()).machine(|| format!("cannot remove {}", self.busy().display()))
    }

    /// Writes `changes` into the tree, the originals being safe before the first of them.
    pub fn change(&self, changes: &[Change]) -> Result<Changed<'_>> {
        if changes.is_empty() {
            return Ok(Changed { tree: self });
        }
        place(&self.originals(), |new| self.save(changes, new))?;
        let changed = Changed { tree: self };
        for change in changes {
            change.write_below(&self.src())?;
        }
        Ok(changed)
    }

    fn busy(&self) -> PathBuf {
        self.home.join("busy")
    }

    fn originals(&self) -> PathBuf {
        self.home.join("originals")
    }

    fn save(&self, changes: &[Change], into: &Path) -> Result<()> {
        let failed = || format!("cannot write {}", into.display());
        fs::create_dir(into).machine(failed)?;
        let mut list = Vec::new();
        for (number, Change { path, .. }) in changes.iter().enumerate() {
            let (from, name) = (self.src().join(path), number.to_string());
            let copy = from.exists().then_some(name);
            if let Some(name) = &copy {
                fs::copy(&from, into.join(name)).machine(failed)?;
            }
            list.push(Original { path: path.clone(), copy });
        }
        let text = serde_json::to_vec_pretty(&list).expect("paths of patches are UTF-8");
        fs::write(into.join("list.json"), text).machine(failed)
    }

    /// Undoes `change`. Files get the time of now, because their objects were made from the changed ones.
    fn put_back(&self) -> Result<()> {
        let originals = self.originals();
        let Ok(text) = fs::read(originals.join("list.json")) else {
            return Ok(());
        };
        let failed = || format!("cannot read {}", originals.display());
        let list: Vec<Original> = serde_json::from_slice(&text).machine(failed)?;
        for Original { path, copy } in list {
            let path = self.src().join(path);
            match copy {
                Some(name) => place(&path, |new| fs::copy(originals.join(name), new).machine(failed).map(drop))?,
                None => remove(&path)?,
            }
        }
        fs::remove_dir_all(&originals).machine(|| format!("cannot remove {}", originals.display()))
    }

    /// Removes what a killed dirleak was about to put in place.
    fn sweep(&self) -> Result<()> {
        for entry in fs::read_dir(&self.home).machine(|| format!("cannot read {}", self.home.display()))?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(".new-") {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the tree, if there is one, and what is noted about it.
    fn throw_away(&self) -> Result<()> {
        // Moved away first: cut off half-way, what is left is swept up and never taken for a tree.
        let removed = self.home.join(".new-removed");
        if self.src().exists() {
            fs::rename(self.src(), &removed).machine(|| format!("cannot remove {}", self.src().display()))?;
        }
        remove(&self.originals())?;
        remove(&self.busy())?;
        remove(&removed)
    }

    fn unpack(&self, source: &Source, ui: &Ui) -> Result<()> {
        self.check_space(source)?;
        let what = format!("unpacking {} {}", source.package, source.version);
        let scratch = tempfile::Builder::new()
            .prefix(".new-")
            .tempdir_in(&self.home)
            .machine(|| format!("cannot write in {}", self.home.display()))?;
        let mut extract = Command::new("dpkg-deb");
        self.tool(extract.arg("-x").arg(&source.deb).arg(scratch.path()), &what, || Ok(()))?;
        let archive = scratch.path().join(format!("usr/src/{}.tar.xz", source.package));
        let mut archive = File::open(&archive)
            .machine(|| format!("{} has no usr/src/{}.tar.xz", source.deb.display(), source.package))?;
        let total = archive.metadata().map_or(0, |m| m.len());
        place(&self.src(), |new| {
            fs::create_dir(new).machine(|| format!("cannot make {}", new.display()))?;
            let task = ui.task(what.clone());
            let input = archive.try_clone().machine(|| "cannot copy a file handle".into())?;
            // tar reads through our own handle, so our position in the file is how far it has come.
            let tick = || {
                task.progress(archive.stream_position().unwrap_or(0) >> 20, total >> 20);
                Ok(())
            };
            let mut tar = Command::new("tar");
            tar.args(["-x", "--no-same-owner", "--strip-components=1", "-I", "xz -T0 -dc", "-f", "-", "-C"]).arg(new);
            self.tool_reading(&mut tar, input, &what, tick)?;
            fs::write(new.join(VERSION), &source.version).machine(|| format!("cannot write in {}", new.display()))?;
            task.done("done");
            Ok(())
        })
    }

    fn check_space(&self, source: &Source) -> Result<()> {
        let stat =
            nix::sys::statvfs::statvfs(&self.home).machine(|| format!("cannot look at {}", self.home.display()))?;
        let free_mib = (stat.blocks_available() * stat.fragment_size()) >> 20;
        if free_mib < NEEDED_MIB {
            let place = self.home.display();
            return Err(Error::machine(format!(
                "building {} takes {NEEDED_MIB} MiB, but the disk that holds {place} has {free_mib} MiB left; \
                 free some of it or set XDG_CACHE_HOME to another",
                source.package
            )));
        }
        Ok(())
    }

    fn tool(&self, command: &mut Command, what: &str, tick: impl FnMut() -> Result<()>) -> Result<()> {
        let nothing = File::open("/dev/null").machine(|| "cannot open /dev/null".into())?;
        self.tool_reading(command, nothing, what, tick)
    }

    fn tool_reading(
        &self,
        command: &mut Command,
        input: File,
        what: &str,
        tick: impl FnMut() -> Result<()>,
    ) -> Result<()> {
        command.env("LC_ALL", "C");
        let ended = program::run(command, input.into(), None, |_| {}, tick).map_err(|stopped| stopped.why)?;
        if ended.status.success() { Ok(()) } else { Err(ended.machine_failure(what, &self.home)) }
    }
}

impl Changed<'_> {
    /// Undoes the changes.
    pub fn put_back(self) -> Result<()> {
        self.tree.put_back()
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        // After an error; if this fails too, the next one that opens the tree does it.
        let _ = self.tree.put_back();
    }
}

impl Change {
    fn write_below(&self, root: &Path) -> Result<()> {
        let path = root.join(&self.path);
        let Some(content) = &self.content else {
            return remove(&path);
        };
        let mode = fs::metadata(&path).ok().map(|m| m.permissions());
        place(&path, |new| {
            fs::write(new, content)
                .and_then(|()| mode.map_or(Ok(()), |mode| fs::set_permissions(new, mode)))
                .machine(|| format!("cannot write {}", path.display()))
        })
    }
}

/// Removes a file or directory if it is there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::machine(format!("cannot remove {}: {e}", path.display())))
        }
        _ => Ok(()),
    }
}
