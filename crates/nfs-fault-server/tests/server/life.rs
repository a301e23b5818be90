//! A server starts, stops, starts again, and leaves nothing behind.

use super::client::{Ask, Client, DEADLINE};
use super::{names, serve, ten};
use nfs_fault_server::dirtree::name_spec::Names;
use nfs_fault_server::dirtree::spec::Directory;
use nfs_fault_server::dirtree::tree::Tree;
use nfs_fault_server::{Export, Fault, FaultAction, FaultScope, Procedure, Server};
use nfs3_types::mount::mountres3;
use nfs3_types::nfs3::nfs_fh3;
use nfs3_types::xdr_codec::Void;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::sync::mpsc;

/// Serves ten files at a port that nobody else is given while the server is stopped, because free ports are higher.
fn ten_at_a_low_port() -> Server {
    let first = 10_000 + (std::process::id() % 10_000) as u16;
    let serve = |port| {
        let tree = Tree::new(&Directory::flat(10, Names::pattern("{n}")), 0);
        Server::start_at(Export::new(tree, 0), SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).ok()
    };
    (first..32_000).find_map(serve).expect("one of so many ports is free")
}

#[test]
fn server_that_starts_again_has_the_same_port_files_and_counts() {
    let server = ten_at_a_low_port();
    let port = server.port();
    let mut client = Client::connect(port);
    let root = client.root();
    server.export().create(0, b"new").unwrap();
    let page = client.page(&root, Ask::first(true, 600)).unwrap().unwrap();
    for _ in 0..2 {
        server.stop();
        server.stop();
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0, "its connection is closed");
        assert_eq!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        server.start_again().unwrap();
        server.start_again().unwrap();
        assert_eq!(server.port(), port);
        client = Client::connect(port);
        // The listing goes on where it was, with handles of before.
        let rest = client.page(&root, Ask::first(true, 1 << 20).behind(&page)).unwrap().unwrap();
        assert_eq!(page.entries.len() + rest.entries.len(), 13);
        assert_eq!(rest.entries.last().unwrap().name, b"new");
        assert!(client.getattr(page.entries[2].handle.as_ref().unwrap()).is_ok());
    }
    assert_eq!(server.export().calls(Procedure::Readdirplus), 3);
}

#[test]
fn calls_are_counted_by_procedure() {
    let server = ten();
    let mut client = Client::connect(server.port());
    let root = client.root();
    names(&mut client, &root, false);
    client.getattr(&root).unwrap();
    client.lookup(&root, b"1").unwrap();
    client.lookup(&root, b"nothing").unwrap_err();
    let export = server.export();
    let counted = [Procedure::Mnt, Procedure::Readdir, Procedure::Readdirplus, Procedure::Getattr, Procedure::Lookup];
    assert_eq!(counted.map(|procedure| export.calls(procedure)), [1, 1, 0, 1, 2]);
}

#[test]
fn port_that_is_taken_and_an_address_that_is_not_ours_are_told() {
    let server = ten_at_a_low_port();
    let at = |address: Ipv4Addr| {
        let tree = Tree::new(&Directory::flat(1, Names::pattern("{n}")), 0);
        Server::start_at(Export::new(tree, 0), SocketAddrV4::new(address, server.port())).map(|_| ())
    };
    let error = at(Ipv4Addr::LOCALHOST).unwrap_err().to_string();
    assert!(error.contains(&format!("cannot listen on 127.0.0.1:{}", server.port())), "{error}");
    assert!(at(Ipv4Addr::new(192, 0, 2, 1)).unwrap_err().to_string().contains("cannot listen on 192.0.2.1"));
    server.stop();
    at(Ipv4Addr::LOCALHOST).unwrap();
}

#[test]
fn dropped_server_closes_every_connection_whatever_it_waits_for() {
    let server = ten();
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(server.port())).collect();
    let root = clients[0].root();
    let export = server.export();
    export.arm(Fault { on: FaultScope::Null, ..Fault::next(FaultAction::DelayMs(3_600_000)) }).unwrap();
    export.arm(Fault { on: FaultScope::Getattr, ..Fault::next(FaultAction::HalfOpen) }).unwrap();
    clients[1].send((100_003, 3, 0), &Void).unwrap();
    clients[2].send((100_003, 3, 1), &nfs3_types::nfs3::GETATTR3args { object: root }).unwrap();
    // Both faults have happened as soon as they are counted.
    while export.faults().iter().any(|tally| tally.happened == 0) {
        std::thread::yield_now();
    }
    let (done, is_done) = mpsc::channel();
    let dropping = std::thread::spawn(move || {
        drop(server);
        done.send(()).unwrap();
    });
    is_done.recv_timeout(DEADLINE).expect("it does not wait for the delay of an hour");
    dropping.join().unwrap();
    for mut client in clients {
        let mut rest = Vec::new();
        // The end of the stream, or its reset if something was still unread.
        let _ = client.stream.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
}

#[test]
fn client_that_reads_nothing_does_not_keep_the_server() {
    let server = serve(&Directory::flat(100_000, Names::random(200, 200)));
    let mut client = Client::connect(server.port());
    let root = client.root();
    let args = nfs3_types::nfs3::READDIR3args {
        dir: root,
        cookie: 0,
        cookieverf: nfs3_types::nfs3::cookieverf3([0; 8]),
        count: 1 << 20,
    };
    // More than sockets hold.
    for _ in 0..32 {
        client.send((100_003, 3, 16), &args).unwrap();
    }
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        drop(server);
        done.send(()).unwrap();
    });
    is_done.recv_timeout(DEADLINE).expect("the reply that is not read is given up");
}

#[test]
fn record_that_is_no_call_closes_the_connection_and_harms_nobody() {
    let server = ten();
    let mut whole = Client::connect(server.port());
    let root = whole.root();
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    for bad in [
        words(&[0xffff_ffff, 1, 2]),
        words(&[0x8000_0000]),
        words(&[0x8000_0008, 1, 1]),
        words(&[0x8000_0010, 1, 0, 2, 100_003]),
        // Credentials that are longer than the call.
        words(&[0x8000_0020, 1, 0, 2, 100_003, 3, 1, 0, 0xffff_fff0]),
    ] {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&bad).unwrap();
        let mut rest = Vec::new();
        match stream.read_to_end(&mut rest) {
            Ok(_) => assert!(rest.is_empty()),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert!(whole.getattr(&root).is_ok());
}

#[test]
fn calls_that_cannot_be_answered_are_refused() {
    let server = ten();
    let mut client = Client::connect(server.port());
    for (procedure, expected) in [
        ((100_003, 3, 7), "PROC_UNAVAIL"),
        ((100_003, 3, 99), "PROC_UNAVAIL"),
        ((100_005, 3, 9), "PROC_UNAVAIL"),
        ((100_003, 4, 0), "PROG_MISMATCH { low: 3, high: 3 }"),
        ((100_000, 2, 0), "PROG_UNAVAIL"),
        ((100_003, 3, 1), "GARBAGE_ARGS"),
        ((100_003, 3, 17), "GARBAGE_ARGS"),
        ((100_005, 3, 1), "GARBAGE_ARGS"),
    ] {
        let error = client.call::<Void>(procedure, &Void).unwrap_err();
        assert!(error.to_string().contains(expected), "{procedure:?}: {error}");
    }
    // A handle that is said to be longer than the call.
    let error = client.nfs::<Void>(1, &0xffff_fffc_u32).unwrap_err();
    assert!(error.to_string().contains("GARBAGE_ARGS"));
    assert!(matches!(client.mnt("/not-exported").unwrap(), mountres3::Err(_)));
    for nothing in [0, 3, 4] {
        client.call::<Void>((100_005, 3, nothing), &Void).unwrap();
    }
    let exports: Vec<u8> = (client.send((100_005, 3, 5), &Void), client.receive().unwrap()).1;
    assert_eq!(exports, [0, 0, 0, 1, 0, 0, 0, 1, b'/', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let _: nfs_fh3 = client.root();
}
