//! A clean verdict that others rely on is asked again with another seed: other names, another order of the doses.

use super::measure_args::Measure;
use crate::boot::job::{BootOptions, second_seed};
use crate::error::Result;
use crate::kernel::bootable::Kernel;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::record::{RunRecord, Verdict};
use crate::run::options::Options;
use crate::scenario::Scenario;

/// Asks again about each patched kernel that was clean. Pairs come unpatched first.
pub fn confirm(
    measure: &Measure,
    pairs: &[(&Scenario, &Kernel)],
    records: &mut [RunRecord],
    cache: &Cache,
    ui: &Ui,
) -> Result<()> {
    let is_patched = |place: &usize| place % 2 == 1 && records[*place].verdict == Verdict::Clean;
    let again: Vec<usize> = (0..records.len()).filter(is_patched).collect();
    let options = measure.options();
    let boot = BootOptions { seed: second_seed(options.boot.seed), ..options.boot };
    let options = Options { boot, ..options };
    let asked: Vec<_> = again.iter().map(|place| pairs[*place]).collect();
    let seconds = measure.run_with(&options, &asked, cache, ui)?;
    for (place, second) in again.into_iter().zip(seconds) {
        records[place] = records[place].clone().with_second(second);
    }
    Ok(())
}
