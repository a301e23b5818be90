//! Text of others in Markdown, and its tables.

/// Returns a table; what is in a cell stays in it.
pub(crate) fn rows_of(head: &[&str], rows: &[impl AsRef<[String]>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.iter().map(|cell| (*cell).to_owned()).collect());
    text += &line(vec!["---".to_owned(); head.len()]);
    text + &rows.iter().map(|row| line(row.as_ref().iter().map(|cell| plain(cell)).collect())).collect::<String>()
}

/// Returns text that no Markdown reader takes for markup, in one line.
pub(crate) fn plain(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '[' | ']' | '|' | '#' | '~' => escaped.extend(['\\', c]),
            '<' => escaped += "&lt;",
            '&' => escaped += "&amp;",
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Returns a block that is shown as it is: its fence is longer than any in it.
pub(crate) fn fenced(text: &str) -> String {
    let shown: String = text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
    let longest = shown.lines().map(|l| l.trim_start().chars().take_while(|c| *c == '`').count()).max().unwrap_or(0);
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}\n{}\n{fence}\n", shown.trim_end())
}
