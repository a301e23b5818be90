//! What the program, its tests, benchmarks, examples and fuzz targets call of what is no library: listed here, item by item, so that the
//! compiler sees what nobody calls. Nothing of it is promised to anybody.

pub mod apt {
    pub use crate::apt::Apt;
}
pub mod bench {
    pub use crate::bench::eligible;
    pub mod guest {
        pub use crate::bench::guest::Guest;
    }
}
pub mod bisect {
    pub mod history {
        pub use crate::bisect::history::{History, Mark, Next, Terms};
    }
}
pub mod boot {
    pub mod guest_image {
        pub use crate::boot::guest_image::{GuestImage, KernelDebug};
    }
    pub mod job {
        pub use crate::boot::job::{BootOptions, Job};
    }
    pub mod ready {
        pub use crate::boot::ready::boot;
    }
}
pub mod cli {
    pub use crate::cli::main;
}
pub mod error {
    pub use crate::error::{Context, Error, Exit, Result};
}
pub mod guest {
    pub use crate::guest::main;
}
pub mod kernel {
    pub use crate::kernel::{cached, resolve};
    pub mod bootable {
        pub use crate::kernel::bootable::Kernel;
    }
    pub mod build {
        pub mod ingredients {
            pub use crate::kernel::build::ingredients::Options;
        }
    }
    pub mod distribution {
        pub use crate::kernel::distribution::usual;
    }
    pub mod external {
        pub mod git {
            pub use crate::kernel::external::git::{Repo, git};
        }
    }
    pub mod image {
        pub use crate::kernel::image::identify;
    }
    pub mod source {
        pub use crate::kernel::source::debian;
        pub mod catalog {
            pub use crate::kernel::source::catalog::Catalog;
        }
        pub mod change {
            pub use crate::kernel::source::change::{Applied, Change};
        }
        pub mod snapshot {
            pub use crate::kernel::source::snapshot::{Snapshot, SourceTree};
        }
    }
}
pub mod os {
    pub mod cache {
        pub use crate::os::cache::{Cache, install_atomically};
    }
    pub mod process {
        pub use crate::os::process::Child;
    }
    pub mod progress {
        pub use crate::os::progress::Ui;
    }
}
pub mod probe {
    pub use crate::probe::{site_text, slabinfo};
    pub mod control_allocs {
        pub use crate::probe::control_allocs::ControlAllocs;
    }
    pub mod counters {
        pub use crate::probe::counters::SiteSource;
    }
}
pub mod protocol {
    pub use crate::protocol::request;
    pub mod agent {
        pub use crate::protocol::agent::{Agent, AgentError};
    }
    pub mod message {
        pub use crate::protocol::message::{
            CommandLine, CommandOutput, Confinement, MOST_LISTED_PLAINLY, Ready, Request, Response, RoundStats,
        };
    }
    pub mod timing {
        pub use crate::protocol::timing::CacheState;
    }
}
pub mod run {
    pub use crate::run::{live, run};
    pub mod options {
        pub use crate::run::options::{LISTINGS, Options};
    }
}
pub mod sample {
    pub use crate::sample::{CounterKind, Growth, Sample, Site, SourceLine, growth, since};
}
pub mod scenario {
    pub use crate::scenario::{FileSystem, Overrides, Rounds, Scenario, ServerKind, load, select};
}
pub mod score {
    pub use crate::score::{Row, patches};
    pub mod header {
        pub use crate::score::header::{Header, Kind};
    }
}
pub mod stats {
    pub mod estimate {
        pub use crate::stats::estimate::{CONFIDENCE, Estimate};
    }
    pub mod net_growth {
        pub use crate::stats::net_growth::{Round, net_growth, rarest, units_wanted};
    }
    pub mod theil_sen {
        pub use crate::stats::theil_sen::BoundWidth;
    }
}
pub mod verdict {
    pub mod block {
        pub use crate::verdict::block::Block;
    }
    pub mod dose_order {
        pub use crate::verdict::dose_order::Doses;
    }
    pub mod judge {
        pub use crate::verdict::judge::{
            Counter, CounterVerdict, Judgement, MIN_RATE, Phase, bound_width, judge, judge_with,
        };
    }
}
pub mod vm {
    pub use crate::vm::accelerator;
    pub mod console {
        pub use crate::vm::console::MOST_LOG_BYTES;
    }
    pub mod machine {
        pub use crate::vm::machine::{Limits, Vm};
    }
    pub mod qemu {
        pub use crate::vm::qemu::PROGRAM;
    }
    pub mod sandbox {
        pub use crate::vm::sandbox::Sandbox;
    }
}
pub mod workload {
    pub use crate::workload::populate;
    pub mod check {
        pub use crate::workload::check::{Check, Inodes, Other, Presence, walk_and_check};
    }
    pub mod listing {
        pub use crate::workload::listing::{Lister, processes, threads};
        pub mod entry {
            pub use crate::workload::listing::entry::{Call, Counts, Dirent, ListError, ReadMethod, Stat};
        }
        pub mod getdents {
            pub use crate::workload::listing::getdents::Buffer;
        }
    }
}
