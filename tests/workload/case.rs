//! What is drawn at random: a directory of any shape, a way of reading it, and something that is changed behind the check's back.

use dirleak::internals::workload::listing::entry::{Call, ReadMethod, Stat};
use dirleak::internals::workload::listing::threads::OpenFiles;
use nfs_fault_server::dirtree::name_spec::{Alphabet, Lengths, Names};
use nfs_fault_server::dirtree::names::NameMaker;
use nfs_fault_server::dirtree::spec::{Directory, Kinds, Shape};
use proptest::prelude::*;
use proptest::sample::select;

/// What no entry is called.
pub const INTRUDER: &str = "intruder";

/// A directory, and how it is listed.
#[derive(Clone, Debug)]
pub struct Case {
    pub directory: Directory,
    pub seed: u64,
    pub way: ReadMethod,
    pub manner: Manner,
}

/// In which order a directory is read, and by whom. Places are parts of a listing, 0.0 to 1.0.
#[derive(Clone, Debug)]
pub enum Manner {
    Whole,
    /// The first part, and the rest through another open file.
    TwoParts(f64),
    /// A part, and then everything from the beginning.
    Rewound(f64),
    /// Everything, and then the rest after each of these places.
    Sought(Vec<f64>),
    Threads(OpenFiles, usize),
    Processes(usize),
    /// The whole tree in one walk.
    Walk,
}

/// What is done to one of the entries; the number chooses which.
#[derive(Clone, Copy, Debug)]
pub enum Mutation {
    Remove(u64),
    /// One more, in the directory of that entry.
    Add(u64),
    Rename(u64),
    /// By an entry of another type.
    ReplaceType(u64),
    /// By another file of the same name and type.
    ReplaceFile(u64),
}

pub fn case() -> impl Strategy<Value = Case> {
    let shape = prop_oneof![
        2 => Just(Shape::Flat),
        1 => (1_u64..5).prop_map(|directories| Shape::Many { directories }),
        1 => (1_u64..4, 1_u64..4).prop_map(|(fan_out, depth)| Shape::Tree { fan_out, depth }),
        1 => (1_u64..6, 0.0..3.0).prop_map(|(directories, exponent)| Shape::WebSite { directories, exponent }),
    ];
    let directory = (0_u64..60, names(), shape, kinds()).prop_map(|(entries, names, shape, kinds)| Directory {
        shape,
        kinds,
        ..Directory::flat(entries, names)
    });
    let stat = select(&[Stat::Nothing, Stat::Fstatat, Stat::StatxDontSync][..]);
    // How much larger the buffer is than it has to be; nothing for readdir(3).
    let spare = prop_oneof![3 => select(&[0, 8, 24, 300, 4096, 32 << 10, 1 << 20][..]).prop_map(Some), 1 => Just(None)];
    (directory, any::<u64>(), stat, spare, manner()).prop_map(|(directory, seed, stat, spare, manner)| {
        let call = match spare {
            Some(spare) => Call::Getdents { buffer_bytes: smallest_buffer(&directory, seed) + spare },
            None => Call::Readdir,
        };
        Case { directory, seed, way: ReadMethod { call, stat }, manner }
    })
}

fn names() -> impl Strategy<Value = Names> {
    let alphabet = select(&[Alphabet::Ascii, Alphabet::Bytes][..]);
    let lengths = prop_oneof![
        // Two bytes number more entries than there ever are.
        (2_usize..256, 2_usize..256).prop_map(|(a, b)| Lengths::Range(a.min(b), a.max(b))),
        prop::collection::vec(2_usize..256, 1..5).prop_map(Lengths::List),
        Just(Lengths::SizeClasses),
    ];
    prop_oneof![
        3 => (lengths, alphabet).prop_map(|(lengths, alphabet)| Names::Random { lengths, alphabet }),
        1 => select(&["{n}", "{n}_0123456789abcdef", "{n}{n}", "f-{n}0", "a \"quoted\" {n}\n"][..]).prop_map(Names::pattern),
    ]
}

fn kinds() -> impl Strategy<Value = Kinds> {
    (0_u32..4, 0_u32..3, 0_u32..3, 0_u32..3).prop_map(|(files, directories, symlinks, hard_links)| {
        let links_only = directories + symlinks == 0 || hard_links > 0;
        Kinds { files: files.max(u32::from(links_only)), directories, symlinks, hard_links }
    })
}

fn manner() -> impl Strategy<Value = Manner> {
    let part = 0.0..=1.0;
    prop_oneof![
        4 => Just(Manner::Whole),
        4 => part.clone().prop_map(Manner::TwoParts),
        4 => part.clone().prop_map(Manner::Rewound),
        4 => prop::collection::vec(part, 1..4).prop_map(Manner::Sought),
        4 => (select(&[OpenFiles::One, OpenFiles::OneEach][..]), 1_usize..4).prop_map(|(f, n)| Manner::Threads(f, n)),
        1 => (1_usize..3).prop_map(Manner::Processes),
        4 => Just(Manner::Walk),
    ]
}

pub fn mutation() -> impl Strategy<Value = Mutation> {
    let all = [Mutation::Remove, Mutation::Add, Mutation::Rename, Mutation::ReplaceType, Mutation::ReplaceFile];
    (select(all.to_vec()), any::<u64>()).prop_map(|(mutation, which)| mutation(which))
}

/// Bytes of a getdents64 buffer that holds a record of each name that there may be.
fn smallest_buffer(directory: &Directory, seed: u64) -> usize {
    let count = all_entries(directory);
    let names = NameMaker::new(&directory.names, count, seed);
    let longest = (0..count).map(|number| names.name(number).len()).max().unwrap_or(0).max(INTRUDER.len());
    (19 + longest + 1).next_multiple_of(8)
}

fn all_entries(directory: &Directory) -> u64 {
    directory.entries + directory.shape.directories()
}

/// Bytes of all names that come of the seed, at least.
pub fn random_bytes(directory: &Directory) -> u64 {
    let Names::Random { lengths, .. } = &directory.names else { return 0 };
    let shortest = lengths.all().into_iter().min().unwrap_or(0);
    all_entries(directory) * (shortest as u64).saturating_sub(2)
}
