//! The private tree in which modules of a distribution's kernel are rebuilt: the kernel's headers, configuration and tools as its packages
//! have them, and beside them the sources of what can be a module.
//!
//! All lies in one directory, as trace headers are included by ways from `include/trace` to the sources.

use super::compiler;
use super::offer::Image;
use crate::apt::{Apt, version};
use crate::error::{Context, Error, Result};
use crate::kernel::bootable::Kernel;
use crate::kernel::build::build_tree::{self, Tree, VERSION};
use crate::kernel::image::distro_package::merge;
use crate::kernel::source::catalog::Series;
use crate::kernel::source::debian::{self, Package};
use crate::kernel::source::unpack;
use crate::os::cache::{Cache, Lock, install_atomically};
use crate::os::process;
use crate::os::progress::Ui;
use crate::os::temp_dir::Scratch;
use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Changed when another tree is made of the same packages.
const RECIPE: &str = "1";

/// What of the sources is in the headers' packages already, is no code, or is no part of a guest: see what is unpacked of an image.
const LEFT_OUT: [&str; 15] = [
    "[A-Z]*",
    ".*",
    "arch",
    "certs",
    "drivers/[!b]*",
    "drivers/b[!l]*",
    "drivers/bl[!o]*",
    "include",
    "rust",
    "samples",
    "scripts",
    "sound",
    "tools",
    "usr",
    "virt",
];

/// What make runs of kbuild's tools.
const TOOLS: [&str; 4] =
    ["scripts/basic/fixdep", "scripts/mod/modpost", "scripts/genksyms/genksyms", "tools/objtool/objtool"];

/// Returns whether the tree of a distribution's kernel was made.
pub fn is_filled(kernel: &Kernel, cache: &Cache) -> bool {
    let is_of = |version: &String| build_tree::is_filled(&name(&kernel.release, version), cache);
    kernel.source_version.as_ref().is_some_and(is_of)
}

/// Returns the name that the tree of a kernel has in directories and locks: `6.1.0-57-cloud-amd64_6.1.192-3`.
fn name(release: &str, version: &str) -> String {
    format!("{release}_{version}")
}

/// A kernel of Debian's, and where its packages are.
pub struct Origin<'a> {
    pub image: &'a Image,
    pub series: &'a Series,
    /// What can be done where a package is missing.
    pub way_out: &'a str,
}

impl Origin<'_> {
    /// Returns a name for directories and locks.
    pub fn name(&self) -> String {
        name(&self.image.release(), &self.image.version)
    }

    /// Opens the tree, unpacking it where needed; gives how many bytes were fetched for it, too.
    pub fn open(&self, cache: &Cache, ui: &Ui) -> Result<(Tree, u64)> {
        let home = cache.root().join("build").join(self.name());
        let note = format!("{} {RECIPE}", self.image.version);
        let mut bytes = 0;
        let fill = |tree: &Tree| {
            unpack::check_space(&tree.beside(""), &self.image.release(), unpack::NEEDED_FOR_MODULES_MIB)?;
            install_atomically(&tree.src(), |new| {
                bytes = self.fill(new, &tree.beside(""), cache, ui)?;
                fs::write(new.join(VERSION), &note).machine(|| format!("cannot write in {}", new.display()))
            })
        };
        let tree = Tree::open_filled(home, &self.image.release(), |held| held == note, fill, ui)?;
        Ok((tree, bytes))
    }

    /// Puts headers, tools and sources into the directory `new`; gives how many bytes were fetched.
    fn fill(&self, new: &Path, home: &Path, cache: &Cache, ui: &Ui) -> Result<u64> {
        let apt = Apt::open(cache, Some(&self.series.suite))?;
        apt.update(ui)?;
        let scratch = Scratch::within(home)?;
        let packages = self.headers(&apt)?;
        let words: Vec<&str> = packages.iter().map(String::as_str).collect();
        let (debs, unpacked) = (scratch.path().join("debs"), scratch.path().join("unpacked"));
        for deb in apt.download(&words, &debs, ui)? {
            let what = format!("unpacking {}", deb.file_name().unwrap_or_default().to_string_lossy());
            unpack::deb(&deb, &unpacked, &what, home)?;
        }
        self.arrange(&unpacked, new)?;
        // Before 140 MB are fetched for nothing.
        self.compiler(new)?;
        self.check_tools(new)?;
        let (source, _lock) = self.source(&apt, &debs, cache, ui)?;
        unpack::sources(&source, new, &LEFT_OUT, home, ui)?;
        Ok(apt.bytes())
    }

    /// Returns the compiler for modules of the kernel whose headers are in `tree`.
    pub fn compiler(&self, tree: &Path) -> Result<String> {
        let config = tree.join(".config");
        let config = fs::read_to_string(&config).machine(|| format!("cannot read {}", config.display()))?;
        compiler::of_kernel(&config, &self.image.release(), self.way_out)
    }

    /// Fails if the tools of kbuild in `tree`, which are Debian's programs, do not run on this machine.
    fn check_tools(&self, tree: &Path) -> Result<()> {
        for tool in TOOLS.iter().filter(|tool| tree.join(tool).exists()) {
            // Debian's objtool starts the one for this processor.
            let mut command = Command::new(tree.join(tool));
            let finished = process::finish(command.env("SRCARCH", "x86").env("LC_ALL", "C"), Stdio::null())?;
            // Without arguments they end with an error of their own, unless the loader does.
            let complaint = finished.first_complaint();
            if ["not found (required by", "error while loading shared libraries"]
                .iter()
                .any(|why| complaint.contains(why))
            {
                let release = self.image.release();
                return Err(Error::kernel(format!(
                    "modules of {release} are rebuilt with tools that do not run here ({complaint}); {}",
                    self.way_out
                )));
            }
        }
        Ok(())
    }

    /// Puts what is in the packages of headers, unpacked below `root`, where it would be in the kernel's own tree.
    fn arrange(&self, root: &Path, new: &Path) -> Result<()> {
        let failed = || format!("cannot put the headers of {} into {}", self.image.release(), new.display());
        let headers = root.join(format!("usr/src/linux-headers-{}", self.image.release()));
        let common = self.common().map(|name| root.join("usr/src").join(name)).into_iter().find(|dir| dir.is_dir());
        let common = common.ok_or_else(|| Error::machine(format!("{}: there are no common headers", failed())))?;
        let mut tools = fs::read_dir(root.join("usr/lib")).machine(failed)?.flatten().map(|entry| entry.path());
        let is_tools = |path: &PathBuf| path.join("scripts/Makefile.modpost").is_file();
        let tools = tools.find(is_tools);
        let lacks = || Error::machine(format!("{}: there are no tools of kbuild in the packages", failed()));
        let tools = tools.ok_or_else(lacks)?;
        fs::create_dir(new).machine(failed)?;
        for dir in [&common, &headers] {
            // Links to the tools where they would be installed, and which compiler is asked for, whatever is there.
            for name in ["scripts", "tools", ".kernelvariables"] {
                let _ = fs::remove_file(dir.join(name));
            }
            // Of two files of a name that of all flavours counts: the Makefile.
            merge(dir, new).machine(failed)?;
        }
        merge(&tools, new).machine(failed)
    }

    /// Returns the packages with the kernel's headers and tools, as apt takes them.
    fn headers(&self, apt: &Apt) -> Result<Vec<String>> {
        let version = &self.image.version;
        let offered = apt.offered(&format!("linux-headers-{}-", self.image.abi))?;
        let exact = |package: String| {
            let is_there = offered.iter().any(|(name, its)| (name, its) == (&package, version));
            is_there.then(|| format!("{package}={version}")).ok_or_else(|| self.lacks(&package, apt))
        };
        let headers = format!("linux-headers-{}", self.image.release());
        let [common, of_rt] = self.common();
        let is_rt = self.image.flavour.starts_with("rt") && offered.iter().any(|(name, _)| *name == of_rt);
        let common = if is_rt { of_rt } else { common };
        Ok(vec![exact(headers)?, exact(common)?, self.tools(apt)?])
    }

    /// Returns the packages of what headers of several flavours have in common: real-time kernels were patched, and may have one of
    /// their own.
    fn common(&self) -> [String; 2] {
        ["", "-rt"].map(|end| format!("linux-headers-{}-common{end}", self.image.abi))
    }

    /// Returns the package of kbuild's tools: before Linux 6.12 one serves all kernels of a series.
    fn tools(&self, apt: &Apt) -> Result<String> {
        let (of_release, of_series) =
            (format!("linux-kbuild-{}", self.image.abi), format!("linux-kbuild-{}", self.image.series()));
        let mut offered = apt.offered(&of_series)?;
        offered.retain(|(name, _)| *name == of_release || *name == of_series);
        offered.sort_by(|a, b| self.closer(&a.1, &b.1));
        let (name, version) = offered.last().ok_or_else(|| self.lacks(&of_series, apt))?;
        Ok(format!("{name}={version}"))
    }

    /// Compares which version is the better one for the image: its own, else the newer.
    fn closer(&self, a: &str, b: &str) -> Ordering {
        let is_own = |version: &str| version == self.image.version;
        is_own(a).cmp(&is_own(b)).then_with(|| version::compare(a, b))
    }

    /// Finds the sources of exactly the image's version: those that series are built from, else fetched into `debs`. What is in the
    /// cache stays there as long as the lock is held.
    fn source(&self, apt: &Apt, debs: &Path, cache: &Cache, ui: &Ui) -> Result<(Package, Option<Lock>)> {
        let version = &self.image.version;
        let package = format!("linux-source-{}", self.image.series());
        let is_it = |found: &Package| (&found.package, &found.version) == (&package, version);
        // Kept for the series, unless that has another one, whose kernels would all have to be built anew.
        if debian::cached(self.series, cache).is_none() && apt.newest(&package)?.as_ref() == Some(version) {
            debian::newest(self.series, cache, ui)?;
        }
        let lock = cache.lock(&format!("source-{}", self.series.name), ui)?;
        if let Some(found) = debian::cached(self.series, cache).filter(is_it) {
            return Ok((found, Some(lock)));
        }
        drop(lock);
        let offered = apt.offered(&package)?;
        if !offered.contains(&(package.clone(), version.clone())) {
            return Err(self.lacks(&package, apt));
        }
        let deb = apt.download(&[&format!("{package}={version}")], debs, ui)?.pop();
        let deb = deb.ok_or_else(|| self.lacks(&package, apt))?;
        Ok((Package { package, version: version.clone(), deb }, None))
    }

    fn lacks(&self, package: &str, apt: &Apt) -> Error {
        let Image { version, .. } = self.image;
        let release = self.image.release();
        Error::kernel(format!(
            "Debian {} has no {package} of {version}, and modules of {release} are rebuilt with it; {}",
            apt.suite(),
            self.way_out
        ))
    }
}
