//! Which modules of a kernel a patch touches, as the kernel's own Makefiles say it.

use super::includes::Includes;
use crate::error::{Context, Error, Result};
use crate::kernel::external::{runner, toolchain};
use crate::kernel::image::modinfo::plain;
use crate::kernel::source::patch::{self, Patch};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Prints what a directory's Makefile makes: its modules and what is built in, each with the objects that it is linked of.
const QUESTION: &str = "\
include include/config/auto.conf
src := $(DIR)
obj := $(DIR)
srctree := .
objtree := .
include $(or $(wildcard $(DIR)/Kbuild),$(DIR)/Makefile)
$(foreach m,$(obj-m),$(info m $(m) $($(m:.o=-y)) $($(m:.o=-objs)) $($(m:.o=-m))))
$(foreach m,$(obj-y) $(lib-y),$(info y $(m) $($(m:.o=-y)) $($(m:.o=-objs))))
.PHONY: nothing
nothing: ;
";

/// What a patch may change without any effect on a kernel.
const NO_CODE: [&str; 8] =
    ["Documentation", "LICENSES", "samples", "tools", "scripts", "MAINTAINERS", "CREDITS", ".mailmap"];

/// Where what can be a module of a guest is, and the headers.
const REBUILT: [&str; 14] = [
    "block",
    "crypto",
    "drivers/block",
    "fs",
    "include",
    "init",
    "io_uring",
    "ipc",
    "kernel",
    "lib",
    "mm",
    "net",
    "security",
    "arch/x86/include",
];

/// A module by the directory that it is made in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModuleAt {
    pub dir: PathBuf,
    /// As its file is called, without `.ko`.
    pub name: String,
}

impl ModuleAt {
    /// Returns its name as the kernel has it.
    pub fn plain(&self) -> String {
        plain(&self.name)
    }
}

/// Returns whether `path` is no part of a kernel.
pub fn is_no_code(path: &Path) -> bool {
    NO_CODE.iter().any(|name| path.starts_with(name))
}

/// Returns the files that `patches` change; the error tells the first one of which no module of a guest is made, and `way_out`.
pub fn files(patches: &[Patch], release: &str, way_out: &str) -> Result<BTreeSet<PathBuf>> {
    let mut files = BTreeSet::new();
    for patch in patches {
        files.extend(patch::touched_files(patch)?);
    }
    let is_unknown = |path: &&PathBuf| !is_no_code(path) && !REBUILT.iter().any(|place| path.starts_with(place));
    let is_top = |path: &PathBuf| path.components().count() == 1;
    match files.iter().find(|path| is_unknown(path) && !is_top(path)) {
        Some(path) => Err(Error::kernel(format!(
            "{} is not in what modules of {release} are rebuilt from (file systems, the network and what they use); {way_out}",
            path.display()
        ))),
        None => Ok(files),
    }
}

/// What the Makefiles of a tree say.
pub struct Kbuild<'a> {
    tree: &'a Path,
    /// The kernel's release, for sentences.
    release: &'a str,
    /// What else can be done, for sentences.
    way_out: &'a str,
    asked: BTreeMap<PathBuf, Objects>,
}

/// What is made of which objects, by their paths from the top of the tree on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Objects {
    modules: BTreeMap<PathBuf, BTreeSet<String>>,
    built_in: BTreeSet<PathBuf>,
}

impl<'a> Kbuild<'a> {
    /// Looks at the tree `tree` of the kernel `release`.
    pub fn new(tree: &'a Path, release: &'a str, way_out: &'a str) -> Self {
        Self { tree, release, way_out, asked: BTreeMap::new() }
    }

    /// Returns the modules that the files `paths`, which patches have changed in the tree, are part of.
    pub fn modules(&mut self, paths: &BTreeSet<PathBuf>) -> Result<BTreeSet<ModuleAt>> {
        let mut modules = BTreeSet::new();
        let mut headers = Vec::new();
        for path in paths.iter().filter(|path| !is_no_code(path)) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("Kconfig") || path.ends_with("Makefile") && path.components().count() == 1 {
                let what = format!("{} decides how the kernel is configured and built", path.display());
                return Err(self.refused(&what));
            }
            if name == "Makefile" || name == "Kbuild" {
                modules.extend(self.of_makefile(path)?);
            } else if !self.add_compiled(path, None, &mut modules)? {
                headers.push(path.clone());
            }
        }
        if !headers.is_empty() {
            self.add_including(&headers, &mut modules)?;
        }
        if modules.is_empty() {
            let shown: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            return Err(self.refused(&format!("nothing of {} is in a module of {}", shown.join(", "), self.release)));
        }
        Ok(modules)
    }

    /// Adds the modules of all that includes `headers`.
    fn add_including(&mut self, headers: &[PathBuf], modules: &mut BTreeSet<ModuleAt>) -> Result<()> {
        for path in Includes::read(self.tree)?.compiled(headers) {
            self.add_compiled(&path, Some(headers), modules)?;
        }
        Ok(())
    }

    /// Adds the modules that `path` is compiled into; gives whether there are some. `because` of these headers it is looked at.
    fn add_compiled(
        &mut self,
        path: &Path,
        because: Option<&[PathBuf]>,
        modules: &mut BTreeSet<ModuleAt>,
    ) -> Result<bool> {
        if path.extension().is_none_or(|end| end != "c" && end != "S") {
            return Ok(false);
        }
        let object = path.with_extension("o");
        let mut found = false;
        for dir in path.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty()) {
            let Some(objects) = self.objects(dir)? else { continue };
            if objects.built_in.contains(&object) {
                let shown = path.display();
                return Err(self.refused(&match because {
                    None => format!("{shown} is built into {}, and only modules are rebuilt", self.release),
                    Some(headers) => {
                        let headers: Vec<_> = headers.iter().map(|header| header.display().to_string()).collect();
                        let headers = headers.join(", ");
                        format!(
                            "{shown}, which is built into {}, includes {headers}, and only modules are rebuilt",
                            self.release
                        )
                    }
                }));
            }
            let names = objects.modules.get(&object).into_iter().flatten();
            let here: Vec<_> = names.map(|name| ModuleAt { dir: dir.to_owned(), name: name.clone() }).collect();
            found |= !here.is_empty();
            modules.extend(here);
        }
        Ok(found)
    }

    /// Returns all modules that the Makefile `path` makes.
    fn of_makefile(&mut self, path: &Path) -> Result<BTreeSet<ModuleAt>> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let Some(objects) = self.objects(dir)? else { return Ok(BTreeSet::new()) };
        if !objects.built_in.is_empty() {
            return Err(self.refused(&format!("{} is also of what is built into {}", path.display(), self.release)));
        }
        let names: BTreeSet<&String> = objects.modules.values().flatten().collect();
        Ok(names.into_iter().map(|name| ModuleAt { dir: dir.to_owned(), name: name.clone() }).collect())
    }

    fn refused(&self, what: &str) -> Error {
        Error::kernel(format!("{what}; {}", self.way_out))
    }

    /// Returns what is made in `dir`; `None` if nothing is.
    fn objects(&mut self, dir: &Path) -> Result<Option<Objects>> {
        if let Some(known) = self.asked.get(dir) {
            return Ok(Some(known.clone()));
        }
        if !["Kbuild", "Makefile"].iter().any(|name| self.tree.join(dir).join(name).is_file()) {
            return Ok(None);
        }
        let objects = Objects::read(dir, &self.ask(dir)?);
        self.asked.insert(dir.to_owned(), objects.clone());
        Ok(Some(objects))
    }

    fn ask(&self, dir: &Path) -> Result<String> {
        let question = tempfile::NamedTempFile::new().machine(|| "cannot write a temporary file".into())?;
        fs::write(question.path(), QUESTION).machine(|| "cannot write a temporary file".into())?;
        let mut command = Command::new("make");
        toolchain::clean_environment(&mut command);
        command.args(["-s", "--no-print-directory", "-C"]).arg(self.tree);
        command.arg("-f").arg(question.path()).arg(format!("DIR={}", dir.display()));
        let ended = runner::run(&mut command, Stdio::null(), None, |_| {}, || Ok(())).map_err(|stopped| stopped.why)?;
        if ended.status.success() {
            return Ok(ended.text);
        }
        let why = ended.complaint.or_else(|| ended.text.lines().last().map(str::to_owned)).unwrap_or_default();
        Err(Error::kernel(format!("the Makefile of {} in {} cannot be read: {why}", dir.display(), self.release)))
    }
}

impl Objects {
    /// Reads what the question prints of `dir`: `m nfs.o client.o dir.o`.
    fn read(dir: &Path, text: &str) -> Self {
        let mut objects = Self::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let (Some(kind @ ("m" | "y")), Some(target)) = (words.next(), words.next()) else { continue };
            let Some(name) = target.strip_suffix(".o") else { continue };
            let parts: Vec<PathBuf> = words.filter(|part| part.ends_with(".o")).map(|part| dir.join(part)).collect();
            let parts = if parts.is_empty() { vec![dir.join(target)] } else { parts };
            for part in parts {
                match kind {
                    "m" => drop(objects.modules.entry(part).or_default().insert(name.to_owned())),
                    _ => drop(objects.built_in.insert(part)),
                }
            }
        }
        objects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    const WAY_OUT: &str = "build 6.1+fix.patch";

    const FS_NFS: &str = "\
obj-$(CONFIG_NFS_FS) += nfs.o
CFLAGS_nfstrace.o += -I$(src)
nfs-y := client.o dir.o \\
\tinode.o
nfs-$(CONFIG_SYSCTL) += sysctl.o
nfs-$(CONFIG_ROOT_NFS) += nfsroot.o
obj-$(CONFIG_NFS_V3) += nfsv3.o
nfsv3-y := nfs3proc.o
obj-$(CONFIG_PNFS_FILE_LAYOUT) += filelayout/
";

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            (
                "include/config/auto.conf",
                "CONFIG_NFS_FS=m\nCONFIG_NFS_V3=m\nCONFIG_SYSCTL=y\nCONFIG_PNFS_FILE_LAYOUT=m\n",
            ),
            ("fs/Makefile", "obj-y := namei.o\nobj-$(CONFIG_NFS_FS) += nfs/\nobj-$(CONFIG_XFS_FS) += xfs/\n"),
            ("fs/nfs/Makefile", FS_NFS),
            ("fs/nfs/filelayout/Makefile", "obj-$(CONFIG_PNFS_FILE_LAYOUT) += layout.o\nlayout-y := filelayout.o\n"),
            ("fs/xfs/Makefile", "obj-$(CONFIG_XFS_FS) += xfs.o\nxfs-y := xfs_aops.o\n"),
            (
                "fs/ext4/Makefile",
                "obj-m += ext4.o\next4-y += sub/part.o\nifeq ($(CONFIG_SYSCTL),y)\next4-y += more.o\nendif\n",
            ),
            ("mm/Makefile", "obj-y := slub.o\n"),
            ("fs/nfs/dir.c", "#include \"internal.h\"\n"),
            ("fs/nfs/nfs3proc.c", "#include \"internal.h\"\n#include <linux/both.h>\n"),
            ("fs/nfs/nfsroot.c", "#include \"root.h\"\n"),
            ("fs/nfs/filelayout/filelayout.c", "#include \"../internal.h\"\n"),
            ("fs/nfs/internal.h", ""),
            ("fs/nfs/root.h", ""),
            ("include/linux/both.h", ""),
            ("mm/slub.c", "#include <linux/both.h>\n"),
        ] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
        }
        dir
    }

    fn touched(paths: &[&str]) -> Result<Vec<String>> {
        let tree = tree();
        let mut kbuild = Kbuild::new(tree.path(), "6.1.0-57-cloud-amd64", WAY_OUT);
        let modules = kbuild.modules(&paths.iter().map(PathBuf::from).collect())?;
        Ok(modules.iter().map(|module| format!("{}/{}", module.dir.display(), module.name)).collect())
    }

    #[test]
    fn source_file_is_of_the_modules_that_its_object_is_linked_into() {
        assert_eq!(touched(&["fs/nfs/dir.c"]).unwrap(), ["fs/nfs/nfs"]);
        assert_eq!(touched(&["fs/nfs/sysctl.c", "fs/nfs/nfs3proc.c"]).unwrap(), ["fs/nfs/nfs", "fs/nfs/nfsv3"]);
        assert_eq!(touched(&["fs/ext4/sub/part.c", "fs/ext4/more.c"]).unwrap(), ["fs/ext4/ext4"]);
        assert_eq!(touched(&["fs/nfs/dir.c", "Documentation/nfs.rst", "MAINTAINERS"]).unwrap(), ["fs/nfs/nfs"]);
    }

    #[test]
    fn header_is_of_all_modules_that_include_it() {
        assert_eq!(
            touched(&["fs/nfs/internal.h"]).unwrap(),
            ["fs/nfs/nfs", "fs/nfs/nfsv3", "fs/nfs/filelayout/layout"]
        );
    }

    #[test]
    fn makefile_is_of_all_modules_of_its_directory() {
        assert_eq!(touched(&["fs/nfs/Makefile"]).unwrap(), ["fs/nfs/nfs", "fs/nfs/nfsv3"]);
    }

    #[test]
    fn what_no_module_has_is_told_with_the_kernel_that_can_have_it() {
        let built_in =
            "mm/slub.c is built into 6.1.0-57-cloud-amd64, and only modules are rebuilt; build 6.1+fix.patch";
        let header = "mm/slub.c, which is built into 6.1.0-57-cloud-amd64, includes include/linux/both.h";
        for (paths, begin) in [
            (&["fs/nfs/dir.c", "mm/slub.c"][..], built_in),
            (&["include/linux/both.h"], header),
            (&["fs/xfs/xfs_aops.c"], "nothing of fs/xfs/xfs_aops.c is in a module of 6.1.0-57-cloud-amd64; "),
            (&["fs/nfs/nfsroot.c"], "nothing of fs/nfs/nfsroot.c is in a module"),
            (&["fs/nfs/root.h"], "nothing of fs/nfs/root.h is in a module"),
            (&["Documentation/nfs.rst"], "nothing of Documentation/nfs.rst is in a module"),
            (&["fs/nfs/Kconfig"], "fs/nfs/Kconfig decides how the kernel is configured and built; "),
            (&["Makefile"], "Makefile decides how"),
            (&["mm/Makefile"], "mm/Makefile is also of what is built into"),
        ] {
            let error = touched(paths).unwrap_err();
            assert_eq!(error.exit(), Exit::CannotJudge);
            let text = error.to_string();
            assert!(text.starts_with(begin) && text.ends_with("6.1+fix.patch"), "{paths:?}: {text}");
        }
    }

    #[test]
    fn file_outside_of_what_is_rebuilt_is_told_before_anything_is_fetched() {
        let patch =
            |name: &str| Patch { name: "x".into(), content: format!("--- a/{name}\n+++ b/{name}\n").into_bytes() };
        let of = |name: &str| files(&[patch("fs/nfs/dir.c"), patch(name)], "6.1.0-57-amd64", WAY_OUT);
        assert_eq!(of("Documentation/nfs.rst").unwrap().len(), 2);
        assert_eq!(of("Makefile").unwrap().len(), 2);
        for name in ["arch/x86/mm/fault.c", "drivers/net/tun.c", "sound/core/pcm.c"] {
            let text = of(name).unwrap_err().to_string();
            assert!(text.starts_with(name) && text.ends_with("; build 6.1+fix.patch"), "{text}");
        }
    }
}
