//! Whether the user has asked us to stop (SIGINT, SIGTERM), which every long wait looks at.

use crate::error::{Error, Exit, Result};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(|| Arc::new(AtomicUsize::new(0)));

/// From now on SIGINT and SIGTERM are remembered instead of ending the program at once, so that children are
/// ended and temporary files removed first.
pub fn install() -> Result<()> {
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register_usize(signal, SIGNAL.clone(), signal as usize)
            .map_err(|e| Error::machine(format!("cannot catch signal {signal}: {e}")))?;
    }
    Ok(())
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

/// An error with the signal's exit status once one came.
pub fn check() -> Result<()> {
    match SIGNAL.load(Ordering::Relaxed) as i32 {
        0 => Ok(()),
        SIGTERM => Err(Error::new(Exit::Terminated, "stopped by SIGTERM")),
        _ => Err(Error::new(Exit::Interrupted, "stopped by SIGINT")),
    }
}
