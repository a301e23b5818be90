//! The arguments that say the same as a kernel spec, or more, about the sources of a kernel.

use crate::kernel::build::ingredients::{Fragment, Options};
use crate::scenario::Scenario;
use std::path::PathBuf;

/// What is done to the sources of a kernel that is built.
#[derive(clap::Args, Debug)]
pub struct Sources {
    /// Apply this patch, too: a leak patch of the series by name, or a file. Can be given several times.
    #[arg(long = "patch", value_name = "FILE|NAME")]
    patches: Vec<String>,
    /// Take this revision of a git tree.
    #[arg(long, value_name = "REV")]
    rev: Option<String>,
    #[command(flatten)]
    config: Config,
}

/// How a kernel that is built is configured.
#[derive(clap::Args, Clone, Debug)]
pub struct Config {
    /// Join this fragment to the kernel's configuration; it wins over what dirleak asks for. Can be given several times.
    #[arg(long = "config", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl Sources {
    /// Returns the options of a kernel of which the newest source is wanted if `refresh`, else the one at hand.
    pub fn options(&self, refresh: bool) -> Options {
        let (patches, rev, config) = (self.patches.clone(), self.rev.clone(), self.config.fragments());
        Options { patches, rev, config, modules: Vec::new(), refresh }
    }
}

/// Returns the options of a kernel that can do what these scenarios want.
pub fn able_to(scenarios: &[Scenario], mut options: Options) -> Options {
    if scenarios.iter().any(|scenario| scenario.unit.fail_nth().is_some()) {
        options.config.insert(0, Fragment::FaultInjection);
    }
    options
}

impl Config {
    fn fragments(&self) -> Vec<Fragment> {
        self.files.iter().cloned().map(Fragment::File).collect()
    }

    /// Returns the options of a kernel that is configured so and else as its spec says.
    pub fn options(&self) -> Options {
        Options { config: self.fragments(), ..Options::default() }
    }
}
