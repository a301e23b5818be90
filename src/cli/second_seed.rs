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
        records[place] = both(records[place].clone(), second);
    }
    Ok(())
}

/// Returns the first record with the seed of the second, if both are clean, else the second: one that is not clean says more.
fn both(mut first: RunRecord, mut second: RunRecord) -> RunRecord {
    if second.verdict == Verdict::Clean {
        first.other_seeds.push(second.seed);
        first.seconds += second.seconds;
        return first;
    }
    second.notes.push(format!("with the seed {} it was clean", first.seed));
    second
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::example;

    #[test]
    fn two_clean_guests_are_one_clean_record_with_both_seeds() {
        let record = both(example::clean(), RunRecord { seed: 7, ..example::clean() });
        assert_eq!((record.verdict, record.seed, record.other_seeds.as_slice()), (Verdict::Clean, 42, &[7][..]));
    }

    #[test]
    fn guest_that_is_not_clean_is_the_one_that_counts() {
        let record = both(example::clean(), RunRecord { seed: 7, ..example::leak() });
        assert_eq!((record.verdict, record.seed), (Verdict::Leak, 7));
        assert_eq!(record.notes, ["with the seed 42 it was clean"]);
    }
}
