//! Text that somebody else made, without what a terminal would obey instead of showing it.

use std::borrow::Cow;

/// Stands for what is not shown.
const INSTEAD: char = char::REPLACEMENT_CHARACTER;

/// Returns the text with a mark in place of control characters, but for tabs and ends of lines.
pub fn text(text: &str) -> Cow<'_, str> {
    let is_order = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c);
    replaced(text, is_order)
}

/// Returns the same of a single line, which has no end in it.
pub fn line(line: &str) -> Cow<'_, str> {
    replaced(line, |c| (c.is_control() && c != '\t') || turns(c))
}

/// Returns whether it is a line of at most so many bytes and nothing in it is an order.
pub fn is_line(text: &str, most_bytes: usize) -> bool {
    text.len() <= most_bytes && !text.chars().any(|c| c.is_control() || turns(c))
}

/// Returns the beginning of a text, of at most so many bytes.
pub fn beginning(text: &str, most_bytes: usize) -> &str {
    let end = (0..=most_bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Returns whether it is one of Unicode's marks that have what follows shown in another order (UAX #9).
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn replaced(text: &str, is_order: impl Fn(char) -> bool + Copy) -> Cow<'_, str> {
    if text.contains(is_order) { Cow::Owned(text.replace(is_order, &INSTEAD.to_string())) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_is_given_no_orders() {
        assert_eq!(text("nfs_inode_cache\n\tü"), "nfs_inode_cache\n\tü");
        assert_eq!(text("\u{1b}[31mred\r\u{9b}2J\u{202e}x"), "\u{fffd}[31mred\u{fffd}\u{fffd}2J\u{fffd}x");
        assert_eq!(line("one\nok 1 two"), "one\u{fffd}ok 1 two");
        assert!(is_line("kmalloc-64", 10) && !is_line("kmalloc-128", 10) && !is_line("a\n", 10));
        assert_eq!(beginning("aüb", 2), "a");
        assert_eq!(beginning("aüb", 20), "aüb");
    }
}
