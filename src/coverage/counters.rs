//! The counters of a file of source, as a guest sends them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A file has some hundreds of counters, and the largest of NFS some ten thousand.
pub const MOST_COUNTERS: u64 = 1 << 20;

/// The counters of a file of which some are not zero.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
pub struct FileCounters {
    /// Below the source tree, without its ending: `fs/nfs/dir`.
    pub file: String,
    /// Of the compilation.
    pub stamp: u32,
    /// How many counters are zero, how many behind them are not, and so on; what is behind the last is zero.
    pub runs: Vec<u64>,
    /// The counters that are not, in their order.
    pub counts: Vec<u64>,
}

impl FileCounters {
    /// Packs the counters of a file.
    pub fn pack(file: String, stamp: u32, counters: impl Iterator<Item = u64>) -> Self {
        let (mut runs, mut counts) = (Vec::new(), Vec::new());
        let (mut length, mut was_reached) = (0, false);
        for counter in counters {
            if (counter > 0) != was_reached {
                runs.push(std::mem::take(&mut length));
                was_reached = counter > 0;
            }
            length += 1;
            counts.extend(Some(counter).filter(|counter| *counter > 0));
        }
        runs.extend(Some(length).filter(|_| was_reached));
        Self { file, stamp, runs, counts }
    }

    /// Returns the counters up to the last that is not zero.
    pub fn unpack(&self) -> Vec<u64> {
        let mut counts = self.counts.iter().copied();
        let runs = self.runs.iter().enumerate();
        runs.flat_map(|(at, length)| vec![at % 2 == 1; *length as usize])
            .map(|is_reached| if is_reached { counts.next().unwrap_or_default() } else { 0 })
            .collect()
    }

    /// Fails unless the numbers fit together; the error says what is wrong.
    pub fn check(&self) -> Result<(), String> {
        let sum = |runs: &mut dyn Iterator<Item = &u64>| runs.fold(0u64, |sum, run| sum.saturating_add(*run));
        let (counters, reached) = (sum(&mut self.runs.iter()), sum(&mut self.runs.iter().skip(1).step_by(2)));
        if counters > MOST_COUNTERS {
            return Err(format!("{counters} counters in a file"));
        }
        if reached == self.counts.len() as u64 {
            Ok(())
        } else {
            Err(format!("{} counts of {reached} counters", self.counts.len()))
        }
    }
}

/// Counters of several readings, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    files: BTreeMap<String, FileCounters>,
}

impl Totals {
    /// Adds counters that were set to zero after those that are there were read.
    pub fn add<'a>(&mut self, later: impl IntoIterator<Item = &'a FileCounters>) {
        for file in later {
            let Some(known) = self.files.get_mut(&file.file) else {
                self.files.insert(file.file.clone(), file.clone());
                continue;
            };
            let (mut sum, mut more) = (known.unpack(), file.unpack());
            if sum.len() < more.len() {
                std::mem::swap(&mut sum, &mut more);
            }
            sum.iter_mut().zip(&more).for_each(|(sum, more)| *sum = sum.saturating_add(*more));
            *known = FileCounters::pack(file.file.clone(), file.stamp, sum.into_iter());
        }
    }

    /// Returns the counters of each file of which some are not zero.
    pub fn files(&self) -> impl Iterator<Item = &FileCounters> {
        self.files.values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_the_same_after_packing_up_to_the_last_that_is_reached() {
        let table: [(&[u64], &[u64], usize); 5] = [
            (&[], &[], 0),
            (&[0, 0], &[], 0),
            (&[5], &[0, 1], 1),
            (&[0, 0, 7, 8, 0, 9, 0], &[2, 2, 1, 1], 6),
            (&[1, 0, 2], &[0, 1, 1, 1], 3),
        ];
        for (counters, runs, kept) in table {
            let packed = FileCounters::pack("fs/nfs/dir".into(), 3, counters.iter().copied());
            assert_eq!(packed.runs, runs, "{counters:?}");
            assert_eq!(packed.unpack(), counters[..kept], "{counters:?}");
            assert_eq!(packed.check(), Ok(()));
        }
    }

    #[test]
    fn counters_of_readings_add_up_whichever_is_longer() {
        let packed = |file: &str, counters: &[u64]| FileCounters::pack(file.into(), 3, counters.iter().copied());
        let mut totals = Totals::default();
        totals.add(&[packed("a", &[0, 1])]);
        totals.add(&[packed("a", &[2, 0, 0, 4]), packed("b", &[9])]);
        totals.add(&[packed("a", &[1])]);
        let told: Vec<_> = totals.files().map(|file| (file.file.as_str(), file.unpack())).collect();
        assert_eq!(told, [("a", vec![3, 1, 0, 4]), ("b", vec![9])]);
    }

    #[test]
    fn numbers_that_do_not_fit_together_are_refused() {
        let check = |runs: &[u64], counts: &[u64]| {
            FileCounters { runs: runs.to_vec(), counts: counts.to_vec(), ..FileCounters::default() }.check()
        };
        assert_eq!(check(&[0, 2], &[1]), Err("1 counts of 2 counters".into()));
        assert_eq!(check(&[u64::MAX, 2], &[1, 1]), Err(format!("{} counters in a file", u64::MAX)));
        assert_eq!(check(&[3, 2], &[1, 1]), Ok(()));
    }
}
