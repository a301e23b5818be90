//! Every allocation of a unit made to fail once: which there are, and what each failure leaves behind.
//!
//! One guest is asked first which places of the kernel ask for memory, and then has each of them fail in unit after unit until that is
//! judged, as any other unit is. Whoever calls this judges anew, in guests of their own, what is anything but clean.

use super::observations::{self, Observations, functions, set_stack};
use super::options::{Options, Until};
use super::session::{Session, SessionResult};
use crate::boot::guest_image::GuestImage;
use crate::boot::job::Job;
use crate::boot::ready::boot;
use crate::error::Result;
use crate::os::progress::Task;
use crate::probe::page_allocator::who_asked_for_pages;
use crate::protocol::agent::AgentError;
use crate::protocol::message::{Ready, Response};
use crate::protocol::request::{FailInEachUnit, Unmount, request};
use crate::result::parts::RoundKind;
use crate::result::record::{RunRecord, Verdict};
use crate::result::sweep::{FailingRecord, SweepRecord};
use crate::scenario::fail_nth::{AllocationKind, FailNth};
use crate::vm::console::Complaints;
use crate::vm::machine::Vm;
use std::time::{Duration, Instant};

/// What units do once when a failure is met for the first time is done in these, before anything counts.
const WARM_UP: u64 = 2;
/// A guest that is asked about some hundred places may take so long.
const WHOLE: Duration = Duration::from_secs(4 * 3600);
/// Guests that may be lost before the rest is given up.
const MOST_LOST: u64 = 20;

/// What was found.
pub struct Swept {
    pub record: SweepRecord,
    /// A record for each place, in the order in which a unit comes to them.
    pub places: Vec<(FailNth, RunRecord)>,
}

/// A place in the kernel that asks for memory.
struct Place {
    fail: FailNth,
    /// With offsets, from who asked outwards.
    stack: Vec<String>,
    alike: u64,
    /// Once it is judged.
    record: Option<RunRecord>,
}

/// Where the sweep is, across the guests that failures end.
struct Course {
    most: u32,
    /// Objects and pages that a unit asks for, as far as that is known.
    counted: [u32; 2],
    is_counted: [bool; 2],
    passed_over: u64,
    places: Vec<Place>,
    /// What is being made to fail.
    tried: Option<FailNth>,
    complaints: Complaints,
}

/// Sweeps a scenario; at most `most` objects and as many pages of a unit are made to fail.
pub fn sweep(job: &Job, options: &Options, most: u32) -> Result<Swept> {
    let begin = Instant::now();
    let Job { scenario, kernel, .. } = *job;
    let boot = job.options.within(WHOLE);
    let job = &Job { options: &boot, ..*job };
    let blank = observations::begin(scenario, kernel, job.clocked(), options);
    let mut course = Course::new(most);
    let (mut lost, mut notes) = (0, Vec::new());
    let task = job.ui.task(format!("{} on {}", scenario.name, kernel.spec));
    let ended = loop {
        match guest(job, options, &blank, &mut course, &task) {
            Ok(()) => break None,
            Err(AgentError::Error(error)) => return Err(error),
            Err(AgentError::Crash { kind, sentence, lines }) if course.tried.is_some() && lost < MOST_LOST => {
                lost += 1;
                let mut outcome = Observations::new(blank.clone(), options);
                outcome.record.console_lines = lines;
                course.lost(outcome, &kind, sentence);
            }
            Err(AgentError::Crash { sentence, .. }) => break Some((Verdict::Crash, sentence)),
            Err(AgentError::Failed(sentence)) => break Some((Verdict::Undecided, sentence)),
            Err(AgentError::Unsupported(sentence)) => break Some((Verdict::Unsupported, sentence)),
        }
    };
    if course.complaints.count > 0 {
        notes.push(format!(
            "at the end, when it was unmounted, the kernel complained {} times",
            course.complaints.count
        ));
    }
    let [slab, page] = course.counted.map(u64::from);
    let is_cut_short = course.is_cut_short();
    task.done(&format!("{} places", course.places.len()));
    let places = course.into_records(&blank, options, ended);
    let record = SweepRecord {
        scenario: scenario.name.clone(),
        kernel: kernel.spec.clone(),
        unit: scenario.unit.name.clone(),
        slab_allocations: slab,
        page_allocations: page,
        passed_over: places.passed_over,
        places: places.records.len() as u64,
        cut_short: is_cut_short,
        guests_lost: lost,
        seconds: begin.elapsed().as_secs_f64(),
        notes,
    };
    Ok(Swept { record, places: places.records })
}

struct Places {
    passed_over: u64,
    records: Vec<(FailNth, RunRecord)>,
}

impl Course {
    fn new(most: u32) -> Self {
        Self {
            most,
            counted: [0; 2],
            is_counted: [false; 2],
            passed_over: 0,
            places: Vec::new(),
            tried: None,
            complaints: Complaints::default(),
        }
    }

    /// Returns whether a unit asks for more than was made to fail.
    fn is_cut_short(&self) -> bool {
        self.is_counted.contains(&false)
    }

    /// Notes that an allocation failed where this stack asks for it.
    fn found(&mut self, fail: FailNth, stack: &[String]) {
        if fail.kind == AllocationKind::Page && who_asked_for_pages(&functions(stack)).is_none() {
            self.passed_over += 1;
        } else if let Some(place) =
            self.places.iter_mut().find(|place| place.fail.kind == fail.kind && place.stack == stack)
        {
            place.alike += 1;
            if place.alike == 2 {
                // One was there already when the second fails, and has to be taken away again. Later ones would be other places' in units in
                // which the caches are not quite as they were.
                place.fail = fail;
            }
        } else {
            self.places.push(Place { fail, stack: stack.to_owned(), alike: 1, record: None });
        }
    }

    /// Notes what ended the guest while something was made to fail.
    fn lost(&mut self, mut outcome: Observations, kind: &str, sentence: String) {
        let Some(fail) = self.tried.take() else { return };
        let counted = &mut self.counted[fail.kind as usize];
        *counted = fail.nth.max(*counted);
        let at = self.places.iter().position(|place| place.fail == fail).unwrap_or_else(|| {
            self.places.push(Place { fail, stack: Vec::new(), alike: 1, record: None });
            self.places.len() - 1
        });
        let place = &mut self.places[at];
        name(&mut outcome.record, place);
        place.record = Some(outcome.into_crash_record(kind, sentence));
    }

    /// Returns the records of all places; those that were not come to are undecided or what `ended` says.
    fn into_records(self, blank: &RunRecord, options: &Options, ended: Option<(Verdict, String)>) -> Places {
        let (verdict, reason) =
            ended.unwrap_or((Verdict::Undecided, "the sweep ended before it came to this place".into()));
        let mut records: Vec<(FailNth, RunRecord)> = Vec::new();
        if self.places.is_empty() {
            // Nothing could be made to fail, and why is all that there is to say.
            let fail = FailNth { kind: AllocationKind::Slab, nth: 1 };
            records.push((fail, Observations::new(blank.clone(), options).into_record(verdict, reason.clone())));
        }
        for place in self.places {
            let alone = || {
                let mut outcome = Observations::new(blank.clone(), options);
                name(&mut outcome.record, &place);
                outcome.into_record(verdict, reason.clone())
            };
            records.push((place.fail, place.record.clone().unwrap_or_else(alone)));
        }
        Places { passed_over: self.passed_over, records }
    }
}

/// Has a record tell what fails in its units, by the words that have it fail again.
fn name(record: &mut RunRecord, place: &Place) {
    record.scenario = format!("{} --fail-nth {}", record.scenario, place.fail);
    record.failing = Some(failing(place));
}

/// Returns the record of a place whose failures are still to come.
fn failing(place: &Place) -> FailingRecord {
    let mut failing = FailingRecord { alike: Some(place.alike), ..FailingRecord::new(&place.fail.to_string()) };
    set_stack(&mut failing, &place.stack);
    failing
}

/// Boots a guest, and goes on with the course until it is over or a failure ends the guest.
fn guest(job: &Job, options: &Options, blank: &RunRecord, course: &mut Course, task: &Task) -> SessionResult<()> {
    let stage = GuestImage::prepare_supported(job, options.debugging(job.scenario, job.kernel))?;
    course.tried = None;
    let mut vm = stage.boot()?;
    let mut first = Observations::new(blank.clone(), options);
    let ready = boot(&mut vm, |part| {
        if let Response::Hello { release } = part {
            first.record.kernel.release.clone_from(release);
        }
    })?;
    let mut session = Session::new(&mut vm, task, &mut first);
    session.pace = stage.accelerator().into();
    let names = session.ready(ready.clone())?;
    session.controls(&names)?;
    count(&mut session, course)?;
    let mut prepared = Prepared { ready, controlled: first, options, task, stage: &stage };
    while let Some(at) = course.places.iter().position(|place| place.record.is_none()) {
        let place = &course.places[at];
        task.note(&format!("place {} of {}: {}", at + 1, course.places.len(), failing(place).place()));
        course.tried = Some(place.fail);
        let record = prepared.judge(&mut vm, place)?;
        course.places[at].record = Some(record);
    }
    course.tried = None;
    request(&mut vm, FailInEachUnit { fail: None }, &mut |_| ())?;
    request(&mut vm, Unmount {}, &mut |_| ())?;
    course.complaints = vm.finish()?.complaints().clone();
    Ok(())
}

/// Has each allocation of a unit fail once, to see which there are, beginning where a guest before this one was lost.
fn count(session: &mut Session, course: &mut Course) -> SessionResult<()> {
    for (at, kind) in AllocationKind::ALL.into_iter().enumerate() {
        while !course.is_counted[at] && course.counted[at] < course.most {
            let fail = FailNth { kind, nth: course.counted[at] + 1 };
            session.task.note(&format!("looking who asks for {fail}"));
            course.tried = Some(fail);
            session.request(FailInEachUnit { fail: Some(fail) })?;
            let worked = session.work(1, 0, Some(0.0))?;
            course.is_counted[at] = worked.failures.units == 0;
            if worked.failures.units > 0 {
                course.counted[at] = fail.nth;
                course.found(fail, &worked.failures.stack);
            }
        }
    }
    course.tried = None;
    session.request(FailInEachUnit { fail: None })
}

/// A guest whose controls were seen.
struct Prepared<'a> {
    ready: Ready,
    controlled: Observations,
    options: &'a Options,
    task: &'a Task,
    stage: &'a GuestImage,
}

impl Prepared<'_> {
    /// Judges the units in which this place fails.
    fn judge(&mut self, vm: &mut Vm, place: &Place) -> SessionResult<RunRecord> {
        let begin = Instant::now();
        let mut record = self.controlled.record.clone();
        record.rounds.clear();
        (record.listings, record.cold_listings, record.complete_listings) = (0, 0, 0);
        record.rpcs.values_mut().for_each(|calls| *calls = 0);
        name(&mut record, place);
        let mut outcome = Observations::new(record, self.options);
        outcome.object_bytes.clone_from(&self.controlled.object_bytes);
        outcome.shared_names.clone_from(&self.controlled.shared_names);
        let mut session = Session::new(vm, self.task, &mut outcome);
        session.pace = self.stage.accelerator().into();
        session.site_source = self.ready.site_source;
        session.untraceable.clone_from(&self.ready.untraceable);
        session.request(FailInEachUnit { fail: Some(place.fail) })?;
        session.work(WARM_UP, 1, Some(0.0))?;
        let baseline = session.read_settled(RoundKind::Warmup, WARM_UP)?;
        let last = session.blocks(&baseline, &self.stage.scenario.rounds, Until::Decided, self.options)?;
        session.wait_for_late_frees(&baseline, last, self.options)?;
        // It stays mounted for the places to come.
        outcome.net_unmounted = outcome.net.clone();
        outcome.record.seconds = begin.elapsed().as_secs_f64();
        Ok(outcome.into_judged_record())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::record::KernelRecord;

    fn stack(frames: &[&str]) -> Vec<String> {
        frames.iter().map(|frame| (*frame).to_owned()).collect()
    }

    fn fail(kind: AllocationKind, nth: u32) -> FailNth {
        FailNth { kind, nth }
    }

    fn blank() -> RunRecord {
        RunRecord::begin("quick", KernelRecord::default(), 1)
    }

    #[test]
    fn places_are_told_by_kind_and_stack_and_what_others_count_is_passed_over() {
        let mut course = Course::new(10);
        let open = stack(&["nfs_opendir+0x2f/0x130", "do_dentry_open+0x1/0x2"]);
        course.found(fail(AllocationKind::Slab, 1), &open);
        course.found(fail(AllocationKind::Slab, 2), &stack(&["nfs_opendir+0x3f/0x130", "do_dentry_open+0x1/0x2"]));
        course.found(fail(AllocationKind::Slab, 3), &open);
        course.found(fail(AllocationKind::Page, 1), &open);
        course.found(fail(AllocationKind::Page, 2), &stack(&["allocate_slab+0x1/0x2", "nfs_opendir+0x2f/0x130"]));
        let places: Vec<_> = course.places.iter().map(|place| (place.fail.to_string(), place.alike)).collect();
        assert_eq!(places, [("slab:3".into(), 2), ("slab:2".into(), 1), ("page:1".into(), 1)]);
        assert_eq!(course.passed_over, 1);
        assert_eq!(failing(&course.places[0]).place(), "slab:3 in nfs_opendir");
        assert_eq!(failing(&course.places[0]).alike, Some(2));
    }

    #[test]
    fn place_that_ends_its_guest_is_a_crash_and_the_next_one_is_gone_on_with() {
        let mut course = Course::new(10);
        course.found(fail(AllocationKind::Slab, 1), &stack(&["nfs_opendir+0x2f/0x130"]));
        course.tried = Some(fail(AllocationKind::Slab, 1));
        course.lost(Observations::new(blank(), &Options::default()), "oops", "it died".into());
        // One that was not seen to fail yet.
        course.tried = Some(fail(AllocationKind::Slab, 2));
        course.lost(Observations::new(blank(), &Options::default()), "oops", "it died, too".into());
        assert!(course.tried.is_none() && course.places.iter().all(|place| place.record.is_some()));
        let records = course.into_records(&blank(), &Options::default(), None).records;
        let told: Vec<_> = records.iter().map(|(_, r)| (r.scenario.as_str(), r.verdict, r.reason.as_str())).collect();
        let crash = Verdict::Crash;
        assert_eq!(
            told,
            [("quick --fail-nth slab:1", crash, "it died"), ("quick --fail-nth slab:2", crash, "it died, too")]
        );
    }

    #[test]
    fn places_that_were_not_come_to_are_no_clean_ones() {
        let mut course = Course::new(10);
        course.found(fail(AllocationKind::Slab, 1), &stack(&["nfs_opendir+0x2f/0x130"]));
        let records = course.into_records(&blank(), &Options::default(), None).records;
        assert_eq!((records.len(), records[0].1.verdict), (1, Verdict::Undecided));
        let unsupported = Some((Verdict::Unsupported, "it cannot".to_owned()));
        let none = Course::new(10).into_records(&blank(), &Options::default(), unsupported).records;
        assert_eq!((none.len(), none[0].1.verdict, none[0].1.reason.as_str()), (1, Verdict::Unsupported, "it cannot"));
    }
}
