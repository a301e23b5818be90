//! Each fault is seen by the client on schedule, once, and counted.

use super::client::{Ask, Client, Page};
use super::{PLAIN, PLUS, names, serve, ten};
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::{Directory, Kinds};
use nfs_fault_server::{Fault, FaultCount, Server};
use nfs3_types::mount::{mountres3, mountstat3};
use nfs3_types::nfs3::{
    ACCESS3args, ACCESS3res, FSINFO3args, FSINFO3res, FSSTAT3args, FSSTAT3res, Nfs3Result, PATHCONF3args, PATHCONF3res,
    READLINK3args, READLINK3res, cookieverf3, nfs_fh3, nfsstat3,
};
use nfs3_types::xdr_codec::Void;
use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

/// Room for `.`, `..` and one name, then for three names.
const THREE: u32 = PLAIN.reply_bytes(3);
const THREE_PLUS: u32 = PLUS.reply_bytes(3);

fn fault(text: &str) -> Fault {
    #[derive(serde::Deserialize)]
    struct Table {
        fault: Fault,
    }
    toml::from_str::<Table>(&format!("fault = {text}")).unwrap().fault
}

/// Serves ten files; gives the server, a client, and the handle of their directory.
fn ready(faults: &[&str]) -> (Server, Client, nfs_fh3) {
    let server = ten();
    let mut client = Client::connect(server.port());
    let root = client.root();
    for text in faults {
        server.export().arm(fault(text)).unwrap();
    }
    (server, client, root)
}

fn fired(server: &Server) -> Vec<u64> {
    server.export().faults().iter().map(|tally| tally.happened).collect()
}

/// Asks for the first reply again and again.
fn statuses(client: &mut Client, root: &nfs_fh3, plus: &[bool]) -> Vec<Option<nfsstat3>> {
    plus.iter().map(|plus| client.page(root, Ask::first(*plus, 4096)).unwrap().err()).collect()
}

#[test]
fn error_comes_with_the_nth_reply_and_those_that_follow() {
    for (error, status) in [
        ("NOENT", nfsstat3::NFS3ERR_NOENT),
        ("IO", nfsstat3::NFS3ERR_IO),
        ("ACCES", nfsstat3::NFS3ERR_ACCES),
        ("STALE", nfsstat3::NFS3ERR_STALE),
        ("BAD_COOKIE", nfsstat3::NFS3ERR_BAD_COOKIE),
        ("NOTSUPP", nfsstat3::NFS3ERR_NOTSUPP),
        ("TOOSMALL", nfsstat3::NFS3ERR_TOOSMALL),
        ("SERVERFAULT", nfsstat3::NFS3ERR_SERVERFAULT),
        ("JUKEBOX", nfsstat3::NFS3ERR_JUKEBOX),
    ] {
        let text = format!("{{ when = {{ reply = 3 }}, what = {{ error = \"{error}\" }}, times = 2 }}");
        let (server, mut client, root) = ready(&[&text]);
        client.getattr(&root).unwrap();
        let seen = statuses(&mut client, &root, &[false, true, true, false, true]);
        assert_eq!(seen, [None, None, Some(status), Some(status), None]);
        assert_eq!(fired(&server), [2]);
    }
}

#[test]
fn every_nth_reply_is_hit_without_end_or_so_many_times() {
    let io = Some(nfsstat3::NFS3ERR_IO);
    let (server, mut client, root) = ready(&[r#"{ when = { every = 2 }, what = { error = "IO" } }"#]);
    assert_eq!(statuses(&mut client, &root, &[false; 6]), [None, io, None, io, None, io]);
    assert_eq!(fired(&server), [3]);
    let (server, mut client, root) = ready(&[r#"{ when = { every = 2 }, what = { error = "IO" }, times = 2 }"#]);
    assert_eq!(statuses(&mut client, &root, &[false; 6]), [None, io, None, io, None, None]);
    assert_eq!(fired(&server), [2]);
}

#[test]
fn reply_that_would_hold_an_entry_is_hit() {
    for (entry, hit) in [(1, 0), (2, 1), (4, 1), (5, 2), (10, 3), (11, 9)] {
        let text = format!("{{ when = {{ entry = {entry} }}, what = {{ error = \"JUKEBOX\" }} }}");
        let (server, mut client, root) = ready(&[&text]);
        let mut ask = Ask::first(false, THREE);
        for number in 0..4 {
            let page = client.page(&root, ask).unwrap().unwrap_or_else(|status| {
                assert_eq!((status, number), (nfsstat3::NFS3ERR_JUKEBOX, hit));
                // Asked again, it comes.
                client.page(&root, ask).unwrap().unwrap()
            });
            ask = ask.behind(&page);
        }
        assert_eq!(fired(&server), [u64::from(hit < 9)], "entry {entry}");
    }
}

#[test]
fn calls_that_are_not_named_are_not_looked_at() {
    let io = Some(nfsstat3::NFS3ERR_IO);
    for (on, seen) in
        [("readdir", [io, None, None]), ("plain-readdir", [None, io, None]), ("readdirplus", [io, None, None])]
    {
        let text = format!("{{ on = \"{on}\", what = {{ error = \"IO\" }} }}");
        let (server, mut client, root) = ready(&[&text]);
        assert_eq!(statuses(&mut client, &root, &[true, false, true]), seen, "{on}");
        assert_eq!(fired(&server), [1]);
    }
}

#[test]
fn each_procedure_can_fail() {
    let all = ["getattr", "lookup", "access", "readlink", "fsstat", "fsinfo", "pathconf", "mnt"];
    let texts = all.map(|on| format!("{{ on = \"{on}\", what = {{ error = \"SERVERFAULT\" }} }}"));
    let (server, mut client, root) = ready(&texts.each_ref().map(String::as_str));
    let fault = nfsstat3::NFS3ERR_SERVERFAULT;
    fn status<T, E>(result: Nfs3Result<T, E>) -> Option<nfsstat3> {
        if let Nfs3Result::Err((status, _)) = result { Some(status) } else { None }
    }
    assert_eq!(client.getattr(&root).unwrap_err(), fault);
    assert_eq!(client.lookup(&root, b"1").unwrap_err(), fault);
    let object = || root.clone();
    let access: ACCESS3res = client.nfs(4, &ACCESS3args { object: object(), access: 1 }).unwrap();
    let readlink: READLINK3res = client.nfs(5, &READLINK3args { symlink: object() }).unwrap();
    let fsstat: FSSTAT3res = client.nfs(18, &FSSTAT3args { fsroot: object() }).unwrap();
    let fsinfo: FSINFO3res = client.nfs(19, &FSINFO3args { fsroot: object() }).unwrap();
    let pathconf: PATHCONF3res = client.nfs(20, &PATHCONF3args { object: object() }).unwrap();
    let all = [status(access), status(readlink), status(fsstat), status(fsinfo), status(pathconf)];
    assert_eq!(all, [Some(fault); 5]);
    assert!(matches!(client.mnt("/").unwrap(), mountres3::Err(mountstat3::MNT3ERR_SERVERFAULT)));
    assert_eq!(fired(&server), [1; 8]);
    // And works again.
    assert!(client.getattr(&root).is_ok() && client.lookup(&root, b"1").is_ok());
    assert_eq!(client.root(), root);
}

fn first_two(client: &mut Client, root: &nfs_fh3, ask: Ask) -> [Page; 2] {
    let first = client.page(root, ask).unwrap().unwrap();
    let second = client.page(root, ask.behind(&first)).unwrap().unwrap();
    [first, second]
}

#[test]
fn short_reply_and_an_empty_one_lose_nothing() {
    for (what, first_names) in [("{ short = 2 }", vec![".", ".."]), ("\"empty\"", vec![])] {
        let (server, mut client, root) = ready(&[&format!("{{ what = {what} }}")]);
        let [first, second] = first_two(&mut client, &root, Ask::first(true, 4096));
        assert_eq!(
            (first.names(), first.eof),
            (first_names.iter().map(|n| (*n).to_owned()).collect(), false),
            "{what}"
        );
        assert_eq!(first.entries.len() + second.entries.len(), 12);
        assert!(second.eof);
        assert_eq!(fired(&server), [1]);
    }
}

#[test]
fn fault_waits_for_a_reply_that_it_can_hit() {
    let (server, mut client, root) = ready(&["{ what = { short = 3 } }"]);
    let counts: Vec<usize> = client.list(&root, false, THREE).iter().map(|page| page.entries.len()).collect();
    assert_eq!((counts, fired(&server)), (vec![3; 4], vec![0]));
    assert_eq!(client.list(&root, false, 4096)[0].entries.len(), 3);
    assert_eq!(fired(&server), [1]);
}

#[test]
fn end_of_a_directory_comes_early_or_late() {
    let (server, mut client, root) = ready(&[r#"{ when = { reply = 2 }, what = "early-eof" }"#]);
    let pages = client.list(&root, false, THREE);
    assert_eq!((pages.len(), pages[1].names()), (2, ["2", "3", "4"].map(String::from).to_vec()));
    assert_eq!((client.list(&root, false, THREE).len(), fired(&server)), (4, vec![1]));

    let (server, mut client, root) = ready(&[r#"{ what = "late-eof", times = 2 }"#]);
    let counts: Vec<usize> = client.list(&root, false, THREE).iter().map(|page| page.entries.len()).collect();
    assert_eq!(counts, [3, 3, 3, 3, 0, 0]);
    assert_eq!((client.list(&root, false, THREE).len(), fired(&server)), (4, vec![2]));
}

#[test]
fn cookies_come_twice_or_run_backward() {
    for (plus, bytes) in [(false, THREE), (true, THREE_PLUS)] {
        let (server, mut client, root) = ready(&[r#"{ when = { reply = 2 }, what = "duplicate-cookie" }"#]);
        let pages = client.list(&root, plus, bytes);
        assert_eq!(pages[1].cookies(), [4, 5, 5]);
        assert_eq!(pages[1].names(), ["2", "3", "4"]);
        assert_eq!(pages[2].names(), ["4", "5", "6"], "the client goes on behind the cookie");
        assert_eq!(fired(&server), [1]);

        let (server, mut client, root) = ready(&[r#"{ when = { reply = 2 }, what = "backward-cookies" }"#]);
        let pages = client.list(&root, plus, bytes);
        assert_eq!((pages[1].cookies(), pages[2].cookies()), (vec![5, 4, 6], vec![7, 8, 9]));
        assert_eq!((pages.iter().map(|page| page.entries.len()).sum::<usize>(), fired(&server)), (12, vec![1]));
    }
}

#[test]
fn plain_reply_begins_at_the_first_entry_whatever_the_cookie() {
    let fault = r#"{ on = "plain-readdir", when = { every = 1 }, what = "ignore-cookie" }"#;
    let (server, mut client, root) = ready(&[fault]);
    let ask = Ask::first(false, THREE);
    let first = client.page(&root, ask).unwrap().unwrap();
    assert_eq!((first.names().len(), fired(&server)), (3, vec![0]), "there is no cookie to ignore");
    for happened in 1..=3 {
        let again = client.page(&root, ask.behind(&first)).unwrap().unwrap();
        assert_eq!((again.names(), again.cookies(), again.eof), (first.names(), first.cookies(), false));
        assert_eq!(fired(&server), [happened]);
    }
    let pages = client.list(&root, true, THREE_PLUS);
    assert_eq!((pages.iter().map(|page| page.entries.len()).sum::<usize>(), fired(&server)), (12, vec![3]));
}

#[test]
fn listing_that_goes_on_behind_a_hard_link_goes_on_behind_all() {
    let kinds = Kinds { files: 1, hard_links: 1, ..Kinds::default() };
    let server = serve(&Directory { kinds, ..Directory::flat(20, Names::pattern("{n}")) });
    let mut client = Client::connect(server.port());
    let root = client.root();
    let whole = client.entries(&root, false, 4096);
    let last = whole.iter().rfind(|entry| entry.fileid == whole[0].fileid).unwrap();
    assert!(last.cookie > whole[3].cookie, "the first file has further names");
    server.export().arm(fault(r#"{ when = { every = 1 }, what = "hard-link-cookies" }"#)).unwrap();
    for (plus, bytes) in [(false, THREE), (true, THREE_PLUS)] {
        let changed = client.entries(&root, plus, 1 << 20);
        for (now, before) in changed.iter().zip(&whole) {
            let is_link = before.fileid == whole[0].fileid;
            assert_eq!(now.cookie, if is_link { last.cookie } else { before.cookie });
        }
        // The first page ends with the first file.
        let shown: Vec<u64> = client.entries(&root, plus, bytes).iter().map(|entry| entry.fileid).collect();
        let behind = whole.iter().filter(|entry| entry.cookie > last.cookie).map(|entry| entry.fileid);
        assert_eq!(shown, [whole[0].fileid].into_iter().chain(behind).collect::<Vec<_>>());
    }
    let (server, mut client, root) = ready(&[r#"{ what = "hard-link-cookies" }"#]);
    assert_eq!(client.list(&root, false, THREE).len(), 4);
    assert_eq!(fired(&server), [0], "no file has two names");
}

#[test]
fn new_verifier_is_shown_from_then_on() {
    let (server, mut client, root) = ready(&[r#"{ when = { reply = 2 }, what = { new-verifier = "accept" } }"#]);
    let pages = client.list(&root, false, THREE);
    let new: Vec<bool> = pages.iter().map(|page| page.verifier != pages[0].verifier).collect();
    assert_eq!((new, fired(&server)), (vec![false, true, true, true], vec![1]));
}

#[test]
fn old_verifiers_are_refused_if_the_fault_says_so() {
    let (server, mut client, root) = ready(&[r#"{ when = { reply = 2 }, what = { new-verifier = "refuse" } }"#]);
    let ask = Ask::first(true, THREE_PLUS);
    let first = client.page(&root, ask).unwrap().unwrap();
    for _ in 0..2 {
        assert_eq!(client.page(&root, ask.behind(&first)).unwrap().unwrap_err(), nfsstat3::NFS3ERR_BAD_COOKIE);
    }
    let [again, second] = first_two(&mut client, &root, ask);
    assert_ne!(again.verifier, first.verifier);
    assert_eq!((second.names(), fired(&server)), (["2", "3", "4"].map(String::from).to_vec(), vec![1]));
    let none = Ask { verifier: cookieverf3([0; 8]), ..ask.behind(&again) };
    assert_eq!(client.page(&root, none).unwrap().unwrap_err(), nfsstat3::NFS3ERR_BAD_COOKIE);
}

#[test]
fn reply_is_the_first_to_show_a_newer_change_time() {
    let (server, mut client, root) = ready(&[r#"{ when = { reply = 2 }, what = "newer-change-time" }"#]);
    let before = client.getattr(&root).unwrap().ctime.seconds;
    let changed: Vec<u32> = client.list(&root, false, THREE).iter().map(|page| page.changed - before).collect();
    assert_eq!((changed, fired(&server)), (vec![0, 1, 1, 1], vec![1]));
    assert_eq!(client.getattr(&root).unwrap().ctime.seconds, before + 1);
}

#[test]
fn handles_are_hidden_once_but_not_by_a_reply_that_fails() {
    let (server, mut client, root) = ready(&[r#"{ what = "no-handles" }"#, r#"{ what = { error = "IO" } }"#]);
    assert_eq!(statuses(&mut client, &root, &[true]), [Some(nfsstat3::NFS3ERR_IO)]);
    assert_eq!(fired(&server), [0, 1]);
    client.page(&root, Ask::first(false, 4096)).unwrap().unwrap();
    let [hidden, shown] = [(); 2].map(|()| client.page(&root, Ask::first(true, 4096)).unwrap().unwrap());
    assert!(hidden.entries.iter().all(|entry| entry.attributes.is_some() && entry.handle.is_none()));
    assert!(shown.entries.iter().all(|entry| entry.attributes.is_some() && entry.handle.is_some()));
    assert_eq!(fired(&server), [1, 1]);
}

#[test]
fn garbage_cannot_be_decoded_and_is_the_same_each_time() {
    for (garbage, decodes) in [("cut", [4, 5]), ("random", [0, 0]), ("long-name", [6, 6])] {
        for plus in [false, true] {
            let seen = [(); 2].map(|()| {
                let (server, mut client, root) = ready(&[&format!("{{ what = {{ garbage = \"{garbage}\" }} }}")]);
                let ask = Ask::first(plus, 4096);
                let error = client.page(&root, ask).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidData, "{garbage}");
                assert_eq!(fired(&server), [1]);
                assert_eq!(client.page(&root, ask).unwrap().unwrap().entries.len(), 12, "the next one is whole");
                error.to_string()
            });
            assert_eq!(seen[0], seen[1]);
            let (_server, mut client, root) = ready(&[&format!("{{ what = {{ garbage = \"{garbage}\" }} }}")]);
            assert_eq!(whole_entries(&mut client, &root, plus), decodes[usize::from(plus)], "{garbage} {plus}");
        }
    }
}

/// Counts how many entries of a reply can be decoded before it goes wrong.
fn whole_entries(client: &mut Client, root: &nfs_fh3, plus: bool) -> usize {
    use nfs3_types::nfs3::{READDIR3args, READDIRPLUS3args, entry3, entryplus3, fattr3, nfsstat3};
    use nfs3_types::xdr_codec::Unpack;
    let (dir, cookieverf) = (root.clone(), cookieverf3([0; 8]));
    if plus {
        let args = READDIRPLUS3args { dir, cookie: 0, cookieverf, dircount: 4096, maxcount: 4096 };
        client.send((100_003, 3, 17), &args).unwrap();
    } else {
        client.send((100_003, 3, 16), &READDIR3args { dir, cookie: 0, cookieverf, count: 4096 }).unwrap();
    }
    let reply = client.receive().unwrap();
    let mut rest = std::io::Cursor::new(reply);
    assert_eq!(nfsstat3::unpack(&mut rest).unwrap().0, nfsstat3::NFS3_OK);
    let (Ok((true, _)), Ok(_), Ok(_)) = (bool::unpack(&mut rest), fattr3::unpack(&mut rest), u64::unpack(&mut rest))
    else {
        return 0;
    };
    let mut whole = 0;
    while let Ok((true, _)) = bool::unpack(&mut rest) {
        let decoded = if plus { entryplus3::unpack(&mut rest).is_ok() } else { entry3::unpack(&mut rest).is_ok() };
        if !decoded {
            break;
        }
        whole += 1;
    }
    whole
}

#[test]
fn call_is_swallowed_and_the_next_one_answered() {
    let (server, mut client, root) = ready(&[r#"{ on = "null", what = "no-reply" }"#]);
    client.send((100_003, 3, 0), &Void).unwrap();
    // Its number is that of the call sent last, so nothing came before it.
    client.getattr(&root).unwrap();
    assert_eq!(fired(&server), [1]);
    client.nfs::<Void>(0, &Void).unwrap();
}

#[test]
fn reply_comes_late() {
    let (server, mut client, root) = ready(&[r#"{ on = "getattr", what = { delay-ms = 60 } }"#]);
    let begin = Instant::now();
    client.getattr(&root).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(60));
    assert_eq!(fired(&server), [1]);
}

#[test]
fn connection_is_closed_without_a_reply_or_in_the_middle_of_one() {
    for (moment, half) in [("before-reply", false), ("in-reply", true)] {
        let text = format!("{{ when = {{ reply = 2 }}, what = {{ disconnect = \"{moment}\" }} }}");
        let (server, mut client, root) = ready(&[&text]);
        let ask = Ask::first(true, 4096);
        let whole = client.page(&root, ask).unwrap().unwrap();
        let error = client.page(&root, ask).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{moment}");
        assert_eq!(fired(&server), [1]);
        let mut again = Client::connect(server.port());
        assert_eq!(again.page(&root, ask).unwrap().unwrap().names(), whole.names());

        server.export().arm(fault(&format!("{{ on = \"getattr\", what = {{ disconnect = \"{moment}\" }} }}"))).unwrap();
        again.send((100_003, 3, 1), &nfs3_types::nfs3::GETATTR3args { object: root }).unwrap();
        let mut all = Vec::new();
        again.stream.read_to_end(&mut all).unwrap();
        // Length, header and attributes; half of header and attributes.
        assert_eq!(all.len(), if half { 4 + (24 + 4 + 84) / 2 } else { 0 });
    }
}

#[test]
fn half_open_connection_answers_nothing_and_others_do() {
    let (server, mut client, root) = ready(&[r#"{ what = "half-open" }"#]);
    let args = || nfs3_types::nfs3::GETATTR3args { object: root.clone() };
    let ask =
        nfs3_types::nfs3::READDIR3args { dir: root.clone(), cookie: 0, cookieverf: cookieverf3([0; 8]), count: 4096 };
    client.send((100_003, 3, 16), &ask).unwrap();
    for _ in 0..3 {
        client.send((100_003, 3, 1), &args()).unwrap();
    }
    // Calls of two connections may overtake each other.
    while fired(&server) == [0] {
        std::thread::yield_now();
    }
    let mut other = Client::connect(server.port());
    assert_eq!(names(&mut other, &root, false).len(), 10);
    client.stream.set_nonblocking(true).unwrap();
    assert_eq!(client.stream.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it is open");
    client.stream.set_nonblocking(false).unwrap();
    assert_eq!(fired(&server), [1]);
    drop(server);
    let mut all = Vec::new();
    // The end of the stream, or its reset if a call was still unread.
    let _ = client.stream.read_to_end(&mut all);
    assert!(all.is_empty(), "{} bytes came", all.len());
}

#[test]
fn faults_of_different_kinds_hit_one_reply_together() {
    let (server, mut client, root) = ready(&[
        r#"{ what = { delay-ms = 1 } }"#,
        r#"{ what = "newer-change-time" }"#,
        r#"{ what = { short = 4 } }"#,
        r#"{ what = "early-eof" }"#,
        r#"{ on = "readdirplus", what = "no-handles" }"#,
    ]);
    let before = client.getattr(&root).unwrap().ctime.seconds;
    let page = client.page(&root, Ask::first(true, THREE_PLUS * 2)).unwrap().unwrap();
    assert_eq!((page.entries.len(), page.eof, page.changed), (4, false, before + 1));
    assert!(page.entries.iter().all(|entry| entry.handle.is_none()));
    // Of two that change which entries there are, the second waits.
    assert_eq!(fired(&server), [1, 1, 1, 0, 1]);
    let page = client.page(&root, Ask::first(true, THREE_PLUS)).unwrap().unwrap();
    assert_eq!((page.entries.len(), page.eof, fired(&server)[3]), (3, true, 1));
}

#[test]
fn faults_are_counted_over_all_times_that_they_are_armed() {
    let (server, mut client, root) = ready(&[]);
    let io = fault(r#"{ when = { reply = 2 }, what = { error = "IO" } }"#);
    let export = server.export();
    assert_eq!(export.fired(&io), 0);
    export.arm(io).unwrap();
    assert_eq!(statuses(&mut client, &root, &[true]), [None]);
    // Armed anew, its replies are counted anew.
    export.arm(io).unwrap();
    assert_eq!(statuses(&mut client, &root, &[true; 3]), [None, Some(nfsstat3::NFS3ERR_IO), None]);
    export.arm(io).unwrap();
    export.disarm();
    assert_eq!(statuses(&mut client, &root, &[true; 3]), [None; 3]);
    assert_eq!(export.faults(), [FaultCount { fault: io, armed: 3, happened: 1 }]);
    assert_eq!(export.fired(&io), 1);
    let error = export.arm(fault("{ what = { short = 0 } }")).unwrap_err().to_string();
    assert!(error.contains("use `what = \"empty\"`"), "{error}");
}
