//! Ends a run that its server keeps waiting: who waits for an NFS server hears of no signal but SIGKILL, and of no deadline
//! (`rpc_wait_bit_killable` in net/sunrpc/sched.c), so a thread of its own looks.

use super::left::OwnDirectory;
use crate::error::{Error, Result};
use crate::os::signals;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A server may say nothing for so long. The kernel itself asks again after a minute (timeo=600), and twice more.
const MOST_SILENCE: Duration = Duration::from_secs(180);
/// And for so long when somebody wants us to stop.
const SILENCE_WHEN_STOPPED: Duration = Duration::from_secs(5);
/// Between two looks.
const POLL: Duration = Duration::from_millis(200);

/// What is told to the watchdog: whether a server is waited for, and what it has sent.
#[derive(Clone, Debug, Default)]
pub struct Waits(Arc<Told>);

#[derive(Debug, Default)]
struct Told {
    is_waiting: AtomicBool,
    /// Counts what shows that it goes on.
    steps: AtomicU64,
    is_over: AtomicBool,
}

impl Waits {
    /// Does something that a server may keep waiting.
    pub fn for_server<T>(&self, what: impl FnOnce() -> T) -> T {
        self.goes_on();
        self.0.is_waiting.store(true, Ordering::Relaxed);
        let done = what();
        self.0.is_waiting.store(false, Ordering::Relaxed);
        done
    }

    /// Notes that the server has sent something.
    pub fn goes_on(&self) {
        self.0.steps.fetch_add(1, Ordering::Relaxed);
    }
}

/// What is taken away if the run is ended so.
#[derive(Debug, Default)]
struct Leftovers {
    /// A directory in memory.
    local: Option<OwnDirectory>,
    /// A trace buffer, which nobody can remove as long as we read it.
    instance: Option<PathBuf>,
}

/// Looks until it is dropped.
pub struct Watchdog {
    waits: Waits,
    leftovers: Arc<Mutex<Leftovers>>,
}

impl Watchdog {
    /// Begins to look at what waits for the server of a directory; a trace buffer is taken away if the run is ended.
    pub fn begin(waits: &Waits, dir: &Path, instance: Option<PathBuf>) -> Self {
        let leftovers = Arc::new(Mutex::new(Leftovers { local: None, instance }));
        let (ours, left, dir) = (waits.clone(), leftovers.clone(), dir.to_owned());
        std::thread::spawn(move || {
            if let Some(error) = look(&ours, &dir, MOST_SILENCE, signals::check) {
                let _ = writeln!(std::io::stderr(), "dirleak: {error}");
                end(&left, error.exit() as i32);
            }
        });
        Self { waits: waits.clone(), leftovers }
    }

    /// Has a directory taken away, too, which the run takes away itself if it is not ended.
    pub fn takes_away(&self, local: OwnDirectory) {
        locked(&self.leftovers).local = Some(local);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.waits.0.is_over.store(true, Ordering::Relaxed);
        if let Some(local) = locked(&self.leftovers).local.take() {
            local.leave();
        }
    }
}

fn locked(leftovers: &Mutex<Leftovers>) -> MutexGuard<'_, Leftovers> {
    leftovers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks until the run is over, or its server has been silent for too long: then why the run ends.
fn look(waits: &Waits, dir: &Path, most: Duration, check: impl Fn() -> Result<()>) -> Option<Error> {
    let (mut steps, mut since) = (0, Instant::now());
    while !waits.0.is_over.load(Ordering::Relaxed) {
        let now = waits.0.steps.load(Ordering::Relaxed);
        if now != steps || !waits.0.is_waiting.load(Ordering::Relaxed) {
            (steps, since) = (now, Instant::now());
        }
        let silence = since.elapsed();
        let shown = dir.display();
        if silence >= most {
            let seconds = silence.as_secs();
            return Some(Error::machine(format!(
                "the server of {shown} has not answered for {seconds} s; the mount is as it was, try again when it answers"
            )));
        }
        if let (Err(stopped), true) = (check(), silence >= SILENCE_WHEN_STOPPED.min(most)) {
            return Some(Error::new(stopped.exit(), format!("{stopped}, while the server of {shown} did not answer")));
        }
        std::thread::sleep(POLL.min(most));
    }
    None
}

/// Takes away what can be taken away, and ends the process, whatever its other threads wait for.
fn end(leftovers: &Mutex<Leftovers>, status: i32) -> ! {
    let mut leftovers = locked(leftovers);
    drop(leftovers.local.take());
    if let Some(instance) = leftovers.instance.take() {
        remove_when_we_are_gone(&instance);
    }
    std::process::exit(status)
}

/// Has a process of its own remove a trace buffer once this one is gone, with which the last reader goes.
fn remove_when_we_are_gone(instance: &Path) {
    let wait = "while kill -0 \"$1\" 2>/dev/null; do sleep 0.1; done; rmdir \"$2\"";
    let mut cleaner = std::process::Command::new("sh");
    cleaner.args(["-c", wait, "sh", &std::process::id().to_string()]).arg(instance);
    cleaner.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    // Without a shell the next run removes it.
    let _ = cleaner.spawn();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    const SHORT: Duration = Duration::from_millis(300);
    const DIR: &str = "/srv/www";

    fn nobody_stops() -> Result<()> {
        Ok(())
    }

    #[test]
    fn server_that_is_silent_for_too_long_ends_the_run() {
        let waits = Waits::default();
        let error = waits.for_server(|| look(&waits, Path::new(DIR), SHORT, nobody_stops)).unwrap();
        assert_eq!(error.exit(), Exit::Machine);
        assert!(error.to_string().starts_with("the server of /srv/www has not answered for 0 s; "), "{error}");
    }

    #[test]
    fn signal_ends_a_run_that_waits_and_not_one_that_hears_it_itself() {
        let stopped = || Err(Error::new(Exit::Interrupted, "stopped by SIGINT"));
        let waits = Waits::default();
        let error = waits.for_server(|| look(&waits, Path::new(DIR), Duration::from_millis(1), stopped)).unwrap();
        assert!(error.to_string().contains("/srv/www"), "{error}");
        let other = waits.clone();
        let looked = std::thread::spawn(move || look(&other, Path::new(DIR), SHORT, stopped));
        std::thread::sleep(2 * SHORT);
        waits.0.is_over.store(true, Ordering::Relaxed);
        assert!(looked.join().unwrap().is_none(), "nobody was waited for");
    }

    #[test]
    fn server_that_sends_now_and_then_is_waited_for() {
        let waits = Waits::default();
        let other = waits.clone();
        let looked = std::thread::spawn(move || look(&other, Path::new(DIR), SHORT, nobody_stops));
        waits.for_server(|| {
            for _ in 0..10 {
                std::thread::sleep(SHORT / 3);
                waits.goes_on();
            }
        });
        waits.0.is_over.store(true, Ordering::Relaxed);
        assert!(looked.join().unwrap().is_none());
    }
}
