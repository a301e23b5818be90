//! The example serves what its file says.

use super::client::{Ask, Client};
use nfs3_types::nfs3::nfsstat3;

#[path = "../../examples/failing_server.rs"]
#[allow(dead_code)]
mod failing_server;

/// Returns the file in the example's own documentation.
fn documented() -> String {
    let source = include_str!("../../examples/failing_server.rs");
    let lines = source.lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let lines = lines.take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//!"));
    lines.collect::<Vec<_>>().join("\n").replace("port = 20490", "port = 0")
}

#[test]
fn documented_file_is_served_with_its_faults() {
    let server = failing_server::serve(&documented()).unwrap();
    let mut client = Client::connect(server.port());
    let root = client.root();
    let mut seen = || client.page(&root, Ask::first(true, 1 << 20)).unwrap().err();
    let jukebox = Some(nfsstat3::NFS3ERR_JUKEBOX);
    assert_eq!([(); 5].map(|()| seen()), [None, None, jukebox, jukebox, None]);
    assert_eq!(client.entries(&root, false, 1 << 20).len(), 100_000);
    assert!(failing_server::mount_command(2049).contains("port=2049,mountport=2049"));
}

#[test]
fn file_that_cannot_be_served_is_told() {
    for (text, expected) in [
        ("", "missing field `entries`"),
        ("entries = 1\nnames = 2", "unknown field `names`"),
        ("entries = 1\nname_bytes = 256", "between 8 and 255"),
        ("entries = 100000001", "between 0 and 100000000"),
        ("entries = 1\n[[faults]]\nwhat = { short = 0 }", "use `what = \"empty\"`"),
    ] {
        let error = failing_server::serve(text).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}
