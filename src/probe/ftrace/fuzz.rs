//! Fuzzing of what reads the kernel's trace: formats of events, pages of the ring buffer, symbols.

use super::decode::{Decoder, KMALLOC, OBJECT_FREE, PAGE_ALLOC, PAGE_FREE, PERCPU_ALLOC, PERCPU_FREE, STACK};
use super::format::Format;
use super::pairs::Events;
use super::ring;
use super::symbols::Symbols;
use super::tracefs::{chosen, loses};
use super::wanted::TraceTargets;
use crate::probe::slab::Layout;
use std::collections::BTreeMap;

/// Each event's name, number and fields, of which each is 8 bytes behind the one before.
const EVENTS: [(&str, u16, &[&str]); 7] = [
    (KMALLOC[0], 1, &["call_site", "ptr", "bytes_req", "bytes_alloc", "gfp_flags"]),
    (OBJECT_FREE[0], 2, &["call_site", "ptr", "name"]),
    (PAGE_ALLOC, 3, &["pfn", "order"]),
    (PAGE_FREE, 4, &["pfn", "order"]),
    (PERCPU_ALLOC, 5, &["ptr"]),
    (PERCPU_FREE, 6, &["ptr"]),
    (STACK, 7, &["caller"]),
];
const FLAGS: &str = "print fmt: {(0x400000u), \"__GFP_ACCOUNT\"}, {(0x10u), \"__GFP_RECLAIMABLE\"}";

thread_local! {
    static FORMATS: BTreeMap<&'static str, Format> =
        EVENTS.into_iter().map(|(name, id, fields)| (name, format(id, fields))).collect();
}

fn format(id: u16, fields: &[&str]) -> Format {
    let field = |(at, name): (usize, &&str)| {
        let size = if *name == "order" || *name == "name" { 4 } else { 8 };
        format!("field:u64 {name}; offset:{}; size:{size};\n", 8 + 8 * at)
    };
    let fields: String = fields.iter().enumerate().map(field).collect();
    Format::parse(&format!("ID: {id}\n{fields}{FLAGS}\n")).expect("it is one")
}

/// Reads pages of the ring buffer.
pub fn trace(data: &[u8]) {
    let caches = BTreeMap::from([("kmalloc-64".to_owned(), Layout { object_bytes: 64, slot_bytes: 64 })]);
    let wanted = TraceTargets::new(&["kmalloc-64", "pages", "percpu"].map(str::to_owned), &caches);
    let mut decoder = FORMATS.with(|formats| Decoder::new(formats, &wanted)).expect("all events are known");
    let mut events = Events::default();
    for page in data.chunks(ring::PAGE_BYTES) {
        decoder.begin();
        let mut bytes = 0;
        ring::records(page, |time, record| {
            bytes += record.len();
            decoder.decode(time, record, &wanted, &mut events);
        });
        assert!(bytes <= page.len(), "records overlap");
    }
    for (by, objects) in events.alive(&wanted.names()) {
        assert!(objects > 0 && usize::from(by.counter) < wanted.counters.len());
        events.frames(by.stack);
    }
}

/// Reads a `format` of an event, `/proc/kallsyms`, and the small files.
pub fn trace_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    loses(&text);
    chosen(&text);
    let symbols = Symbols::parse(&text);
    [0, 0xffff_ffff_8100_0000, u64::MAX].iter().for_each(|address| assert!(!symbols.function(*address).is_empty()));
    let Some(format) = Format::parse(&text) else { return };
    let wanted = TraceTargets::new(&["pages".to_owned()], &BTreeMap::new());
    for (name, _, fields) in EVENTS {
        fields.iter().filter_map(|field| format.field(field)).for_each(|field| {
            assert!(field.number(&[0; 2 * ring::PAGE_BYTES]).is_none_or(|number| number == 0));
            field.text(data);
        });
        let _ = Decoder::new(&BTreeMap::from([(name, format.clone())]), &wanted);
    }
    format.flag("__GFP_ACCOUNT");
}
