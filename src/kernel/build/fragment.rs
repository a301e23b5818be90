//! A line of a configuration fragment, as kernel people write it and as Kconfig writes it.

use crate::kernel::source::version::Version;

/// What a line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// With its `CONFIG_`.
    pub symbol: &'a str,
    /// As it stands in the line, with its quotes; `n` if the symbol is to be off.
    pub value: &'a str,
    /// The first and the last version that the line is for.
    pub range: (Option<Version>, Option<Version>),
}

impl<'a> Line<'a> {
    /// Reads a line; `None` if it is a comment or empty. Kconfig passes over what is neither, and over what stands behind the
    /// value of some types but not of others (conf_read_simple in scripts/kconfig/confdata.c); here a comment may stand there,
    /// and anything else is refused: the error is a sentence's end that says what the line is.
    pub fn read(line: &'a str) -> Result<Option<Self>, String> {
        let line = line.trim_start_matches('\u{feff}').trim();
        let (symbol, value, behind) = if line.starts_with('#') {
            let Some((symbol, behind)) = switched_off(line) else { return Ok(None) };
            (symbol, "n", behind)
        } else if line.is_empty() {
            return Ok(None);
        } else {
            let (symbol, rest) = symbol(line).ok_or("is neither a comment nor CONFIG_NAME=VALUE")?;
            let rest = rest.strip_prefix('=').ok_or("is neither a comment nor CONFIG_NAME=VALUE")?;
            let (value, behind) = value(rest).ok_or("has no end of its string")?;
            if value.is_empty() {
                return Err("has no value; an empty string is written \"\"".into());
            }
            (symbol, word(value), behind)
        };
        let behind = behind.trim_start();
        if !behind.is_empty() && !behind.starts_with('#') {
            return Err("has more than one value; a comment begins with #".into());
        }
        Ok(Some(Self { symbol, value, range: range(behind)? }))
    }

    /// Returns the line as Kconfig reads and writes it.
    pub fn written(&self) -> String {
        let Self { symbol, value, .. } = self;
        if *value == "n" { format!("# {symbol} is not set") } else { format!("{symbol}={value}") }
    }
}

/// Returns the symbol of `# CONFIG_X is not set`, and what stands behind.
fn switched_off(line: &str) -> Option<(&str, &str)> {
    let (symbol, rest) = symbol(line.strip_prefix("# ")?)?;
    let behind = rest.strip_prefix(" is not set")?;
    (behind.is_empty() || behind.starts_with([' ', '\t', '#'])).then_some((symbol, behind))
}

/// Returns the symbol that `text` begins with, and what stands behind.
fn symbol(text: &str) -> Option<(&str, &str)> {
    const PREFIX: &str = "CONFIG_";
    let name = text.strip_prefix(PREFIX)?;
    let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
    (length > 0).then(|| text.split_at(PREFIX.len() + length))
}

/// Returns the value that `text` begins with, and what stands behind; `None` if it is a string without an end.
fn value(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('"') {
        return Some(text.split_at(text.find(|c: char| c.is_whitespace() || c == '#').unwrap_or(text.len())));
    }
    let mut is_escaped = false;
    let end = text.char_indices().skip(1).find(|&(_, c)| {
        let ends = c == '"' && !is_escaped;
        is_escaped = c == '\\' && !is_escaped;
        ends
    });
    end.map(|(at, _)| text.split_at(at + 1))
}

/// Returns the letter of which Kconfig looks at nothing but the first.
fn word(value: &str) -> &str {
    match value {
        "yes" => "y",
        "no" => "n",
        _ => value,
    }
}

/// Returns the range in a comment, at its beginning or behind a further `#`: `FROM..TO`, each a version or nothing.
fn range(comment: &str) -> Result<(Option<Version>, Option<Version>), String> {
    let parts = comment.split('#').filter_map(|part| part.split_whitespace().next());
    let mut ranges = parts.filter_map(|word| word.trim_end_matches([',', ';', ':']).split_once(".."));
    let is_end = |text: &str| text.strip_prefix('v').unwrap_or(text).starts_with(|c: char| c.is_ascii_digit());
    let Some((from, to)) = ranges.find(|(from, to)| match (*from, *to) {
        ("", "") => false,
        ("", end) | (end, "") => is_end(end),
        (from, to) => is_end(from) && is_end(to),
    }) else {
        return Ok((None, None));
    };
    let end = |text: &str| match text.strip_prefix('v').unwrap_or(text) {
        "" => Ok(None),
        version => version.parse().map(Some).map_err(|()| "must end in a range, for instance # 5.10..6.7".to_owned()),
    };
    Ok((end(from)?, end(to)?))
}

/// Returns whether two values are the same to Kconfig: numbers in hexadecimal may begin with 0x or not, and have letters of either
/// case, and strings may escape what they need not.
pub fn is_same_value(asked: &str, taken: &str) -> bool {
    let hexadecimal = |text: &str| {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
        u128::from_str_radix(digits, 16).ok()
    };
    let is_hexadecimal = taken.starts_with("0x") || taken.starts_with("0X");
    asked == taken
        || (is_hexadecimal && hexadecimal(asked).is_some_and(|number| Some(number) == hexadecimal(taken)))
        || (asked.starts_with('"') && unescaped(asked) == unescaped(taken))
}

fn unescaped(string: &str) -> String {
    let mut characters = string.chars();
    let mut plain = String::new();
    while let Some(c) = characters.next() {
        plain.extend(if c == '\\' { characters.next() } else { Some(c) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(line: &str) -> String {
        Line::read(line).unwrap().map_or(String::new(), |line| line.written())
    }

    fn range_of(line: &str) -> String {
        let (from, to) = Line::read(line).unwrap().unwrap().range;
        let end = |version: Option<Version>| version.map_or(String::new(), |version| version.to_string());
        format!("{}..{}", end(from), end(to))
    }

    #[test]
    fn line_is_written_as_kconfig_writes_it() {
        let table = [
            ("CONFIG_COREDUMP=y # Required by CONFIG_ELF_CORE", "CONFIG_COREDUMP=y"),
            ("CONFIG_COREDUMP=y\t# why", "CONFIG_COREDUMP=y"),
            ("CONFIG_COREDUMP=y#why", "CONFIG_COREDUMP=y"),
            ("CONFIG_SYSVIPC=y  \r", "CONFIG_SYSVIPC=y"),
            ("  CONFIG_SYSVIPC=yes", "CONFIG_SYSVIPC=y"),
            ("\u{feff}CONFIG_SYSVIPC=y", "CONFIG_SYSVIPC=y"),
            ("CONFIG_SYSFS_DEPRECATED=n", "# CONFIG_SYSFS_DEPRECATED is not set"),
            ("# CONFIG_SYSFS_DEPRECATED is not set # old", "# CONFIG_SYSFS_DEPRECATED is not set"),
            ("# CONFIG_SYSFS_DEPRECATED is not set\r", "# CONFIG_SYSFS_DEPRECATED is not set"),
            (r#"CONFIG_LOCALVERSION="-a # b\"c" # why"#, r#"CONFIG_LOCALVERSION="-a # b\"c""#),
            (r#"CONFIG_LOCALVERSION="""#, r#"CONFIG_LOCALVERSION="""#),
            ("CONFIG_PHYSICAL_START=0x1000000 # 16 MiB", "CONFIG_PHYSICAL_START=0x1000000"),
            ("CONFIG_INITRAMFS_ROOT_UID=-1", "CONFIG_INITRAMFS_ROOT_UID=-1"),
            ("# CONFIG_FOO sounds like a comment", ""),
            ("# CONFIG_FOO is not settled", ""),
            ("# CONFIG_FOO=y", ""),
            ("#CONFIG_FOO is not set", ""),
            ("", ""),
        ];
        for (line, expected) in table {
            assert_eq!(written(line), expected, "{line:?}");
        }
    }

    #[test]
    fn line_that_kconfig_would_pass_over_is_refused() {
        let table = [
            ("COREDUMP=y", "is neither a comment nor CONFIG_NAME=VALUE"),
            ("CONFIG_COREDUMP = y", "is neither a comment nor CONFIG_NAME=VALUE"),
            ("CONFIG_=y", "is neither a comment nor CONFIG_NAME=VALUE"),
            ("CONFIG_COREDUMP=", "has no value; an empty string is written \"\""),
            ("CONFIG_COREDUMP=y why", "has more than one value; a comment begins with #"),
            ("CONFIG_LOCALVERSION=\"-x", "has no end of its string"),
            ("CONFIG_COREDUMP=y # 5.10..6.x", "must end in a range, for instance # 5.10..6.7"),
        ];
        for (line, expected) in table {
            assert_eq!(Line::read(line).unwrap_err(), expected, "{line:?}");
        }
    }

    #[test]
    fn range_is_told_from_a_comment() {
        let table = [
            ("CONFIG_A=y # 5.18..", "5.18.."),
            ("CONFIG_A=y #..6.10", "..6.10"),
            ("CONFIG_A=n # v5.10..v6.1, then it went", "5.10..6.1"),
            ("CONFIG_A=y # why # 5.10..", "5.10.."),
            ("CONFIG_A=\"x # 1.1..\" # ..6.1", "..6.1"),
            ("CONFIG_A=y # since 5.1", ".."),
            ("CONFIG_A=y # see ../README", ".."),
            ("CONFIG_A=y # ../README", ".."),
            ("CONFIG_A=y # ... and so on", ".."),
        ];
        for (line, expected) in table {
            assert_eq!(range_of(line), expected, "{line:?}");
        }
    }

    #[test]
    fn value_may_look_another_way_and_be_the_same() {
        let same = [("0xFF", "0xff"), ("ff", "0xff"), ("0x0", "0x0"), (r#""a\bc""#, r#""abc""#), ("10", "10")];
        assert!(same.iter().all(|(asked, taken)| is_same_value(asked, taken)));
        let other = [("0xfe", "0xff"), ("010", "10"), ("y", "0x1"), (r#""a""#, r#""b""#), ("m", "y")];
        assert!(!other.iter().any(|(asked, taken)| is_same_value(asked, taken)));
    }
}
