//! Something that is taken away for a while and then given back, while the workload goes on.

use crate::error::{Error, Result};
use std::thread::JoinHandle;
use std::time::Duration;

/// An outage; it ends by itself.
pub struct Outage(JoinHandle<Result<()>>);

impl Outage {
    /// Has `restore` end an outage, which has begun, after `length`.
    pub fn new(length: Duration, restore: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let wait = move || {
            std::thread::sleep(length);
            restore()
        };
        let thread = std::thread::Builder::new().name("outage".into()).spawn(wait);
        thread.map(Self).map_err(|e| Error::machine(format!("cannot start a thread: {e}")))
    }

    /// Waits for its end.
    pub fn wait(self) -> Result<()> {
        self.0.join().unwrap_or_else(|_| Err(Error::machine("the thread that ends an outage panicked; report this")))
    }
}
