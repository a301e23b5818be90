//! Fuzzing of what hears a guest.

use super::console::Console;
use crate::protocol::framing::read_line;
pub use crate::protocol::validate::parse_response;
use std::io::BufReader;
use std::path::Path;

/// Reads lines that a guest sends. What is believed can be said again.
pub fn link(data: &[u8]) {
    let (mut from, mut line) = (BufReader::with_capacity(64, data), Vec::new());
    while let Some(taken) = read_line(&mut from, &mut line, 4096) {
        if taken.is_err() {
            assert!(line.len() <= 4097);
            return;
        }
        let Ok(answer) = parse_response(&line) else { continue };
        let again = serde_json::to_vec(&answer).expect("an answer is JSON");
        assert!(parse_response(&again).is_ok(), "{answer:?} was believed once");
    }
}

/// Reads what a guest prints, in one piece and in two.
pub fn console(data: &[u8]) {
    let read = |pieces: &[&[u8]]| {
        let mut console = Console::new(Path::new("/nowhere"));
        pieces.iter().for_each(|piece| console.take(piece));
        console
    };
    let cut = data.first().map_or(0, |byte| usize::from(*byte).min(data.len()));
    let (whole, parts) = (read(&[data]), read(&[&data[..cut], &data[cut..]]));
    assert_eq!(whole.trouble(), parts.trouble());
    assert_eq!(whole.complaints(), parts.complaints());
    assert_eq!((whole.bytes(), whole.times_heard()), (data.len() as u64, parts.times_heard()));
    let trouble = whole.trouble().map_or(&[][..], |trouble| &trouble.lines);
    for line in trouble.iter().chain(&whole.complaints().lines) {
        assert!(!line.contains(['\u{1b}', '\n', '\u{9b}']), "{line:?} gives orders");
    }
}
