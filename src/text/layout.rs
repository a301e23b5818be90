//! Text that fits a terminal.

use std::io::IsTerminal;

/// Columns of a terminal that nobody has widened.
pub const WIDTH: usize = 80;

/// Returns how wide text on standard output may be: as `COLUMNS` says, else as the terminal is; of a pipe it is not limited.
pub fn terminal_width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok()).filter(|columns| *columns > 0);
    let stdout = std::io::stdout();
    asked.or_else(|| {
        // Some terminals do not know how large they are.
        let size = || terminal_size::terminal_size_of(&stdout).map_or(WIDTH, |(columns, _)| usize::from(columns.0));
        stdout.is_terminal().then(size)
    })
}

/// Returns `text` with its longer lines broken between words. What goes on is indented two columns deeper than the line began;
/// a word that is longer than a line stays whole.
pub fn wrapped(text: &str, width: usize) -> String {
    text.lines().map(|line| wrapped_line(line, width)).collect()
}

fn wrapped_line(line: &str, width: usize) -> String {
    if line.chars().count() <= width {
        return format!("{line}\n");
    }
    let begin = line.chars().take_while(|c| *c == ' ').count();
    list(&" ".repeat(begin), &" ".repeat(begin + 2), line.split_whitespace(), " ", width)
}

/// Returns `items` one after the other behind `first`, and behind `further` on the lines after that. `between` stands between
/// two.
pub fn list<'a>(
    first: &str,
    further: &str,
    items: impl Iterator<Item = &'a str>,
    between: &str,
    width: usize,
) -> String {
    let (mut text, mut line, mut is_empty) = (String::new(), first.to_owned(), true);
    let mut items = items.peekable();
    while let Some(item) = items.next() {
        let word = format!("{item}{}", if items.peek().is_some() { between.trim_end() } else { "" });
        if is_empty {
            line += &word;
        } else if line.chars().count() + 1 + word.chars().count() > width {
            text += &format!("{line}\n");
            line = format!("{further}{word}");
        } else {
            line += &format!(" {word}");
        }
        is_empty = false;
    }
    text + &line + "\n"
}

/// Returns the rows of a table, indented by two: the first column to the left, the others to the right.
pub fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let alignment = std::array::from_fn(|i| if i == 0 { Align::Left } else { Align::Right });
    table(rows, alignment).iter().map(|line| format!("  {line}\n")).collect()
}

/// Where in its column a cell stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Align {
    Left,
    Right,
}

/// Returns the lines of a table: each column as wide as its widest cell, two spaces apart, and filled to its width.
pub fn table<const N: usize>(rows: &[[String; N]], alignment: [Align; N]) -> Vec<String> {
    let widths: [usize; N] = std::array::from_fn(|column| width(rows, column));
    let cell = |row: &[String; N], column: usize| {
        let (text, width) = (&row[column], widths[column]);
        match alignment[column] {
            Align::Left => format!("{text:width$}"),
            Align::Right => format!("{text:>width$}"),
        }
    };
    rows.iter().map(|row| (0..N).map(|column| cell(row, column)).collect::<Vec<_>>().join("  ")).collect()
}

/// Returns how wide a column is, in characters.
pub fn width<const N: usize>(rows: &[[String; N]], column: usize) -> usize {
    rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn long_lines_go_on_below_themselves() {
        assert_eq!(wrapped("short\n  a line that is long\n", 14), "short\n  a line that\n    is long\n");
        assert_eq!(wrapped("  /a/path/that/has/no/end", 10), "  /a/path/that/has/no/end\n");
        assert_eq!(wrapped("", 10), "");
    }

    #[test]
    fn list_is_broken_behind_its_commas() {
        let text = list("ok  ", "    ", ["make", "gcc", "flex"].into_iter(), ", ", 14);
        assert_eq!(text, "ok  make, gcc,\n    flex\n");
    }

    #[test]
    fn table_fills_each_column_to_its_widest_cell() {
        let rows = [["a", "1", "x"], ["bcd", "23", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows, [Align::Left, Align::Right, Align::Left]), ["a     1  x", "bcd  23   "]);
        assert_eq!(aligned(&rows), "  a     1  x\n  bcd  23   \n");
        assert_eq!(table::<2>(&[], [Align::Left; 2]), [""; 0]);
    }

    proptest! {
        #[test]
        fn words_are_all_kept_and_lines_are_not_too_long(text in "( {1,3}[a-zä]{1,9}){0,40}", width in 16..40_usize) {
            let broken = wrapped(&text, width);
            prop_assert!(broken.lines().all(|line| line.chars().count() <= width));
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&broken), words(&text));
        }
    }
}
