//! The course of a bench: guests of one or two kernels side by side, of which one runs at a time, and listings in the order A B B A.

use super::guest::Guest;
use super::{compare, summary};
use crate::boot::job::Job;
use crate::error::{Error, Result};
use crate::kernel::bootable::Kernel;
use crate::os::progress::Task;
use crate::protocol::timing::{CacheState, Footprint};
use crate::result::bench::{BenchRecord, KernelId, Measured};
use crate::scenario::Scenario;
use crate::vm::qemu::Accelerator;
use std::time::{Duration, Instant};

/// A guest's first listing in each state is no figure: what the client remembers of the one that was checked spares it an ACCESS. It is left
/// in where leaving it out would take more than one part in this of the budget, as huge directories do not show it.
const WARM_UP_PART: u32 = 8;

/// Listings of a kernel alone are no more than the first look wants where one in each state takes more than one part in this of the budget.
const REFERENCE_PART: u32 = 10;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Effort {
    /// In this order.
    pub states: Vec<CacheState>,
    /// Listings of each kernel in each state after which it is looked at whether that is enough; no more than the last are made. They are
    /// fixed, because each look costs confidence.
    pub looks: &'static [u32],
    /// Nothing new is begun that would end later than this.
    pub budget: Duration,
    /// How far apart two times may be and still be called the same.
    pub margin: f64,
}

impl Effort {
    /// Returns what is usually enough: where instructions are counted, listings hardly differ.
    pub fn usual(accelerator: Accelerator, states: Vec<CacheState>, margin: f64, budget: Duration) -> Self {
        let looks = if accelerator == Accelerator::Counted { &COUNTED_LOOKS[..] } else { &REAL_LOOKS };
        Self { states, looks, budget, margin }
    }
}

/// Where instructions are counted, two listings hardly differ.
const COUNTED_LOOKS: [u32; 3] = [2, 4, 8];
const REAL_LOOKS: [u32; compare::MOST_LOOKS] = [10, 20, 40, 60];

/// One kernel's part of it.
struct Side<'a> {
    kernel: &'a Kernel,
    guest: Guest,
    footprint: Footprint,
    listings: Vec<Measured>,
    /// Listings in each state.
    made: u32,
}

/// Measures `jobs`, which are one scenario on one or two kernels, and gives a record for each.
pub fn measure(jobs: &[Job], effort: &Effort, task: &Task) -> Result<Vec<BenchRecord>> {
    let begin = Instant::now();
    let mut guests = jobs.iter().map(|job| Ok((job.kernel, Guest::start(job)?))).collect::<Result<Vec<_>>>()?;
    for (_, guest) in &mut guests {
        guest.wait(task)?;
        guest.pause()?;
    }
    let mut sides = Vec::new();
    for (kernel, mut guest) in guests {
        task.note(&format!("{}: one listing to check", kernel.spec));
        let checked = Instant::now();
        let footprint = while_resumed(&mut guest, Guest::footprint)?;
        if checked.elapsed() * effort.states.len() as u32 <= effort.budget / WARM_UP_PART {
            while_resumed(&mut guest, |guest| guest.time(&effort.states))?;
        }
        sides.push(Side { kernel, guest, footprint, listings: Vec::new(), made: 0 });
    }
    rounds(&mut sides, effort, begin, task)?;
    let wall_seconds = begin.elapsed().as_secs_f64();
    sides.into_iter().zip(jobs).map(|(side, job)| side.record(job, wall_seconds)).collect()
}

/// Makes rounds in the order A B B A, the next one B A A B; of one kernel alone, one listing in each state.
fn rounds(sides: &mut [Side], effort: &Effort, begin: Instant, task: &Task) -> Result<()> {
    let order: &[usize] = if sides.len() == 2 { &[0, 1, 1, 0] } else { &[0] };
    let of_each = if sides.len() == 2 { 2 } else { 1 };
    let mut done = 0;
    while effort.looks.last().is_some_and(|most| done < *most) {
        let round = Instant::now();
        for place in order {
            // What is first in one round is last in the next, so that neither kernel is favoured by its place.
            let side = if (done / of_each) % 2 == 0 { *place } else { sides.len() - 1 - place };
            let side = &mut sides[side];
            task.note(&format!("{}: listing {}", side.kernel.spec, side.listings.len() + 1));
            let listings = while_resumed(&mut side.guest, |guest| guest.time(&effort.states))?;
            listings.iter().try_for_each(|measured| check_listing(measured, &side.kernel.spec))?;
            side.listings.extend(listings);
            side.made += 1;
        }
        done += of_each;
        let is_enough = effort.looks.contains(&done) && is_decided(sides, effort, round.elapsed());
        if is_enough || begin.elapsed() + round.elapsed() > effort.budget {
            break;
        }
    }
    Ok(())
}

/// Returns whether more listings would not change a word. A kernel alone is measured until it could be told to be the same as itself with
/// half of the margin, as it may be a reference for one that scatters more, unless that takes long: `round` is what a listing in each
/// state took. Two that agree by chance say little of how much others will scatter, so that the first look ends nothing.
fn is_decided(sides: &[Side], effort: &Effort, round: Duration) -> bool {
    match sides {
        [base, other] => compare::is_decided(&base.listings, &other.listings, effort.margin),
        [alone] if round <= effort.budget / REFERENCE_PART => {
            let is_first_look = effort.looks.first().is_some_and(|least| alone.made <= *least);
            !is_first_look && compare::is_decided(&alone.listings, &alone.listings, effort.margin / 2.0)
        }
        _ => true,
    }
}

/// Lets a guest run as long as something is asked of it.
fn while_resumed<T>(guest: &mut Guest, ask: impl FnOnce(&mut Guest) -> Result<T>) -> Result<T> {
    guest.resume()?;
    let answer = ask(guest)?;
    guest.pause()?;
    Ok(answer)
}

/// Fails if a listing was not what it is called: it would be a figure of something else.
fn check_listing(measured: &Measured, spec: &str) -> Result<()> {
    let listing = &measured.listing;
    let calls = |name: &str| listing.operations.get(name).map_or(0, |operation| operation.calls);
    let wrong = match listing.state {
        CacheState::Cold if calls("READDIR") + calls("READDIRPLUS") == 0 => "sent neither READDIR nor READDIRPLUS",
        CacheState::Changing if listing.changes == 0 => "was over before the directory changed",
        _ if listing.entries == 0 => "showed no entry",
        _ => return Ok(()),
    };
    let state = listing.state.as_str();
    Err(Error::kernel(format!(
        "{spec}: a listing in the state \"{state}\" {wrong}, so that it is none; choose others with --states"
    )))
}

impl Side<'_> {
    fn record(self, job: &Job, wall_seconds: f64) -> Result<BenchRecord> {
        let Kernel { spec, image_sha256, patches, .. } = self.kernel.clone();
        let (release, console_log) = (self.guest.release.clone(), self.guest.console_log.clone());
        self.guest.resume()?;
        self.guest.finish()?;
        let setup: &Scenario = job.scenario;
        Ok(BenchRecord {
            scenario: setup.name.clone(),
            kernel: KernelId { spec, release, image_sha256, patches },
            entries: setup.directory.entries,
            seed: job.options.seed,
            setup: setup.clone(),
            wall_seconds,
            states: summary::states(&self.listings),
            memory: self.footprint,
            listings: self.listings,
            console_log: Some(console_log),
        })
    }
}
