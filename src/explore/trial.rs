//! A candidate tried cheaply, in a guest that it shares with others: growth over a few repetitions of the unit, in two windows of which the
//! second has twice as many, and then in a third, if both say that it grows.

use super::symptom::Symptom;
use crate::coverage::counters::FileCounters;
use crate::probe::mountstats::Rpcs;
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::RoundStats;
use crate::protocol::request::{
    Coverage, Glance, ResetCoverage, SetUp, SitesByCounter, TypedRequest, Unmount, Work, request,
};
use crate::run::call_sites::call_sites;
use crate::run::size_classes::{self, with_sum};
use crate::sample::{Growth, Sample, growth, since};
use crate::scenario::Scenario;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// Units in which what is done once is done.
const WARM_UP: u64 = 3;
/// Units of the windows.
const WINDOWS: [u64; 2] = [4, 8];
/// Units in which it is asked who allocates, and of the control round behind them.
const THIRD: u64 = 24;
/// Units of the warm-up that take longer together, in seconds, are too slow to try many of.
const SLOW: f64 = 8.0;
/// Growth of a window that is no more than counters at rest move by.
const NOISE: i64 = 2;
/// Counters that are followed.
const MOST_FOLLOWED: usize = 12;
/// Of what grows, of who allocates a part so large that it is told.
const TOLD_SHARE: f64 = 0.1;

/// What was seen of a candidate.
#[derive(Debug, Default)]
pub struct Tried {
    pub symptoms: Vec<Symptom>,
    /// Whether its units take too long to be tried.
    pub is_slow: bool,
    /// What grew and was gone when it was unmounted.
    pub until_unmount: Vec<String>,
    /// What it did, by which candidates are told apart that do the same.
    pub features: BTreeSet<String>,
    /// The counters of the kernel's code that were not zero behind its units, by file, where they are asked for.
    pub reached: BTreeMap<String, BTreeSet<u32>>,
    /// Units that were made.
    pub units: u64,
    /// How long it was set up, worked and read, in seconds.
    pub seconds: BTreeMap<&'static str, f64>,
}

/// Returns the counters that grew as much in the second window, unit by unit, as in the first, or more, and by what counts in both.
pub fn suspects(grown: &[Growth; 2], min_rate: f64) -> Vec<String> {
    let mut suspects: Vec<(&String, i64)> = Vec::new();
    for (name, second) in &grown[1] {
        let first = grown[0].get(name).copied().unwrap_or(0);
        let counts = |objects: i64, units: u64| objects as f64 >= min_rate * units as f64;
        // What fills a cache comes to its end: half of the rate of before is less than chance makes of a leak.
        let goes_on = *second as f64 / WINDOWS[1] as f64 >= 0.5 * first as f64 / WINDOWS[0] as f64;
        if counts(first, WINDOWS[0]) && first >= NOISE && counts(*second, WINDOWS[1]) && *second > NOISE && goes_on {
            suspects.push((name, *second));
        }
    }
    let has_class = suspects.iter().any(|(name, _)| name.starts_with("kmalloc-"));
    suspects.retain(|(name, _)| name.as_str() != size_classes::COUNTER || !has_class);
    suspects.sort_by_key(|(_, second)| -second);
    suspects.into_iter().take(MOST_FOLLOWED).map(|(name, _)| name.clone()).collect()
}

/// Returns whether a counter still grew in the third window, beyond what as many units of a local directory make it grow by.
pub fn goes_on(grown: i64, control: i64, min_rate: f64) -> bool {
    let net = grown - control.max(0);
    net > NOISE && net as f64 >= min_rate * THIRD as f64
}

/// A guest while it tries candidates.
pub struct Trial<'a> {
    pub agent: &'a mut dyn Agent,
    pub min_rate: f64,
    pub seed: u64,
    /// Whether the kernel counts what is executed of its code.
    pub is_guided: bool,
}

impl Trial<'_> {
    /// Tries a candidate and unmounts it.
    pub fn run(&mut self, scenario: &Scenario) -> Result<Tried, AgentError> {
        let mut tried = Tried::default();
        let set_up = SetUp { scenario: Box::new(scenario.clone()), seed: self.seed };
        timed(&mut tried, "set up", || self.request(set_up))?;
        if self.is_guided {
            self.request(ResetCoverage {})?;
        }
        let mut readings = Vec::new();
        let mut is_broken = false;
        for units in [WARM_UP].into_iter().chain(WINDOWS) {
            is_broken = self.work(units, &mut tried)?;
            tried.is_slow = tried.seconds["work"] > SLOW && units == WARM_UP;
            if is_broken || tried.is_slow {
                break;
            }
            readings.push(timed(&mut tried, "read", || self.read())?);
        }
        if self.is_guided {
            let files = timed(&mut tried, "code", || self.request(Coverage {}))?;
            tried.reached = files.iter().map(|file| (file.file.clone(), reached(file))).collect();
        }
        if let ([before, middle, after], false) = (readings.as_slice(), is_broken) {
            let grown = [growth(&before.objects, &middle.objects), growth(&middle.objects, &after.objects)];
            tried.features.extend(shapes(&grown));
            let suspects = suspects(&grown, self.min_rate);
            if !suspects.is_empty() {
                let begin = Instant::now();
                self.follow(suspects, before, after.clone(), &mut tried)?;
                *tried.seconds.entry("follow").or_default() += begin.elapsed().as_secs_f64();
                return Ok(tried);
            }
        }
        timed(&mut tried, "set up", || self.request(Unmount {}))?;
        Ok(tried)
    }

    /// Makes units; says whether one was wrong.
    fn work(&mut self, units: u64, tried: &mut Tried) -> Result<bool, AgentError> {
        let work = Work { listings: units, fillers: 0, at_least_seconds: Some(0.0) };
        let worked = timed(tried, "work", || self.request(work))?;
        tried.units += worked.listings.min(units);
        tried.features.extend(features(&worked));
        match worked.broken {
            Some(sentence) => {
                tried.symptoms.push(Symptom::Broken { sentence });
                Ok(true)
            }
            None => Ok(false),
        }
    }

    fn read(&mut self) -> Result<Sample, AgentError> {
        Ok(with_sum(self.request(Glance {})?.sample))
    }

    /// Looks who allocates what grows, whether the same in a local directory lets it grow, too, and whether unmounting frees it.
    fn follow(
        &mut self,
        suspects: Vec<String>,
        first: &Sample,
        last: Sample,
        tried: &mut Tried,
    ) -> Result<(), AgentError> {
        let sites = self.sites(&suspects)?;
        if self.work(THIRD, tried)? {
            return self.request(Unmount {});
        }
        let after = self.read()?;
        let sites_after = self.sites(&suspects)?;
        self.request(Work { listings: 0, fillers: THIRD, at_least_seconds: Some(0.0) })?;
        let control = growth(&after.objects, &self.read()?.objects);
        let third = growth(&last.objects, &after.objects);
        self.request(Unmount {})?;
        let unmounted = self.read()?;
        for counter in suspects {
            let of = |growth: &Growth| growth.get(&counter).copied().unwrap_or(0);
            if !goes_on(of(&third), of(&control), self.min_rate) {
                continue;
            }
            let whole = of(&growth(&first.objects, &after.objects));
            if 2 * of(&growth(&first.objects, &unmounted.objects)) < whole {
                tried.until_unmount.push(counter);
                continue;
            }
            let rate = (of(&third) - of(&control)) as f64 / THIRD as f64;
            tried.symptoms.extend(who(&counter, rate, &sites, &sites_after));
        }
        Ok(())
    }

    fn sites(&mut self, counters: &[String]) -> Result<SitesByCounter, AgentError> {
        self.request(crate::protocol::request::Sites { caches: counters.to_vec() })
    }

    fn request<R: TypedRequest>(&mut self, wanted: R) -> Result<R::Answer, AgentError> {
        let answer = request(self.agent, wanted, &mut |_| ());
        self.agent.take_syscall_log();
        answer
    }
}

/// Returns the numbers of the counters of a file that are not zero.
fn reached(file: &FileCounters) -> BTreeSet<u32> {
    (0..).zip(file.unpack()).filter(|(_, count)| *count > 0).map(|(number, _)| number).collect()
}

/// Books how long something takes.
fn timed<T>(tried: &mut Tried, what: &'static str, work: impl FnOnce() -> T) -> T {
    let begin = Instant::now();
    let done = work();
    *tried.seconds.entry(what).or_default() += begin.elapsed().as_secs_f64();
    done
}

/// Returns a symptom for each function that allocated a part of the growth which is worth telling, or one without.
fn who(counter: &str, rate: f64, before: &SitesByCounter, after: &SitesByCounter) -> Vec<Symptom> {
    let none = Vec::new();
    let of = |sites: &SitesByCounter| sites.get(counter).cloned().unwrap_or_else(|| none.clone());
    let grown = call_sites(&since(&of(before), &of(after)));
    let told = grown.into_iter().filter(|site| site.share >= TOLD_SHARE);
    let symptom =
        |function: String, share: f64| Symptom::Grows { counter: counter.into(), function, rate: rate * share };
    let symptoms: Vec<Symptom> = told.map(|site| symptom(site.function, site.share)).collect();
    if symptoms.is_empty() { vec![symptom(String::new(), 1.0)] } else { symptoms }
}

/// Returns what is known of units by what they sent and how it ended, roughly: a power of two is a number.
fn features(worked: &RoundStats) -> Vec<String> {
    let per_unit = |calls: u64| (calls / worked.listings.max(1)).checked_ilog2().map_or(0, |log| log + 1);
    let of = |what: &str, rpcs: &Rpcs| -> Vec<String> {
        rpcs.iter()
            .filter(|(_, calls)| **calls > 0)
            .map(|(name, calls)| format!("{what} {name} {}", per_unit(*calls)))
            .collect()
    };
    let mut features = of("sends", &worked.rpcs);
    features.extend(of("fails", &worked.failed_rpcs));
    features.extend(worked.failures.errors.keys().map(|errno| format!("refused {errno}")));
    if !worked.failures.stack.is_empty() {
        features.push(format!("refused in {}", worked.failures.stack[0]));
    }
    features.extend(
        worked.faults.iter().filter(|fault| fault.happened > 0).map(|fault| format!("happened {:?}", fault.fault.what)),
    );
    features
}

/// Returns which counters moved, and which way.
fn shapes(grown: &[Growth; 2]) -> Vec<String> {
    let moves: BTreeMap<&String, [i64; 2]> =
        grown[1].iter().map(|(name, second)| (name, [grown[0].get(name).copied().unwrap_or(0), *second])).collect();
    let moved = moves.into_iter().filter(|(_, [first, second])| first.max(second) > &NOISE);
    moved.map(|(name, [first, second])| format!("moves {name} {} {}", first.signum(), second.signum())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::{Request, Response};
    use crate::sample::Site;
    use crate::scenario::load;

    fn grown(first: i64, second: i64) -> [Growth; 2] {
        [first, second]
            .map(|objects| Growth::from([("kmalloc-64".to_owned(), objects), ("kmalloc".to_owned(), objects)]))
    }

    #[test]
    fn growth_that_follows_the_units_of_both_windows_is_suspicious() {
        let is = |first, second| !suspects(&grown(first, second), 0.5).is_empty();
        assert!(is(4, 8) && is(2, 4) && is(100, 200) && is(4, 4), "it goes on");
        assert!(!is(0, 8), "it was not there in the first window");
        assert!(!is(8, 0) && !is(30, 10), "it came to an end");
        assert!(!is(1, 2) && !is(-4, -8), "too little, or less");
        assert!(!is(1, 8) && !is(4, 3), "of one window alone");
        assert_eq!(suspects(&grown(4, 8), 0.5), ["kmalloc-64"], "the sum says nothing more");
    }

    #[test]
    fn third_window_counts_what_a_local_directory_does_not_grow_by() {
        assert!(goes_on(24, 0, 0.5) && goes_on(12, -5, 0.5) && goes_on(48, 24, 0.5));
        assert!(!goes_on(11, 0, 0.5) && !goes_on(24, 20, 0.5) && !goes_on(0, 0, 0.5));
    }

    /// A guest in which each unit puts objects into a cache until it is full, which unmounting empties or not.
    struct Guest {
        objects: i64,
        most: i64,
        is_freed_by_unmounting: bool,
        broken: Option<&'static str>,
        locally: i64,
        asked: Vec<&'static str>,
    }

    impl Agent for Guest {
        fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
            let (name, answer) = match order {
                Request::Work { listings, fillers, .. } => {
                    self.objects = (self.objects + *listings as i64 + self.locally * *fillers as i64).min(self.most);
                    let broken = self.broken.map(str::to_owned);
                    ("work", Response::Worked(RoundStats { listings: *listings, broken, ..RoundStats::default() }))
                }
                Request::Glance => {
                    let sample = Sample { objects: [("kmalloc-96".to_owned(), self.objects)].into() };
                    ("read", Response::Sample { sample, settled_seconds: None, clock_seconds: 0.0 })
                }
                Request::Sites { .. } => {
                    let site = |function: &str, objects| Site { function: function.into(), stack: Vec::new(), objects };
                    let sites = vec![site("nfs_opendir", self.objects), site("always_there", 500)];
                    ("sites", Response::Sites { sites: [("kmalloc-96".to_owned(), sites)].into() })
                }
                Request::Unmount => {
                    self.objects *= i64::from(!self.is_freed_by_unmounting);
                    ("unmount", Response::Done)
                }
                _ => ("set up", Response::Done),
            };
            self.asked.push(name);
            Ok(answer)
        }
    }

    fn try_out(mut guest: Guest) -> (Tried, Vec<&'static str>) {
        let tried =
            Trial { agent: &mut guest, min_rate: 0.5, seed: 1, is_guided: false }.run(&load("quick").unwrap()).unwrap();
        (tried, guest.asked)
    }

    fn leaking() -> Guest {
        Guest { objects: 0, most: i64::MAX, is_freed_by_unmounting: false, broken: None, locally: 0, asked: Vec::new() }
    }

    #[test]
    fn leak_is_told_with_who_allocates_and_the_mount_is_taken_down() {
        let (tried, asked) = try_out(leaking());
        let [Symptom::Grows { counter, function, rate }] = tried.symptoms.as_slice() else { panic!("{tried:?}") };
        assert_eq!((counter.as_str(), function.as_str(), *rate), ("kmalloc-96", "nfs_opendir", 1.0));
        assert_eq!(asked.iter().filter(|asked| **asked == "unmount").count(), 1);
        assert_eq!(tried.units, WARM_UP + WINDOWS[0] + WINDOWS[1] + THIRD);
    }

    #[test]
    fn what_fills_or_comes_with_local_units_too_or_goes_with_the_mount_is_not_suspected() {
        let cache = try_out(Guest { most: 20, ..leaking() }).0;
        assert!(cache.symptoms.is_empty(), "{cache:?}");
        let local = try_out(Guest { locally: 1, ..leaking() }).0;
        assert!(local.symptoms.is_empty(), "{local:?}");
        let mounted = try_out(Guest { is_freed_by_unmounting: true, ..leaking() }).0;
        assert!(mounted.symptoms.is_empty() && mounted.until_unmount == ["kmalloc-96"], "{mounted:?}");
    }

    #[test]
    fn quiet_candidate_takes_three_readings_and_a_broken_one_none() {
        let (quiet, asked) = try_out(Guest { most: 0, ..leaking() });
        assert!(quiet.symptoms.is_empty());
        assert_eq!(asked, ["set up", "work", "read", "work", "read", "work", "read", "unmount"]);
        let (broken, asked) = try_out(Guest { broken: Some("a name is missing"), ..leaking() });
        assert_eq!(broken.symptoms, [Symptom::Broken { sentence: "a name is missing".into() }]);
        assert_eq!(asked, ["set up", "work", "unmount"]);
    }
}
