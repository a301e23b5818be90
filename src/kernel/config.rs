//! What a configuration fragment asks for, and whether the kernel's configuration has taken it.

use std::collections::HashSet;

/// The lines of `fragment` that ask for something: neither comments nor empty.
pub fn asked(fragment: &str) -> impl Iterator<Item = &str> {
    let is_off = |line: &str| line.starts_with("# CONFIG_") && line.ends_with(" is not set");
    fragment.lines().map(str::trim_end).filter(move |line| line.starts_with("CONFIG_") || is_off(line))
}

/// The lines of `fragment` that the finished configuration `dot_config` does not have. Kconfig drops what depends on
/// something that is off, and names that do not exist, without a word.
pub fn not_taken(fragment: &str, dot_config: &str) -> Vec<String> {
    let taken: HashSet<&str> = dot_config.lines().collect();
    let is_off = |symbol: &str| !taken.iter().any(|l| l.strip_prefix(symbol).is_some_and(|r| r.starts_with('=')));
    asked(fragment)
        .filter(|line| match line.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set")) {
            Some(symbol) => !is_off(symbol),
            None => !taken.contains(line),
        })
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOT_CONFIG: &str = "CONFIG_SMP=y\nCONFIG_NR_CPUS=8\n# CONFIG_SLUB_DEBUG is not set\nCONFIG_SMP_X=y\n";

    #[test]
    fn what_was_dropped_is_named() {
        let fragment = "# why\nCONFIG_SMP=y\nCONFIG_SLUB_DEBUG=y\nCONFIG_NR_CPUS=4\nCONFIG_NO_SUCH=y\n";
        assert_eq!(not_taken(fragment, DOT_CONFIG), ["CONFIG_SLUB_DEBUG=y", "CONFIG_NR_CPUS=4", "CONFIG_NO_SUCH=y"]);
    }

    #[test]
    fn what_was_to_be_off_must_be_off() {
        let fragment = "# CONFIG_SMP is not set\n# CONFIG_SLUB_DEBUG is not set\n# CONFIG_NEVER_HEARD is not set\n";
        assert_eq!(not_taken(fragment, DOT_CONFIG), ["# CONFIG_SMP is not set"]);
    }

    #[test]
    fn comments_ask_for_nothing() {
        let fragment = "# why\n\nCONFIG_SMP=y \n# CONFIG_FOO sounds like a comment\n# CONFIG_BAR is not set\n";
        assert_eq!(asked(fragment).collect::<Vec<_>>(), ["CONFIG_SMP=y", "# CONFIG_BAR is not set"]);
    }

    #[test]
    fn everything_taken() {
        assert!(not_taken("CONFIG_SMP=y\n\n# CONFIG_FOO sounds like a comment\n", DOT_CONFIG).is_empty());
    }
}
