//! Knows a directory of kernel modules: which are there, which are built in, and which must be loaded before which.

use super::compression;
use super::modinfo::{Modinfo, plain};
use super::package_names;
use crate::error::{Context, Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What the file of a module ends with.
const ENDS: [&str; 4] = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"];

/// No module, with all that tells debuggers of it, has more.
const MOST_BYTES: u64 = 256 << 20;

/// The modules of one kernel.
#[derive(Debug)]
pub struct Modules {
    dir: PathBuf,
    /// By name.
    files: BTreeMap<String, PathBuf>,
    /// What needs no loading; `None` if the directory does not tell.
    built_in: Option<BTreeSet<String>>,
}

/// A module to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    pub name: String,
    /// Its file, decompressed.
    pub bytes: Vec<u8>,
    /// Whether nothing works without it.
    pub required: bool,
}

/// Returns where below `dir`, as the user names it, the modules of the kernel `release` are: in it, or where they are installed
/// below a root directory.
pub fn locate(dir: &Path, release: &str) -> Result<PathBuf> {
    let shown = dir.display();
    if !dir.is_dir() {
        return Err(Error::usage(format!("--modules {shown} is no directory")));
    }
    let places = ["lib/modules", "usr/lib/modules", ""].map(|below| dir.join(below).join(release));
    let found = places.into_iter().find(|place| place.is_dir()).unwrap_or_else(|| dir.to_owned());
    if Modules::open(&found)?.files.is_empty() {
        return Err(Error::usage(format!(
            "--modules {shown} has no kernel modules in it; name the directory that was installed as lib/modules/{release}"
        )));
    }
    found.canonicalize().machine(|| format!("cannot find {shown}"))
}

impl Modules {
    /// Looks at what is in `dir` and below.
    pub fn open(dir: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        find(dir, &mut files).machine(|| format!("cannot read {}", dir.display()))?;
        let built_in = dir.join("modules.builtin");
        let is_file = fs::symlink_metadata(&built_in).is_ok_and(|meta| meta.is_file());
        let built_in = is_file.then(|| compression::read(&built_in, MOST_BYTES)).transpose()?;
        let built_in = built_in.and_then(|bytes| String::from_utf8(bytes).ok());
        let built_in = built_in.map(|text| text.lines().filter_map(|line| name(Path::new(line))).collect());
        Ok(Self { dir: dir.to_owned(), files, built_in })
    }

    /// Takes the modules that are in `dir` in place of those of the same names.
    pub fn replaced_by(mut self, dir: &Path) -> Result<Self> {
        find(dir, &mut self.files).machine(|| format!("cannot read {}", dir.display()))?;
        Ok(self)
    }

    /// Returns whether there is a file of the module `name`.
    pub fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    /// Returns the vermagic of the module `name`; `None` if there is no such module.
    pub fn vermagic(&self, name: &str) -> Result<Option<String>> {
        Ok(self.read(name)?.map(|bytes| Modinfo::vermagic(&bytes)))
    }

    /// Returns the modules that use one of `symbols`, and where their files are below the directory.
    pub fn users_of(&self, symbols: &BTreeSet<String>) -> Result<BTreeMap<String, PathBuf>> {
        let mut users = BTreeMap::new();
        for (name, path) in &self.files {
            let bytes = self.read(name)?.unwrap_or_default();
            if !Modinfo::used_symbols(&bytes).is_disjoint(symbols) {
                users.insert(name.clone(), path.strip_prefix(&self.dir).unwrap_or(path).to_owned());
            }
        }
        Ok(users)
    }

    /// Returns all that must be loaded to have the modules `wanted`, and, where that can be had, those that are `welcome`, each
    /// after what it needs. `release` is the kernel's.
    pub fn needed(&self, wanted: &[&str], welcome: &[&str], release: &str) -> Result<Vec<Module>> {
        let mut order = Order { modules: self, release, chosen: Vec::new(), under_way: Vec::new() };
        for name in welcome {
            order.try_add(name)?;
        }
        for name in wanted {
            order.add(name, true)?;
        }
        Ok(order.chosen)
    }

    fn is_built_in(&self, name: &str) -> bool {
        self.built_in.as_ref().is_some_and(|names| names.contains(name))
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let Some(path) = self.files.get(name) else { return Ok(None) };
        let bytes = compression::read(path, MOST_BYTES)?;
        match compression::program(&bytes) {
            Some(program) => {
                compression::decompress(&bytes, program, &path.display().to_string(), MOST_BYTES).map(Some)
            }
            None => Ok(Some(bytes)),
        }
    }
}

/// The order of loading in the making.
struct Order<'a> {
    modules: &'a Modules,
    release: &'a str,
    chosen: Vec<Module>,
    /// Those whose needs are being looked for: some welcome each other.
    under_way: Vec<String>,
}

impl Order<'_> {
    /// Adds `name` after all that it needs.
    fn add(&mut self, name: &str, required: bool) -> Result<()> {
        if let Some(known) = self.chosen.iter_mut().find(|m| m.name == name) {
            if !required || known.required {
                return Ok(());
            }
            known.required = true;
            // What it needs was not required before, either.
            let info = Modinfo::parse(&known.bytes).unwrap_or_default();
            return info.depends.iter().try_for_each(|before| self.add(before, true));
        }
        if self.modules.is_built_in(name) || self.under_way.iter().any(|n| n == name) {
            return Ok(());
        }
        let Some(bytes) = self.modules.read(name)? else {
            // Without a list of what is built in only the guest can tell.
            return if self.modules.built_in.is_none() { Ok(()) } else { Err(self.lacks(name)) };
        };
        let info = self.modinfo(name, &bytes)?;
        self.under_way.push(name.to_owned());
        for before in &info.welcome {
            self.try_add(before)?;
        }
        info.depends.iter().try_for_each(|before| self.add(before, required))?;
        self.under_way.pop();
        self.chosen.push(Module { name: name.to_owned(), bytes, required });
        Ok(())
    }

    /// Adds `name` if it and all that it needs are there.
    fn try_add(&mut self, name: &str) -> Result<()> {
        let (chosen, under_way) = (self.chosen.len(), self.under_way.len());
        match self.add(name, false) {
            Err(e) if e.exit() == crate::error::Exit::CannotJudge => {
                self.chosen.truncate(chosen);
                self.under_way.truncate(under_way);
                Ok(())
            }
            result => result,
        }
    }

    fn modinfo(&self, name: &str, bytes: &[u8]) -> Result<Modinfo> {
        let dir = self.modules.dir.display();
        let info = Modinfo::parse(bytes)
            .map_err(|e| Error::kernel(format!("the kernel module {name} in {dir} is damaged: {e}")))?;
        if info.release != self.release {
            return Err(Error::usage(format!(
                "the kernel is {}, but the module {name} in {dir} is of {}; name the modules of this kernel",
                self.release, info.release
            )));
        }
        Ok(info)
    }

    fn lacks(&self, name: &str) -> Error {
        let user = self.under_way.last().map(|user| format!(", which {user} needs")).unwrap_or_default();
        Error::kernel(format!(
            "the kernel {} lacks {name}{user}: it is neither built in nor a module in {}; {}",
            self.release,
            self.modules.dir.display(),
            package_names::hint(self.release)
        ))
    }
}

/// Finds all modules below `dir`. Links are not followed: the one to the kernel's sources may lead anywhere.
fn find(dir: &Path, files: &mut BTreeMap<String, PathBuf>) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            find(&entry.path(), files)?;
        } else if let Some(name) = name(&entry.path()).filter(|_| kind.is_file()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// Returns the name of the module that is in the file `path`.
fn name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    ENDS.iter().find_map(|end| file.strip_suffix(end)).map(plain)
}

/// Makes an ELF file with one section of this name, for tests.
#[cfg(test)]
pub fn file_with_section(name: &str, data: &[u8]) -> Vec<u8> {
    let names = format!("\0{name}\0.shstrtab\0").into_bytes();
    let table = 64 + data.len() + names.len();
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    file.extend([1, 0, 62, 0, 1, 0, 0, 0]);
    for word in [0_u64, 0, table as u64] {
        file.extend(word.to_le_bytes());
    }
    file.extend(0_u32.to_le_bytes());
    for half in [64_u16, 0, 0, 64, 3, 2] {
        file.extend(half.to_le_bytes());
    }
    file.extend(data);
    file.extend(&names);
    let sections = [(0, 0, 0, 0), (1, 1, 64, data.len()), (2 + name.len(), 3, 64 + data.len(), names.len())];
    for (name, kind, at, length) in sections {
        file.extend((name as u32).to_le_bytes());
        file.extend((kind as u32).to_le_bytes());
        // Flags, address, offset, size, link and info in one, alignment, size of an entry.
        for word in [0, 0, at as u64, length as u64, 0, 1, 0] {
            file.extend(word.to_le_bytes());
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    /// Makes a directory with modules `name depends softdep`, and a list of what is built in.
    fn directory(modules: &[(&str, &str, &str)], built_in: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("kernel")).unwrap();
        for (file, depends, softdep) in modules {
            let info = format!("depends={depends}\0softdep={softdep}\0vermagic=6.1 SMP \0");
            fs::write(dir.path().join("kernel").join(file), file_with_section(".modinfo", info.as_bytes())).unwrap();
        }
        if let Some(text) = built_in {
            fs::write(dir.path().join("modules.builtin"), text).unwrap();
        }
        dir
    }

    fn order(dir: &tempfile::TempDir, wanted: &[&str], welcome: &[&str]) -> Result<Vec<(String, bool)>> {
        let modules = Modules::open(dir.path())?;
        Ok(modules.needed(wanted, welcome, "6.1")?.into_iter().map(|m| (m.name, m.required)).collect())
    }

    fn named(modules: &[(&str, bool)]) -> Vec<(String, bool)> {
        modules.iter().map(|(name, required)| (name.to_string(), *required)).collect()
    }

    #[test]
    fn modules_come_once_and_after_what_they_need() {
        let modules = [
            ("nfsv3.ko", "nfs,nfs_acl,sunrpc", ""),
            ("nfs.ko", "sunrpc,lockd", ""),
            ("nfs-acl.ko", "sunrpc", ""),
            ("lockd.ko", "sunrpc", ""),
            ("sunrpc.ko", "", "pre: crc post: other"),
            ("crc.ko", "", ""),
        ];
        let dir = directory(&modules, Some("kernel/crypto/md5.ko\n"));
        let wanted =
            [("crc", false), ("sunrpc", true), ("lockd", true), ("nfs", true), ("nfs_acl", true), ("nfsv3", true)];
        assert_eq!(order(&dir, &["nfs", "nfsv3", "md5"], &["no-such"]).unwrap(), named(&wanted));
    }

    #[test]
    fn welcome_module_is_left_out_whole_if_a_part_is_missing() {
        let dir =
            directory(&[("a.ko", "b", ""), ("b.ko", "c", ""), ("d.ko", "", ""), ("e.ko", "d", "pre: a")], Some(""));
        assert_eq!(order(&dir, &["d"], &["a", "e"]).unwrap(), named(&[("d", true), ("e", false)]));
    }

    #[test]
    fn name_that_is_neither_a_module_nor_built_in_is_told() {
        let dir = directory(&[("nfsd.ko", "gone", "")], Some("kernel/x.ko\n"));
        let error = order(&dir, &["nfsd"], &[]).unwrap_err();
        assert_eq!(error.exit(), Exit::CannotJudge);
        assert!(error.to_string().contains("lacks gone, which nfsd needs: it is neither built in nor"), "{error}");
        // Without a list only the guest can tell.
        let dir = directory(&[("nfsd.ko", "gone", "")], None);
        assert_eq!(order(&dir, &["nfsd"], &[]).unwrap(), named(&[("nfsd", true)]));
    }

    #[test]
    fn modules_of_another_kernel_are_a_mistake_of_the_user() {
        let dir = directory(&[("nfs.ko", "", "")], None);
        let error = Modules::open(dir.path()).unwrap().needed(&["nfs"], &[], "6.2").unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("the kernel is 6.2, but the module nfs in"), "{error}");
    }

    #[test]
    fn modules_are_found_where_they_are_installed() {
        let root = tempfile::tempdir().unwrap();
        let installed = root.path().join("usr/lib/modules/6.1");
        assert!(locate(root.path(), "6.1").unwrap_err().to_string().contains("has no kernel modules in it"));
        fs::create_dir_all(installed.join("kernel")).unwrap();
        fs::write(installed.join("kernel/nfs.ko.xz"), "").unwrap();
        let installed = installed.canonicalize().unwrap();
        for dir in [root.path(), &root.path().join("usr/lib/modules"), &installed] {
            assert_eq!(locate(dir, "6.1").unwrap(), installed);
        }
        assert!(locate(Path::new("/no/such"), "6.1").unwrap_err().to_string().contains("is no directory"));
    }
}
