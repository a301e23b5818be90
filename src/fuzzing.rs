//! What the fuzz targets in `fuzz/` call, a function for each: parsers of what somebody else makes, given any bytes. Each lies in the
//! room of its parsers and panics when one breaks a promise.

pub use crate::bench::fuzz::bench;
pub use crate::kernel::fuzz::image;
pub use crate::probe::ftrace::fuzz::{trace, trace_text};
pub use crate::probe::fuzz::{counts, mountstats, page_owner, sites};
pub use crate::report::fuzz::{prediction, report, result};
pub use crate::run::fuzz::course;
pub use crate::scenario::fuzz::scenario;
pub use crate::vm::fuzz::{console, link};
pub use crate::workload::listing::fuzz::dirents;
pub use nfs_fault_server::fuzz::{fault, rpc};

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    type Target = fn(&[u8]);

    /// Feeds every target with the inputs that its fuzzing begins with, so that an input which broke something once
    /// never does again.
    #[test]
    fn every_target_takes_its_seeds() {
        const TARGETS: [(&str, Target); 18] = [
            ("bench", bench),
            ("console", console),
            ("counts", counts),
            ("course", course),
            ("dirents", dirents),
            ("fault", fault),
            ("image", image),
            ("link", link),
            ("mountstats", mountstats),
            ("page_owner", page_owner),
            ("prediction", prediction),
            ("report", report),
            ("result", result),
            ("rpc", rpc),
            ("scenario", scenario),
            ("sites", sites),
            ("trace", trace),
            ("trace_text", trace_text),
        ];
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (name, target) in TARGETS {
            target(b"");
            let files = fs::read_dir(seeds.join(name)).unwrap_or_else(|e| panic!("seeds of {name}: {e}"));
            let taken = files.map(|file| target(&fs::read(file.unwrap().path()).unwrap())).count();
            assert!(taken > 0, "{name} has no seeds");
        }
        let targets = fs::read_dir(seeds).unwrap().count();
        assert_eq!(targets, TARGETS.len(), "seeds of a target that is not tried");
    }
}
