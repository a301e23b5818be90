//! What a verify would do on this machine, from what is in the cache: bytes to fetch, disk, minutes.

use super::request::CheckRequest;
use crate::boot::nfs_utils;
use crate::boot::pool::{QEMU_MIB, guests};
use crate::error::Result;
use crate::kernel;
use crate::kernel::build::build_tree;
use crate::kernel::build::ingredients::Options;
use crate::kernel::source::catalog::Catalog;
use crate::kernel::source::debian;
use crate::os::cache::Cache;
use crate::result::doctor::{CostEstimate, KernelCost, Step};
use crate::run::duration;
use crate::scenario::{Scenario, ServerKind};

// Measured for 6.1.192 with gcc 12 (README, "What building a kernel costs").
const INDEX_BYTES: u64 = 10_000_000;
const SOURCE_BYTES: u64 = 140_000_000;
const NFS_UTILS_BYTES: u64 = 1_000_000;
const TREE_BYTES: u64 = 1_650_000_000;
const KERNEL_BYTES: u64 = 20_000_000;
/// What apt keeps of a suite's index.
const KEPT_INDEX_BYTES: u64 = 60_000_000;
/// CPU time of a build from scratch.
const BUILD_CPU_SECONDS: f64 = 560.0;
const UNPACK_SECONDS: f64 = 30.0;
/// A kernel from a tree that was built before.
const PATCHED_SECONDS: f64 = 12.0;
/// Of a connection that is neither good nor bad.
const FETCH_BYTES_PER_SECOND: f64 = 5e6;

impl CostEstimate {
    /// Tells the cost from what is in the cache. Nothing is asked of the network.
    pub fn from_cache(question: &CheckRequest, cache: &Cache) -> Result<Self> {
        let mut kernels: Vec<KernelCost> = Vec::new();
        for spec in question.kernels {
            // The first that is built leaves a tree for the others.
            let has_tree = kernels.iter().any(|kernel| kernel.step != Step::Ready);
            kernels.push(KernelCost { spec: spec.to_owned(), step: step(spec, has_tree, cache)? });
        }
        let scenarios = &question.scenarios;
        let download_bytes = download(&kernels, scenarios, cache);
        let kept_bytes = if download_bytes > 0 { KEPT_INDEX_BYTES } else { 0 };
        let built_bytes: u64 = kernels.iter().map(|kernel| kernel.step.bytes()).sum();
        let building: f64 = kernels.iter().map(|kernel| kernel.step.seconds()).sum();
        let fetching = download_bytes as f64 / FETCH_BYTES_PER_SECOND;
        Ok(Self {
            scenarios: scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
            download_bytes,
            disk_bytes: download_bytes + kept_bytes + built_bytes,
            seconds: fetching + building + running(scenarios, kernels.len()),
            largest_guest_mib: scenarios.iter().map(|s| u64::from(s.guest.memory_mib) + QEMU_MIB).max().unwrap_or(0),
            kernels,
        })
    }

    /// Returns whether a kernel is compiled, wholly or in part.
    pub fn builds(&self) -> bool {
        self.kernels.iter().any(|kernel| kernel.step != Step::Ready)
    }

    /// Returns whether a source is unpacked.
    pub fn unpacks(&self) -> bool {
        self.kernels.iter().any(|kernel| matches!(kernel.step, Step::Build | Step::FetchAndBuild))
    }

    /// Returns whether anything is fetched.
    pub fn fetches(&self) -> bool {
        self.download_bytes > 0
    }
}

impl Step {
    fn seconds(self) -> f64 {
        match self {
            Self::Ready => 0.0,
            Self::Patch => PATCHED_SECONDS,
            Self::Build | Self::FetchAndBuild => UNPACK_SECONDS + BUILD_CPU_SECONDS / processors(),
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Ready => 0,
            Self::Patch => KERNEL_BYTES,
            Self::Build | Self::FetchAndBuild => KERNEL_BYTES + TREE_BYTES,
        }
    }

    /// Returns the step in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Patch => "is built from the other's objects",
            Self::Build => "is built from the source in the cache",
            Self::FetchAndBuild => "is fetched and built",
        }
    }
}

fn step(spec: &str, has_tree: bool, cache: &Cache) -> Result<Step> {
    // Without a compiler it cannot be known; it would be built then.
    if kernel::cached(spec, &Options::default(), cache).is_ok_and(|kernel| kernel.is_some()) {
        return Ok(Step::Ready);
    }
    let catalog = Catalog::load()?;
    let series = spec.split('+').next().and_then(|name| catalog.series(name));
    let is_at_hand = series.is_some_and(|series| debian::cached(series, cache).is_some());
    let has_built = series.is_some_and(|series| build_tree::is_built(&series.name, cache));
    Ok(match (is_at_hand, has_built) {
        _ if has_tree => Step::Patch,
        (true, true) => Step::Patch,
        (true, false) => Step::Build,
        (false, _) => Step::FetchAndBuild,
    })
}

fn download(kernels: &[KernelCost], scenarios: &[Scenario], cache: &Cache) -> u64 {
    let fetches_source = kernels.iter().any(|kernel| kernel.step == Step::FetchAndBuild);
    let lacks_knfsd = scenarios.iter().any(|s| s.server == ServerKind::Knfsd || s.mount.has_lockd())
        && nfs_utils::cached(cache).is_none();
    let source = if fetches_source { INDEX_BYTES + SOURCE_BYTES } else { 0 };
    // The machine's own suite need not be that of the kernel.
    source + if lacks_knfsd { INDEX_BYTES + NFS_UTILS_BYTES } else { 0 }
}

/// Returns both kernels, as many guests side by side as this machine holds.
fn running(scenarios: &[Scenario], kernels: usize) -> f64 {
    let seconds: Vec<f64> = scenarios.iter().map(duration::seconds).collect();
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    let all = seconds.iter().sum::<f64>() * kernels as f64;
    longest.max(all / guests(scenarios.iter()) as f64)
}

fn processors() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64)
}

#[cfg(test)]
impl CostEstimate {
    /// Makes an example that builds its kernels, or not, and fetches something, or not.
    pub fn example(builds: bool, fetches: bool) -> Self {
        let step = match (builds, fetches) {
            (true, true) => Step::FetchAndBuild,
            (true, false) => Step::Build,
            (false, _) => Step::Ready,
        };
        Self {
            kernels: ["6.1+spare-pages", "6.1"].map(|spec| KernelCost { spec: spec.into(), step }).to_vec(),
            scenarios: vec!["huge-flat".into(), "quick".into()],
            download_bytes: if fetches { 160_000_000 } else { 0 },
            disk_bytes: if builds { 2_000_000_000 } else { 0 },
            seconds: 400.0,
            largest_guest_mib: 1224,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    fn estimate(names: &[&str], cache: &Cache) -> CostEstimate {
        let scenarios = names.iter().map(|name| load(name).unwrap()).collect();
        CostEstimate::from_cache(&CheckRequest { kernels: ["6.1+spare-pages", "6.1"], scenarios }, cache).unwrap()
    }

    #[test]
    fn empty_cache_is_filled_once() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let course = estimate(&["huge-flat", "quick"], &cache);
        assert_eq!(course.kernels[0].step, Step::FetchAndBuild);
        assert_eq!(course.kernels[1].step, Step::Patch, "the second is made from the first one's tree");
        assert!(course.fetches() && course.builds() && course.unpacks());
        assert_eq!(course.download_bytes, INDEX_BYTES + SOURCE_BYTES + INDEX_BYTES + NFS_UTILS_BYTES);
        assert!(course.disk_bytes > TREE_BYTES && course.seconds > UNPACK_SECONDS);
        assert_eq!(course.largest_guest_mib, 1024 + QEMU_MIB);
        let small = estimate(&["quick"], &cache);
        assert_eq!(small.download_bytes, INDEX_BYTES + SOURCE_BYTES, "no knfsd, no nfs-utils");
        assert!(small.seconds < course.seconds && small.largest_guest_mib < course.largest_guest_mib);
    }

    #[test]
    fn source_at_hand_is_not_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let home = cache.dir("sources/6.1").unwrap();
        std::fs::write(home.join("x.deb"), "").unwrap();
        let current = r#"{"package": "linux-source-6.1", "version": "6.1.1-1", "file": "x.deb"}"#;
        std::fs::write(home.join("current.json"), current).unwrap();
        let course = estimate(&["quick"], &cache);
        assert_eq!((course.kernels[0].step, course.download_bytes), (Step::Build, 0));
        let tree = cache.dir("build/6.1/tree").unwrap();
        std::fs::write(tree.join("vmlinux"), "").unwrap();
        assert_eq!(estimate(&["quick"], &cache).kernels[0].step, Step::Patch);
    }
}
