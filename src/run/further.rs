//! Rounds beyond the blocks: until what grows has gone past what a cache could hold, and until so many units were made that what
//! comes rarely would have been seen.

use super::explained;
use super::observations::{Observations, Reading};
use super::options::{LISTINGS, Options};
use super::session::{Session, SessionResult};
use super::size_classes;
use crate::result::parts::{self, RoundKind};
use crate::sample::{Growth, Sample, growth};
use crate::stats::net_growth::{LOOKS, NetGrowth, Round, net_growth, units_wanted};
use std::time::Instant;

/// Growth of a counter may be off by this much because of what else has its objects there.
const SLACK: u64 = 10;
/// Growth at which it is looked at whether it still goes on, so that a small cache costs little time.
const STAGES: [u64; 2] = [300, 1_200];
/// A round that takes no longer is made whether or not it brings anything past the largest cache.
const SHORT_SECONDS: f64 = 6.0;
/// Longer ones are only begun if what is left to make takes no longer than this. Where a guest's clock counts instructions it is an estimate
/// that errs on the long side: what was said to take 300 s took 130 on two busy processors.
const LONGEST_SECONDS: f64 = 450.0;
/// What units may take that are made only because a leak may come rarely.
const CLEAN_SECONDS: f64 = 4.0;
/// Fewer of them say nothing that is worth coming to rest for.
const FEWEST_UNITS: u64 = 8;
/// How often the time so far more units may take because of growth that may be little in them. In `huge-flat` one stray object takes
/// four more, and the stack of a thread, which is four pages, five times as many as it has made; whoever was told `undecided` instead
/// would have to make all of them again.
const THIN_SHARE: f64 = 5.0;
/// Rounds in which a leak by lot that stays behind its promise is given another chance to go past the largest cache.
const MOST_ROUNDS: usize = 6;
/// Share of what its rate promises that a leak must grow by in a further round, but for chance.
const GOES_ON: f64 = 0.8;
/// Standard deviations of a Poisson number that are left to chance: one in a thousand leaks by lot falls below.
const CHANCE: f64 = 3.1;

/// Returns whether `grown` objects in `dose` units are as many as `rate` promises. A leak by lot falls short by chance, by the more
/// of its part the fewer objects there are.
pub fn is_as_promised(grown: i64, rate: f64, dose: u64) -> bool {
    let promised = rate * dose as f64;
    grown > 0 && grown as f64 >= GOES_ON * promised - CHANCE * promised.sqrt()
}

/// Returns the largest cache that growth of `net` objects excludes.
pub fn excluded_cache(net: i64) -> u64 {
    u64::try_from(net).unwrap_or(0).saturating_sub(SLACK)
}

/// What leaks: its counter, objects per unit, and objects so far.
type Leaks = Vec<(String, f64, i64)>;

impl Session<'_> {
    /// Makes further rounds until something that leaks has gone past the largest cache, or all has come to an end, or it would take
    /// too long; `wanted` says that there must be one in any case. Gives the last reading.
    pub(super) fn go_past_caches(
        &mut self,
        baseline: &Sample,
        mut last: Sample,
        wanted: bool,
        options: &Options,
    ) -> SessionResult<Sample> {
        for round in 0..MOST_ROUNDS {
            let leaks = self.going_on();
            let alone = explained::without_objects_of_areas(&leaks);
            let dose = match next_dose(&alone, options.largest_cache, round, |seconds| self.units_within(seconds)) {
                Some(dose) => dose,
                None if wanted && round == 0 => 1,
                None => break,
            };
            let after = self.further_round(dose)?;
            let grown = growth(&last.objects, &after.objects);
            let stopped = |name: &String, rate: f64| !is_as_promised(grown.get(name).copied().unwrap_or(0), rate, dose);
            let ended = leaks.iter().filter(|(name, rate, _)| stopped(name, *rate)).map(|(name, ..)| name.clone());
            self.outcome.stopped.extend(ended);
            self.outcome.net = growth(&baseline.objects, &after.objects);
            last = after;
        }
        Ok(last)
    }

    /// Returns what leaks and has not come to an end; the sum of the size classes only where no class does.
    fn going_on(&self) -> Leaks {
        let leaks = self.leaks().into_iter().filter(|(name, ..)| !self.outcome.stopped.contains(name));
        // A rate of few blocks may be too high, and would make the round too short.
        let seen = |net: i64| net as f64 / self.dose.max(1) as f64;
        let leaks = leaks.map(|(name, rate, net)| (name, if net > 0 { rate.min(seen(net)) } else { rate }, net));
        size_classes::without_summed_leaks(leaks.collect())
    }

    /// Makes further rounds until enough units were made to say that nothing leaks that comes rarely or in lumps, as far as the time
    /// allows. Gives the last reading.
    pub(super) fn rule_out_what_is_rare(&mut self, mut last: Sample, options: &Options) -> SessionResult<Sample> {
        if self.outcome.broken.is_some() || !self.going_on().is_empty() || self.outcome.is_too_noisy() {
            return Ok(last);
        }
        let missing = options.listings.unwrap_or(LISTINGS).saturating_sub(self.dose);
        let dose = if options.listings.is_some() { missing } else { missing.min(self.units_within(CLEAN_SECONDS)) };
        if dose >= FEWEST_UNITS || options.listings.is_some() && dose > 0 {
            last = self.further_round(dose)?;
        }
        for _ in 1..LOOKS {
            // The sum of the size classes asks for no units where a class says it all.
            let nets = size_classes::without_summed(net_growth(&self.outcome.net_rounds()));
            let missing = |more_lumps: f64| {
                let wanted = nets.iter().map(|net| units_wanted(net, more_lumps, options.min_rate)).max();
                wanted.unwrap_or(0).saturating_sub(self.dose)
            };
            let so_far: f64 = self.outcome.record.rounds.iter().map(|round| round.seconds).sum();
            let most = self.units_within(SHORT_SECONDS.max(THIN_SHARE * so_far));
            let dose = missing(0.0);
            if dose == 0 || dose > most {
                break;
            }
            // It is the last look: what strayed once may stray once more meanwhile.
            last = self.further_round(missing(1.0).min(most).max(dose))?;
        }
        Ok(last)
    }

    fn further_round(&mut self, dose: u64) -> SessionResult<Sample> {
        self.task.note(&format!("a further round of {dose}, to see what goes on or comes rarely"));
        self.work(dose, 0, None)?;
        self.dose += dose;
        self.read_settled(RoundKind::Proof, dose)
    }

    /// Returns how many units take about so many seconds, but no more than fit into half of what is left: readings take time, too.
    pub(super) fn units_within(&self, seconds: f64) -> u64 {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()).as_secs_f64());
        let most = seconds.min(left.map_or(seconds, |left| left / 2.0)) / self.unit_seconds.max(1e-4);
        self.pace.units(most.max(1.0).ceil() as u64)
    }
}

/// Returns how many units the next further round makes, which is number `round`; `None` if there is nothing to make one for.
/// `within` says how many units take so many seconds.
fn next_dose(leaks: &Leaks, largest_cache: u64, round: usize, within: impl Fn(f64) -> u64) -> Option<u64> {
    let to = |objects: u64| {
        let units = |(_, rate, net): &(String, f64, i64)| (objects as f64 - *net as f64).max(0.0) / rate;
        let least = leaks.iter().map(units).min_by(f64::total_cmp)?;
        Some(least.ceil() as u64)
    };
    let past = largest_cache + 2 * SLACK;
    match to(past)? {
        0 => None,
        all if all <= within(SHORT_SECONDS) => Some(all),
        all if all <= within(LONGEST_SECONDS) => {
            let near = |stage: &u64| to(stage * 9 / 10).is_some_and(|units| units > 0);
            STAGES.into_iter().filter(|stage| *stage < past).find(near).and_then(to).or(Some(all))
        }
        // It cannot be told from such a cache; that it goes on at all is worth a short round.
        _ if round == 0 => Some(to(STAGES[0].min(past))?.clamp(1, within(SHORT_SECONDS))),
        _ => None,
    }
}

impl Observations {
    /// Returns what grew from reading to reading since the first that counts.
    pub(super) fn net_rounds(&self) -> Vec<Round> {
        let counts = |kind| matches!(kind, RoundKind::Warmup | RoundKind::Dose | RoundKind::Control | RoundKind::Proof);
        let readings: Vec<_> = self.readings.iter().zip(&self.record.rounds).filter(|(r, _)| counts(r.kind)).collect();
        let between = |pair: &[(&Reading, &parts::Round)]| Round {
            units: pair[1].0.dose,
            seconds: pair[1].1.seconds,
            growth: growth(&pair[0].0.sample.objects, &pair[1].0.sample.objects),
        };
        readings.windows(2).map(between).collect()
    }

    /// Returns the net growth of all counters, when late frees had been waited for. What unmounting freed of what may grow until then
    /// is none.
    pub(super) fn nets(&self) -> Vec<NetGrowth> {
        let mut rounds = self.net_rounds();
        let mut freed = Growth::new();
        for name in self.net.keys() {
            let seen: i64 = rounds.iter().filter_map(|round| round.growth.get(name)).sum();
            let unmounted = self.net_unmounted.get(name).copied().filter(|_| self.allow_until_unmount);
            let left = unmounted.into_iter().chain([self.net[name], seen]).min().unwrap_or(seen);
            freed.insert(name.clone(), left - seen);
        }
        rounds.push(Round { growth: freed, ..Round::default() });
        size_classes::without_summed(net_growth(&rounds))
    }

    /// Returns whether the bounds of some counter leave it open what it does, so that more units alone make nothing clean.
    fn is_too_noisy(&self) -> bool {
        self.judgement.as_ref().is_none_or(|judgement| judgement.open() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::options::LARGEST_CACHE;

    fn leaks(rate: f64, net: i64) -> Leaks {
        vec![("it".to_owned(), rate, net)]
    }

    /// Returns what tells how many units fit into some time, if each takes so many seconds.
    fn taking(seconds: f64) -> impl Fn(f64) -> u64 {
        move |within| (within / seconds) as u64
    }

    /// Returns the doses of all rounds, if growth goes on as promised.
    fn doses(rate: f64, mut net: i64, unit_seconds: f64) -> Vec<u64> {
        let mut doses = Vec::new();
        while let Some(dose) = next_dose(&leaks(rate, net), LARGEST_CACHE, doses.len(), taking(unit_seconds)) {
            doses.push(dose);
            net += (rate * dose as f64) as i64;
        }
        doses
    }

    #[test]
    fn next_dose_of_a_fast_leak_goes_past_the_largest_cache_at_once() {
        assert_eq!(doses(25.0, 200, 0.016), [193]);
        assert_eq!(doses(150.0, 6_000, 0.016), [] as [u64; 0]);
    }

    #[test]
    fn next_dose_of_a_slow_leak_goes_there_by_stages() {
        assert_eq!(doses(1.0, 40, 0.016), [260, 900, 3_820]);
    }

    #[test]
    fn next_dose_where_units_are_slow_is_one_short_round() {
        assert_eq!(doses(1.0, 19, 2.5), [2]);
    }

    #[test]
    fn next_dose_follows_the_leak_that_is_there_first() {
        let both = [leaks(1.0, 40), leaks(25.0, 200)].concat();
        assert_eq!(next_dose(&both, LARGEST_CACHE, 0, taking(0.016)), Some(193));
    }

    #[test]
    fn excluded_cache_is_smaller_than_what_grew() {
        assert_eq!(excluded_cache(5_020), 5_010);
        assert_eq!(excluded_cache(5_000), 4_990, "a cache of 5,000 that is full is not excluded");
        assert_eq!((excluded_cache(4), excluded_cache(-7)), (0, 0));
    }

    #[test]
    fn leak_by_lot_that_falls_short_by_chance_is_as_promised_and_one_that_stopped_is_not() {
        // Three units of 0.75: as few as one object come in a third of all rounds.
        assert!(is_as_promised(1, 0.75, 3));
        assert!(is_as_promised(240, 1.0, 281) && !is_as_promised(160, 1.0, 281));
        assert!(!is_as_promised(0, 1.0, 3), "what does not grow does not go on");
    }
}
