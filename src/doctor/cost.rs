//! What a verify would do on this machine, from what is in the cache: bytes to fetch, disk, minutes.

use super::request::CheckRequest;
use crate::boot::nfs_utils;
use crate::boot::pool::{QEMU_MIB, guests};
use crate::error::{Exit, Result};
use crate::kernel;
use crate::kernel::build::build_tree;
use crate::kernel::build::ingredients::Options;
use crate::kernel::distribution::module_tree;
use crate::kernel::source::catalog::Catalog;
use crate::kernel::source::debian;
use crate::os::cache::Cache;
use crate::result::doctor::{CostEstimate, KernelCost, Step};
use crate::run::duration;
use crate::scenario::{Scenario, ServerKind};

// Measured for 6.1.192 and Debian's 6.1.0-57-cloud-amd64 with gcc 12 (README, "What building a kernel costs").
const INDEX_BYTES: u64 = 10_000_000;
const SOURCE_BYTES: u64 = 140_000_000;
const NFS_UTILS_BYTES: u64 = 1_000_000;
const TREE_BYTES: u64 = 1_650_000_000;
const KERNEL_BYTES: u64 = 20_000_000;
const IMAGE_BYTES: u64 = 27_000_000;
const HEADERS_BYTES: u64 = 14_000_000;
/// What is unpacked of an image, and its vmlinux.
const IMAGE_KEPT_BYTES: u64 = 125_000_000;
/// Headers, tools, and the sources of what can be a module.
const MODULES_TREE_BYTES: u64 = 212_000_000;
const UNPACK_IMAGE_SECONDS: f64 = 3.0;
const UNPACK_MODULES_SECONDS: f64 = 9.0;
/// CPU time of nfs.ko with the patch of 2019, the first time that modules of a kernel are built: 12 s on two idle processors.
const MODULES_CPU_SECONDS: f64 = 24.0;
/// Share of the seconds of `run/seconds.toml` that runs take since the clock of guests counts instructions: huge-flat and quick on two kernels,
/// with a second seed of those that are clean, took 68 s on two idle processors, and 107 by the table.
const COUNTED_SHARE: f64 = 0.64;
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
        for spec in &question.kernels {
            // The first that is built leaves a tree for the others.
            let has_tree = kernels.iter().any(|kernel| kernel.step.is_whole_build());
            let step = step(spec, has_tree, cache)?;
            // Of a package, both have the same image.
            let is_here = step == Step::Fetch && kernels.iter().any(|kernel| kernel.step.fetches_image());
            kernels.push(KernelCost { spec: spec.clone(), step: if is_here { Step::Ready } else { step } });
        }
        let scenarios = &question.scenarios;
        let download_bytes = download(&kernels, scenarios, cache);
        let kept_bytes = if download_bytes > 0 { KEPT_INDEX_BYTES } else { 0 };
        let built_bytes: u64 = kernels.iter().map(|kernel| kernel.step.bytes()).sum();
        let building: f64 = kernels.iter().map(|kernel| kernel.step.seconds()).sum();
        let fetching = download_bytes as f64 / FETCH_BYTES_PER_SECOND;
        let judging = running(scenarios, kernels.len());
        Ok(Self {
            scenarios: scenarios.iter().map(|scenario| scenario.name.clone()).collect(),
            download_bytes,
            disk_bytes: download_bytes + kept_bytes + built_bytes,
            seconds: fetching + building + judging,
            fetch_seconds: fetching,
            build_seconds: building,
            run_seconds: judging,
            largest_guest_mib: scenarios.iter().map(|s| u64::from(s.guest.memory_mib) + QEMU_MIB).max().unwrap_or(0),
            kernels,
        })
    }

    /// Returns whether a kernel or its modules are compiled.
    pub fn builds(&self) -> bool {
        self.kernels.iter().any(|kernel| kernel.step != Step::Ready && kernel.step != Step::Fetch)
    }

    /// Returns whether a kernel is compiled that is not a distribution's.
    pub fn builds_kernels(&self) -> bool {
        self.kernels.iter().any(|kernel| kernel.step == Step::Patch || kernel.step.is_whole_build())
    }

    /// Returns whether a source is unpacked.
    pub fn unpacks(&self) -> bool {
        self.kernels.iter().any(|kernel| kernel.step.is_whole_build() || kernel.step == Step::FetchAndBuildModules)
    }

    /// Returns whether anything is fetched.
    pub fn fetches(&self) -> bool {
        self.download_bytes > 0
    }
}

impl Step {
    /// Returns whether it leaves a tree in which a second kernel of the series is soon built.
    fn is_whole_build(self) -> bool {
        matches!(self, Self::Build | Self::FetchAndBuild)
    }

    /// Returns whether it brings a distribution's image.
    fn fetches_image(self) -> bool {
        matches!(self, Self::Fetch | Self::FetchAndBuildModules)
    }

    fn seconds(self) -> f64 {
        match self {
            Self::Ready => 0.0,
            Self::Fetch => UNPACK_IMAGE_SECONDS,
            Self::BuildModules => MODULES_CPU_SECONDS / processors(),
            Self::FetchAndBuildModules => {
                UNPACK_IMAGE_SECONDS + UNPACK_MODULES_SECONDS + MODULES_CPU_SECONDS / processors()
            }
            Self::Patch => PATCHED_SECONDS,
            Self::Build | Self::FetchAndBuild => UNPACK_SECONDS + BUILD_CPU_SECONDS / processors(),
        }
    }

    /// Returns how many bytes of packages are fetched for it, without those of the index.
    fn download(self) -> u64 {
        match self {
            Self::Ready | Self::Patch | Self::Build | Self::BuildModules => 0,
            Self::FetchAndBuild => SOURCE_BYTES,
            Self::Fetch => IMAGE_BYTES,
            Self::FetchAndBuildModules => IMAGE_BYTES + HEADERS_BYTES + SOURCE_BYTES,
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::Ready => 0,
            Self::Fetch => IMAGE_KEPT_BYTES,
            Self::BuildModules => 2_000_000,
            Self::FetchAndBuildModules => IMAGE_KEPT_BYTES + MODULES_TREE_BYTES,
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
            Self::Fetch => "is fetched",
            Self::BuildModules => "its patched modules are built",
            Self::FetchAndBuildModules => "is fetched, its patched modules are built",
        }
    }
}

fn step(spec: &str, has_tree: bool, cache: &Cache) -> Result<Step> {
    match kernel::is_at_hand(spec, &Options::default(), cache) {
        Ok(true) => return Ok(Step::Ready),
        Err(error) if error.exit() == Exit::Usage => return Err(error),
        // Without a compiler it cannot be known; it would be built then.
        _ => {}
    }
    let catalog = Catalog::load()?;
    let base = spec.split('+').next().unwrap_or_default();
    if base.split_once(':').is_some_and(|(name, _)| catalog.series(name).is_some()) {
        let image = kernel::cached(base, &Options::default(), cache).ok().flatten();
        return Ok(match (base == spec, image) {
            (true, _) => Step::Fetch,
            (false, Some(image)) if module_tree::is_filled(&image, cache) => Step::BuildModules,
            (false, _) => Step::FetchAndBuildModules,
        });
    }
    let series = catalog.series(base);
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
    let packages: u64 = kernels.iter().map(|kernel| kernel.step.download()).sum();
    let lacks_knfsd = scenarios.iter().any(|s| s.server == ServerKind::Knfsd || s.mount.has_lockd())
        && nfs_utils::cached(cache).is_none();
    let index = if packages > 0 { INDEX_BYTES } else { 0 };
    // The machine's own suite need not be that of the kernel.
    index + packages + if lacks_knfsd { INDEX_BYTES + NFS_UTILS_BYTES } else { 0 }
}

/// Returns both kernels, as many guests side by side as this machine holds.
fn running(scenarios: &[Scenario], kernels: usize) -> f64 {
    let seconds: Vec<f64> = scenarios.iter().map(duration::seconds).collect();
    let longest = seconds.iter().copied().fold(0.0, f64::max);
    let all = seconds.iter().sum::<f64>() * kernels as f64;
    COUNTED_SHARE * longest.max(all / guests(scenarios.iter()) as f64)
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
            fetch_seconds: 30.0,
            build_seconds: 300.0,
            run_seconds: 70.0,
            largest_guest_mib: 1224,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    fn estimate(names: &[&str], cache: &Cache) -> CostEstimate {
        of_kernels(["6.1+spare-pages", "6.1"], names, cache)
    }

    fn of_kernels(kernels: [&str; 2], names: &[&str], cache: &Cache) -> CostEstimate {
        let scenarios = names.iter().map(|name| load(name).unwrap()).collect();
        let kernels = kernels.map(str::to_owned).to_vec();
        CostEstimate::from_cache(&CheckRequest { kernels, scenarios }, cache).unwrap()
    }

    #[test]
    fn distributions_kernel_is_fetched_once_and_only_its_modules_are_built() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let course = of_kernels(["6.1:cloud+spare-pages", "6.1:cloud"], &["quick"], &cache);
        assert_eq!(course.kernels[0].step, Step::FetchAndBuildModules);
        assert_eq!(course.kernels[1].step, Step::Ready, "it comes with the other one");
        assert!(course.builds() && course.unpacks() && !course.builds_kernels());
        assert_eq!(course.download_bytes, INDEX_BYTES + IMAGE_BYTES + HEADERS_BYTES + SOURCE_BYTES);
        let built = estimate(&["quick"], &cache);
        assert!(course.disk_bytes < built.disk_bytes / 3, "{} and {}", course.disk_bytes, built.disk_bytes);
        assert!(course.build_seconds < built.build_seconds / 3.0);
        assert!((course.seconds - course.fetch_seconds - course.build_seconds - course.run_seconds).abs() < 0.01);
        let alone = of_kernels(["6.1:cloud", "6.1:cloud"], &["quick"], &cache);
        assert_eq!(alone.kernels.iter().map(|kernel| kernel.step).collect::<Vec<_>>(), [Step::Fetch, Step::Ready]);
        assert!(!alone.builds() && alone.fetches());
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
