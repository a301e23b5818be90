//! What each line of the kernel's source has allocated and not freed: `/proc/allocinfo` (Linux 6.10 and later with
//! CONFIG_MEM_ALLOC_PROFILING, switched on by sysctl.vm.mem_profiling). The text was seen as version 1.0 on 6.12 and as
//! version 2.0 on 7.3.
//!
//! Bytes of an object are those of its place in a slab (`s->size`, alloc_tagging_slab_alloc_hook in mm/slub.c of 6.12), with what
//! slub_debug keeps beside the object where that is on: twice as many for one of 256 bytes.
//!
//! What an allocation is booked to is the line that calls a macro of the allocator, not the function that wanted the memory:
//! kmemdup_nul() is no such macro in 6.12 to 7.3, so the names of directories are booked to it, in mm/util.c (include/linux/string.h).

use super::kernel_files::KernelFiles;
use super::procfs::{number, read_all};
use crate::sample::SourceLine;
use crate::text::sanitize;
use std::collections::BTreeMap;

const FILE: &str = "/proc/allocinfo";
/// How the text begins, whatever its version: 1.0 since Linux 6.10 (print_allocinfo_header in lib/alloc_tag.c, the same in 6.12.118), and
/// 2.0 in 7.2, of which a line may have more words at its end, each a key and a value (Documentation/filesystems/proc.rst).
const HEADER: &str = "allocinfo - version: ";
/// Says that the kernel has lost count of a line, as it had no memory to count in (alloc_tag_to_text in lib/alloc_tag.c of 7.2).
const INACCURATE: &str = "accurate:no";
/// Files whose lines own nothing. The slab allocator takes pages for objects that are booked to whoever asked for them, and keeps
/// vectors of what was booked. The others are memory of processes, most of it that of the one which reads this, and their page tables:
/// faults in mm/memory.c and mm/huge_memory.c, and tables there and in arch/x86/mm/pgtable.c. The counter `pages` leaves both out, too.
const OWN_NOTHING: [&str; 4] = ["mm/slub.c", "mm/memory.c", "mm/huge_memory.c", "arch/x86/mm/pgtable.c"];
/// A kernel has some ten thousand lines that allocate; more are not read.
const MOST_LINES: usize = 100_000;
/// Of the name of a file or a function (KSYM_NAME_LEN is 512).
const MOST_NAME_BYTES: usize = 512;
/// So many lines are told of those that grew.
const MOST_TOLD: usize = 64;

/// A place in the source: file, line, function and module.
type Place = (String, u32, String, Option<String>);

/// A reading: bytes and allocations by place. What is inlined at several places has one line at each of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllocInfo(BTreeMap<Place, (i64, i64)>);

impl AllocInfo {
    /// Reads the counts of now; `None` if the kernel does not keep any.
    pub fn read(files: &KernelFiles) -> Option<Self> {
        parse(&read_all(&files.open(FILE).ok()?).ok()?)
    }

    /// Returns the lines that have more since `before`, most bytes first.
    pub fn since(&self, before: &Self) -> Vec<SourceLine> {
        let grown = |(place, (bytes, calls)): (&Place, &(i64, i64))| {
            let (file, line, function, module) = place.clone();
            let (bytes_before, calls_before) = before.0.get(place).copied().unwrap_or_default();
            SourceLine { file, line, function, module, bytes: bytes - bytes_before, calls: calls - calls_before }
        };
        let mut lines: Vec<_> = self.0.iter().map(grown).filter(|line| line.bytes > 0 && line.calls > 0).collect();
        lines.sort_by_key(|line| -line.bytes);
        lines.truncate(MOST_TOLD);
        lines
    }
}

/// Returns what the text says; `None` if it is none of the kernel's, or says that nothing is counted.
pub(super) fn parse(text: &str) -> Option<AllocInfo> {
    let mut lines = text.lines();
    lines.next()?.strip_prefix(HEADER)?;
    let mut places = BTreeMap::new();
    for (place, bytes, calls) in lines.take(MOST_LINES).filter_map(parse_line) {
        let (all_bytes, all_calls): &mut (i64, i64) = places.entry(place).or_default();
        *all_bytes = all_bytes.saturating_add(bytes);
        *all_calls = all_calls.saturating_add(calls);
    }
    places.retain(|_, (_, calls)| *calls > 0);
    (!places.is_empty()).then_some(AllocInfo(places))
}

/// Reads "`bytes` `calls` `file`:`line` [`module`] func:`function`", and what later versions say behind it.
fn parse_line(line: &str) -> Option<(Place, i64, i64)> {
    let mut words = line.split_whitespace();
    let (bytes, calls) = (number(words.next()?)?, number(words.next()?)?);
    let (file, line) = words.next()?.rsplit_once(':')?;
    let mut word = words.next()?;
    let module = word.strip_prefix('[').and_then(|word| word.strip_suffix(']'));
    if module.is_some() {
        word = words.next()?;
    }
    let function = word.strip_prefix("func:")?;
    let are_names = [file, function, module.unwrap_or_default()].iter().all(|n| sanitize::is_line(n, MOST_NAME_BYTES));
    let counts =
        bytes >= 0 && calls >= 0 && !words.any(|word| word == INACCURATE) && !OWN_NOTHING.contains(&file) && are_names;
    let place = || (file.to_owned(), line.parse().ok(), function.to_owned(), module.map(str::to_owned));
    let (file, line, function, module) = counts.then(place)?;
    Some(((file, line?, function, module), bytes, calls))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    /// Lines of 6.12.118, as it was when the first program began, with slub_debug=U; none of them was changed.
    const BEFORE: &str = include_str!("../../fuzz/seeds/sites/allocinfo");

    /// Returns file, line, bytes and allocations of what is told.
    fn told(lines: &[SourceLine]) -> Vec<(&str, u32, i64, i64)> {
        lines.iter().map(|line| (line.file.as_str(), line.line, line.bytes, line.calls)).collect()
    }

    #[test]
    fn text_of_6_12_is_read_to_the_last_line() {
        let all = parse(BEFORE).unwrap().since(&AllocInfo::default());
        let expected = [
            ("fs/kernfs/dir.c", 624, 915_400, 4577),
            ("fs/nfs/write.c", 2179, 32_960, 33),
            ("mm/util.c", 64, 14_688, 164),
            ("kernel/fork.c", 480, 1872, 9),
            ("mm/vmalloc.c", 2042, 136, 1),
        ];
        assert_eq!(told(&all), expected, "pages of slabs, of processes and of their tables own nothing");
        assert_eq!(all[1].function, "nfs_init_writepagecache");
        assert!(all.iter().all(|line| line.module.is_none()), "it has no modules");
    }

    #[test]
    fn growth_is_told_by_line_most_bytes_first() {
        let after = BEFORE.replace("14688      164", "21088      189").replace(" 1872        9", " 2080       10");
        let after = after.replace("3723264      650", "4723264      850").replace("20480        5", "40960       10");
        let grown = parse(&after).unwrap().since(&parse(BEFORE).unwrap());
        assert_eq!(told(&grown), [("mm/util.c", 64, 6400, 25), ("kernel/fork.c", 480, 208, 1)]);
        assert_eq!(grown[0].function, "kstrdup");
    }

    #[test]
    fn line_of_a_module_names_it() {
        // codetag_to_text() in lib/codetag.c of 6.12.118.
        let text =
            "allocinfo - version: 1.0\n         384        3 fs/nfs/dir.c:83 [nfs] func:alloc_nfs_open_dir_context \n";
        let lines = parse(text).unwrap().since(&AllocInfo::default());
        assert_eq!(told(&lines), [("fs/nfs/dir.c", 83, 384, 3)]);
        assert_eq!(
            (lines[0].module.as_deref(), lines[0].function.as_str()),
            (Some("nfs"), "alloc_nfs_open_dir_context")
        );
    }

    #[test]
    fn line_of_the_second_version_is_left_out_where_it_is_inaccurate() {
        // From the message of the change that made it, "alloc_tag: mark inaccurate allocation counters in /proc/allocinfo output".
        let text = "allocinfo - version: 2.0\n\
                    \x20          0        0 arch/x86/kernel/alternative.c:127 func:__its_alloc accurate:no \n\
                    \x20      49152       48 arch/x86/kernel/cpu/mce/core.c:2709 func:mce_device_create accurate:no \n\
                    \x20      32768        1 arch/x86/kernel/cpu/mce/genpool.c:132 func:mce_gen_pool_create \n";
        let lines = parse(text).unwrap().since(&AllocInfo::default());
        assert_eq!(told(&lines), [("arch/x86/kernel/cpu/mce/genpool.c", 132, 32_768, 1)]);
    }

    #[test]
    fn line_with_words_that_nobody_knows_yet_counts() {
        let text = "allocinfo - version: 2.1\n  64  1 c.c:3 func:h accurate:yes more:words\n";
        assert_eq!(told(&parse(text).unwrap().since(&AllocInfo::default())), [("c.c", 3, 64, 1)]);
    }

    #[test]
    fn copies_of_an_inlined_line_are_one() {
        let text = "allocinfo - version: 1.0\n  64  1 a.h:1 func:f\n  32  2 a.h:1 func:f\n";
        assert_eq!(told(&parse(text).unwrap().since(&AllocInfo::default())), [("a.h", 1, 96, 3)]);
    }

    #[test]
    fn text_that_counts_nothing_is_none() {
        for text in [
            "",
            "allocinfo - version: 1.0\n",
            "  64  1 a.c:1 func:f\n",
            "allocinfo - version: 1.0\n 0 0 a.c:1 func:f\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
        let hostile =
            "allocinfo - version: 9\n-64 1 a.c:1 func:f\n64 1 a.c:x func:f\n64 1 a.c:1 [m\n64 1 \u{1b}a.c:1 func:f\n";
        assert_eq!(parse(hostile), None);
    }

    #[test]
    fn line_that_grew_by_calls_or_bytes_alone_is_none() {
        let of = |bytes: i64, calls: i64| {
            parse(&format!("allocinfo - version: 1.0\n{bytes} {calls} fs/nfs/dir.c:83 func:nfs_opendir\n")).unwrap()
        };
        let grown = |bytes, calls| of(bytes, calls).since(&of(100, 2)).len();
        assert_eq!([grown(100, 3), grown(101, 2), grown(101, 3), grown(99, 3)], [0, 0, 1, 0]);
    }

    #[test]
    fn kernel_that_keeps_no_counts_is_told_from_one_that_does() {
        let made = MadeFiles::new(&[]);
        assert_eq!(AllocInfo::read(&made.files), None);
        made.write(FILE, BEFORE);
        assert_eq!(AllocInfo::read(&made.files), parse(BEFORE));
    }
}
