//! The files that the program brings along: scenarios, the catalog of kernels, their configurations and patches.
//!
//! They are embedded, so that an installed program needs nothing beside it; in a checkout the files themselves win,
//! so that they can be changed without building the program anew.

use include_dir::{Dir, include_dir};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// This program, even if another one was put into its place since it was started.
pub const OURSELVES: &str = "/proc/self/exe";

static SCENARIOS: Dir = include_dir!("$CARGO_MANIFEST_DIR/scenarios");
static VM: Dir = include_dir!("$CARGO_MANIFEST_DIR/vm");

/// The text of `path`, for instance `vm/kernels.toml` or `scenarios/quick.toml`.
pub fn read(path: &str) -> Option<String> {
    read_in(checkout().as_deref(), path)
}

/// The paths of all files below the directory `prefix`, for instance `vm/patches/6.1`, sorted.
pub fn list(prefix: &str) -> Vec<String> {
    list_in(checkout().as_deref(), prefix)
}

/// The current directory or the nearest above it that is a checkout of dirleak.
fn checkout() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let is_ours = |d: &&Path| d.join("vm/kernels.toml").is_file() && d.join("scenarios").is_dir();
    here.ancestors().find(is_ours).map(Path::to_owned)
}

fn read_in(checkout: Option<&Path>, path: &str) -> Option<String> {
    let file = checkout.and_then(|root| std::fs::read_to_string(root.join(path)).ok());
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

    #[test]
    fn the_catalog_is_embedded() {
        assert!(read_in(None, "vm/kernels.toml").unwrap().contains("[series."));
        assert!(list_in(None, "vm").contains(&"vm/base.config".to_owned()));
        assert_eq!(read_in(None, "vm/no-such-file"), None);
        assert_eq!(read_in(None, "src/os/assets.rs"), None);
    }

    #[test]
    fn a_checkout_wins_and_adds_but_hides_nothing() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("vm/patches/9.9")).unwrap();
        fs::write(root.path().join("vm/kernels.toml"), "changed").unwrap();
        fs::write(root.path().join("vm/patches/9.9/new.patch"), "").unwrap();
        assert_eq!(read_in(Some(root.path()), "vm/kernels.toml").unwrap(), "changed");
        assert!(read_in(Some(root.path()), "vm/base.config").is_some());
        assert_eq!(list_in(Some(root.path()), "vm/patches/9.9"), ["vm/patches/9.9/new.patch"]);
        assert!(list_in(Some(root.path()), "vm").contains(&"vm/base.config".to_owned()));
    }
}
