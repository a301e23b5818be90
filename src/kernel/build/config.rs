//! What a configuration fragment asks for of a kernel of some version, and whether the kernel's configuration has taken it.

use crate::error::{Error, Result};
use crate::probe::version::Version;
use std::collections::HashSet;

/// A comment: the line behind it may be taken or not.
const OPTIONAL: &str = "# optional: ";

/// Returns `text` with those of its lines that kernels of `version` know. A line may end in `# FROM..TO`, each a version or
/// nothing: the first and the last version that has the symbol as the line wants it.
pub fn for_version(text: &str, version: Version) -> Result<String> {
    let mut kept = String::new();
    for line in text.lines() {
        let (symbol, range) = match line.rsplit_once(" # ") {
            Some((symbol, range)) if symbol.starts_with("CONFIG_") || symbol.starts_with("# CONFIG_") => {
                (symbol, range)
            }
            _ => (line, ".."),
        };
        let bad =
            || Error::usage(format!("the configuration line '{line}' must end in a range, for instance # 5.10..6.7"));
        let (from, to) = range.split_once("..").ok_or_else(bad)?;
        let end = |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|()| bad()) };
        let (from, to): (Option<Version>, Option<Version>) = (end(from)?, end(to)?);
        // A tree between two releases has the number of the older one and some of the newer one's symbols.
        let from = from.map(|from| (from, from == version.next()));
        let in_range = from.is_none_or(|(from, soon)| from <= version || soon) && to.is_none_or(|to| version <= to);
        if from.is_some_and(|(_, soon)| soon) || to == Some(version) {
            kept.push_str(&format!("{OPTIONAL}{}\n", symbol.trim_end()));
        }
        if in_range {
            kept.push_str(symbol.trim_end());
            kept.push('\n');
        }
    }
    Ok(kept)
}

/// Returns the lines of `fragment` that ask for something: neither comments nor empty.
pub fn requested_lines(fragment: &str) -> impl Iterator<Item = &str> {
    let is_off = |line: &str| line.starts_with("# CONFIG_") && line.ends_with(" is not set");
    fragment.lines().map(str::trim_end).filter(move |line| line.starts_with("CONFIG_") || is_off(line))
}

/// Returns the lines of `fragment` that the finished configuration `dot_config` does not have. Kconfig drops what depends on
/// something that is off, and names that do not exist, without a word.
pub fn not_taken(fragment: &str, dot_config: &str) -> Vec<String> {
    let taken: HashSet<&str> = dot_config.lines().collect();
    let optional: HashSet<&str> = fragment.lines().filter_map(|line| line.strip_prefix(OPTIONAL)).collect();
    let is_off = |symbol: &str| !taken.iter().any(|l| l.strip_prefix(symbol).is_some_and(|r| r.starts_with('=')));
    requested_lines(fragment)
        .filter(|line| match line.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set")) {
            Some(symbol) => !is_off(symbol),
            None => !taken.contains(line),
        })
        .filter(|line| !optional.contains(line))
        .map(str::to_owned)
        .collect()
}

/// Returns the fragments as one: of what several ask for differently, the last one has it.
pub fn joined(fragments: &[String]) -> String {
    let lines: Vec<&str> = fragments.iter().flat_map(|fragment| fragment.lines()).collect();
    let later = |at: usize, symbol: &str| lines[at + 1..].iter().any(|line| symbol_of(line) == Some(symbol));
    let kept = lines.iter().enumerate().filter(|(at, line)| symbol_of(line).is_none_or(|symbol| !later(*at, symbol)));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

/// Returns the symbol that a line asks for.
fn symbol_of(line: &str) -> Option<&str> {
    let asked = requested_lines(line).next()?;
    let name = asked.strip_prefix("# ").unwrap_or(asked);
    name.split(['=', ' ']).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOT_CONFIG: &str = "CONFIG_SMP=y\nCONFIG_NR_CPUS=8\n# CONFIG_SLUB_DEBUG is not set\nCONFIG_SMP_X=y\n";

    #[test]
    fn line_that_was_dropped_is_named() {
        let fragment = "# why\nCONFIG_SMP=y\nCONFIG_SLUB_DEBUG=y\nCONFIG_NR_CPUS=4\nCONFIG_NO_SUCH=y\n";
        assert_eq!(not_taken(fragment, DOT_CONFIG), ["CONFIG_SLUB_DEBUG=y", "CONFIG_NR_CPUS=4", "CONFIG_NO_SUCH=y"]);
    }

    #[test]
    fn symbol_that_was_to_be_off_must_be_off() {
        let fragment = "# CONFIG_SMP is not set\n# CONFIG_SLUB_DEBUG is not set\n# CONFIG_NEVER_HEARD is not set\n";
        assert_eq!(not_taken(fragment, DOT_CONFIG), ["# CONFIG_SMP is not set"]);
    }

    #[test]
    fn comments_ask_for_nothing() {
        let fragment = "# why\n\nCONFIG_SMP=y \n# CONFIG_FOO sounds like a comment\n# CONFIG_BAR is not set\n";
        assert_eq!(requested_lines(fragment).collect::<Vec<_>>(), ["CONFIG_SMP=y", "# CONFIG_BAR is not set"]);
    }

    #[test]
    fn symbol_is_asked_of_the_versions_that_have_it() {
        let text =
            "CONFIG_A=y\nCONFIG_B=y # 5.18..\nCONFIG_C=y # ..6.7\n# CONFIG_D is not set # 5.10..6.1\n# why # not\n";
        let asked = |version: &str| {
            let text = for_version(text, version.parse().unwrap()).unwrap();
            crate::kernel::build::config::requested_lines(&text).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(asked("5.2.3"), ["CONFIG_A=y", "CONFIG_C=y"]);
        assert_eq!(asked("5.18"), ["CONFIG_A=y", "CONFIG_B=y", "CONFIG_C=y", "# CONFIG_D is not set"]);
        assert_eq!(asked("6.12-rc1"), ["CONFIG_A=y", "CONFIG_B=y"]);
        assert_eq!(asked("5.17")[1], "CONFIG_B=y");
        let between = for_version(text, "5.17".parse().unwrap()).unwrap();
        assert_eq!(not_taken(&between, "CONFIG_A=y\nCONFIG_C=y\n"), Vec::<String>::new());
        assert_eq!(not_taken(&between, "CONFIG_A=y\nCONFIG_B=y\n"), ["CONFIG_C=y"]);
        assert!(for_version("CONFIG_A=y # since 5.1\n", "5.1".parse().unwrap()).is_err());
        assert!("6".parse::<Version>().is_err() && "x.y".parse::<Version>().is_err());
    }

    #[test]
    fn fragment_of_the_user_wins() {
        let ours = "# why\nCONFIG_A=y\nCONFIG_AB=y\n".to_owned();
        let theirs = "# CONFIG_A is not set\nCONFIG_C=\"x # y\"\n".to_owned();
        assert_eq!(joined(&[ours, theirs]), "# why\nCONFIG_AB=y\n# CONFIG_A is not set\nCONFIG_C=\"x # y\"\n");
    }

    #[test]
    fn configuration_that_took_everything_has_no_complaint() {
        assert!(not_taken("CONFIG_SMP=y\n\n# CONFIG_FOO sounds like a comment\n", DOT_CONFIG).is_empty());
    }
}
