//! What random workloads came to.

use crate::stats::estimate::finite;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Something that a random workload showed, that was judged in a guest of its own and made smaller; its record stands at the same place in
/// `results`.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct FindRecord {
    /// The name of its files.
    pub name: String,
    /// The scenario, as a file that `run` takes.
    pub file: String,
    /// What judges it again.
    pub command: String,
    /// What is the same of all scenarios that show the same: `leak`, the counter, the function that allocates; or `broken`, or `crash`.
    pub signatures: Vec<String>,
    /// The batch in which it was drawn.
    pub batch: u64,
    /// Its number there; with the batch and the seed it says what was drawn, where no candidate was kept before.
    pub number: u64,
    /// Candidates that had been tried by then, this one among them.
    pub candidates: u64,
    /// Seconds until it was suspected.
    #[serde(serialize_with = "finite")]
    pub suspected_seconds: f64,
    /// Seconds until it was judged, made smaller and written.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// Smaller scenarios that were tried.
    pub smaller_tried: u64,
    /// Those of them that still showed it, each smaller than the one before.
    pub smaller_shown: u64,
    /// The text of that file.
    pub scenario: String,
    /// The scenario as it was drawn.
    pub drawn: String,
}

/// An exploration: random workloads on one kernel.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ExploreRecord {
    /// The kernel as the command line has it.
    pub kernel: String,
    /// Of all that was drawn by lot.
    pub seed: u64,
    /// The directory in which finds and what is gone on with are kept.
    pub corpus: String,
    /// This time, from the first guest's start.
    #[serde(serialize_with = "finite")]
    pub seconds: f64,
    /// Scenarios that were tried, this time.
    pub candidates: u64,
    /// The same of all times that this corpus was gone on with, this one among them.
    pub all_candidates: u64,
    /// Units that were made in them.
    pub units: u64,
    /// Those that could not be set up or done, for reasons that are no finds.
    pub not_done: u64,
    /// Some of these reasons, each once.
    pub reasons: Vec<String>,
    /// Those that are kept, as they did what none did before.
    pub kept: u64,
    /// Ways of behaving that were seen: calls and how they ended, counters that moved.
    pub ways: u64,
    /// Places in the kernel's code at which it is counted what is executed, of those that were reached; 0 if they were not asked for.
    pub reached: u64,
    /// Guests that were booted to be shared.
    pub guests: u64,
    /// Those of them that a candidate ended.
    pub guests_lost: u64,
    /// Runs in guests of their own, as `run` makes them.
    pub judged: u64,
    /// Suspicions that were not confirmed by one.
    pub not_confirmed: u64,
    /// Where the time of all guests went, in seconds: `boot`, `set up`, `work`, `read`, `follow` (who allocates, and does it go on), `judge` and `shrink`.
    pub seconds_of: BTreeMap<String, f64>,
    /// Counters that grew in some candidate until it was unmounted.
    pub until_unmount: Vec<String>,
    /// Candidates that are suspected and not judged yet; who goes on begins with them.
    pub pending: u64,
    /// What was found, each with its record in `results`.
    pub finds: Vec<FindRecord>,
}

impl ExploreRecord {
    /// Returns how many candidates were tried in a minute.
    pub fn candidates_a_minute(&self) -> f64 {
        60.0 * self.candidates as f64 / self.seconds.max(1e-3)
    }
}
