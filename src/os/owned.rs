//! Whether files are ours: who else could have put them where they are, or may change them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path};

/// Write permission for everybody, and for the group.
const OF_ALL: u32 = 0o002;
const OF_GROUP: u32 = 0o020;

/// Tells a file or directory of this user, or of root, that nobody else may write to.
pub fn is_trusted(meta: &Metadata) -> bool {
    is_of_us_or_root(meta) && !is_writable_by_all(meta) && !is_writable_by_a_group(meta)
}

/// Tells whether this user or root owns it.
pub fn is_of_us_or_root(meta: &Metadata) -> bool {
    is_of_us(meta) || meta.uid() == 0
}

/// Tells whether this user owns it.
pub fn is_of_us(meta: &Metadata) -> bool {
    meta.uid() == nix::unistd::geteuid().as_raw()
}

/// Tells whether everybody may write to it.
pub fn is_writable_by_all(meta: &Metadata) -> bool {
    meta.mode() & OF_ALL != 0
}

/// Tells whether a group may write to it that is not its owner's own, whose number is the owner's (USERGROUPS_ENAB in login.defs(5)).
fn is_writable_by_a_group(meta: &Metadata) -> bool {
    meta.mode() & OF_GROUP != 0 && meta.gid() != meta.uid()
}

/// Tells whether `root` and all that leads from it to `path` below it is trusted and no symbolic link.
pub fn is_trusted_below(root: &Path, path: &Path) -> bool {
    let mut at = root.to_owned();
    let is_fine = |at: &Path| fs::symlink_metadata(at).is_ok_and(|meta| !meta.is_symlink() && is_trusted(&meta));
    is_fine(&at)
        && path.components().all(|part| {
            at.push(part);
            matches!(part, Component::Normal(_)) && is_fine(&at)
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn path_with_a_link_or_a_place_for_all_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("vm/patches")).unwrap();
        fs::write(root.join("vm/patches/x"), "").unwrap();
        symlink("patches", root.join("vm/link")).unwrap();
        let is_trusted = |path: &str| is_trusted_below(&root, Path::new(path));
        assert!(is_trusted("vm/patches/x") && is_trusted(""));
        assert!(!is_trusted("vm/link/x") && !is_trusted("vm/../vm/patches/x") && !is_trusted("vm/none"));
        for open in ["", "vm", "vm/patches/x"] {
            let before = fs::metadata(root.join(open)).unwrap().permissions();
            fs::set_permissions(root.join(open), fs::Permissions::from_mode(0o777)).unwrap();
            assert!(!is_trusted("vm/patches/x"), "{open:?} may be written by all");
            fs::set_permissions(root.join(open), before).unwrap();
        }
        assert!(is_trusted("vm/patches/x"));
        fs::set_permissions(root.join("vm"), fs::Permissions::from_mode(0o775)).unwrap();
        let (user, group) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        assert_eq!(is_trusted("vm/patches/x"), user == group, "whose group it is");
        if nix::unistd::geteuid().is_root() {
            std::os::unix::fs::chown(root.join("vm"), None, Some(1234)).unwrap();
            assert!(!is_trusted("vm/patches/x"), "another group may write");
        }
    }
}
