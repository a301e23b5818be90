//! Tests of the course of a run: what an agent is asked, in which order, and what is made of its answers.

use super::further::is_as_promised;
use super::observations::{Observations, Reading};
use super::options::{Options, Until};
use super::session::{Session, SessionResult};
use super::size_classes;
use crate::os::progress::Ui;
use crate::probe::counters::SiteSource;
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::{CgroupUsage, Ready, Request, Response, RoundStats};
use crate::result::parts::RoundKind;
use crate::result::record::{KernelRecord, RunRecord};
use crate::sample::{Sample, Site};
use crate::scenario::Rounds;
use crate::stats::estimate::Estimate;
use crate::verdict::judge::{Counter, CounterVerdict, Judgement};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const ROUNDS: Rounds = Rounds { doses: [4, 12], scout_doses: [2, 6] };
const CACHE: &str = "nfs_direct_cache";

/// A machine whose counters grow as told with each unit, and which notes what it is asked.
struct Machine {
    sample: Sample,
    growth: BTreeMap<String, i64>,
    unit_seconds: f64,
    /// What is wrong with each listing.
    broken: Option<String>,
    /// How many units it makes beyond those that it was asked for.
    beyond: u64,
    keeps_sites: bool,
    counts_lines: bool,
    asked: Vec<String>,
}

impl Machine {
    fn new(growth: &[(&str, i64)]) -> Self {
        let objects = growth.iter().map(|(name, _)| ((*name).to_owned(), 1000)).collect();
        Self {
            sample: Sample { objects },
            growth: growth.iter().map(|(name, grows)| ((*name).to_owned(), *grows)).collect(),
            unit_seconds: 1e-4,
            broken: None,
            beyond: 0,
            keeps_sites: true,
            counts_lines: false,
            asked: Vec::new(),
        }
    }

    fn at_rest() -> Self {
        Self::new(&[(CACHE, 0), ("filp", 0)])
    }

    fn work(&mut self, listings: u64) -> RoundStats {
        for (name, grows) in &self.growth {
            *self.sample.objects.get_mut(name).expect("it is counted") += grows * listings as i64;
        }
        let (listings, seconds) = (listings + self.beyond, self.unit_seconds * listings as f64);
        let broken = self.broken.clone().filter(|_| listings > 0);
        RoundStats { listings, listing_seconds: seconds, seconds, broken, ..RoundStats::default() }
    }

    fn sites(&self, caches: &[String]) -> BTreeMap<String, Vec<Site>> {
        let site = |name: &String| Site {
            function: "nfs_opendir".into(),
            stack: Vec::new(),
            objects: self.sample.objects.get(name).copied().unwrap_or(0),
        };
        caches.iter().filter(|_| self.keeps_sites).map(|name| (name.clone(), vec![site(name)])).collect()
    }

    /// Returns the rounds that it was asked for beside the blocks.
    fn further(&self) -> Vec<&str> {
        let rounds = self.asked.iter().filter_map(|asked| asked.strip_prefix("further "));
        rounds.collect()
    }
}

impl Agent for Machine {
    fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
        let (asked, answer) = match order {
            Request::Work { listings, fillers: 0, at_least_seconds: None } if *listings > 0 => {
                (format!("further {listings}"), Response::Worked(self.work(*listings)))
            }
            Request::Work { listings: 0, fillers: 0, at_least_seconds: Some(seconds) } => {
                (format!("wait {seconds}"), Response::Worked(RoundStats::default()))
            }
            Request::Work { listings, fillers, .. } => {
                (format!("work {listings}+{fillers}"), Response::Worked(self.work(*listings)))
            }
            Request::Glance | Request::Settle => {
                let asked = if matches!(order, Request::Glance) { "glance" } else { "settle" };
                (
                    asked.into(),
                    Response::Sample { sample: self.sample.clone(), settled_seconds: Some(0.1), clock_seconds: 0.0 },
                )
            }
            Request::Sites { caches } => {
                (format!("sites {}", caches.join(" ")), Response::Sites { sites: self.sites(caches) })
            }
            Request::AllocinfoBegin | Request::AllocinfoEnd => {
                ("lines".into(), Response::Allocinfo { lines: self.counts_lines.then(Vec::new) })
            }
            Request::TraceEnd => {
                let site = Site { function: "nfs_opendir".into(), stack: Vec::new(), objects: 20 };
                ("trace".into(), Response::Traced { sites: Some([(CACHE.to_owned(), vec![site])].into()) })
            }
            Request::Charged => {
                let usage = CgroupUsage { bytes: 900, slab_bytes: 300, file_bytes: 40, ..CgroupUsage::default() };
                (
                    "charged".into(),
                    Response::Charged(CgroupUsage { anonymous_bytes: 5, peak_bytes: Some(990), ..usage }),
                )
            }
            _ => ("other".into(), Response::Done),
        };
        self.asked.push(asked);
        Ok(answer)
    }
}

/// Has something done in a session with this machine; gives what came of it and what was seen.
fn with<T>(machine: &mut Machine, options: &Options, run: impl FnOnce(&mut Session) -> T) -> (T, Observations) {
    let mut outcome = Observations::new(RunRecord::begin("made", KernelRecord::default(), 42), options);
    let task = Ui::silent().task("made");
    let given = run(&mut Session::new(machine, &task, &mut outcome));
    (given, outcome)
}

/// Makes the blocks of a run; gives what was seen, the units of all of them, and the seconds of one.
fn blocks(machine: &mut Machine, options: &Options) -> (Observations, u64, f64) {
    let ((dose, seconds), outcome) = with(machine, options, |session| {
        let baseline = session.read_settled(RoundKind::Warmup, 0).unwrap();
        session.blocks(&baseline, &ROUNDS, Until::Decided, options).unwrap();
        (session.dose, session.unit_seconds)
    });
    (outcome, dose, seconds)
}

fn counter(name: &str, rate: f64, says: CounterVerdict) -> Counter {
    Counter { name: name.into(), fit: Estimate { estimate: rate, low: rate, high: rate }, says }
}

#[test]
fn machine_at_rest_is_asked_for_blocks_of_both_doses_and_a_hundred_units() {
    let mut machine = Machine::at_rest();
    let (outcome, dose, seconds) = blocks(&mut machine, &Options::default());
    assert_eq!((dose, seconds), (100, 1e-4));
    use RoundKind::{Control, Dose, Proof, Warmup};
    let kinds: Vec<_> = outcome.record.rounds.iter().map(|round| round.kind).collect();
    assert_eq!(kinds, [Warmup, Dose, Control, Dose, Control, Dose, Control, Dose, Control, Proof]);
    let doses: Vec<u64> = outcome.record.rounds.iter().filter(|r| r.kind == Dose).map(|round| round.dose).collect();
    assert_eq!((doses[0] + doses[1], doses[2] + doses[3]), (8, 16), "{doses:?}");
    let work: Vec<_> = machine.asked.iter().filter_map(|asked| asked.strip_prefix("work ")).collect();
    // Both rounds of a block are as long as the larger dose.
    let rounds = doses
        .iter()
        .zip([6, 6, 12, 12])
        .flat_map(|(dose, most)| [format!("{dose}+{}", most - dose), format!("0+{most}")]);
    // Where nothing is filled up it looks like a further round.
    let expected: Vec<String> = rounds.filter(|round| !round.ends_with("+0") || round == "0+0").collect();
    let filled: Vec<String> = work.iter().map(|work| (*work).to_owned()).filter(|work| !work.ends_with("+0")).collect();
    assert_eq!(filled, expected);
    assert_eq!(machine.further().last(), Some(&"76"));
}

#[test]
fn further_units_are_made_as_far_as_time_allows_and_the_user_wants() {
    let further = |unit_seconds, listings| {
        let mut machine = Machine { unit_seconds, ..Machine::at_rest() };
        let options = Options { listings, ..Options::default() };
        let (outcome, ..) = blocks(&mut machine, &options);
        outcome.record.rounds.iter().filter(|round| round.kind == RoundKind::Proof).map(|r| r.dose).collect::<Vec<_>>()
    };
    // The blocks have 24; four seconds are for more, and fewer than eight say nothing.
    assert_eq!(further(0.1, None), [40]);
    assert_eq!(further(0.5, None), [8]);
    assert_eq!(further(1.0, None), [0; 0]);
    assert_eq!(further(1.0, Some(26)), [2]);
    assert_eq!(further(1.0, Some(24)), [0; 0]);
    assert_eq!(further(1e-4, Some(1000)), [976]);
}

#[test]
fn listing_that_is_wrong_ends_the_rounds_at_the_next_look() {
    let mut machine = Machine { broken: Some("a name came twice".into()), ..Machine::at_rest() };
    let (outcome, dose, _) = blocks(&mut machine, &Options::default());
    assert_eq!((dose, outcome.record.rounds.len()), (8, 5));
    assert_eq!(outcome.broken.as_deref(), Some("a name came twice"));
}

#[test]
fn call_sites_of_what_grows_most_are_asked_for_after_the_first_block() {
    let names: Vec<String> = (0..20).map(|n| format!("cache-{n:02}")).chain(["kmalloc-64".to_owned()]).collect();
    let growth: Vec<(&str, i64)> = names.iter().zip(1..).map(|(name, grows)| (name.as_str(), grows)).collect();
    let mut machine = Machine::new(&growth);
    let (outcome, ..) = blocks(&mut machine, &Options::default());
    let first = outcome.record.rounds[1].dose as i64;
    // The sum of the size classes has no call sites of its own.
    let mut expected: Vec<_> =
        growth.iter().rev().filter(|(_, grows)| grows * first >= 8).map(|(name, _)| *name).collect();
    expected.truncate(16);
    assert_eq!(machine.asked.iter().find_map(|asked| asked.strip_prefix("sites ")).unwrap(), expected.join(" "));
}

#[test]
fn leak_that_was_watched_and_is_past_every_cache_is_not_asked_again_unless_lines_are_counted() {
    let further = |counts_lines, keeps_sites| {
        let mut machine = Machine { counts_lines, keeps_sites, ..Machine::new(&[(CACHE, 2000), ("filp", 0)]) };
        let (outcome, ..) = blocks(&mut machine, &Options::default());
        assert!(outcome.grows());
        let proofs = outcome.record.rounds.iter().filter(|round| round.kind == RoundKind::Proof);
        proofs.map(|round| round.dose).collect::<Vec<_>>()
    };
    assert_eq!(further(false, true), [0; 0]);
    assert_eq!(further(true, true), [1], "what lines of source grow by is seen in a round");
    assert_eq!(further(false, false), [20], "a trace tells who allocated it");
}

#[test]
fn units_that_are_traced_are_among_those_that_were_made() {
    let mut machine = Machine { keeps_sites: false, ..Machine::new(&[(CACHE, 2000), ("filp", 0)]) };
    let (outcome, dose, _) = blocks(&mut machine, &Options::default());
    let made: u64 = outcome.record.rounds.iter().map(|round| round.dose).sum();
    assert_eq!((dose, made), (28, 28));
    assert_eq!(outcome.sites[CACHE][0].function, "nfs_opendir");
    assert_eq!(outcome.record.notes.len(), 1, "20 allocations are not what it grew by: {:?}", outcome.record.notes);
}

/// Goes past the caches where a counter leaks an object in each unit by its bounds, and has grown by so many in so many units.
fn past_caches(net: i64, dose: u64, wanted: bool) -> Vec<String> {
    let options = Options::default();
    let mut machine = Machine::new(&[(CACHE, 1)]);
    let (_, _) = with(&mut machine, &options, |session| {
        session.unit_seconds = 1e-4;
        session.dose = dose;
        session.outcome.judgement = Some(Judgement { counters: vec![counter(CACHE, 1.0, CounterVerdict::Leak)] });
        session.outcome.net = [(CACHE.to_owned(), net)].into();
        let baseline = Sample { objects: [(CACHE.to_owned(), 1000 - net)].into() };
        let last = Sample { objects: [(CACHE.to_owned(), 1000)].into() };
        session.go_past_caches(&baseline, last, wanted, &options).unwrap();
    });
    machine.further().into_iter().map(str::to_owned).collect()
}

#[test]
fn rounds_past_the_largest_cache_are_as_long_as_what_was_seen_to_leak_needs() {
    assert_eq!(past_caches(50, 50, false), ["4970"]);
    // Half an object in each unit was seen, though the bounds say one.
    assert_eq!(past_caches(50, 100, false), ["9940"]);
    // Nothing is there, so the bounds count.
    assert_eq!(past_caches(0, 100, false), ["5020"]);
}

#[test]
fn leak_that_is_past_the_largest_cache_needs_one_round_only_if_it_is_wanted() {
    assert_eq!(past_caches(6000, 6000, false), [""; 0]);
    assert_eq!(past_caches(6000, 6000, true), ["1"]);
}

/// Rules out what is rare where a counter grew by 64 in one of 600 units, after rounds of so many seconds of which a unit takes one.
fn after_a_lump(seconds: f64, spoil: impl FnOnce(&mut Observations)) -> Vec<String> {
    let options = Options::default();
    let mut machine = Machine::new(&[(CACHE, 0)]);
    let _ = with(&mut machine, &options, |session| {
        (session.unit_seconds, session.dose) = (1.0, 600);
        let mut read = |kind, dose, objects| {
            let sample = Sample { objects: [(CACHE.to_owned(), objects)].into() };
            session.outcome.reading(Reading { kind, dose, sample, settled_seconds: Some(0.1), clock_seconds: 0.0 });
        };
        read(RoundKind::Warmup, 0, 936);
        read(RoundKind::Dose, 300, 1000);
        read(RoundKind::Control, 0, 1000);
        read(RoundKind::Dose, 300, 1000);
        session.outcome.record.rounds.iter_mut().for_each(|round| round.seconds = 0.0);
        session.outcome.record.rounds[0].seconds = seconds;
        session.outcome.judgement = Some(Judgement { counters: vec![counter(CACHE, 0.0, CounterVerdict::Clean)] });
        spoil(session.outcome);
        let last = Sample { objects: [(CACHE.to_owned(), 1000)].into() };
        session.rule_out_what_is_rare(last, &options).unwrap();
    });
    machine.further().into_iter().map(str::to_owned).collect()
}

#[test]
fn lump_is_made_little_by_more_units_if_they_take_no_longer_than_five_times_the_run() {
    // 952 units make one lump little, 1,188 two of them.
    assert_eq!(after_a_lump(200.0, |_| ()), ["588"]);
    assert_eq!(after_a_lump(100.0, |_| ()), ["500"]);
    assert_eq!(after_a_lump(60.0, |_| ()), [""; 0]);
}

#[test]
fn nothing_rare_is_ruled_out_where_something_grows_is_broken_or_is_open() {
    assert_eq!(after_a_lump(200.0, |seen| seen.broken = Some("a name came twice".into())), [""; 0]);
    assert_eq!(after_a_lump(200.0, |seen| seen.judgement = None), [""; 0]);
    let also = |says| {
        move |seen: &mut Observations| seen.judgement.as_mut().unwrap().counters.push(counter("filp", 1.0, says))
    };
    assert_eq!(after_a_lump(200.0, also(CounterVerdict::Undecided)), [""; 0]);
    assert_eq!(after_a_lump(200.0, also(CounterVerdict::Leak)), [""; 0]);
    assert_eq!(after_a_lump(200.0, also(CounterVerdict::Clean)), ["588"]);
}

#[test]
fn units_within_some_time_are_no_more_than_fit_into_half_of_what_is_left() {
    let (_, _) = with(&mut Machine::at_rest(), &Options::default(), |session| {
        session.unit_seconds = 0.5;
        assert_eq!((session.units_within(3.0), session.units_within(0.1)), (6, 1));
        session.unit_seconds = 0.0;
        assert_eq!(session.units_within(1.0), 10_000);
        (session.unit_seconds, session.deadline) = (0.1, Some(Instant::now() + Duration::from_secs(10)));
        assert_eq!((session.units_within(100.0), session.units_within(2.0)), (50, 20));
    });
}

#[test]
fn promise_is_four_fifths_but_for_chance() {
    // Of 500 that are promised 400, less 3.1 times the root of 500.
    assert!(is_as_promised(331, 0.5, 1000) && !is_as_promised(330, 0.5, 1000));
    assert!(!is_as_promised(0, 0.5, 1), "nothing grew");
}

#[test]
fn late_frees_are_waited_for_as_long_as_is_wanted_where_something_grows() {
    let settle = Duration::from_millis(2120);
    let options = Options { settle, ..Options::default() };
    for (says, waits) in [(CounterVerdict::Leak, true), (CounterVerdict::Clean, false)] {
        let mut machine = Machine::at_rest();
        let (_, _) = with(&mut machine, &options, |session| {
            session.outcome.judgement = Some(Judgement { counters: vec![counter(CACHE, 1.0, says)] });
            let baseline = Sample { objects: [(CACHE.to_owned(), 990)].into() };
            session.wait_for_late_frees(&baseline, baseline.clone(), &options).unwrap();
            let net = session.outcome.net.get(CACHE).copied().unwrap_or(0);
            assert_eq!(net, if waits { 10 } else { 0 }, "what is read last counts");
        });
        // The machine waits, by its own clock, and is looked at every second.
        let asked = ["wait 1", "glance", "wait 1", "glance", "wait 0.12", "glance"];
        assert_eq!(machine.asked, if waits { &asked[..] } else { &[] });
    }
}

#[test]
fn more_units_than_were_asked_for_are_not_believed() {
    let work = |beyond, listings| -> SessionResult<f64> {
        let mut machine = Machine { beyond, ..Machine::at_rest() };
        with(&mut machine, &Options::default(), |session| {
            session.unit_seconds = 7.0;
            session.work(listings, 0, Some(0.0)).map(|_| session.unit_seconds)
        })
        .0
    };
    assert!(matches!(work(0, 4), Ok(seconds) if seconds == 1e-4));
    assert!(matches!(work(0, 0), Ok(seconds) if seconds == 7.0), "no unit tells how long one takes");
    let Err(AgentError::Failed(sentence)) = work(1, 4) else { panic!("it is believed") };
    assert_eq!(sentence, "the guest says that it made 5 listings of 4");
}

#[test]
fn stage_that_is_set_is_noted() {
    let ready = |site_source| Ready {
        object_bytes: [("kmalloc-32".to_owned(), 32), ("kmalloc-64".to_owned(), 64)].into(),
        shared_names: BTreeMap::new(),
        name_allocations: vec![(32, 150), (64, 2)],
        missing_sources: vec!["percpu".into()],
        before_mount: Sample::default(),
        sites_before_mount: BTreeMap::new(),
        site_source,
        untraceable: Some("functions have no names".into()),
    };
    for (source, notes) in [(SiteSource::None, 1), (SiteSource::Kept, 0), (SiteSource::Traced, 0)] {
        let (names, seen) = with(&mut Machine::at_rest(), &Options::default(), |s| s.ready(ready(source)).unwrap());
        assert_eq!(names, ["kmalloc-32", "kmalloc-64"]);
        assert_eq!(seen.record.name_bytes, 31 * 150 + 63 * 2);
        assert_eq!((seen.record.not_looked_for, seen.record.notes.len()), (vec!["percpu".to_owned()], notes));
    }
}

#[test]
fn account_of_a_cgroup_is_what_grew_and_what_its_removal_freed() {
    let mut machine = Machine::at_rest();
    let last = [(CACHE, 1070), ("filp", 1000), ("dentry", 0)].map(|(name, n)| (name.to_owned(), n));
    let before = CgroupUsage { slab_bytes: 100, ..CgroupUsage::default() };
    let (_, seen) = with(&mut machine, &Options::default(), |session| {
        session.take_cgroup_away(&before, size_classes::with_sum(Sample { objects: last.into() })).unwrap()
    });
    let account = seen.record.cgroup.unwrap();
    assert_eq!((account.charged_bytes, account.slab_growth_bytes, account.peak_bytes), (900, 200, Some(990)));
    assert_eq!(account.freed_by_removal, [(CACHE.to_owned(), 70)].into());
}

#[test]
fn lines_of_source_are_told_from_a_tenth_of_the_slowest_leak_on() {
    let mut machine = Machine { counts_lines: true, ..Machine::at_rest() };
    let least = |leaks: &[(&str, f64)]| {
        let leaks: Vec<_> = leaks.iter().map(|(name, rate)| ((*name).to_owned(), *rate, 1)).collect();
        let begun = with(&mut machine, &Options::default(), |session| session.begin_allocinfo(&leaks).unwrap()).0;
        begun.map(|begun| begun.least)
    };
    let mut least = least;
    assert_eq!(least(&[("a", 30.0), ("b", 50.0)]), Some(3.0));
    assert_eq!(least(&[("a", 2.0)]), Some(Options::default().min_rate));
    assert_eq!(least(&[]), None);
}
