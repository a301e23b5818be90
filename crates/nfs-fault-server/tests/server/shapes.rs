//! Every shape and kind is served whole: names, types, file ids, links, by READDIR, READDIRPLUS and LOOKUP.

use super::client::{Client, Entry};
use super::serve;
use nfs_fault_server::dirtree::name_spec::{Alphabet, Lengths, Names};
use nfs_fault_server::dirtree::spec::{Directory, Kinds, Shape};
use nfs_fault_server::dirtree::tree::{Kind, Tree};
use nfs3_types::nfs3::{Nfs3Result, READLINK3args, READLINK3res, fattr3, ftype3, nfs_fh3, nfsstat3};
use std::collections::{HashMap, HashSet};

const SIZES_BYTES: [u32; 3] = [600, 4096, 1 << 20];

fn directory(shape: Shape, names: Names) -> Directory {
    let kinds = Kinds { files: 5, directories: 2, symlinks: 2, hard_links: 3 };
    Directory { shape, kinds, ..Directory::flat(300, names) }
}

/// Returns what a directory must show, by name.
fn expected(tree: &Tree, node: usize) -> HashMap<Vec<u8>, Kind> {
    let entry = |place| {
        let mut name = Vec::new();
        tree.entry(node, place, &mut name).map(|kind| (name, kind))
    };
    (0..).map_while(entry).collect()
}

fn type_of(kind: Kind) -> ftype3 {
    match kind {
        Kind::File | Kind::HardLink(_) => ftype3::NF3REG,
        Kind::Directory(_) | Kind::EmptyDirectory => ftype3::NF3DIR,
        Kind::Symlink => ftype3::NF3LNK,
    }
}

/// Walks the whole tree and gives the file ids of everything that is not a hard link.
fn walk(client: &mut Client, tree: &Tree, node: usize, dir: &nfs_fh3, bytes: u32, fileids: &mut Vec<u64>) {
    let expected = expected(tree, node);
    let plain = client.entries(dir, false, bytes);
    let plus = client.entries(dir, true, bytes);
    for shown in [&plain, &plus] {
        assert_eq!(shown.len(), expected.len(), "{node}");
        assert!(shown.iter().all(|entry| expected.contains_key(&entry.name)));
        let cookies: HashSet<u64> = shown.iter().map(|entry| entry.cookie).collect();
        assert_eq!(cookies.len(), expected.len(), "no cookie is there twice");
    }
    let identity = |entries: &[Entry]| entries.iter().map(|e| (e.name.clone(), e.fileid, e.cookie)).collect::<Vec<_>>();
    assert_eq!(identity(&plain), identity(&plus));
    let links = expected.values().filter(|kind| matches!(kind, Kind::HardLink(_))).count() as u32;
    for (place, entry) in plus.iter().enumerate() {
        let kind = expected[&entry.name];
        let attributes = entry.attributes.clone().unwrap();
        let handle = entry.handle.clone().unwrap();
        assert_eq!(attributes.type_, type_of(kind));
        assert_eq!(attributes.fileid, entry.fileid);
        assert_eq!(attributes.nlink, nlink(tree, kind, links, place), "{kind:?}");
        let (found, looked_up) = client.lookup(dir, &entry.name).unwrap();
        assert_eq!(found, handle);
        let gotten = client.getattr(&handle).unwrap();
        for other in [&looked_up, &gotten] {
            assert_eq!(seen(other), seen(&attributes));
        }
        match kind {
            Kind::HardLink(_) => assert_eq!(entry.fileid, plus[0].fileid),
            _ => fileids.push(entry.fileid),
        }
        match kind {
            Kind::Directory(below) => {
                assert_eq!(client.lookup(&handle, b"..").unwrap().0, *dir);
                walk(client, tree, below, &handle, bytes, fileids);
            }
            Kind::EmptyDirectory => {
                assert_eq!(client.list(&handle, true, bytes)[0].names(), [".", ".."]);
                assert_eq!(client.lookup(&handle, b"..").unwrap().0, *dir);
            }
            Kind::Symlink => assert!(
                !client.nfs::<READLINK3res>(5, &READLINK3args { symlink: handle }).unwrap().unwrap().data.0.is_empty()
            ),
            _ => assert_eq!(client.lookup(&handle, b"x").unwrap_err(), nfsstat3::NFS3ERR_NOTDIR),
        }
    }
}

fn seen(attributes: &fattr3) -> (ftype3, u64, u32, u64, u32) {
    (attributes.type_, attributes.fileid, attributes.nlink, attributes.size, attributes.mode)
}

/// Returns how many names an entry's file has; links are those to the first file of the directory.
fn nlink(tree: &Tree, kind: Kind, links: u32, place: usize) -> u32 {
    match kind {
        Kind::HardLink(_) => 1 + links,
        Kind::File if place == 0 => 1 + links,
        Kind::Directory(node) => {
            let below = expected(tree, node);
            2 + below.values().filter(|kind| type_of(**kind) == ftype3::NF3DIR).count() as u32
        }
        Kind::EmptyDirectory => 2,
        Kind::File | Kind::Symlink => 1,
    }
}

#[test]
fn every_shape_is_served_whole_whatever_the_size_of_replies() {
    let shapes = [
        Shape::Flat,
        Shape::Many { directories: 7 },
        Shape::Tree { fan_out: 3, depth: 2 },
        Shape::WebSite { directories: 5, exponent: 1.0 },
    ];
    let all_bytes = Names::Random { lengths: Lengths::List(vec![3, 30, 255]), alphabet: Alphabet::Bytes };
    for (shape, names) in
        shapes.into_iter().zip([Names::random(8, 8), all_bytes, Names::pattern("f{n}0"), Names::random(2, 3)])
    {
        for bytes in SIZES_BYTES {
            let directory = directory(shape.clone(), names.clone());
            let (tree, server) = (Tree::new(&directory, 7), serve(&directory));
            let mut client = Client::connect(server.port());
            let root = client.root();
            let mut fileids = Vec::new();
            walk(&mut client, &tree, 0, &root, bytes, &mut fileids);
            assert_eq!(fileids.iter().collect::<HashSet<_>>().len(), fileids.len(), "{shape:?}");
            assert!(fileids.len() > 200 && !fileids.contains(&client.getattr(&root).unwrap().fileid));
        }
    }
}

#[test]
fn reply_that_no_entry_fits_is_too_small() {
    let server = serve(&Directory::flat(3, Names::random(200, 200)));
    let mut client = Client::connect(server.port());
    let root = client.root();
    let page = client.page(&root, super::client::Ask { cookie: 2, ..super::client::Ask::first(false, 300) });
    assert_eq!(page.unwrap().unwrap_err(), nfsstat3::NFS3ERR_TOOSMALL);
}

#[test]
fn names_and_handles_that_are_not_there_are_told() {
    let server =
        serve(&Directory { shape: Shape::Many { directories: 2 }, ..Directory::flat(20, Names::pattern("f{n}")) });
    let mut client = Client::connect(server.port());
    let root = client.root();
    for name in [&b"f23"[..], b"f0", b"f01", b"", b"f1\0"] {
        assert_eq!(client.lookup(&root, name).unwrap_err(), nfsstat3::NFS3ERR_NOENT, "{name:?}");
    }
    // Entries of another directory, whose names are of the same formula.
    assert_eq!(client.lookup(&root, b"f1").unwrap_err(), nfsstat3::NFS3ERR_NOENT);
    let (below, _) = client.lookup(&root, b"f21").unwrap();
    assert!(client.lookup(&below, b"f1").is_ok());
    assert_eq!(client.lookup(&below, b"f11").unwrap_err(), nfsstat3::NFS3ERR_NOENT);
    assert_eq!(client.lookup(&below, b"f22").unwrap_err(), nfsstat3::NFS3ERR_NOENT);
    assert_eq!(client.lookup(&root, &[b'f'; 256]).unwrap_err(), nfsstat3::NFS3ERR_NAMETOOLONG);
    for strange in [vec![], vec![0; 16], vec![7; 64]] {
        assert_eq!(client.getattr(&nfs_fh3 { data: strange.into() }).unwrap_err(), nfsstat3::NFS3ERR_STALE);
    }
    let file = client.lookup(&below, b"f1").unwrap().0;
    let not_a_directory = client.page(&file, super::client::Ask::first(true, 4096)).unwrap();
    assert_eq!(not_a_directory.unwrap_err(), nfsstat3::NFS3ERR_NOTDIR);
    let result: READLINK3res = client.nfs(5, &READLINK3args { symlink: file }).unwrap();
    assert!(matches!(result, Nfs3Result::Err((nfsstat3::NFS3ERR_INVAL, _))));
}
