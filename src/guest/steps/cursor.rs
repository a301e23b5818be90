//! One reader's way through a directory: where it is, where it turns back, and what is due on the way.

use super::runner::UnitRunner;
use super::side::{Listed, Side};
use crate::error::Result;
use crate::scenario::step::{Every, Pass};
use crate::scenario::{Position, Step};
use crate::workload::check::Seen;
use crate::workload::listing::Lister;
use crate::workload::listing::entry::{Dirent, ListError};
use crate::workload::listing::reading::{Reading, Stands};
use crate::workload::syscall_log;
use nfs_fault_server::dirtree::names::scatter;
use nix::errno::Errno;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

/// Places that a pass with seeks remembers, to which it may go back: a cookie and what had been seen there.
const MOST_PLACES: usize = 8;

impl UnitRunner {
    /// Reads to the end of the course; a call that fails is a result like others.
    pub(crate) fn read(
        &mut self,
        lister: &mut Lister,
        path: &Path,
        mut course: ReadCursor,
        place: Side,
    ) -> Result<Listed> {
        let mut reading = match lister.open(path) {
            Ok(reading) => reading,
            Err(failed) => return Ok(Err(failed)),
        };
        let from = self.cookies[place as usize].filter(|_| course.pass.from == Position::Middle);
        if let Some(Err(failed)) = from.map(|cookie| reading.seek(cookie)) {
            return Ok(Err(failed));
        }
        loop {
            let mut last_seen = 0;
            let stands = reading.step(|record| {
                last_seen = record.cookie;
                if place == Side::Nfs {
                    self.check.see(record);
                }
                self.count(record, &mut course, place)
            });
            let stands = match stands {
                Ok(stands) => stands,
                // A call that was interrupted before it had anything to give is made again.
                Err(failed) if failed.errno == Errno::EINTR && course.pass.signals_every_us > 0 => continue,
                Err(failed) => return Ok(Err(failed)),
            };
            let due = std::mem::take(&mut course.due);
            if place == Side::Nfs && !due.is_empty() {
                self.last_seen = last_seen;
            }
            due.into_iter().try_for_each(|step| {
                syscall_log::record(|| format!("meanwhile: {step}"));
                self.apply_step(step, place)
            })?;
            match self.seek_if_due(&mut reading, &mut course, place) {
                Err(failed) => return Ok(Err(failed)),
                Ok(true) => {}
                Ok(false) if stands != Stands::Open => return Ok(Ok(reading.counts())),
                Ok(false) => {}
            }
        }
    }

    /// Counts one more entry: tells what is due now, and whether the reader stops here.
    fn count(&mut self, record: &Dirent, course: &mut ReadCursor, place: Side) -> ControlFlow<()> {
        course.seen += 1;
        let pass = course.pass;
        if place == Side::Nfs && self.check.goes_round() {
            return ControlFlow::Break(());
        }
        if course.seen == course.half && pass.from == Position::Outside {
            self.cookies[place as usize] = Some(record.cookie);
            if place == Side::Nfs {
                self.half = self.check.mark();
            }
            if course.rewinds > 0 {
                course.turn = Some(Turn::Rewind);
                return ControlFlow::Break(());
            }
            course.due.extend(&pass.middle);
        }
        if let Some(every) = pass.every.as_ref().filter(|every| course.is_time_for(every)) {
            course.due.extend(&every.steps);
        }
        if course.seeks > 0 && course.seen % course.between_seeks == 0 {
            course.turn = Some(Turn::Back(record.cookie));
            return ControlFlow::Break(());
        }
        if course.seen == course.end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Rewinds or goes back, if that is the reader's turn now.
    fn seek_if_due(
        &mut self,
        reading: &mut Reading,
        course: &mut ReadCursor,
        place: Side,
    ) -> std::result::Result<bool, ListError> {
        match course.turn.take() {
            None => return Ok(false),
            Some(Turn::Rewind) => {
                course.rewinds -= 1;
                course.seen = 0;
                reading.rewind()?;
                if place == Side::Nfs {
                    self.check.rewind();
                }
            }
            Some(Turn::Back(here)) => {
                course.seeks -= 1;
                course.places.push((here, self.check.mark()));
                if course.places.len() > MOST_PLACES {
                    course.places.remove(0);
                }
                let lot = &mut self.lots[place as usize];
                *lot = scatter(*lot);
                let (cookie, seen) = &course.places[*lot as usize % course.places.len()];
                reading.seek(*cookie)?;
                if place == Side::Nfs {
                    self.check.resume(seen);
                }
            }
        }
        Ok(true)
    }
}

/// A reader leaves its way.
enum Turn {
    /// To the first entry.
    Rewind,
    /// From behind the entry with this cookie to a place where it was before.
    Back(i64),
}

/// Where a reader is, and what is still to come.
pub(crate) struct ReadCursor<'p> {
    pass: &'p Pass,
    /// Entries seen, those before the last rewinding not counted.
    seen: u64,
    half: u64,
    /// After so many the pass ends.
    end: u64,
    rewinds: u32,
    seeks: u32,
    between_seeks: u64,
    places: Vec<(i64, Seen)>,
    turn: Option<Turn>,
    /// When steps were last due that are done by the clock.
    clock: Instant,
    /// Steps to be done after this call.
    due: Vec<&'p Step>,
}

impl<'p> ReadCursor<'p> {
    pub(crate) fn new(pass: &'p Pass, entries: u64) -> Self {
        let half = entries / 2;
        let end = match pass.to {
            Position::Outside => u64::MAX,
            Position::Middle => half,
            Position::After(entries) => entries,
        };
        Self {
            pass,
            seen: 0,
            half,
            end,
            rewinds: pass.rewinds,
            seeks: pass.seeks,
            between_seeks: (entries / (u64::from(pass.seeks) + 1)).max(1),
            places: Vec::new(),
            turn: None,
            clock: Instant::now(),
            due: Vec::new(),
        }
    }

    /// Returns whether these steps are due after the entry that was just seen.
    fn is_time_for(&mut self, every: &Every) -> bool {
        let Some(period) = every.milliseconds else {
            return every.entries.is_some_and(|n| self.seen % n == 0);
        };
        let is_due = self.due.is_empty() && self.clock.elapsed() >= Duration::from_millis(period);
        if is_due {
            self.clock = Instant::now();
        }
        is_due
    }
}
