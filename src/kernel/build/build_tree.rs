//! The private source tree in which kernels are built: filled from a package or with a tree of the user's, patched for one
//! build and put back after it, and thrown away when a build in it died without cleaning up.
//!
//! Everything here happens under the lock of the sources.

use crate::error::{Context, Error, Result};
use crate::kernel::source::debian::Source;
use crate::kernel::source::patch::Change;
use crate::kernel::source::snapshot::Snapshot;
use crate::kernel::source::unpack;
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::Ui;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// In the tree: the version of the package it was unpacked from, or the id of the git tree it holds.
pub const VERSION: &str = ".dirleak-source";

/// A tree that is as its source has it, and the objects of earlier builds.
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

/// Returns whether a build of the sources called `name` is there to go on from.
pub fn is_built(name: &str, cache: &Cache) -> bool {
    Tree::at_rest(cache.root().join("build").join(name)).is_some()
}

/// Returns whether sources called `name` are there, built or not.
pub fn is_filled(name: &str, cache: &Cache) -> bool {
    let tree = Tree { home: cache.root().join("build").join(name) };
    tree.src().join(VERSION).exists()
}

impl Tree {
    /// Finds the tree of `source` in the directory `home`, filling it where needed.
    ///
    /// The first time, a tree of the user's is made from a copy of the tree `seed`, if there is one: where the two have the same
    /// files, their objects are good for both.
    pub fn open(home: PathBuf, source: &Source, seed: Option<&Path>, ui: &Ui) -> Result<Self> {
        let usable = |held: &str| match source {
            Source::Package { package, .. } => held == package.version,
            // Any state of the user's tree is an increment to any other.
            Source::Tree(_) => true,
        };
        let fill = |tree: &Self| match source {
            Source::Package { package, .. } => unpack::package(package, &tree.home, &tree.src(), VERSION, ui),
            Source::Tree(snapshot) => unpack::start(snapshot, seed, &tree.home, &tree.src(), VERSION, ui),
        };
        let tree = Self::open_filled(home, source.name(), usable, fill, ui)?;
        if let Source::Tree(snapshot) = source {
            tree.hold(snapshot, ui)?;
        }
        Ok(tree)
    }

    /// Finds the tree called `name` in the directory `home` as it was before it was last changed. One of which the note is not
    /// `usable`, or in which a build was cut off, is thrown away, and `fill` puts another one in place, with its note.
    pub fn open_filled(
        home: PathBuf,
        name: &str,
        usable: impl Fn(&str) -> bool,
        fill: impl FnOnce(&Self) -> Result<()>,
        ui: &Ui,
    ) -> Result<Self> {
        fs::create_dir_all(&home).machine(|| format!("cannot make {}", home.display()))?;
        let tree = Self { home };
        tree.sweep()?;
        let usable = fs::read_to_string(tree.src().join(VERSION)).is_ok_and(|held| usable(&held));
        if usable && tree.busy().exists() {
            ui.line(&format!("the last build of {name} was cut off; starting it afresh"));
        }
        if usable && !tree.busy().exists() {
            tree.put_back()?;
        } else {
            tree.throw_away()?;
            fill(&tree)?;
        }
        Ok(tree)
    }

    /// Makes the tree what `snapshot` says.
    fn hold(&self, snapshot: &Snapshot, ui: &Ui) -> Result<()> {
        let (note, index) = (self.src().join(VERSION), self.home.join("index"));
        let held = fs::read_to_string(&note).unwrap_or_default();
        if held == snapshot.tree {
            return Ok(());
        }
        let write = |text: &str| fs::write(&note, text).machine(|| format!("cannot write {}", note.display()));
        let whole = !index.exists();
        let task = whole.then(|| ui.task(format!("checking out {}", snapshot.described)));
        // An empty note: cut off from here on, the files are looked at one by one the next time.
        write("")?;
        snapshot.check_out(&index, &self.src(), held.is_empty())?;
        write(&snapshot.tree)?;
        if let Some(task) = task {
            task.done("done");
        }
        Ok(())
    }

    /// Returns the tree in `home`, if it is as its source has it and its objects can be trusted.
    pub fn at_rest(home: PathBuf) -> Option<PathBuf> {
        let tree = Self { home };
        let rests = !tree.busy().exists() && !tree.originals().exists() && tree.src().join("vmlinux").exists();
        rests.then(|| tree.src())
    }

    /// Returns where the sources are.
    pub fn src(&self) -> PathBuf {
        self.home.join("tree")
    }

    /// Returns a file beside the sources, for instance a log.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    /// Notes that objects are about to be written: if nobody takes the note away, they are not trusted.
    pub fn begin_writing(&self) -> Result<()> {
        File::create(self.busy()).machine(|| format!("cannot write {}", self.busy().display())).map(drop)
    }

    /// Notes that all objects are whole.
    pub fn end_writing(&self) -> Result<()> {
        fs::remove_file(self.busy()).machine(|| format!("cannot remove {}", self.busy().display()))
    }

    /// Writes `changes` into the tree, the originals being safe before the first of them.
    pub fn change(&self, changes: &[Change]) -> Result<Changed<'_>> {
        if changes.is_empty() {
            return Ok(Changed { tree: self });
        }
        install_atomically(&self.originals(), |new| self.save(changes, new))?;
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
                Some(name) => {
                    install_atomically(&path, |new| fs::copy(originals.join(name), new).machine(failed).map(drop))?
                }
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
        remove(&self.home.join("index"))?;
        remove(&self.busy())?;
        remove(&removed)
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
        install_atomically(&path, |new| {
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
