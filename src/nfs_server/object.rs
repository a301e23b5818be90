//! What the file ids of an export stand for.

/// What a file id stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Object {
    /// A directory of the shape, by its number.
    Node(usize),
    /// An empty directory in the directory with this number.
    EmptyDirectory { parent: usize },
    /// A file with one name.
    File,
    /// The first file of this directory, to which hard links lead.
    Linked(usize),
    /// A symbolic link.
    Symlink,
}
