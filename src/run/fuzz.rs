//! Fuzzing of what is made of a guest's answers: a whole run, with one that lies within what is believed.

use super::live::{self, Live};
use super::options::Options;
use crate::os::progress::Ui;
use crate::protocol::agent::{Agent, AgentError};
use crate::protocol::message::{Request, Response};
use crate::report::fuzz::read;
use crate::report::text;
use crate::result::file::ResultFile;
use crate::result::record::{KernelRecord, RunRecord};
use crate::vm::fuzz::parse_response;
use std::collections::VecDeque;
use std::mem::discriminant;
use std::time::Duration;

/// What is answered to what nothing else was prepared for, in the words of the link.
const HONEST: [&str; 8] = [
    r#"{"answer":"ready","object_bytes":{"kmalloc-64":64},"name_allocations":[[25,9]],"missing_sources":[],
        "before_mount":{"objects":{"dentry":9}},"sites_before_mount":{},"site_source":"kept"}"#,
    r#"{"answer":"worked","listings":2,"cold_listings":2,"complete_listings":2,"refused_mounts":0,"signals":0,"getdents_calls":4,
        "rpcs":{"READDIR":2},"listing_seconds":0.25,"seconds":0.5,"broken":null,"faults":[]}"#,
    r#"{"answer":"held","files":9,"eventfds":5,"eventfd_caches":["kmalloc-64"],"pages":5,"pages_owned":null,"filters":4}"#,
    r#"{"answer":"sample","sample":{"objects":{"kmalloc-64":9,"filp":9,"pages":5}},"settled_seconds":0.5}"#,
    r#"{"answer":"sites","sites":{"kmalloc-64":[{"function":"nfs_readdir","stack":["f"],"objects":9}]}}"#,
    r#"{"answer":"traced","sites":null}"#,
    r#"{"answer":"done"}"#,
    r#"{"answer":"allocinfo","lines":[{"file":"mm/util.c","line":93,"function":"__kmemdup_nul","module":null,"bytes":640,"calls":10}]}"#,
];

/// Answers in the order in which they were prepared, each again and again.
struct Liar(VecDeque<Response>);

impl Liar {
    fn answer(&mut self, honest: &Response) -> Response {
        let fits = |answer: &Response| discriminant(answer) == discriminant(honest);
        let Some(place) = self.0.iter().position(fits) else { return honest.clone() };
        let answer = self.0.remove(place).expect("it is there");
        self.0.push_back(answer.clone());
        answer
    }
}

impl Agent for Liar {
    fn request(&mut self, order: &Request, _: &mut dyn FnMut(&str)) -> Result<Response, AgentError> {
        let kind = match order {
            Request::Work { .. } | Request::ListPlainly => 1,
            Request::Hold => 2,
            Request::Glance | Request::Settle => 3,
            Request::Sites { .. } => 4,
            Request::Traced | Request::TraceEnd => 5,
            Request::AllocinfoBegin | Request::AllocinfoEnd => 7,
            _ => 6,
        };
        Ok(self.answer(&honest(kind)))
    }
}

fn honest(kind: usize) -> Response {
    thread_local! {
        static ANSWERS: Vec<Response> = HONEST.iter().map(|line| parse_response(line.as_bytes()).expect("it is honest")).collect();
    }
    ANSWERS.with(|answers| answers[kind].clone())
}

/// Plays the lines that a guest prepared. Whatever it says ends in a record, which can be written, read and shown.
pub fn course(data: &[u8]) {
    let answers = data.split(|&b| b == b'\n').filter_map(|line| parse_response(line).ok());
    let mut liar = Liar(answers.collect());
    let Response::Ready(ready) = liar.answer(&honest(0)) else { return };
    let record = RunRecord::begin("fuzz", KernelRecord::default(), 42);
    let (options, task) = (Options::default(), Ui::silent().task("fuzz"));
    let budget = Duration::from_secs(3600);
    let live = Live { worker: &mut liar, ready, record, options: &options, budget, task: &task };
    let Ok(record) = live::run(live) else { return };
    let file = ResultFile { results: vec![record], ..ResultFile::default() };
    let written = serde_json::to_vec(&file).expect("a result file is JSON");
    let again = read(&written).expect("it was written so");
    assert_eq!(again.results[0].verdict, file.results[0].verdict);
    assert!(!text::render(&again).contains('\u{1b}'));
}
