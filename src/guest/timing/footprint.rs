//! What a listing leaves in the kernel's caches, and what timing its calls adds to it.

use crate::error::{Error, Result};
use crate::guest::agent::GuestAgent;
use crate::probe::procfs;
use crate::protocol::timing::Footprint;
use crate::scenario::Step;
use crate::scenario::step::Pass;
use crate::workload::listing::timed::{self, ReadOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Listings in either way that show what timing adds; fewer where they are long, which little disturbs.
const COMPARED_LISTINGS: u32 = 3;
const COMPARED_LONG_ENOUGH: Duration = Duration::from_millis(200);

impl GuestAgent {
    /// Makes a cold listing that is checked, between readings of what the kernel keeps.
    pub(in crate::guest) fn footprint(&mut self) -> Result<Footprint> {
        let (pass, root) = self.pass();
        let plain = Pass { every: None, ..pass.clone() };
        let before = self.measuring.rest.read_once()?.objects;
        let pages_before = procfs::page_cache_bytes()?;
        let worked = self.list_once(vec![Step::List(plain)])?;
        if worked.cold_listings == 0 {
            return Err(Error::kernel("a listing after caches were dropped sent no READDIR: they are not dropped"));
        }
        self.measuring.rest.counters().slabs().shrink();
        let held = self.measuring.rest.counters().slabs().read()?.objects;
        let pages_held = procfs::page_cache_bytes()?;
        let course = self.read_options(&pass);
        let compared = !course.stat && !course.walk;
        let (timed_seconds, bare_seconds) = if compared { compare(&root, course)? } else { (None, None) };
        let left = self.measuring.rest.read_once()?.objects;
        let pages_left = procfs::page_cache_bytes()?;
        let caches = self.bytes(&before, &held);
        Ok(Footprint {
            broken: worked.broken,
            slab_held_bytes: caches.values().sum(),
            slab_left_bytes: self.bytes(&before, &left).values().sum(),
            page_held_bytes: pages_held - pages_before,
            page_left_bytes: pages_left - pages_before,
            caches: caches.into_iter().filter(|(_, bytes)| *bytes > 0).collect(),
            timed_seconds,
            bare_seconds,
        })
    }

    /// Returns what each slab cache grew by.
    fn bytes(&self, before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
        let layouts = self.measuring.rest.counters().slabs().layouts();
        let slot = |cache: &str| layouts.get(cache).map_or(0, |layout| layout.slot_bytes as i64);
        let mut grown = crate::sample::growth(before, after);
        grown.iter_mut().for_each(|(cache, grown)| *grown *= slot(cache));
        grown
    }
}

/// Makes warm listings in both ways, taking turns; the shortest of each, as whatever else happens only adds.
fn compare(root: &Path, course: ReadOptions) -> Result<(Option<f64>, Option<f64>)> {
    let (mut timed, mut bare, mut spent) = (Duration::MAX, Duration::MAX, Duration::ZERO);
    for _ in 0..COMPARED_LISTINGS {
        let took = [timed::list(root, course, |_| Ok(()))?.time, timed::bare(root, course.buffer_bytes)?];
        (timed, bare) = (timed.min(took[0]), bare.min(took[1]));
        spent += took.iter().sum::<Duration>();
        if spent > COMPARED_LONG_ENOUGH {
            break;
        }
    }
    Ok((Some(timed.as_secs_f64()), Some(bare.as_secs_f64())))
}
