//! Objects that were allocated while it was watched and not freed so far: a sample of them, by address, that takes bounded memory however
//! long it goes on.
//!
//! An object is gone when its free is seen, and also when its address is given out again, to whomever: frees in bulk have no tracepoint
//! (`kmem_cache_free_bulk`, which is what `kfree_rcu` uses), and what they free is soon allocated anew.

use std::collections::HashMap;

/// Objects that are kept; when there are more, half of the addresses are let go.
const MOST_OBJECTS: usize = 1 << 16;
/// Call sites that are told apart.
const MOST_SITES: usize = 1 << 12;
/// The lowest bit of an address by which the sample is drawn: below it lie the objects of one page.
const FIRST_BIT: u32 = 12;
/// Coarser than one page of so many, as a power of two, no sample is.
pub const COARSEST: u32 = 14;
/// Parts of the time in which objects were allocated that are told: what leaks stays from each of them.
pub const PARTS: usize = 3;

/// Which addresses are looked at: those in one page of two to this power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AddressSample(u32);

impl AddressSample {
    /// Makes the sample of one page of two to the power of `bits`.
    pub fn new(bits: u32) -> Self {
        Self(bits.min(COARSEST))
    }

    /// Makes the coarsest sample that is no coarser than it must be, for as many times as many events as there may be.
    pub fn for_excess(times: f64) -> Self {
        Self::new(times.max(1.0).log2().ceil() as u32)
    }

    /// Returns the sample of half as many addresses; `None` if there is none.
    pub fn coarser(self) -> Option<Self> {
        (self.0 < COARSEST).then_some(Self(self.0 + 1))
    }

    fn mask(self) -> u64 {
        ((1 << self.0) - 1) << FIRST_BIT
    }

    fn has(self, address: u64) -> bool {
        address & self.mask() == 0
    }

    /// Returns what the kernel is given to leave out all other addresses (kernel/trace/trace_events_filter.c).
    pub fn filter(self) -> String {
        if self.0 == 0 { "0".into() } else { format!("!(ptr & {:#x})", self.mask()) }
    }

    /// Tells how few addresses are looked at: one in so many.
    pub fn one_in(self) -> u64 {
        1 << self.0
    }

    /// Returns for how many objects one stands. Places of two pages and more begin at a multiple of their size (mm/slab_common.c, since
    /// Linux 5.4), so that the lower bits are the same of all.
    fn weight(self, slot_bytes: u64) -> u64 {
        let same = if slot_bytes.is_power_of_two() { slot_bytes.ilog2().saturating_sub(FIRST_BIT) } else { 0 };
        1 << self.0.saturating_sub(same)
    }
}

/// Who allocated objects, and from where.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SurvivorSite {
    pub function: String,
    /// The counter of their cache; `None` where none is known.
    pub counter: Option<String>,
    /// Bytes that an object takes.
    pub slot_bytes: u64,
}

/// What a site has allocated and not freed, as far as it is old enough. Numbers of objects stand for those that were not looked at, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Survived {
    pub site: SurvivorSite,
    pub objects: u64,
    /// Seconds since the oldest was allocated.
    pub oldest_seconds: f64,
    /// By the time in which the objects were allocated.
    pub per_second: f64,
    /// Objects that were looked at, by the part of that time in which they were allocated, the first one first.
    pub parts: [u64; PARTS],
}

#[derive(Clone, Copy, Debug)]
struct Object {
    site: u16,
    born_ns: u64,
}

/// The sample.
#[derive(Debug)]
pub struct Survivors {
    sample: AddressSample,
    objects: HashMap<u64, Object>,
    sites: Vec<SurvivorSite>,
    numbers: HashMap<SurvivorSite, u16>,
    /// From when on all frees were seen.
    since_ns: u64,
}

impl Survivors {
    /// Begins without any.
    pub fn new(sample: AddressSample, now_ns: u64) -> Self {
        Self { sample, objects: HashMap::new(), sites: Vec::new(), numbers: HashMap::new(), since_ns: now_ns }
    }

    pub fn sample(&self) -> AddressSample {
        self.sample
    }

    /// Returns the number of a site; `None` if there are too many.
    pub fn number(&mut self, site: SurvivorSite) -> Option<u16> {
        if let Some(number) = self.numbers.get(&site) {
            return Some(*number);
        }
        let number = (self.sites.len() < MOST_SITES).then_some(self.sites.len() as u16)?;
        self.numbers.insert(site.clone(), number);
        self.sites.push(site);
        Some(number)
    }

    /// Notes an allocation, of a site of `None` if nobody asks about it: whatever was at the address is gone.
    pub fn allocated(&mut self, time_ns: u64, address: u64, site: Option<u16>) {
        match site.filter(|_| self.sample.has(address) && time_ns >= self.since_ns) {
            Some(site) => _ = self.objects.insert(address, Object { site, born_ns: time_ns }),
            None => self.freed(address),
        }
    }

    /// Notes a free.
    pub fn freed(&mut self, address: u64) {
        self.objects.remove(&address);
    }

    /// Returns whether there are more objects than are to be kept.
    pub fn are_too_many(&self) -> bool {
        self.objects.len() > MOST_OBJECTS
    }

    /// Keeps only what is in a coarser sample.
    pub fn coarsen(&mut self, sample: AddressSample) {
        self.sample = sample;
        self.objects.retain(|address, _| sample.has(*address));
        self.objects.shrink_to(MOST_OBJECTS);
    }

    /// Forgets all objects: of what was allocated before now frees may not have been seen.
    pub fn forget(&mut self, sample: AddressSample, now_ns: u64) {
        self.objects.clear();
        (self.sample, self.since_ns) = (sample, now_ns);
    }

    /// Returns from when on all frees were seen.
    pub fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// Returns for how many seconds all frees were seen.
    pub fn seconds(&self, now_ns: u64) -> f64 {
        seconds_between(self.since_ns, now_ns)
    }

    /// Returns what was allocated longer than `age_seconds` ago, by site, most bytes first; nothing as long as that is no longer than the
    /// time in which it could be.
    pub fn older_than(&self, age_seconds: f64, now_ns: u64) -> Vec<Survived> {
        let span = self.seconds(now_ns) - age_seconds;
        if span < age_seconds {
            return Vec::new();
        }
        let mut told: HashMap<u16, Survived> = HashMap::new();
        for object in self.objects.values() {
            let (age, born) = (seconds_between(object.born_ns, now_ns), seconds_between(self.since_ns, object.born_ns));
            if age < age_seconds {
                continue;
            }
            let site = &self.sites[usize::from(object.site)];
            let survived = told.entry(object.site).or_insert_with(|| Survived {
                site: site.clone(),
                objects: 0,
                oldest_seconds: 0.0,
                per_second: 0.0,
                parts: [0; PARTS],
            });
            survived.objects += self.sample.weight(site.slot_bytes);
            survived.oldest_seconds = survived.oldest_seconds.max(age);
            survived.parts[((born / span * PARTS as f64) as usize).min(PARTS - 1)] += 1;
        }
        let mut told: Vec<Survived> = told.into_values().collect();
        told.iter_mut().for_each(|survived| survived.per_second = survived.objects as f64 / span);
        told.sort_by(|a, b| (b.bytes(), &a.site.function).cmp(&(a.bytes(), &b.site.function)));
        told
    }
}

impl Survived {
    /// Returns the bytes that the objects take.
    pub fn bytes(&self) -> u64 {
        self.objects * self.site.slot_bytes
    }

    /// Returns whether objects of every part of the time stay, and as many of the first as of the last: what a cache holds, or what is
    /// freed late, gets fewer with age.
    pub fn is_steady(&self) -> bool {
        /// By fewer nothing is told.
        const FEWEST: u64 = 4;
        /// Of the number that the first part has, the last may have so many times as many.
        const MOST_TIMES: u64 = 2;
        let [first, .., last] = self.parts;
        self.parts.iter().all(|objects| *objects >= FEWEST) && first * MOST_TIMES >= last
    }
}

fn seconds_between(begin_ns: u64, end_ns: u64) -> f64 {
    end_ns.saturating_sub(begin_ns) as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn site(function: &str) -> SurvivorSite {
        SurvivorSite { function: function.into(), counter: Some("kmalloc-4k".into()), slot_bytes: 4096 }
    }

    /// Returns survivors after `seconds` in which a site allocated ten objects in each, of which it freed those that `is_freed` names.
    fn watched(sample: AddressSample, seconds: u64, is_freed: impl Fn(u64) -> bool) -> Survivors {
        let mut survivors = Survivors::new(sample, 0);
        let number = survivors.number(site("nfs4_delegation_hash_alloc"));
        for n in 0..10 * seconds {
            let address = 0xffff_8880_0000_0000 + 4096 * n;
            survivors.allocated(n * SECOND / 10, address, number);
            if is_freed(n) {
                survivors.freed(address);
            }
        }
        survivors
    }

    #[test]
    fn what_is_never_freed_is_told_by_site_with_its_pace_and_its_age() {
        let told = watched(AddressSample::new(0), 600, |_| false).older_than(120.0, 600 * SECOND);
        let [leak] = &told[..] else { panic!("{told:?}") };
        assert_eq!((leak.objects, leak.bytes(), leak.oldest_seconds), (4801, 4801 * 4096, 600.0));
        assert!((leak.per_second - 10.0).abs() < 0.01 && leak.is_steady(), "{leak:?}");
        assert!(watched(AddressSample::new(0), 600, |_| true).older_than(120.0, 600 * SECOND).is_empty());
    }

    #[test]
    fn sample_stands_for_what_was_not_looked_at() {
        let told = watched(AddressSample::new(3), 600, |_| false).older_than(120.0, 600 * SECOND);
        assert!((told[0].objects as f64 / 4801.0 - 1.0).abs() < 0.01, "{told:?}");
        assert_eq!(told[0].parts.iter().sum::<u64>(), told[0].objects / 8);
    }

    #[test]
    fn nothing_is_told_before_it_was_watched_twice_as_long_as_objects_are_to_live() {
        let survivors = watched(AddressSample::new(0), 239, |_| false);
        assert!(survivors.older_than(120.0, 239 * SECOND).is_empty());
        assert!(!survivors.older_than(120.0, 240 * SECOND).is_empty());
    }

    #[test]
    fn what_fills_and_then_stays_full_is_not_steady_and_what_is_freed_late_neither() {
        let filled = watched(AddressSample::new(0), 600, |n| n > 1000).older_than(120.0, 600 * SECOND);
        assert!(!filled[0].is_steady(), "{filled:?}");
        let late = watched(AddressSample::new(0), 600, |n| n < 4000).older_than(120.0, 600 * SECOND);
        assert!(!late[0].is_steady(), "{late:?}");
    }

    #[test]
    fn address_that_is_given_out_again_was_freed_unseen() {
        let mut survivors = Survivors::new(AddressSample::new(0), 0);
        let number = survivors.number(site("nfs_opendir"));
        (0..100).for_each(|n| survivors.allocated(n * SECOND, 4096 * n, number));
        (0..50).for_each(|n| survivors.allocated(100 * SECOND, 4096 * n, None));
        assert_eq!(survivors.older_than(1.0, 200 * SECOND)[0].objects, 50);
    }

    #[test]
    fn sample_takes_half_of_the_addresses_each_time_and_keeps_what_it_has_of_them() {
        let mut survivors = watched(AddressSample::new(0), 600, |_| false);
        let of = |survivors: &Survivors| survivors.older_than(120.0, 600 * SECOND)[0].objects as f64;
        let all = of(&survivors);
        for bits in 1..6 {
            survivors.coarsen(survivors.sample().coarser().unwrap());
            assert_eq!((survivors.sample(), survivors.sample().one_in()), (AddressSample::new(bits), 1 << bits));
            assert!((of(&survivors) / all - 1.0).abs() < 0.02, "{bits}");
        }
        assert_eq!(AddressSample::new(COARSEST).coarser(), None);
        assert!(AddressSample::for_excess(1e9) == AddressSample::new(COARSEST));
        assert_eq!([0.1, 1.0, 1.5, 8.0].map(AddressSample::for_excess), [0, 0, 1, 3].map(AddressSample::new));
    }

    #[test]
    fn kernel_is_asked_for_the_addresses_that_are_kept() {
        assert_eq!(AddressSample::new(0).filter(), "0");
        assert_eq!(AddressSample::new(3).filter(), "!(ptr & 0x7000)");
        let sample = AddressSample::new(3);
        assert!(sample.has(0x10_8fff) && !sample.has(0x10_9000) && !sample.has(0x10_c000));
        assert_eq!([64, 4096, 8192, 16_384, 1 << 20].map(|bytes| sample.weight(bytes)), [8, 8, 4, 2, 1]);
        assert_eq!(sample.weight(9000), 8, "no size class");
    }

    #[test]
    fn number_of_objects_and_of_sites_is_bounded() {
        let mut survivors = Survivors::new(AddressSample::new(0), 0);
        let number = survivors.number(site("nfs_opendir"));
        let mut n = 0;
        while !survivors.are_too_many() {
            survivors.allocated(0, 4096 * n, number);
            n += 1;
        }
        assert_eq!(n, MOST_OBJECTS as u64 + 1);
        survivors.coarsen(survivors.sample().coarser().unwrap());
        assert!(!survivors.are_too_many());
        let numbers: Vec<_> = (0..MOST_SITES).map(|n| survivors.number(site(&format!("nfs_{n}")))).collect();
        assert!(numbers[0].is_some() && numbers[MOST_SITES - 1].is_none(), "one is there already");
        assert_eq!(survivors.number(site("nfs_opendir")), Some(0));
    }

    #[test]
    fn what_was_allocated_before_frees_were_lost_is_forgotten() {
        let mut survivors = watched(AddressSample::new(0), 100, |_| false);
        survivors.forget(AddressSample::new(1), 100 * SECOND);
        let number = survivors.number(site("nfs4_delegation_hash_alloc"));
        survivors.allocated(99 * SECOND, 0, number);
        assert!(survivors.older_than(1.0, 200 * SECOND).is_empty());
        survivors.allocated(101 * SECOND, 0, number);
        assert_eq!((survivors.older_than(1.0, 200 * SECOND)[0].objects, survivors.seconds(200 * SECOND)), (2, 100.0));
    }
}
