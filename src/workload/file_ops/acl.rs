//! Access control lists of POSIX as the kernel takes them in extended attributes (include/uapi/linux/posix_acl_xattr.h).

use super::action::AclKind;

const VERSION: u32 = 2;
const NOBODY: u32 = u32::MAX;
/// Some user whom the list names, so that it says more than a mode.
const NAMED_USER: u32 = 1001;
/// Tag, permissions, and who (include/uapi/linux/posix_acl.h): the owner, a user, the group, the mask and all others.
const ENTRIES: [(u16, u16, u32); 5] =
    [(0x01, 6, NOBODY), (0x02, 4, NAMED_USER), (0x04, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 4, NOBODY)];
/// The permissions of a file that has this list.
pub const MODE: u32 = 0o644;

/// Returns the extended attribute in which a list is.
pub fn attribute(kind: AclKind) -> &'static str {
    match kind {
        AclKind::Posix => "system.posix_acl_access",
        AclKind::Default => "system.posix_acl_default",
        AclKind::V4 => "system.nfs4_acl",
    }
}

/// Returns a list that names a user.
pub fn posix() -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, who) in ENTRIES {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(who.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_a_header_and_five_entries_of_eight_bytes() {
        let list = posix();
        assert_eq!(list.len(), 4 + 5 * 8);
        assert_eq!(list[..12], [2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255]);
    }
}
