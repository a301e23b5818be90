//! The procedures that are served, by program and number.

use nfs3_types::{mount, nfs3};

/// A procedure of the NFS program (RFC 1813, section 3.3) or of the MOUNT program (its appendix I).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Procedure {
    /// NULL, of both programs.
    Null,
    /// Attributes of a file.
    Getattr,
    /// The file of a name.
    Lookup,
    /// What may be done to a file.
    Access,
    /// Where a symbolic link leads.
    Readlink,
    /// Names and cookies of a directory.
    Readdir,
    /// The same with attributes and file handles.
    Readdirplus,
    /// How full the file system is.
    Fsstat,
    /// What the server prefers and can do.
    Fsinfo,
    /// What names may look like.
    Pathconf,
    /// MOUNT: the file handle of a path.
    Mnt,
    /// MOUNT: who has mounted what.
    Dump,
    /// MOUNT: a path is no longer mounted.
    Umnt,
    /// MOUNT: nothing is mounted any more.
    Umntall,
    /// MOUNT: which paths can be mounted.
    Export,
}

/// All of them, by program and number.
const ALL: [(u32, u32, Procedure); 16] = [
    (nfs3::PROGRAM, 0, Procedure::Null),
    (nfs3::PROGRAM, 1, Procedure::Getattr),
    (nfs3::PROGRAM, 3, Procedure::Lookup),
    (nfs3::PROGRAM, 4, Procedure::Access),
    (nfs3::PROGRAM, 5, Procedure::Readlink),
    (nfs3::PROGRAM, 16, Procedure::Readdir),
    (nfs3::PROGRAM, 17, Procedure::Readdirplus),
    (nfs3::PROGRAM, 18, Procedure::Fsstat),
    (nfs3::PROGRAM, 19, Procedure::Fsinfo),
    (nfs3::PROGRAM, 20, Procedure::Pathconf),
    (mount::PROGRAM, 0, Procedure::Null),
    (mount::PROGRAM, 1, Procedure::Mnt),
    (mount::PROGRAM, 2, Procedure::Dump),
    (mount::PROGRAM, 3, Procedure::Umnt),
    (mount::PROGRAM, 4, Procedure::Umntall),
    (mount::PROGRAM, 5, Procedure::Export),
];

/// How many procedures there are.
pub(crate) const COUNT: usize = 15;

impl Procedure {
    /// Returns the procedure with this number; `None` if it is not served.
    pub(crate) fn find(program: u32, number: u32) -> Option<Self> {
        ALL.iter().find(|(p, n, _)| (*p, *n) == (program, number)).map(|(.., procedure)| *procedure)
    }
}
