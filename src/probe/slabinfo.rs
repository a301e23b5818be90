//! The plain recipe, as people do it by hand: drop the caches twice, read `/proc/slabinfo`.

use super::kernel_files::KernelFiles;
use super::procfs::number;
use crate::error::{Context, Result};
use std::collections::BTreeMap;
use std::fs;

/// Where the kernel drops what it can.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";
/// Where it tells of all caches.
pub(super) const FILE: &str = "/proc/slabinfo";

/// Reads the active objects of every cache after two drops.
pub fn read(files: &KernelFiles) -> Result<BTreeMap<String, i64>> {
    for _ in 0..2 {
        fs::write(files.path(DROP_CACHES), "3").machine(|| "cannot drop caches".into())?;
    }
    let text = files.text(FILE).machine(|| format!("cannot read {FILE}"))?;
    Ok(parse(&text))
}

/// Reads active objects by cache. A line is "`name` `active_objs` `num_objs` ..."; the first two are headings.
pub fn parse(text: &str) -> BTreeMap<String, i64> {
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next().and_then(number)?))
    };
    text.lines().skip(2).filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn active_objects_are_read_and_headings_are_not() {
        let text = "slabinfo - version: 2.1\n# name            <active_objs> <num_objs>\n\
                    kmalloc-96   117    126     96   42    1 : tunables    0    0    0\ndentry  2    3 \n";
        assert_eq!(parse(text), [("kmalloc-96".to_owned(), 117), ("dentry".to_owned(), 2)].into());
    }

    #[test]
    fn table_is_read_after_the_caches_were_dropped() {
        let made = MadeFiles::new(&[(DROP_CACHES, ""), (FILE, "slabinfo - version: 2.1\n# name\ndentry 2 3\n")]);
        assert_eq!(read(&made.files).unwrap(), [("dentry".to_owned(), 2)].into());
        assert_eq!(made.text(DROP_CACHES), "3");
        made.remove(FILE);
        assert_eq!(read(&made.files).unwrap_err().to_string().split(':').next(), Some("cannot read /proc/slabinfo"));
    }
}
