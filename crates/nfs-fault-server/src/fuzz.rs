//! Fuzzing of what reads calls, and of the words of faults.

use super::dispatch::dispatch;
use super::export::Export;
use super::fault::Fault;
use super::readdir::LARGEST_REPLY_BYTES;
use super::rpc::{LENGTH_BYTES, read_record};
use crate::dirtree::name_spec::Names;
use crate::dirtree::spec::Directory;
use crate::dirtree::tree::Tree;
use std::cell::RefCell;

/// A reply is no longer than what the largest listing takes and its headers.
const MOST_REPLY_BYTES: usize = LARGEST_REPLY_BYTES as usize + 4096;

thread_local! {
    static EXPORT: RefCell<Export> = RefCell::new(Export::new(Tree::new(&Directory::flat(20, Names::random(1, 24)), 42), 42));
}

/// Feeds the server what comes in on a connection: records, one after the other.
pub fn rpc(mut data: &[u8]) {
    let (mut call, mut reply) = (Vec::new(), Vec::new());
    EXPORT.with_borrow(|export| {
        while read_record(&mut data, &mut call).is_ok() {
            let Some(outcome) = dispatch(&call, export, &mut reply) else { return };
            assert!(reply.len() % 4 == 0 && reply.len() <= MOST_REPLY_BYTES, "a reply of {} bytes", reply.len());
            assert_eq!(reply[LENGTH_BYTES..][..4], call[..4], "a reply to another call");
            assert_eq!(outcome.fate.bytes_to_send(reply.len()), reply.len(), "no fault is armed");
        }
    });
}

/// Reads a fault in TOML, and asks it about a call that it may hit.
pub fn fault(data: &[u8]) {
    let at = data.windows(2).position(|bytes| bytes == b"\n\n").unwrap_or(data.len());
    let (text, mut calls) = data.split_at(at);
    let Ok(fault) = toml::from_str::<Fault>(&String::from_utf8_lossy(text)) else { return };
    let again = serde_json::to_string(&fault).expect("a fault is JSON");
    assert_eq!(serde_json::from_str::<Fault>(&again).expect("it was written so"), fault);
    let export = Export::new(Tree::new(&Directory::flat(3, Names::random(1, 24)), 42), 42);
    if export.arm(fault).is_err() {
        return;
    }
    calls = calls.get(2..).unwrap_or_default();
    let (mut call, mut reply) = (Vec::new(), Vec::new());
    while read_record(&mut calls, &mut call).is_ok() {
        let Some(outcome) = dispatch(&call, &export, &mut reply) else { return };
        assert!(outcome.fate.bytes_to_send(reply.len()) <= reply.len());
    }
}
