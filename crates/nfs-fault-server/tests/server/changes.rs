//! What is changed while it is listed is seen at once, and everything else stays as it was.

use super::client::{Ask, Client};
use super::{PLAIN, PLUS, names, serve};
use nfs_fault_server::Export;
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::{Directory, Kinds, Shape};
use nfs3_types::nfs3::{ftype3, nfsstat3};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn file_that_is_made_is_listed_last_and_gone_when_it_is_removed() {
    let server = serve(&Directory::flat(3, Names::pattern("f{n}")));
    let mut client = Client::connect(server.port());
    let root = client.root();
    let export = server.export();
    assert_eq!(client.lookup(&root, b"new").unwrap_err(), nfsstat3::NFS3ERR_NOENT);
    let before = client.getattr(&root).unwrap().ctime.seconds;
    export.create(0, b"new").unwrap();
    assert!(client.getattr(&root).unwrap().ctime.seconds > before);
    let (handle, attributes) = client.lookup(&root, b"new").unwrap();
    assert_eq!((attributes.type_, attributes.nlink), (ftype3::NF3REG, 1));
    for plus in [false, true] {
        assert_eq!(names(&mut client, &root, plus), ["f1", "f2", "f3", "new"]);
    }
    export.remove(0, b"new").unwrap();
    assert_eq!(names(&mut client, &root, true), ["f1", "f2", "f3"]);
    assert_eq!(client.getattr(&handle).unwrap_err(), nfsstat3::NFS3ERR_STALE);
    // Another file of the same name is another file, at another place.
    export.create(0, b"new").unwrap();
    let last = client.entries(&root, true, 4096).pop().unwrap();
    assert_eq!((last.name.as_slice(), last.cookie), (&b"new"[..], 7));
    assert_ne!(last.handle.unwrap(), handle);
}

#[test]
fn listing_goes_on_behind_an_entry_that_is_removed() {
    let server = serve(&Directory::flat(9, Names::pattern("f{n}")));
    let mut client = Client::connect(server.port());
    let root = client.root();
    // Room for `.`, `..` and three entries.
    let ask = Ask::first(false, PLAIN.reply_bytes(5));
    let page = client.page(&root, ask).unwrap().unwrap();
    assert_eq!(page.names(), [".", "..", "f1", "f2", "f3"]);
    for name in ["f3", "f4", "f8"] {
        server.export().remove(0, name.as_bytes()).unwrap();
    }
    let rest = client.page(&root, ask.behind(&page)).unwrap().unwrap();
    assert_eq!((rest.names(), rest.eof), (["f5", "f6", "f7", "f9"].map(String::from).to_vec(), true));
    assert_eq!(rest.cookies(), [7, 8, 9, 11]);
}

#[test]
fn renamed_entry_keeps_its_cookie_and_file() {
    let server =
        serve(&Directory { shape: Shape::Many { directories: 2 }, ..Directory::flat(4, Names::pattern("f{n}")) });
    let mut client = Client::connect(server.port());
    let root = client.root();
    let before = client.entries(&root, true, 4096);
    server.export().rename(0, b"f5", b"other").unwrap();
    let after = client.entries(&root, true, 4096);
    assert_eq!(after[0].name, b"other");
    assert_eq!(
        (after[0].cookie, after[0].fileid, &after[0].handle),
        (before[0].cookie, before[0].fileid, &before[0].handle)
    );
    assert_eq!(client.lookup(&root, b"f5").unwrap_err(), nfsstat3::NFS3ERR_NOENT);
    assert_eq!(client.lookup(&root, b"other").unwrap().0, before[0].handle.clone().unwrap());
    server.export().rename(1, b"f2", b"b").unwrap();
    assert_eq!(names(&mut client, &before[0].handle.clone().unwrap(), true), ["f1", "b"]);
}

#[test]
fn entry_that_is_set_aside_comes_back_as_it_was() {
    let kinds = Kinds { files: 1, hard_links: 4, ..Kinds::default() };
    let server = serve(&Directory { kinds, ..Directory::flat(20, Names::pattern("f{n}")) });
    let mut client = Client::connect(server.port());
    let root = client.root();
    let before = client.entries(&root, true, 1 << 20);
    let handle = before[0].handle.clone().unwrap();
    let links = client.getattr(&handle).unwrap().nlink;
    assert!(links > 2);
    server.export().set_aside(0, before[0].cookie).unwrap();
    assert_eq!(client.entries(&root, true, 1 << 20).len(), 19);
    assert_eq!(client.getattr(&handle).unwrap().nlink, links - 1, "the file has other names");
    // Another one in its place; then nothing.
    server.export().set_aside(0, before[7].cookie).unwrap();
    let shown: Vec<_> = client.entries(&root, false, 1 << 20).into_iter().map(|entry| entry.cookie).collect();
    let all: Vec<_> = before.iter().map(|entry| entry.cookie).collect();
    assert_eq!(shown, [&all[..7], &all[8..]].concat());
    server.export().restore().unwrap();
    let after = client.entries(&root, true, 1 << 20);
    assert_eq!(
        after.iter().map(|e| (&e.name, e.fileid, e.cookie)).collect::<Vec<_>>(),
        before.iter().map(|e| (&e.name, e.fileid, e.cookie)).collect::<Vec<_>>()
    );
    assert_eq!(client.getattr(&handle).unwrap().nlink, links);
    for nothing in [0, 1, 2, 23, u64::MAX] {
        server.export().set_aside(0, nothing).unwrap();
        assert_eq!(client.entries(&root, false, 1 << 20).len(), 20);
    }
}

#[test]
fn handle_of_a_removed_file_is_stale_and_a_removed_directory_is_one_less() {
    let kinds = Kinds { files: 1, directories: 1, ..Kinds::default() };
    let server = serve(&Directory { kinds, ..Directory::flat(30, Names::pattern("f{n}")) });
    let mut client = Client::connect(server.port());
    let root = client.root();
    let links = client.getattr(&root).unwrap().nlink;
    let entries = client.entries(&root, true, 1 << 20);
    for (type_, fewer) in [(ftype3::NF3REG, 0), (ftype3::NF3DIR, 1)] {
        let entry = entries.iter().find(|e| e.attributes.as_ref().unwrap().type_ == type_).unwrap();
        server.export().remove(0, &entry.name).unwrap();
        assert_eq!(client.getattr(entry.handle.as_ref().unwrap()).unwrap_err(), nfsstat3::NFS3ERR_STALE);
        assert_eq!(client.getattr(&root).unwrap().nlink, links - fewer);
    }
}

/// Something that is done to the entry with this number among those that are there, or with this new name.
#[derive(Clone, Copy, Debug)]
enum Change {
    Create(u8),
    Remove(usize),
    Rename(usize, u8),
    SetAside(usize),
    Restore,
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let change = prop_oneof![
        (0..5u8).prop_map(Change::Create),
        (0..9usize).prop_map(Change::Remove),
        (0..9usize, 0..5u8).prop_map(|(entry, name)| Change::Rename(entry, name)),
        (0..9usize).prop_map(Change::SetAside),
        Just(Change::Restore),
    ];
    prop::collection::vec(change, 1..30)
}

/// A directory as plain as can be: names by cookie.
struct Model {
    entries: BTreeMap<u64, String>,
    aside: Option<(u64, String)>,
    next_cookie: u64,
}

impl Model {
    fn is_free(&self, name: &str) -> bool {
        self.entries.values().chain(self.aside.iter().map(|(_, name)| name)).all(|other| other != name)
    }

    /// Makes the change in both, and compares whether it could be made.
    fn make(&mut self, change: Change, export: &Export) {
        let pick =
            |model: &Self, number| model.entries.iter().nth(number).map(|(cookie, name)| (*cookie, name.clone()));
        match change {
            Change::Create(name) => {
                let name = format!("n{name}");
                assert_eq!(export.create(0, name.as_bytes()).is_ok(), self.is_free(&name));
                if self.is_free(&name) {
                    self.entries.insert(self.next_cookie, name);
                    self.next_cookie += 1;
                }
            }
            Change::Remove(number) => {
                let Some((cookie, name)) = pick(self, number) else { return };
                export.remove(0, name.as_bytes()).unwrap();
                self.entries.remove(&cookie);
            }
            Change::Rename(number, to) => {
                let Some((cookie, from)) = pick(self, number) else { return };
                let to = format!("n{to}");
                assert_eq!(export.rename(0, from.as_bytes(), to.as_bytes()).is_ok(), self.is_free(&to));
                if self.is_free(&to) {
                    self.entries.insert(cookie, to);
                }
            }
            Change::SetAside(number) => {
                let Some((cookie, name)) = pick(self, number) else { return };
                export.set_aside(0, cookie).unwrap();
                self.entries.extend(self.aside.take());
                self.entries.remove(&cookie);
                self.aside = Some((cookie, name));
            }
            Change::Restore => {
                export.restore().unwrap();
                self.entries.extend(self.aside.take());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn changes_of_any_kind_are_listed_as_they_were_made(changes in changes(), plus: bool, entries_a_reply in 1..20u32) {
        let server = serve(&Directory::flat(6, Names::pattern("f{n}")));
        let mut client = Client::connect(server.port());
        let root = client.root();
        let bytes = if plus { PLUS } else { PLAIN }.reply_bytes(entries_a_reply);
        let entries = (1..7).map(|n| (n + 2, format!("f{n}"))).collect();
        let mut model = Model { entries, aside: None, next_cookie: 9 };
        for change in changes {
            model.make(change, server.export());
            let shown = client.entries(&root, plus, bytes).into_iter();
            let shown: BTreeMap<_, _> = shown.map(|e| (e.cookie, String::from_utf8(e.name).unwrap())).collect();
            prop_assert_eq!(&shown, &model.entries);
            for name in model.entries.values() {
                prop_assert!(client.lookup(&root, name.as_bytes()).is_ok());
            }
        }
    }
}

#[test]
fn change_that_cannot_be_made_is_told() {
    let server =
        serve(&Directory { shape: Shape::Many { directories: 2 }, ..Directory::flat(4, Names::pattern("f{n}")) });
    let export = server.export();
    let table = [
        (export.touch(3), "cannot change directory 3 of the export: there is none with this number"),
        (export.create(1, b"f1"), "\"f1\" is there already"),
        (export.create(0, b"a/b"), "\"a/b\" is no name"),
        (export.create(0, b".."), "\"..\" is no name"),
        (export.create(0, &[b'x'; 256]), "1 to 255 bytes"),
        (export.remove(0, b"f1"), "\"f1\" is not there"),
        (export.remove(0, b"f5"), "is a directory of the shape"),
        (export.rename(0, b"f5", b"f6"), "\"f6\" is there already"),
        (export.rename(0, b"f7", b"x"), "\"f7\" is not there"),
        (export.set_aside(1, 3).and_then(|()| export.create(1, b"f1")), "\"f1\" is set aside"),
    ];
    for (result, expected) in table {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains('\n'), "{error}");
    }
}
