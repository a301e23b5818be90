//! Requests as types, each with the one kind of response that fits it: what is sent and what comes back are written down once, in the
//! table below, and a response of another kind is told in one place.

use super::agent::{Agent, AgentError, unexpected};
use super::message::{CgroupUsage, CommandLine, CommandOutput, Ready, Request, Response, RoundStats};
use super::timing::{CacheState, Footprint as CacheFootprint, TimedListing};
use crate::coverage::counters::FileCounters;
use crate::probe::control_allocs::ControlAllocs;
use crate::probe::kmemleak::KmemleakReport;
use crate::sample::{Sample, Site, SourceLine};
use crate::scenario::Scenario;
use crate::scenario::fail_nth::FailNth;
use std::collections::BTreeMap;

/// Call sites by counter.
pub type SitesByCounter = BTreeMap<String, Vec<Site>>;

/// Counters, and when they were read.
#[derive(Clone, Debug)]
pub struct ReadSample {
    pub sample: Sample,
    /// How long it took to come to rest; `None` after a glance, or if rest never came.
    pub settled_seconds: Option<f64>,
    /// By the clock of who read it.
    pub clock_seconds: f64,
}

/// A request of which the compiler knows what is answered.
pub trait TypedRequest {
    /// What a response that fits says.
    type Answer;

    /// Returns the request as it is sent.
    fn into_request(self) -> Request;

    /// Returns what the response says, or an error if it is one to something else.
    fn answer(response: Response) -> Result<Self::Answer, AgentError>;
}

/// Sends a request and waits for its answer; `step` hears what is being done.
pub fn request<R: TypedRequest>(
    agent: &mut dyn Agent,
    request: R,
    step: &mut dyn FnMut(&str),
) -> Result<R::Answer, AgentError> {
    R::answer(agent.request(&request.into_request(), step)?)
}

/// Returns what a guest says when the stage is set, or an error if it says something else.
pub fn ready(response: Response) -> Result<Ready, AgentError> {
    match response {
        Response::Ready(ready) => Ok(ready),
        other => Err(unexpected(&other)),
    }
}

/// Makes a type of each row: the request and its fields, what is answered, and the response that says so.
macro_rules! requests {
    ($($name:ident $fields:tt -> $answer:ty, $response:pat => $value:expr;)+) => {
        $(requests!(@row $name $fields, $answer, $response, $value);)+
    };
    (@row $name:ident { $($field:ident: $type:ty),* }, $answer:ty, $response:pat, $value:expr) => {
        #[doc = concat!("The request [`Request::", stringify!($name), "`].")]
        #[derive(Clone, Debug)]
        pub struct $name { $(pub $field: $type),* }

        impl TypedRequest for $name {
            type Answer = $answer;

            fn into_request(self) -> Request {
                let Self { $($field),* } = self;
                Request::$name { $($field),* }
            }

            fn answer(response: Response) -> Result<$answer, AgentError> {
                match response {
                    $response => Ok($value),
                    other => Err(unexpected(&other)),
                }
            }
        }
    };
}

requests! {
    Work { listings: u64, fillers: u64, at_least_seconds: Option<f64> } -> RoundStats, Response::Worked(stats) => stats;
    SetUp { scenario: Box<Scenario>, seed: u64 } -> (), Response::Done => ();
    FailInEachUnit { fail: Option<FailNth> } -> (), Response::Done => ();
    ResetCoverage {} -> (), Response::Done => ();
    Coverage {} -> Vec<FileCounters>, Response::Coverage { files } => files;
    ListPlainly {} -> RoundStats, Response::Worked(stats) => stats;
    Time { states: Vec<CacheState> } -> TimedListing, Response::Timed(listing) => listing;
    Footprint {} -> CacheFootprint, Response::Footprint(footprint) => footprint;
    Hold {} -> ControlAllocs, Response::Held(held) => held;
    Release {} -> (), Response::Done => ();
    Glance {} -> ReadSample, Response::Sample { sample, settled_seconds, clock_seconds } => ReadSample { sample, settled_seconds, clock_seconds };
    Settle {} -> ReadSample, Response::Sample { sample, settled_seconds, clock_seconds } => ReadSample { sample, settled_seconds, clock_seconds };
    Sites { caches: Vec<String> } -> SitesByCounter, Response::Sites { sites } => sites;
    Charged {} -> CgroupUsage, Response::Charged(usage) => usage;
    TakeCgroupAway {} -> (), Response::Done => ();
    TraceBegin { counters: Vec<String>, stacks: bool } -> (), Response::Done => ();
    Traced {} -> Option<SitesByCounter>, Response::Traced { sites } => sites;
    TraceEnd {} -> Option<SitesByCounter>, Response::Traced { sites } => sites;
    AllocinfoBegin {} -> bool, Response::Allocinfo { lines } => lines.is_some();
    AllocinfoEnd {} -> Option<Vec<SourceLine>>, Response::Allocinfo { lines } => lines;
    Slabinfo {} -> BTreeMap<String, i64>, Response::Slabinfo { objects } => objects;
    Kmemleak {} -> Option<KmemleakReport>, Response::Kmemleak { reported } => reported;
    Execute { commands: Vec<CommandLine>, meanwhile: bool } -> Vec<CommandOutput>, Response::Executed { ended } => ended;
    Unmount {} -> (), Response::Done => ();
    Finish {} -> (), Response::Bye => ();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_of_another_kind_is_an_error() {
        assert_eq!(Slabinfo::answer(Response::Slabinfo { objects: BTreeMap::new() }).unwrap(), BTreeMap::new());
        let Err(AgentError::Failed(sentence)) = Slabinfo::answer(Response::Done) else { panic!("it is believed") };
        assert!(sentence.ends_with("asked: Done"), "{sentence}");
        let Err(AgentError::Failed(sentence)) = ready(Response::Alive) else { panic!("it is believed") };
        assert!(sentence.ends_with("asked: Alive"), "{sentence}");
    }

    #[test]
    fn request_keeps_its_tag_and_fields_on_the_wire() {
        let json = |request: Request| serde_json::to_string(&request).unwrap();
        assert_eq!(json(Release {}.into_request()), r#"{"order":"release"}"#);
        let work = Work { listings: 3, fillers: 0, at_least_seconds: Some(0.5) };
        let sent = r#"{"order":"work","listings":3,"fillers":0,"at_least_seconds":0.5}"#;
        assert_eq!(json(work.into_request()), sent);
    }
}
