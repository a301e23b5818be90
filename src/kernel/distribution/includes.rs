//! Which source files include a header, directly or by way of others.

use crate::error::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Where a header that is named between angle brackets is looked for.
const PLACES: [&str; 4] = ["include", "include/uapi", "arch/x86/include", "arch/x86/include/uapi"];

/// All `#include` lines of a tree.
pub struct Includes {
    /// By the last name of what is included.
    by_name: BTreeMap<String, Vec<Include>>,
    files: BTreeSet<PathBuf>,
}

/// One of them.
struct Include {
    file: PathBuf,
    /// Without what is around it.
    text: String,
    is_quoted: bool,
}

impl Includes {
    /// Reads the sources and headers of the tree `root`.
    pub fn read(root: &Path) -> Result<Self> {
        let mut all = Self { by_name: BTreeMap::new(), files: BTreeSet::new() };
        let mut dirs = vec![PathBuf::new()];
        while let Some(dir) = dirs.pop() {
            let place = root.join(&dir);
            for entry in fs::read_dir(&place).machine(|| format!("cannot read {}", place.display()))?.flatten() {
                let path = dir.join(entry.file_name());
                let Ok(kind) = entry.file_type() else { continue };
                if kind.is_dir() {
                    dirs.push(path);
                } else if kind.is_file() && path.extension().is_some_and(is_source) {
                    // Comments are not always UTF-8.
                    let text = fs::read(entry.path()).unwrap_or_default();
                    String::from_utf8_lossy(&text).lines().filter_map(included).for_each(|found| all.add(&path, found));
                    all.files.insert(path);
                }
            }
        }
        Ok(all)
    }

    fn add(&mut self, file: &Path, (text, is_quoted): (&str, bool)) {
        let name = text.rsplit('/').next().unwrap_or(text).to_owned();
        let include = Include { file: file.to_owned(), text: text.to_owned(), is_quoted };
        self.by_name.entry(name).or_default().push(include);
    }

    /// Returns the files that are compiled, and include one of `headers` on whatever way.
    pub fn compiled(&self, headers: &[PathBuf]) -> BTreeSet<PathBuf> {
        let mut seen: BTreeSet<PathBuf> = headers.iter().cloned().collect();
        let mut open = headers.to_vec();
        while let Some(header) = open.pop() {
            for file in self.including(&header) {
                if seen.insert(file.clone()) {
                    open.push(file);
                }
            }
        }
        seen.retain(|file| file.extension().is_some_and(|end| end == "c" || end == "S") && !headers.contains(file));
        seen
    }

    fn including(&self, header: &Path) -> Vec<PathBuf> {
        let name = header.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let candidates = self.by_name.get(&name).into_iter().flatten();
        candidates.filter(|include| self.may_mean(include, header)).map(|include| include.file.clone()).collect()
    }

    /// Returns whether `include` may lead to `header`: the file beside it, else the one among the kernel's headers, else, as
    /// directories that a Makefile adds are not known, any header whose path ends so.
    fn may_mean(&self, include: &Include, header: &Path) -> bool {
        let beside = normal(&include.file.parent().unwrap_or(Path::new("")).join(&include.text));
        let places = PLACES.iter().map(|place| Path::new(place).join(&include.text));
        let known = Some(beside).filter(|_| include.is_quoted).into_iter().chain(places);
        match known.into_iter().find(|path| self.files.contains(path)) {
            Some(found) => found == header,
            None => header.ends_with(&include.text),
        }
    }
}

fn is_source(extension: &OsStr) -> bool {
    ["c", "h", "S"].iter().any(|end| extension == *end)
}

/// Returns what a line includes, `<linux/fs.h>` or `"internal.h"`, without what is around it, and whether that is quotes.
fn included(line: &str) -> Option<(&str, bool)> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?.trim_start();
    let end = match rest.chars().next()? {
        '<' => '>',
        '"' => '"',
        _ => return None,
    };
    Some((rest[1..].split(end).next()?, end == '"'))
}

/// Returns the path without its `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_followed_to_what_is_compiled_with_it() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("include/linux/nfs.h", ""),
            ("include/linux/nfs_fs.h", "# include <linux/nfs.h>\n"),
            ("fs/nfs/internal.h", "#include <linux/nfs_fs.h> /* all */\n"),
            ("fs/nfs/dir.c", "#include \"internal.h\"\n"),
            ("fs/nfs/filelayout/filelayout.c", "#include \"../internal.h\"\n"),
            ("fs/nfs/proc.c", "#include \"delegation.h\"\n// #include \"internal.h\"\n"),
            ("fs/internal.h", ""),
            ("fs/xfs/libxfs/xfs_fs.h", ""),
            ("fs/xfs/xfs_aops.c", "#include \"xfs_fs.h\"\n"),
            ("fs/namei.c", "#include \"internal.h\"\n"),
        ] {
            fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
            fs::write(dir.path().join(path), text).unwrap();
        }
        let includes = Includes::read(dir.path()).unwrap();
        let compiled = |header: &str| {
            let all = includes.compiled(&[header.into()]).into_iter();
            all.map(|path| path.display().to_string()).collect::<Vec<_>>()
        };
        let all = ["fs/nfs/dir.c", "fs/nfs/filelayout/filelayout.c"];
        assert_eq!(compiled("fs/nfs/internal.h"), all);
        assert_eq!(compiled("include/linux/nfs.h"), all);
        assert_eq!(compiled("fs/internal.h"), ["fs/namei.c"]);
        // The Makefile adds the directory.
        assert_eq!(compiled("fs/xfs/libxfs/xfs_fs.h"), ["fs/xfs/xfs_aops.c"]);
        assert_eq!(compiled("fs/nfs/none.h"), [""; 0]);
    }
}
