//! Whether the user has asked us to stop (SIGINT, SIGTERM, SIGQUIT) or the terminal is gone (SIGHUP), which every long wait looks at.

use crate::error::{Error, Exit, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(0)));

/// Has these signals remembered from now on instead of ending the program at once, so that children are ended and what
/// was made or switched on is taken back first. One that is ignored, as nohup has it with SIGHUP, stays so.
pub fn install() -> Result<()> {
    for signal in [SIGINT, SIGTERM, SIGQUIT, SIGHUP] {
        if is_ignored(signal) {
            continue;
        }
        signal_hook::flag::register_usize(signal, SIGNAL.clone(), signal as usize)
            .map_err(|e| Error::machine(format!("cannot catch signal {signal}: {e}")))?;
    }
    Ok(())
}

/// Asks how the program was started.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: a plain structure of numbers, which sigaction fills and nothing else is done with.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: without a new action it only tells the one that there is.
    let told = unsafe { libc::sigaction(signal, std::ptr::null(), &mut now) };
    told == 0 && now.sa_sigaction == libc::SIG_IGN
}

/// Between two looks while nothing but waiting is done.
const POLL: Duration = Duration::from_millis(200);

/// Waits until `end`, unless the user asks us to stop.
pub fn wait_until(end: Instant) -> Result<()> {
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        check()?;
        std::thread::sleep(left.min(POLL));
    }
}

/// Fails with the signal's exit status once one came.
pub fn check() -> Result<()> {
    match SIGNAL.load(Ordering::Relaxed) as i32 {
        0 => Ok(()),
        SIGTERM => Err(Error::new(Exit::Terminated, "stopped by SIGTERM")),
        SIGHUP => Err(Error::new(Exit::Terminated, "stopped by SIGHUP, as the terminal is gone")),
        SIGQUIT => Err(Error::new(Exit::Interrupted, "stopped by SIGQUIT")),
        _ => Err(Error::new(Exit::Interrupted, "stopped by SIGINT")),
    }
}
