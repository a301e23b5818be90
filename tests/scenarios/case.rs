//! A trial and the kernels it boots.

use crate::kernels::Kernels;
use crate::program::Trialled;
use libtest_mimic::{Completion, Trial};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::Instant;

type Body = Box<dyn FnOnce(&Kernels) -> Trialled + Send>;

/// Trials that are told with the seconds that they took.
const SLOWEST: usize = 25;

/// Says how many minutes after the first one trials are still begun. Where a machine is so slow that not all of them fit, those that are left out
/// are named with this reason, and the others count.
const MINUTES: &str = "DIRLEAK_TRIAL_MINUTES";

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns why no trial is begun any more, if none is.
fn too_late() -> Option<String> {
    let minutes: f64 = std::env::var(MINUTES).ok()?.parse().ok()?;
    (BEGIN.elapsed().as_secs_f64() > 60.0 * minutes).then(|| format!("{MINUTES}={minutes} are over on this machine"))
}

/// The seconds of each trial that has ended, waiting for processors included.
static TIMES: Mutex<Vec<(f64, String)>> = Mutex::new(Vec::new());

/// Tells which trials took longest, so that who waits for all of them knows what for.
pub fn tell_times() {
    let mut times = std::mem::take(&mut *TIMES.lock().expect("nobody panics with it"));
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    let all: f64 = times.iter().map(|(seconds, _)| seconds).sum();
    eprintln!("\n{} trials took {all:.0} s together; those that took longest:", times.len());
    for (seconds, name) in times.iter().take(SLOWEST) {
        eprintln!("  {seconds:>5.0} s  {name}");
    }
}

/// What is tried, and on which kernels.
pub struct Case {
    name: String,
    specs: Vec<String>,
    /// Why it cannot be tried here.
    ignored: Option<String>,
    body: Body,
}

impl Case {
    /// A trial whose name says what broke if it fails. It boots none but these kernels.
    pub fn new(
        name: impl Into<String>,
        specs: &[&str],
        body: impl FnOnce(&Kernels) -> Trialled + Send + 'static,
    ) -> Self {
        let specs = specs.iter().map(|spec| (*spec).to_owned()).collect();
        Self { name: name.into(), specs, ignored: None, body: Box::new(body) }
    }

    /// The same, but ignored if there is a reason, or was one.
    pub fn ignored_because(self, reason: Option<String>) -> Self {
        Self { ignored: self.ignored.or(reason), ..self }
    }

    /// What it is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kernels to be built for it.
    pub fn needs(&self) -> Vec<String> {
        if self.ignored.is_some() { Vec::new() } else { self.specs.clone() }
    }

    /// The test that runs it once `kernels` are built, and fails if one of its own could not be.
    pub fn trial(self, kernels: Arc<OnceLock<Kernels>>) -> Trial {
        let name = self.name.clone();
        let kind = if self.specs.is_empty() { "" } else { "kernel" };
        let run = move || {
            if let Some(reason) = self.ignored.or_else(too_late) {
                return Ok(Completion::ignored_with(reason));
            }
            let kernels = kernels.get().ok_or("the kernels are not built yet")?;
            for spec in &self.specs {
                kernels.image(spec)?;
            }
            let begin = Instant::now();
            let result = (self.body)(kernels).map(|()| Completion::Completed);
            TIMES.lock().expect("nobody panics with it").push((begin.elapsed().as_secs_f64(), name));
            result
        };
        Trial::ignorable_test(self.name, run).with_kind(kind)
    }
}
