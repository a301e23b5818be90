//! How many records of `page_owner` a reading may have, and how long it may take.

use std::time::{Duration, Instant};

/// What a search may take that looks at a part of them.
pub(in crate::probe) const SEARCH: Budget = Budget { records: 1 << 18, time: Duration::from_secs(10) };
/// And the first one, by which it is judged whether there are to be any.
pub(in crate::probe) const FIRST_SEARCH: Budget = Budget { records: 1 << 17, time: Duration::from_secs(10) };

/// How many records a reading may have, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub(in crate::probe) struct Budget {
    pub records: u64,
    pub time: Duration,
}

/// What is left of a budget.
pub(in crate::probe) struct Left {
    pub records: u64,
    end: Instant,
    pub is_used_up: bool,
}

impl Budget {
    pub fn begin(self) -> Left {
        Left { records: self.records, end: Instant::now() + self.time, is_used_up: false }
    }
}

impl Left {
    /// Takes one record off; `None` if there may be no further one.
    pub fn take_one(&mut self) -> Option<()> {
        if self.records == 0 || Instant::now() >= self.end {
            self.is_used_up = true;
            return None;
        }
        self.records -= 1;
        Some(())
    }
}
