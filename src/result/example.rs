//! Made-up records for the tests of this room; no figure in here was measured.

use super::bisection::Commit;
use super::branch::Applies;
use super::branch::BranchRecord;
use super::cluster::{ClusterRecord, ServerRecord};
use super::file::{ResultFile, SCHEMA};
use super::finding::{AllocationSite, CallSite, Finding};
use super::parts::*;
use super::proof::{Outcome, Proof};
use super::record::*;
use crate::sample::CounterKind;
use crate::stats::estimate::Estimate;
use std::collections::BTreeMap;

/// Makes a leak of 25 objects per listing.
pub fn leak() -> RunRecord {
    let kernel = KernelRecord {
        spec: "6.1+spare-pages".into(),
        release: "6.1.192".into(),
        image_sha256: "00ff".into(),
        patches: vec!["spare-pages".into()],
        rebuilt_modules: BTreeMap::new(),
        source_version: Some("6.1.192-2".into()),
    };
    let rate = Estimate { estimate: 25.0, low: 24.8, high: 25.2 };
    let stack = [
        "__kmalloc_track_caller",
        "kmemdup_nul",
        "nfs_readdir_page_array_append",
        "nfs_readdir_xdr_to_array",
        "nfs_readdir",
        "iterate_dir",
        "__x64_sys_getdents64",
    ];
    let site = CallSite {
        function: "nfs_readdir_page_array_append".into(),
        share: 1.0,
        stack: stack.map(String::from).to_vec(),
    };
    let finding = Finding {
        source: CounterKind::Slab,
        name: "kmalloc-256".into(),
        objects_per_listing: rate,
        bytes_per_listing: 6400.0,
        survives_unmount: true,
        call_sites: vec![site],
        objects_per_rpc: rate.per(2.0),
        objects_per_entry: rate.per(150.0),
        net_objects: 1575,
        excluded_cache_objects: Some(1565),
        shares_with: Vec::new(),
    };
    RunRecord {
        verdict: Verdict::Leak,
        accelerator: "tcg".into(),
        seconds: 4.2,
        settled_seconds: 2.0,
        listings: 63,
        cold_listings: 63,
        complete_listings: 63,
        entries: 150,
        name_bytes: 30_000,
        rpcs: BTreeMap::from([("READDIR".into(), 0), ("READDIRPLUS".into(), 126)]),
        controls: controls(),
        not_looked_for: ["pages", "vmalloc", "percpu"].map(String::from).to_vec(),
        findings: vec![finding],
        timings: timings(&[("build initramfs", 0.05), ("boot", 0.9), ("measure", 3.1)]),
        ..RunRecord::begin("quick", kernel, 42)
    }
}

/// Makes the controls of a run that saw all of them.
fn controls() -> Controls {
    let control =
        |source, name: &str, held| SourceControl { source, name: name.into(), held, seen: held, left: 0, noise: 0 };
    let sources = vec![
        control(CounterKind::Slab, "filp", 584),
        control(CounterKind::Slab, "eventfd", 512),
        control(CounterKind::Unmount, "console", 2),
    ];
    Controls { held: 584, seen: 584, left: 0, names_cached: 150, names_removed: 150, sources }
}

/// Makes the same on a clean kernel.
pub fn clean() -> RunRecord {
    let kernel = KernelRecord { spec: "6.1".into(), patches: Vec::new(), ..leak().kernel };
    let highest = CounterBound {
        source: CounterKind::Slab,
        name: "dentry".into(),
        objects_per_listing: Estimate { estimate: 0.0, low: -0.121, high: 0.121 },
    };
    RunRecord {
        verdict: Verdict::Clean,
        kernel,
        findings: Vec::new(),
        seconds: 6.0,
        bounds: Some(bounds(highest)),
        timings: timings(&[("build initramfs", 0.05), ("boot", 0.8), ("measure", 5.1)]),
        ..leak()
    }
}

/// Returns what a clean kernel's hundred listings exclude.
fn bounds(highest: CounterBound) -> Bounds {
    let net =
        NetBound { source: CounterKind::Slab, name: "dentry".into(), net_objects: 0, lump_objects: 1, high: 0.06 };
    Bounds { highest: vec![highest], highest_net: vec![net], rarest_listings: Some(18), ..Bounds::begin(0.99, 0.5, 93) }
}

/// Returns what 6.12 counts by line of source where names leak: they are booked to kmemdup_nul.
fn allocation_sites() -> Vec<AllocationSite> {
    let site = |file: &str, line, function: &str, module: Option<&str>| AllocationSite {
        file: file.into(),
        line,
        function: function.into(),
        module: module.map(Into::into),
        bytes_per_listing: 12_800.0,
        calls_per_listing: 25.0,
    };
    vec![
        site("mm/util.c", 194, "kmemdup_nul", None),
        site("fs/nfs/dir.c", 83, "alloc_nfs_open_dir_context", Some("nfs")),
    ]
}

/// Returns a leak with every field that may be missing.
pub fn every_field() -> RunRecord {
    let setup = Setup {
        server: "knfsd".into(),
        nfs_version: "3".into(),
        mount_options: String::new(),
        rsize_bytes: 4096,
        getdents_buffer_bytes: 280,
        memory_mib: 64,
        cpus: 1,
        stock: true,
        sandbox: vec!["seccomp".into(), "landlock".into()],
        caches_dropped: true,
    };
    RunRecord {
        console_log: Some("console.log".into()),
        console_lines: vec!["made up".into()],
        signals: Some(0),
        other_seeds: vec![43],
        cgroup: Some(CgroupRecord { peak_bytes: Some(0), ..CgroupRecord::default() }),
        kmemleak: Some(KmemleakRecord::default()),
        rounds: vec![Round { dose: 0, samples: BTreeMap::new(), kind: RoundKind::Held, seconds: 0.0 }],
        setup: Some(setup),
        allocation_sites: allocation_sites(),
        bounds: clean().bounds,
        ..leak()
    }
}

fn timings(phases: &[(&str, f64)]) -> Vec<Timing> {
    phases.iter().map(|(phase, seconds)| Timing { phase: (*phase).into(), seconds: *seconds }).collect()
}

/// Makes the file of both, as `verify` writes them.
pub fn verify() -> ResultFile {
    ResultFile {
        schema: SCHEMA,
        dirleak: "0.1.0".into(),
        command_line: vec!["dirleak".into(), "verify".into()],
        results: vec![leak(), clean()],
        branches: Vec::new(),
        bisection: None,
        clusters: Vec::new(),
        sweeps: Vec::new(),
        explorations: Vec::new(),
        shard: None,
        proof: Some(Proof {
            outcome: Outcome::Proven,
            reason: "quick leaks on 6.1+spare-pages and is clean on 6.1".into(),
            unpatched: "6.1+spare-pages".into(),
            patched: "6.1".into(),
            one_is_enough: false,
        }),
    }
}

/// Makes a fix on two branches, on one of which it does not apply.
pub fn branches() -> ResultFile {
    let branch = |branch: &str, applies, proof| BranchRecord {
        branch: branch.into(),
        commit: Commit { id: "0123456789abcdef".into(), subject: "Linux 6.1.200".into() },
        applies,
        leaked_before: Some(true),
        clean_after: None,
        listing_complete: None,
        proof,
    };
    let file = verify();
    let proven = file.proof.clone().expect("verify has one");
    let open = Proof {
        outcome: Outcome::Undecided,
        reason: "the fix does not apply".into(),
        unpatched: String::new(),
        patched: String::new(),
        one_is_enough: false,
    };
    let branches = vec![branch("linux-6.1.y", Applies::Already, proven), branch("linux-5.10.y", Applies::No, open)];
    ResultFile { branches, proof: None, ..file }
}

/// Makes two servers, of which the one with the largest site was to lose nine tenths, and did.
pub fn cluster() -> ClusterRecord {
    let server = |name: &str, largest: u64, bytes: f64| {
        let rate = Estimate { estimate: bytes, low: 0.9 * bytes, high: 1.1 * bytes };
        ServerRecord {
            server: name.into(),
            scenario: format!("cluster/{name}"),
            sites: 10,
            entries: largest + 100,
            largest_site_entries: largest,
            listings_per_hour: 20,
            forecast_bytes_per_hour: Some(rate),
            measured_bytes_per_hour: Some(rate),
        }
    };
    ClusterRecord {
        scenario: "cluster".into(),
        kernel: "6.1+spare-pages".into(),
        seed: 42,
        virtual_nodes: 160,
        sites: 20,
        servers: vec![server("server-2", 1800, 90.0), server("server-1", 600, 10.0)],
    }
}
