//! What else was seen of the same run, beside dirleak's own findings: the account of the workload's cgroup, and kmemleak.

use crate::result::parts::{CgroupRecord, KmemleakRecord};
use crate::result::record::RunRecord;
use crate::text::number;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Functions or caches that are named; the result file has them all.
const NAMED: usize = 3;

/// Tells what there is, line by line.
pub fn render(record: &RunRecord) -> String {
    let cgroup = record.cgroup.as_ref().map_or(String::new(), |c| cgroup(c, leaked_bytes(record)));
    cgroup + &record.kmemleak.as_ref().map_or(String::new(), kmemleak)
}

/// Returns the bytes of all objects that leaked in the run.
fn leaked_bytes(record: &RunRecord) -> f64 {
    let bytes =
        |rate: f64, per_listing: f64, objects: i64| if rate > 0.0 { per_listing / rate * objects as f64 } else { 0.0 };
    record.findings.iter().map(|f| bytes(f.objects_per_listing.estimate, f.bytes_per_listing, f.net_objects)).sum()
}

/// Tells whose account the memory was on, and whether it went with the cgroup.
fn cgroup(c: &CgroupRecord, leaked_bytes: f64) -> String {
    let bytes = |n: u64| number::bytes(n as f64);
    let most = c.peak_bytes.map_or(String::new(), |peak| format!("charged with {} at most, ", bytes(peak)));
    let mut text = format!(
        "  cgroup: {most}{} at rest after the rounds (slab {}, page cache {}, processes {}); slab on its account grew by {} in the rounds",
        bytes(c.charged_bytes),
        bytes(c.slab_bytes),
        bytes(c.file_bytes),
        bytes(c.anonymous_bytes),
        number::bytes(c.slab_growth_bytes as f64)
    );
    if leaked_bytes > 0.0 {
        text += &format!(", and {} leaked", number::bytes(leaked_bytes));
    }
    match c.freed_by_removal.values().sum::<i64>() {
        0 => text + "; taking it away freed nothing\n",
        n => text + &format!("; taking it away freed {n} objects: {}\n", named(&c.freed_by_removal, " ", "cache")),
    }
}

/// Tells what the kernel's own leak detector says.
fn kmemleak(reported: &KmemleakRecord) -> String {
    if !reported.available {
        return "  kmemleak: this kernel has none (CONFIG_DEBUG_KMEMLEAK)\n".into();
    }
    if reported.objects == 0 {
        return "  kmemleak: reports nothing\n".into();
    }
    let functions = named(&reported.objects_by_function, " of ", "function");
    format!("  kmemleak: reports {} objects: {functions}\n", reported.objects)
}

/// Names functions: "30 of b, 3 of d, 2 of c, and 1 more functions": the largest first.
fn named<N: Copy + Ord + std::fmt::Display>(counts: &BTreeMap<String, N>, of: &str, what: &str) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| Reverse(**count));
    let mut shown: Vec<String> = counts.iter().take(NAMED).map(|(name, count)| format!("{count}{of}{name}")).collect();
    if counts.len() > NAMED {
        shown.push(format!("and {} more {what}s", counts.len() - NAMED));
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    #[test]
    fn report_of_kmemleak_is_told_by_function() {
        let mut record = example::leak();
        assert_eq!(render(&record), "", "it was not asked");
        let objects_by_function = [("a", 1), ("b", 30), ("c", 2), ("d", 3)].map(|(f, n)| (f.to_owned(), n)).into();
        record.kmemleak = Some(KmemleakRecord { available: true, objects: 36, objects_by_function });
        assert_eq!(render(&record), "  kmemleak: reports 36 objects: 30 of b, 3 of d, 2 of c, and 1 more functions\n");
        record.kmemleak = Some(KmemleakRecord { available: true, ..KmemleakRecord::default() });
        assert_eq!(render(&record), "  kmemleak: reports nothing\n");
        record.kmemleak = Some(KmemleakRecord::default());
        assert_eq!(render(&record), "  kmemleak: this kernel has none (CONFIG_DEBUG_KMEMLEAK)\n");
    }

    #[test]
    fn leak_stands_beside_the_account_that_did_not_grow() {
        let mut record = example::leak();
        record.cgroup = Some(CgroupRecord {
            peak_bytes: Some(3 << 20),
            charged_bytes: 2 << 20,
            slab_bytes: 4096,
            file_bytes: 0,
            anonymous_bytes: 1 << 20,
            slab_growth_bytes: -96,
            freed_by_removal: BTreeMap::from([("filp".into(), 2), ("cred".into(), 1)]),
        });
        assert_eq!(
            render(&record),
            "  cgroup: charged with 3.0 MiB at most, 2.0 MiB at rest after the rounds (slab 4.0 KiB, page cache 0 B, processes \
             1.0 MiB); slab on its account grew by -96 B in the rounds, and 393.8 KiB leaked; taking it away freed 3 objects: \
             2 filp, 1 cred\n"
        );
        record.findings.clear();
        record.cgroup = Some(CgroupRecord::default());
        assert!(
            render(&record).ends_with("grew by 0 B in the rounds; taking it away freed nothing\n"),
            "{}",
            render(&record)
        );
    }
}
