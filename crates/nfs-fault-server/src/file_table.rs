//! The files that are served: which file ids there are and what they stand for; the formula of a tree, and over it what was
//! changed since.

use super::file_handle::FSID;
use super::object::Object;
use super::overlay::Overlay;
use crate::dirtree::tree::{Kind, Node, Tree};
use nfs3_types::nfs3::{fattr3, ftype3, nfstime3, specdata3};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// File id of the directory that is mounted. Those of the entries follow, by their number; behind them come the other
/// directories of the shape, and behind these the files that are made later.
pub const ROOT: u64 = 1;
const FIRST_ENTRY: u64 = ROOT + 1;
/// Where symbolic links lead: nowhere, because no name of an entry has a `/` in it.
pub const SYMLINK_TARGET: &[u8] = b"no-such-directory/no-such-file";
/// When nothing had changed yet, in seconds of Unix time.
const EPOCH_SECONDS: u32 = 1_000_000_001;

/// Returns the file id of the entry with this number among all of a tree ([`Tree::number`]).
pub fn fileid_of_entry(number: u64) -> u64 {
    FIRST_ENTRY + number
}

/// All files.
pub struct Files {
    tree: Tree,
    overlays: HashMap<usize, Overlay>,
    /// How often what this file id stands for was changed, if it was.
    changes: BTreeMap<u64, u32>,
    /// Where files that were made later are: directory and place.
    added: BTreeMap<u64, (usize, u64)>,
    ever_added: u64,
    /// By directory; counted when somebody asks.
    counts: Box<[OnceLock<Counts>]>,
}

/// How many entries of a directory's formula make other files' link counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    hard_links: u64,
    /// The place of the last of them.
    last_link: Option<u64>,
    directories: u64,
}

impl Files {
    /// Makes the table of what the formula says.
    pub fn new(tree: Tree) -> Self {
        let kinds = tree.kinds();
        let counted = if kinds.hard_links + kinds.directories > 0 { tree.nodes().len() } else { 0 };
        Self {
            tree,
            overlays: HashMap::new(),
            changes: BTreeMap::new(),
            added: BTreeMap::new(),
            ever_added: 0,
            counts: (0..counted).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Returns the directory of the shape with this number, if there is one.
    pub fn node(&self, node: usize) -> Option<&Node> {
        self.tree.nodes().get(node)
    }

    /// Returns the file id of a directory of the shape.
    pub fn node_id(&self, node: usize) -> u64 {
        if node == 0 { ROOT } else { FIRST_ENTRY + self.tree.entries() + node as u64 - 1 }
    }

    /// Returns what was changed in a directory of the shape, if anything was.
    pub fn overlay(&self, node: usize) -> Option<&Overlay> {
        self.overlays.get(&node)
    }

    /// Returns the same, to change it.
    pub fn overlay_mut(&mut self, node: usize) -> &mut Overlay {
        self.overlays.entry(node).or_default()
    }

    /// Returns what the entry at this place is: file id and kind. Its name is appended to `name`. The place must have an entry,
    /// which may be gone.
    pub fn entry(&self, node: usize, place: u64, overlay: Option<&Overlay>, name: &mut Vec<u8>) -> (u64, Object) {
        let start = name.len();
        let kind = self.tree.entry(node, place, name);
        if let Some(changed) = overlay.and_then(|o| o.name(place)) {
            name.truncate(start);
            name.extend_from_slice(changed);
        }
        let Some(kind) = kind else {
            return (overlay.and_then(|o| o.fileid(place)).unwrap_or_default(), Object::File);
        };
        let own_id = || fileid_of_entry(self.tree.number(node, place));
        match kind {
            Kind::File if place == 0 && self.tree.kinds().hard_links > 0 => (own_id(), Object::Linked(node)),
            Kind::File => (own_id(), Object::File),
            Kind::Directory(number) => (own_id(), Object::Node(number)),
            Kind::EmptyDirectory => (own_id(), Object::EmptyDirectory { parent: node }),
            Kind::Symlink => (own_id(), Object::Symlink),
            Kind::HardLink(target) => (FIRST_ENTRY + target, Object::Linked(node)),
        }
    }

    /// Returns the place of the entry with this name.
    pub fn place(&self, node: usize, name: &[u8]) -> Option<u64> {
        let overlay = self.overlay(node);
        if let Some(place) = overlay.and_then(|o| o.place(name)) {
            return Some(place).filter(|place| overlay.is_none_or(|o| !o.is_gone(*place)));
        }
        self.node(node)?;
        let (place, _) = self.tree.find(node, name)?;
        overlay.is_none_or(|o| !o.is_gone(place) && o.name(place).is_none()).then_some(place)
    }

    /// Returns what a file id stands for; `None` if there is no such file, or no longer.
    pub fn object(&self, fileid: u64) -> Option<Object> {
        if fileid == ROOT {
            return Some(Object::Node(0));
        }
        let number = fileid.checked_sub(FIRST_ENTRY)?;
        let (node, place) = if number < self.tree.entries() {
            let node = self.tree.node_of(number);
            (node, number - self.node(node)?.files.start)
        } else if number < self.tree.all_entries() {
            return Some(Object::Node((number - self.tree.entries()) as usize + 1));
        } else {
            *self.added.get(&fileid)?
        };
        let overlay = self.overlay(node);
        let (own_id, object) = self.entry(node, place, overlay, &mut Vec::with_capacity(256));
        let there = match object {
            Object::Linked(node) => own_id == fileid && self.links(node) > 0,
            _ => overlay.is_none_or(|o| !o.is_gone(place)),
        };
        there.then_some(object)
    }

    /// Returns how many names the first file of a directory has.
    fn links(&self, node: usize) -> u64 {
        (1 + self.counts(node).hard_links).saturating_sub(self.overlay(node).map_or(0, |o| o.gone_links))
    }

    /// Returns the place of the last further name of a directory's first file, whether it is gone or not.
    pub fn last_link(&self, node: usize) -> Option<u64> {
        self.counts(node).last_link
    }

    /// Returns how many directories there are in a directory of the shape.
    fn subdirectories(&self, node: usize) -> u64 {
        let of_shape = self.node(node).map_or(0, |node| node.directories.len() as u64);
        let gone = self.overlay(node).map_or(0, |o| o.gone_directories);
        (of_shape + self.counts(node).directories).saturating_sub(gone)
    }

    fn counts(&self, node: usize) -> Counts {
        let (Some(counts), Some(Node { files, .. })) = (self.counts.get(node), self.node(node)) else {
            return Counts::default();
        };
        *counts.get_or_init(|| {
            let mut counts = Counts::default();
            for number in files.clone() {
                match self.tree.kind(files, number) {
                    Kind::HardLink(_) => {
                        counts.hard_links += 1;
                        counts.last_link = Some(number - files.start);
                    }
                    Kind::EmptyDirectory => counts.directories += 1,
                    _ => {}
                }
            }
            counts
        })
    }

    /// Returns the attributes of a file that is there.
    pub fn attributes(&self, fileid: u64, object: Object) -> fattr3 {
        let (type_, mode, nlink, size) = match object {
            Object::Node(node) => (ftype3::NF3DIR, 0o755, 2 + self.subdirectories(node), 4096),
            Object::EmptyDirectory { .. } => (ftype3::NF3DIR, 0o755, 2, 4096),
            Object::File => (ftype3::NF3REG, 0o644, 1, 0),
            Object::Linked(node) => (ftype3::NF3REG, 0o644, self.links(node), 0),
            Object::Symlink => (ftype3::NF3LNK, 0o777, 1, SYMLINK_TARGET.len() as u64),
        };
        let changes = self.changes.get(&fileid).copied().unwrap_or_default();
        let time = nfstime3 { seconds: EPOCH_SECONDS.wrapping_add(changes), nseconds: 0 };
        fattr3 {
            type_,
            mode,
            nlink: u32::try_from(nlink).unwrap_or(u32::MAX),
            uid: 0,
            gid: 0,
            size,
            used: 0,
            rdev: specdata3 { specdata1: 0, specdata2: 0 },
            fsid: FSID,
            fileid,
            atime: time,
            mtime: time,
            ctime: time,
        }
    }

    /// Gives what a file id stands for a newer change time.
    pub fn touch(&mut self, fileid: u64) {
        *self.changes.entry(fileid).or_default() += 1;
    }

    /// Makes an empty file.
    pub fn add(&mut self, node: usize, name: &[u8]) {
        let formula = self.node(node).map_or(0, Node::entries);
        let fileid = FIRST_ENTRY + self.tree.all_entries() + self.ever_added;
        self.ever_added += 1;
        let place = self.overlay_mut(node).add(formula, name, fileid);
        self.added.insert(fileid, (node, place));
    }

    /// Returns whether there is an entry at this place.
    pub fn has(&self, node: usize, place: u64) -> bool {
        let formula = self.node(node).map_or(0, Node::entries);
        self.overlay(node).map_or(place < formula, |overlay| overlay.next(formula, place) == Some(place))
    }

    /// Takes the entry at this place away.
    pub fn take_away(&mut self, node: usize, place: u64) {
        let object = self.entry(node, place, None, &mut Vec::new()).1;
        self.overlay_mut(node).take_away(place, object);
    }

    /// Makes the entry at this place again.
    pub fn give_back(&mut self, node: usize, place: u64) {
        let object = self.entry(node, place, None, &mut Vec::new()).1;
        self.overlay_mut(node).give_back(place, object);
    }

    /// Forgets a file that was made later and is not to come back; what the formula says cannot be forgotten.
    pub fn forget(&mut self, node: usize, place: u64) {
        let overlay = self.overlay_mut(node);
        if let Some(fileid) = overlay.fileid(place) {
            overlay.forget(place);
            self.added.remove(&fileid);
            self.changes.remove(&fileid);
        }
    }
}
