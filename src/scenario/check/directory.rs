//! What the directories of a scenario must be.

use super::complaint::{Check, complain, in_range};
use crate::scenario::types::ServerKind;
use nfs_fault_server::dirtree::name_spec::{Lengths, NAME_MAX, Names, digits_needed};
use nfs_fault_server::dirtree::spec::{Directory, Kinds, MAX_DEPTH, Made, Shape};

const KEY: &str = "directory.names";
/// More than any NFS server is known to serve in one directory.
const MAX_ENTRIES: u64 = 100_000_000;
/// Each directory is held in memory, a file is not.
const MAX_DIRECTORIES: u64 = 1_000_000;
const MAX_WEIGHT: u32 = 1_000_000;

/// Refuses the first value that cannot be.
pub fn check(directory: &Directory, server: ServerKind) -> Check {
    in_range("directory.entries", directory.entries, 0, MAX_ENTRIES)?;
    check_shape(directory)?;
    check_kinds(&directory.kinds)?;
    check_names(&directory.names, directory.entries + directory.shape.directories())?;
    if directory.made == Made::Mount && server == ServerKind::Synthetic {
        return complain(
            "directory.made",
            "`directory.made` is \"mount\", but the synthetic server's files are a formula and cannot be made; \
                 use \"export\", or the server \"knfsd\"",
        );
    }
    Ok(())
}

fn check_shape(directory: &Directory) -> Check {
    let key = "directory.shape";
    match directory.shape.clone() {
        Shape::Sizes(sizes) if sizes.is_empty() || sizes.iter().sum::<u64>() != directory.entries => {
            let sum: u64 = sizes.iter().sum();
            let message = format!(
                "`{key}.sizes` has {sum} entries and `directory.entries` is {}; make them equal",
                directory.entries
            );
            return complain(key, message);
        }
        Shape::Tree { fan_out, depth } => {
            in_range("directory.shape.tree.fan_out", fan_out, 1, MAX_DIRECTORIES)?;
            in_range("directory.shape.tree.depth", depth, 1, MAX_DEPTH)?;
        }
        Shape::WebSite { exponent, .. } if !(0.0..=10.0).contains(&exponent) => {
            let message = format!("`{key}.web-site.exponent` is {exponent}; it must be between 0 and 10");
            return complain(key, message);
        }
        Shape::Many { directories: 0 } | Shape::WebSite { directories: 0, .. } => {
            return complain(key, format!("`{key}` has no directories; use \"flat\""));
        }
        _ => {}
    }
    let directories = directory.shape.directories();
    if directories > MAX_DIRECTORIES {
        let message = format!("`{key}` has {directories} directories; {MAX_DIRECTORIES} are possible");
        return complain(key, message);
    }
    Ok(())
}

fn check_kinds(kinds: &Kinds) -> Check {
    let key = "directory.kinds";
    let Kinds { files, directories, symlinks, hard_links } = *kinds;
    for weight in [files, directories, symlinks, hard_links] {
        in_range(key, weight, 0, MAX_WEIGHT)?;
    }
    if files + directories + symlinks + hard_links == 0 {
        return complain(key, format!("`{key}` weighs nothing; say for instance files = 1"));
    }
    if hard_links > 0 && files == 0 {
        return complain(
            key,
            format!("`{key}` has hard links but no files that they could be links to; add files = 1"),
        );
    }
    Ok(())
}

/// Refuses the first value that cannot be, for `count` different names.
fn check_names(names: &Names, count: u64) -> Check {
    match names {
        Names::Random { lengths, .. } => check_random(lengths, count),
        Names::Pattern { pattern } => check_pattern(pattern, count),
    }
}

fn check_random(lengths: &Lengths, count: u64) -> Check {
    if let Lengths::Range(min, max) = *lengths {
        for (name, value) in [("min_bytes", min), ("max_bytes", max)] {
            if !(1..=NAME_MAX).contains(&value) {
                return complain(KEY, format!("`{KEY}.{name}` is {value}; it must be between 1 and {NAME_MAX}"));
            }
        }
        if min > max {
            return complain(KEY, format!("`{KEY}.min_bytes` is {min}, which is more than `max_bytes`, {max}"));
        }
    }
    let all = lengths.all();
    if let Some(bad) = all.iter().find(|length| !(1..=NAME_MAX).contains(*length)) {
        return complain(KEY, format!("`{KEY}.lengths_bytes` has {bad}; lengths must be between 1 and {NAME_MAX}"));
    }
    let Some(min) = all.iter().min() else {
        return complain(KEY, format!("`{KEY}.lengths_bytes` is empty; name at least one length"));
    };
    let needed = digits_needed(count);
    if *min < needed {
        let which = match lengths {
            Lengths::Range(..) => "min_bytes` is",
            Lengths::List(_) => "lengths_bytes` has",
            Lengths::SizeClasses => "size_classes` has names of",
        };
        let message = format!("`{KEY}.{which} {min}, but {count} different names need at least {needed} bytes");
        return complain(KEY, message);
    }
    Ok(())
}

fn check_pattern(pattern: &str, count: u64) -> Check {
    if !pattern.contains("{n}") {
        return complain(KEY, format!("`{KEY}.pattern` is \"{pattern}\" and must contain {{n}}, the entry's number"));
    }
    if let Some(bad) = pattern.chars().find(|c| matches!(c, '/' | '\0')) {
        return complain(KEY, format!("`{KEY}.pattern` contains {bad:?}, which no file's name can hold"));
    }
    let longest = pattern.replace("{n}", &count.to_string()).len();
    if longest > NAME_MAX {
        let message = format!("`{KEY}.pattern` gives names of {longest} bytes; a file's name has at most {NAME_MAX}");
        return complain(KEY, message);
    }
    Ok(())
}
