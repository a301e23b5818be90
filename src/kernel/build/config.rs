//! What a configuration fragment asks for of a kernel of some version, and whether the kernel's configuration has taken it.

use super::fragment::{Line, is_same_value};
use crate::error::{Error, Result};
use crate::probe::version::Version;
use std::collections::{HashMap, HashSet};

/// A comment: the line behind it may be taken or not.
const OPTIONAL: &str = "# optional: ";

/// Returns what `text` asks of kernels of `version`, each line as Kconfig writes it. A comment behind a line may be a range,
/// `# FROM..TO`, each a version or nothing: the first and the last version that has the symbol as the line wants it.
pub fn for_version(text: &str, version: Version) -> Result<String> {
    let mut kept = String::new();
    for line in text.lines() {
        let read = Line::read(line);
        let Some(asked) =
            read.map_err(|why| Error::usage(format!("the configuration line '{}' {why}", line.trim())))?
        else {
            continue;
        };
        let (from, to) = asked.range;
        // A tree between two releases has the number of the older one and some of the newer one's symbols.
        let from = from.map(|from| (from, from == version.next()));
        let in_range = from.is_none_or(|(from, soon)| from <= version || soon) && to.is_none_or(|to| version <= to);
        if from.is_some_and(|(_, soon)| soon) || to == Some(version) {
            kept.push_str(&format!("{OPTIONAL}{}\n", asked.written()));
        }
        if in_range {
            kept.push_str(&format!("{}\n", asked.written()));
        }
    }
    Ok(kept)
}

/// Returns what the user's fragment `shown` asks of kernels of `version`.
pub fn of_user(shown: &str, text: &str, version: Version) -> Result<String> {
    if is_whole(text) {
        return Err(Error::usage(format!(
            "{shown} is a whole configuration and no fragment: put the few lines that matter into a file of their own, \
             or build that kernel yourself and name its image, --kernel vmlinux"
        )));
    }
    let asked = for_version(text, version).map_err(|why| Error::usage(format!("{shown}: {why}")))?;
    let modules: Vec<&str> = requested_lines(&asked).filter_map(|line| line.strip_suffix("=m")).collect();
    if let [first, others @ ..] = &modules[..] {
        let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
        return Err(Error::usage(format!(
            "{shown} asks for {first}=m{more}, but kernels that dirleak builds have no modules: {first}=y builds it in"
        )));
    }
    Ok(asked)
}

/// Returns whether `text` is what Kconfig writes and distributions have as `/boot/config-VERSION`: its first line says so, and
/// without it there is still what it writes about the compiler.
fn is_whole(text: &str) -> bool {
    const SIGNS: [&str; 3] =
        ["# Automatically generated file; DO NOT EDIT.", "CONFIG_CC_VERSION_TEXT=", "CONFIG_GCC_VERSION="];
    text.lines().any(|line| SIGNS.iter().any(|sign| line.starts_with(sign)))
}

/// Returns the lines of `fragment` that ask for something: neither comments nor empty.
pub fn requested_lines(fragment: &str) -> impl Iterator<Item = &str> {
    let is_off = |line: &str| line.starts_with("# CONFIG_") && line.ends_with(" is not set");
    fragment.lines().map(str::trim_end).filter(move |line| line.starts_with("CONFIG_") || is_off(line))
}

/// Returns the lines of `fragment` that the finished configuration `dot_config` does not have. Kconfig drops what depends on
/// something that is off, and names that do not exist, without a word.
pub fn not_taken(fragment: &str, dot_config: &str) -> Vec<String> {
    let taken: HashMap<&str, &str> = dot_config.lines().filter_map(|line| line.split_once('=')).collect();
    let optional: HashSet<&str> = fragment.lines().filter_map(|line| line.strip_prefix(OPTIONAL)).collect();
    requested_lines(fragment)
        .filter(|line| match line.strip_prefix("# ").and_then(|l| l.strip_suffix(" is not set")) {
            Some(symbol) => taken.contains_key(symbol),
            None => !line
                .split_once('=')
                .is_some_and(|(symbol, asked)| taken.get(symbol).is_some_and(|value| is_same_value(asked, value))),
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
    Line::read(line).ok()?.map(|asked| asked.symbol)
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
        assert!(for_version("CONFIG_A=y # 5.1..6.x\n", "5.1".parse().unwrap()).is_err());
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

    fn asked(text: &str, version: &str) -> Result<String> {
        of_user("ci.config", text, version.parse().unwrap())
    }

    #[test]
    fn fragment_of_the_user_is_taken_as_kernel_people_keep_it() {
        let text = "CONFIG_COREDUMP=y # Required by CONFIG_ELF_CORE\r\nCONFIG_SYSFS_DEPRECATED=n\r\nCONFIG_BASE=1A00 \t\r\n\
                    CONFIG_LOCALVERSION=\"-a # b\"\nCONFIG_MEMCG_KMEM=y # ..6.10\n";
        let dot_config = "CONFIG_COREDUMP=y\n# CONFIG_SYSFS_DEPRECATED is not set\nCONFIG_BASE=0x1a00\n\
                          CONFIG_LOCALVERSION=\"-a # b\"\n";
        assert_eq!(not_taken(&asked(text, "6.12").unwrap(), dot_config), Vec::<String>::new());
        assert_eq!(not_taken(&asked(text, "6.1").unwrap(), dot_config), ["CONFIG_MEMCG_KMEM=y"]);
        let base = "CONFIG_COREDUMP=n\nCONFIG_SYSFS_DEPRECATED=y\n";
        let both = joined(&[for_version(base, "6.1".parse().unwrap()).unwrap(), asked(text, "6.12").unwrap()]);
        let asked: Vec<&str> = requested_lines(&both).collect();
        assert_eq!(asked[..2], ["CONFIG_COREDUMP=y", "# CONFIG_SYSFS_DEPRECATED is not set"]);
    }

    #[test]
    fn fragment_that_asks_for_modules_or_everything_is_refused_in_a_sentence() {
        let table = [
            (
                "CONFIG_NFS_FS=m # why\n",
                "ci.config asks for CONFIG_NFS_FS=m, but kernels that dirleak builds have no modules",
            ),
            ("CONFIG_A=m\nCONFIG_B=m\n", "asks for CONFIG_A=m (and 1 more), but"),
            (
                "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.0 Kernel Configuration\n",
                "whole configuration",
            ),
            ("CONFIG_CC_VERSION_TEXT=\"gcc (Debian 12.2.0)\"\nCONFIG_A=m\n", "whole configuration"),
            (
                "COREDUMP=y\n",
                "ci.config: the configuration line 'COREDUMP=y' is neither a comment nor CONFIG_NAME=VALUE",
            ),
        ];
        for (text, expected) in table {
            let error = asked(text, "6.1").unwrap_err();
            assert_eq!(error.exit(), crate::error::Exit::Usage);
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert_eq!(asked("CONFIG_A=m # 6.2..\n# CONFIG_B=m\n", "6.0").unwrap(), "");
    }
}
