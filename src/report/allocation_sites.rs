//! Lines of the kernel's source that allocated what leaks, as text.

use crate::result::finding::AllocationSite;
use crate::result::record::RunRecord;
use crate::text::number;
use crate::text::plural::counted;

/// Lines that are shown; the result file has more.
const SHOWN: usize = 3;

/// Returns the lines of source, most bytes first, below a line that says what they are; nothing if the kernel does not tell them.
pub fn lines(record: &RunRecord) -> Vec<String> {
    let sites = &record.allocation_sites;
    if sites.is_empty() {
        return Vec::new();
    }
    let head = [format!("by line of source, per {} ({}):", record.unit, source(record))];
    let more = sites.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("  and {}", counted(more, "more line", "more lines")));
    head.into_iter().chain(sites.iter().take(SHOWN).map(line)).chain(more).collect()
}

/// Returns where it is from, and what its bytes are: the kernel counts a place in a slab with what slub_debug keeps there.
pub(super) fn source(record: &RunRecord) -> &'static str {
    match &record.setup {
        Some(setup) if setup.stock => "/proc/allocinfo",
        Some(_) => "/proc/allocinfo, bytes with what slub_debug adds",
        None => "/proc/allocinfo, bytes with what slub_debug adds, if it is on",
    }
}

fn line(site: &AllocationSite) -> String {
    let (bytes, calls) = (number::bytes(site.bytes_per_listing), number::rate(site.calls_per_listing));
    format!("  {bytes:>8} in {calls} allocations  {}", place(site))
}

/// Returns a place like `fs/nfs/dir.c:83 in alloc_nfs_open_dir_context [nfs]`.
pub(super) fn place(site: &AllocationSite) -> String {
    let module = site.module.as_ref().map_or(String::new(), |module| format!(" [{module}]"));
    format!("{}:{} in {}{module}", site.file, site.line, site.function)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    /// Returns a leak that is told by lines of source, of a kernel with slub_debug or of one without.
    fn leak(stock: bool) -> RunRecord {
        let mut record = example::every_field();
        record.setup.as_mut().expect("it has every field").stock = stock;
        record
    }

    #[test]
    fn line_of_source_says_how_much_and_where() {
        let lines = lines(&leak(false));
        assert_eq!(lines[0], "by line of source, per listing (/proc/allocinfo, bytes with what slub_debug adds):");
        assert!(lines[1].ends_with(" in 25.0 allocations  mm/util.c:194 in kmemdup_nul"), "{}", lines[1]);
        assert!(lines[2].ends_with("fs/nfs/dir.c:83 in alloc_nfs_open_dir_context [nfs]"), "{}", lines[2]);
        assert_eq!(super::lines(&example::leak()), [""; 0]);
    }

    #[test]
    fn bytes_of_a_stock_kernel_are_its_own() {
        let mut record = leak(true);
        assert_eq!(lines(&record)[0], "by line of source, per listing (/proc/allocinfo):");
        record.setup = None;
        assert!(lines(&record)[0].ends_with(", if it is on):"), "an older file does not say it");
    }

    #[test]
    fn lines_beyond_those_shown_are_counted() {
        let mut record = leak(false);
        record.allocation_sites.extend(leak(false).allocation_sites);
        assert_eq!(lines(&record).last().unwrap(), "  and 1 more line");
    }
}
