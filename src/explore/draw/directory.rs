//! Directories: around the sizes at which a page of the client's cache, or a reply, is full.

use crate::explore::lot::Lot;
use crate::scenario::ServerKind;
use nfs_fault_server::dirtree::name_spec::{Alphabet, Lengths, Names};
use nfs_fault_server::dirtree::spec::{Directory, Kinds, Made, Shape};

/// 17 and 18 names of 255 bytes fill a reply of 4 KiB, 127 a page of the client's cache, and two and eight of these.
const SIZES: [(u32, u64); 17] = [
    (1, 0),
    (1, 1),
    (1, 2),
    (1, 17),
    (1, 18),
    (2, 40),
    (2, 100),
    (1, 125),
    (1, 126),
    (2, 127),
    (2, 128),
    (6, 150),
    (1, 253),
    (2, 254),
    (3, 300),
    (2, 600),
    (1, 1016),
];

/// Returns that of `quick`.
pub(super) fn plain() -> Directory {
    Directory::flat(150, Names::random(200, 200))
}

/// Draws one.
pub(crate) fn draw(lot: &mut Lot, server: ServerKind) -> Directory {
    let mut entries = *lot.weighted(&SIZES);
    let shape = match lot.below(16) {
        0 => Shape::Many { directories: lot.between(2, 6) },
        1 => Shape::Tree { fan_out: lot.between(1, 3), depth: lot.between(1, 2) },
        2 => Shape::Sizes((0..lot.between(1, 4)).map(|_| lot.between(0, 140)).collect()),
        3 => Shape::WebSite { directories: lot.between(2, 8), exponent: 1.0 },
        _ => Shape::Flat,
    };
    if let Shape::Sizes(sizes) = &shape {
        entries = sizes.iter().sum();
    }
    let made = if server == ServerKind::Knfsd && lot.once_in(8) { Made::Mount } else { Made::Export };
    Directory { entries, names: names(lot), shape, kinds: kinds(lot), made }
}

fn names(lot: &mut Lot) -> Names {
    let alphabet = if lot.once_in(6) { Alphabet::Bytes } else { Alphabet::Ascii };
    let lengths = match lot.below(12) {
        0 => Lengths::Range(24, 40),
        1 => Lengths::Range(8, 255),
        2 => Lengths::Range(255, 255),
        3 => Lengths::List(vec![7, 8, 15, 16]),
        4 => Lengths::SizeClasses,
        5 => return Names::pattern("{n}_0123456789abcdef"),
        _ => Lengths::Range(200, 200),
    };
    Names::Random { lengths, alphabet }
}

fn kinds(lot: &mut Lot) -> Kinds {
    let only_files = Kinds::default();
    match lot.below(10) {
        0 => Kinds { files: 6, directories: 2, symlinks: 1, hard_links: 1 },
        1 => Kinds { files: 0, directories: 1, ..only_files },
        2 => Kinds { files: 1, symlinks: 1, ..only_files },
        3 => Kinds { files: 1, hard_links: 3, ..only_files },
        _ => only_files,
    }
}
