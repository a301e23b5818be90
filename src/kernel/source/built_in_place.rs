//! A source tree of the user's in which he has built: what that left is what the tree's own `make mrproper` takes from a copy of it.

use super::tree_files::{Entry, EntryKind};
use crate::error::{Context, Error, Result};
use crate::kernel::external::{runner, toolchain};
use crate::os::temp_dir::Scratch;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

/// What only a build makes: `outputmakefile` of the top Makefile looks for the first three, and kbuild leaves a `.cmd` beside each
/// file that it makes. Seen so from 5.2 to 7.2.
const MADE: [&str; 4] = [".config", "include/config/", "include/generated/", "vmlinux"];
const MADE_EVERYWHERE: [&str; 3] = [".cmd", ".o", ".ko"];

/// Files in which no Makefile looks when it cleans up: in the copy they are empty.
const NOT_READ: [&str; 13] = ["c", "h", "S", "o", "a", "ko", "cmd", "rst", "txt", "dts", "dtsi", "json", "yaml"];

/// Returns whether something has been built among these.
pub(super) fn is_built(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| {
        let path = entry.path.to_string_lossy();
        let at_top = |made: &&str| if made.ends_with('/') { path.starts_with(*made) } else { path == **made };
        MADE.iter().any(at_top) || MADE_EVERYWHERE.iter().any(|made| path.ends_with(made))
    })
}

/// Takes away those entries of the tree `root` that its `make mrproper` removes from a copy in the directory `beside`.
pub(super) fn retain_sources(root: &Path, entries: &mut Vec<Entry>, beside: &Path) -> Result<()> {
    let scratch = Scratch::within(beside)?;
    let copy = scratch.path().join("tree");
    fs::create_dir(&copy).machine(|| format!("cannot make {}", copy.display()))?;
    for entry in entries.iter() {
        put(root, entry, &copy).machine(|| format!("cannot copy {}", root.join(&entry.path).display()))?;
    }
    let mut command = Command::new("make");
    toolchain::clean_environment(&mut command);
    command.arg("-C").arg(&copy).args(["--no-print-directory", "mrproper"]);
    let ended = runner::run(&mut command, Stdio::null(), None, |_| {}, || Ok(())).map_err(|stopped| stopped.why)?;
    if ended.disk_full {
        return Err(runner::disk_full("make mrproper", beside));
    }
    if !ended.status.success() {
        let why = ended.complaint.or_else(|| ended.text.lines().last().map(str::to_owned)).unwrap_or_default();
        return Err(Error::kernel(format!(
            "{} has been built in, and make mrproper failed in a copy of it: {why}; name sources in which nothing was built",
            root.display()
        )));
    }
    entries.retain(|entry| fs::symlink_metadata(copy.join(&entry.path)).is_ok());
    Ok(())
}

/// Puts what stands for `entry` into the copy, as far as a Makefile looks at it.
fn put(root: &Path, entry: &Entry, copy: &Path) -> std::io::Result<()> {
    let (from, to) = (root.join(&entry.path), copy.join(&entry.path));
    if let Some(dir) = to.parent() {
        fs::create_dir_all(dir)?;
    }
    let is_read =
        |path: &Path| path.extension().is_none_or(|extension| !NOT_READ.iter().any(|name| extension == *name));
    match entry.kind {
        EntryKind::Link => {
            let target = fs::read_link(&from)?;
            if stays_inside(&entry.path, &target) {
                symlink(target, to)
            } else if from.is_dir() {
                // What lies there is no part of the copy, and must not be cleaned up.
                fs::create_dir(&to)?;
                fs::write(to.join("Makefile"), "")
            } else {
                fs::write(to, "")
            }
        }
        _ if is_read(&entry.path) && entry.path != Path::new("vmlinux") => fs::copy(from, to).map(drop),
        _ => fs::write(to, ""),
    }
}

/// Returns whether a link at `path`, from the top of a tree on, leads to something in the tree.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut at: PathBuf = path.parent().unwrap_or(Path::new("")).to_owned();
    target.components().all(|part| match part {
        Component::Normal(name) => {
            at.push(name);
            true
        }
        Component::ParentDir => at.pop(),
        Component::CurDir => true,
        Component::RootDir | Component::Prefix(_) => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::source::tree_files::walk;

    /// Cleans up as the kernel's does, also behind links to directories.
    const MAKEFILE: &str = "\
mrproper:
\t@rm -rf .config include/config include/generated
\t@find . \\( -name '*.o' -o -name '.*.cmd' \\) -type f -print | xargs rm -f
\t@rm -f drivers/*/*.o
";

    /// Returns the names of what is left of these files, and what make complains of.
    fn sources(files: &[(&str, &str)], links: &[(&str, &Path)]) -> Result<Vec<String>> {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("linux");
        for (path, text) in files {
            fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
            fs::write(root.join(path), text).unwrap();
        }
        for (path, target) in links {
            symlink(target, root.join(path)).unwrap();
        }
        let mut entries = walk(&root).unwrap();
        let lies: Vec<_> = entries.iter().map(|entry| entry.path.clone()).collect();
        assert!(is_built(&entries));
        retain_sources(&root, &mut entries, &dir.path().join("beside"))?;
        assert_eq!(
            walk(&root).unwrap().iter().map(|entry| entry.path.clone()).collect::<Vec<_>>(),
            lies,
            "nothing is removed"
        );
        assert_eq!(fs::read_dir(dir.path().join("beside")).unwrap().count(), 0, "the copy is gone");
        Ok(entries.iter().map(|entry| entry.path.display().to_string()).collect())
    }

    #[test]
    fn what_the_trees_own_makefile_removes_is_no_source() {
        let files = [
            ("Makefile", MAKEFILE),
            (".config", "CONFIG_A=y\n"),
            ("include/config/auto.conf", ""),
            ("include/generated/x.h", ""),
            ("fs/dir.c", "int x;\n"),
            ("fs/dir.o", "object"),
            ("fs/.dir.o.cmd", "cmd"),
            ("fs/firmware.hex", "00\n"),
            ("scripts/Makefile.lib", "x\n"),
        ];
        let left = ["Makefile", "fs/dir.c", "fs/firmware.hex", "scripts/Makefile.lib"];
        assert_eq!(sources(&files, &[]).unwrap(), left);
    }

    #[test]
    fn what_lies_behind_a_link_out_of_the_tree_is_not_cleaned_up() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("x.o"), "object").unwrap();
        fs::create_dir(outside.path().join("empty")).unwrap();
        let files = [("Makefile", MAKEFILE), (".config", ""), ("drivers/own/y.c", ""), ("drivers/own/y.o", "")];
        let links = [
            ("drivers/mine", outside.path()),
            ("drivers/gone", Path::new("/nowhere")),
            ("fs", Path::new("drivers/own")),
        ];
        let left = ["Makefile", "drivers/gone", "drivers/mine", "drivers/own/y.c", "fs"];
        assert_eq!(sources(&files, &links).unwrap(), left);
        assert!(outside.path().join("x.o").exists());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 2);
    }

    #[test]
    fn makefile_that_cannot_clean_up_is_told() {
        let error = sources(&[("Makefile", "all:\n"), ("x.o", "")], &[]).unwrap_err();
        let said = error.to_string();
        assert!(said.contains("has been built in, and make mrproper failed") && said.contains("mrproper'"), "{said}");
        assert_eq!(error.exit(), crate::error::Exit::CannotJudge);
    }

    #[test]
    fn tree_with_nothing_built_needs_no_copy() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["Makefile", "scripts/config", "include/config.h", "fs/x.c", "vmlinux.lds.S", "lib/test.o_shipped"]
        {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), "").unwrap();
        }
        assert!(!is_built(&walk(dir.path()).unwrap()));
        fs::write(dir.path().join("fs/x.ko"), "").unwrap();
        assert!(is_built(&walk(dir.path()).unwrap()));
    }

    #[test]
    fn link_stays_inside_as_far_as_its_words_go() {
        let inside = |path: &str, target: &str| stays_inside(Path::new(path), Path::new(target));
        assert!(inside("scripts/dtc/include-prefixes/arm", "../../../arch/arm/boot/dts"));
        assert!(inside("a", "./b") && !inside("a", "../b") && !inside("a/b", "../../c") && !inside("a", "/b"));
    }
}
