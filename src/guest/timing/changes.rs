//! What is done while a directory is listed and timed: what the scenario says, or else changes of the directory at regular places.

use crate::protocol::timing::CacheState;
use crate::scenario::Step;
use crate::scenario::step::Pass;
use std::time::Instant;

/// In the state "directory being modified" the directory changes after each such part of its entries.
const CHANGES: u64 = 10;
/// What happens while a directory is listed.
pub struct Changes {
    steps: Vec<Step>,
    every: Every,
    next: u64,
    begin: Instant,
    /// What `steps` begins with next.
    turn: usize,
    /// Steps that were due.
    pub done: u64,
}

enum Every {
    Entries(u64),
    Milliseconds(u64),
}

impl Changes {
    /// Plans the changes of a pass over a directory of so many entries, or over a tree of them (`walk`).
    pub fn new(pass: &Pass, state: CacheState, entries: u64, walk: bool) -> Self {
        let scripted = pass
            .every
            .as_ref()
            .filter(|every| state == CacheState::Changing || !every.steps.iter().any(Step::changes_directory));
        let (steps, every) = match scripted {
            Some(every) => match (every.entries, every.milliseconds) {
                (Some(entries), _) => (every.steps.clone(), Every::Entries(entries)),
                (None, milliseconds) => (every.steps.clone(), Every::Milliseconds(milliseconds.unwrap_or(u64::MAX))),
            },
            None if state != CacheState::Changing => (Vec::new(), Every::Entries(u64::MAX)),
            None if walk => (vec![Step::Touch], Every::Entries((entries / CHANGES).max(1))),
            None => (vec![Step::Remove, Step::Add], Every::Entries((entries / CHANGES).max(1))),
        };
        let next = match every {
            Every::Entries(n) | Every::Milliseconds(n) => n,
        };
        Self { steps, every, next, begin: Instant::now(), turn: 0, done: 0 }
    }

    /// Returns the step that is due now that so many entries were seen; one a call.
    pub fn due(&mut self, entries: u64) -> Option<Step> {
        let (now, period) = match self.every {
            Every::Entries(period) => (entries, period),
            Every::Milliseconds(period) => (self.begin.elapsed().as_millis() as u64, period),
        };
        if now < self.next || self.steps.is_empty() {
            return None;
        }
        self.next = now.saturating_add(period);
        self.turn += 1;
        self.done += 1;
        self.steps.get((self.turn - 1) % self.steps.len()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_changes_in_one_state_only_and_after_each_tenth() {
        let pass = Pass::default();
        for state in [CacheState::Cold, CacheState::Warm, CacheState::Expired] {
            let mut none = Changes::new(&pass, state, 1000, false);
            assert!((0..=1000).all(|entries| none.due(entries).is_none()));
        }
        let mut changes = Changes::new(&pass, CacheState::Changing, 1000, false);
        let steps: Vec<Step> = (0..=1000).filter_map(|entries| changes.due(entries)).collect();
        assert_eq!(steps, std::iter::repeat_n([Step::Remove, Step::Add], 5).flatten().collect::<Vec<_>>());
        assert_eq!(changes.done, 10);
    }

    #[test]
    fn step_that_evicts_is_done_in_every_state_and_one_that_changes_is_not() {
        let every = |step: Step| Pass {
            every: Some(crate::scenario::step::Every { entries: Some(10), milliseconds: None, steps: vec![step] }),
            ..Pass::default()
        };
        let cold = |step| Changes::new(&every(step), CacheState::Cold, 1000, false).due(10);
        assert_eq!(cold(Step::Evict), Some(Step::Evict));
        assert_eq!(cold(Step::Add), None);
    }
}
