//! The files that the program brings along: scenarios, the catalog of kernels, their configurations and patches.
//!
//! They are embedded, so that an installed program needs nothing beside it; in a checkout the files themselves win,
//! so that they can be changed without building the program anew. A patch among them runs what it likes when a kernel is built with it,
//! so a checkout is one that this user or root has made and nobody else can change.

use super::owned;
use include_dir::{Dir, include_dir};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// This program, even if another one was put into its place since it was started.
pub const OURSELVES: &str = "/proc/self/exe";

/// What a checkout has at its top, and the line in it that names this program.
const MANIFEST: &str = "Cargo.toml";
const NAME: &str = concat!("name = \"", env!("CARGO_PKG_NAME"), "\"");

static SCENARIOS: Dir = include_dir!("$CARGO_MANIFEST_DIR/scenarios");
static VM: Dir = include_dir!("$CARGO_MANIFEST_DIR/vm");

/// Reads the text of `path`, for instance `vm/kernels.toml` or `scenarios/quick.toml`.
pub fn read(path: &str) -> Option<String> {
    read_in(checkout().as_deref(), path)
}

/// Lists the paths of all files below the directory `prefix`, for instance `vm/patches/6.1`, sorted.
pub fn list(prefix: &str) -> Vec<String> {
    list_in(checkout().as_deref(), prefix)
}

/// Finds the current directory or the nearest above it that is a checkout of dirleak.
fn checkout() -> Option<PathBuf> {
    checkout_above(&std::env::current_dir().ok()?)
}

fn checkout_above(here: &Path) -> Option<PathBuf> {
    here.ancestors().find(|dir| is_checkout(dir)).map(Path::to_owned)
}

/// Tells a checkout of this program by its name in it, and by its owner.
fn is_checkout(dir: &Path) -> bool {
    let is_there = ["vm/kernels.toml", "scenarios", MANIFEST].iter().all(|name| dir.join(name).exists());
    let is_trusted = |name: &&str| owned::is_trusted_below(dir, Path::new(name));
    let names_us = || std::fs::read_to_string(dir.join(MANIFEST)).is_ok_and(|text| text.lines().any(|l| l == NAME));
    is_there && ["vm/kernels.toml", "scenarios", MANIFEST].iter().all(is_trusted) && names_us()
}

fn read_in(checkout: Option<&Path>, path: &str) -> Option<String> {
    let trusted = checkout.filter(|root| owned::is_trusted_below(root, Path::new(path)));
    let file = trusted.and_then(|root| std::fs::read_to_string(root.join(path)).ok());
    file.or_else(|| {
        let (top, rest) = path.split_once('/')?;
        Some(embedded(top)?.get_file(rest)?.contents_utf8()?.to_owned())
    })
}

fn list_in(checkout: Option<&Path>, prefix: &str) -> Vec<String> {
    let (top, rest) = prefix.split_once('/').unwrap_or((prefix, ""));
    let mut found = BTreeSet::new();
    if let Some(all) = embedded(top) {
        let dir = if rest.is_empty() { Some(all) } else { all.get_dir(rest) };
        dir.into_iter().for_each(|d| add_embedded(d, top, &mut found));
    }
    if let Some(root) = checkout {
        add_files(root, &root.join(prefix), &mut found);
    }
    found.into_iter().collect()
}

fn embedded(top: &str) -> Option<&'static Dir<'static>> {
    match top {
        "scenarios" => Some(&SCENARIOS),
        "vm" => Some(&VM),
        _ => None,
    }
}

fn add_embedded(dir: &Dir, top: &str, found: &mut BTreeSet<String>) {
    found.extend(dir.files().map(|f| format!("{top}/{}", f.path().display())));
    dir.dirs().for_each(|d| add_embedded(d, top, found));
}

fn add_files(root: &Path, dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            add_files(root, &path, found);
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            found.insert(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn catalog_is_embedded() {
        assert!(read_in(None, "vm/kernels.toml").unwrap().contains("[series."));
        assert!(list_in(None, "vm").contains(&"vm/base.config".to_owned()));
        assert_eq!(read_in(None, "vm/no-such-file"), None);
        assert_eq!(read_in(None, "src/os/assets.rs"), None);
    }

    #[test]
    fn checkout_wins_and_adds_but_hides_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("vm/patches/9.9")).unwrap();
        fs::write(root.path().join("vm/kernels.toml"), "changed").unwrap();
        fs::write(root.path().join("vm/patches/9.9/new.patch"), "").unwrap();
        assert_eq!(read_in(Some(root.path()), "vm/kernels.toml").unwrap(), "changed");
        assert!(read_in(Some(root.path()), "vm/base.config").is_some());
        assert_eq!(list_in(Some(root.path()), "vm/patches/9.9"), ["vm/patches/9.9/new.patch"]);
        assert!(list_in(Some(root.path()), "vm").contains(&"vm/base.config".to_owned()));
    }

    /// Makes a directory that looks like a checkout.
    fn planted(root: &Path) {
        fs::create_dir_all(root.join("vm/patches/6.1")).unwrap();
        fs::create_dir_all(root.join("scenarios")).unwrap();
        fs::create_dir_all(root.join("below/here")).unwrap();
        fs::write(root.join("vm/kernels.toml"), "planted").unwrap();
        fs::write(root.join(MANIFEST), format!("[package]\n{NAME}\n")).unwrap();
    }

    #[test]
    fn checkout_that_others_can_change_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("open");
        planted(&root);
        let found = || checkout_above(&root.join("below/here"));
        assert_eq!(found().as_deref(), Some(&*root));
        for part in ["", "vm", "vm/kernels.toml", "scenarios", MANIFEST] {
            let path = root.join(part);
            let before = fs::metadata(&path).unwrap().permissions();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
            assert_eq!(found(), None, "{part:?} may be written by all");
            fs::set_permissions(&path, before).unwrap();
        }
        fs::write(root.join(MANIFEST), "[package]\nname = \"other\"\n").unwrap();
        assert_eq!(found(), None, "it is another program's");
        fs::remove_file(root.join(MANIFEST)).unwrap();
        assert_eq!(found(), None, "it is no program's");
    }

    #[test]
    fn checkout_of_another_user_is_none() {
        // Only root can give a file away; it is then another one's to root as well.
        if !nix::unistd::geteuid().is_root() {
            assert!(!owned::is_of_us(&fs::metadata("/").unwrap()), "who owns / is root");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for part in ["", "vm", "vm/kernels.toml", "scenarios", MANIFEST] {
            let root = dir.path().join(format!("of-{}", part.replace('/', "-")));
            planted(&root);
            std::os::unix::fs::chown(root.join(part), Some(65534), None).unwrap();
            assert_eq!(checkout_above(&root.join("below")), None, "{part:?} is another user's");
        }
    }

    #[test]
    fn file_of_a_checkout_that_others_can_change_is_not_read() {
        let root = tempfile::tempdir().unwrap();
        planted(root.path());
        let read = || read_in(Some(root.path()), "vm/kernels.toml").unwrap();
        assert_eq!(read(), "planted");
        fs::set_permissions(root.path().join("vm/kernels.toml"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read().contains("[series."), "the embedded one counts");
        fs::remove_file(root.path().join("vm/kernels.toml")).unwrap();
        fs::write(root.path().join("elsewhere"), "linked").unwrap();
        std::os::unix::fs::symlink("../elsewhere", root.path().join("vm/kernels.toml")).unwrap();
        assert!(read().contains("[series."), "links are not followed");
    }
}
