//! What is known of kernels from earlier: verdicts by image, scenario and options, and builds that failed.

use crate::error::{Context, Result};
use crate::kernel::image::identify::hex;
use crate::os::cache::{Cache, install_atomically};
use crate::result::record::RunRecord;
use crate::run::options::Options;
use crate::scenario::Scenario;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// Verdicts of one scenario with the same options by the same program.
pub struct Verdicts {
    dir: PathBuf,
    /// What a verdict depends on beside image and seed.
    setting: String,
}

/// What became of a build.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Built {
    /// The SHA-256 of the image.
    Image(String),
    /// Why there is none.
    Failed(String),
}

impl Verdicts {
    /// Opens the verdicts on `scenario` as they are reached with `options`.
    pub fn open(scenario: &Scenario, options: &Options, cache: &Cache) -> Result<Self> {
        let program = crate::kernel::image::identify::sha256(Path::new(crate::os::assets::OURSELVES))?;
        let Options { boot, min_rate, settle, strict, stock, every_counter, .. } = options;
        let Options { allow_until_unmount, listings, largest_cache, .. } = options;
        let kmemleak = boot.kmemleak;
        let setting = format!(
            "{program} {scenario:?} {min_rate} {settle:?} {strict} {kmemleak} {stock} {every_counter} {allow_until_unmount} \
                 {listings:?} {largest_cache}"
        );
        Ok(Self { dir: cache.dir("verdicts")?, setting })
    }

    /// Returns the verdict on the kernel whose image has this digest.
    pub fn find(&self, image_sha256: &str, seed: u64) -> Option<RunRecord> {
        read(&self.record(image_sha256, seed))
    }

    /// Keeps a verdict.
    pub fn keep(&self, record: &RunRecord) -> Result<()> {
        write(&self.record(&record.kernel.image_sha256, record.seed), record)
    }

    /// Returns what became of the build of the kernel with this key.
    pub fn built(&self, key: &str) -> Option<Built> {
        read(&self.dir.join(format!("build-{key}.json")))
    }

    /// Keeps what became of a build.
    pub fn keep_built(&self, key: &str, built: &Built) -> Result<()> {
        write(&self.dir.join(format!("build-{key}.json")), built)
    }

    fn record(&self, image_sha256: &str, seed: u64) -> PathBuf {
        let digest = hex(&Sha256::digest(format!("{image_sha256} {seed} {}", self.setting)));
        self.dir.join(format!("{}.json", &digest[..32]))
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<()> {
    let text = serde_json::to_vec(value).machine(|| "cannot write a verdict".into())?;
    install_atomically(path, |new| fs::write(new, text).machine(|| format!("cannot write {}", new.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;
    use crate::scenario::{Overrides, select};

    #[test]
    fn verdict_is_found_by_image_seed_and_setting_only() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let scenario = |name: &str| select(&[name.to_owned()], None, &[], &Overrides::default()).unwrap().remove(0);
        let options = Options::default();
        let verdicts = Verdicts::open(&scenario("quick"), &options, &cache).unwrap();
        let record = example::leak();
        verdicts.keep(&record).unwrap();
        let image = &record.kernel.image_sha256;
        assert_eq!(verdicts.find(image, record.seed), Some(record.clone()));
        assert_eq!(verdicts.find(image, record.seed + 1), None);
        assert_eq!(verdicts.find("00", record.seed), None);
        let strict = Options { strict: true, ..Options::default() };
        assert_eq!(Verdicts::open(&scenario("quick"), &strict, &cache).unwrap().find(image, record.seed), None);
        let other = Verdicts::open(&scenario("many-pages"), &options, &cache).unwrap();
        assert_eq!(other.find(image, record.seed), None);
    }

    #[test]
    fn build_is_remembered_by_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).unwrap();
        let scenario = select(&["quick".to_owned()], None, &[], &Overrides::default()).unwrap().remove(0);
        let verdicts = Verdicts::open(&scenario, &Options::default(), &cache).unwrap();
        assert!(verdicts.built("a").is_none());
        verdicts.keep_built("a", &Built::Image("ab".into())).unwrap();
        verdicts.keep_built("b", &Built::Failed("error: x".into())).unwrap();
        assert!(matches!(verdicts.built("a"), Some(Built::Image(digest)) if digest == "ab"));
        assert!(matches!(verdicts.built("b"), Some(Built::Failed(why)) if why == "error: x"));
    }
}
