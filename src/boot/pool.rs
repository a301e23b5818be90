//! Several guests side by side: as many as processors and memory allow, results in the order of what was asked for.

use crate::error::{Error, Result};
use crate::probe::memory;
use crate::scenario::Scenario;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What QEMU takes beside the guest's memory.
pub const QEMU_MIB: u64 = 200;

/// What an error ended, with the results that were there by then, in the order of their items.
#[derive(Debug)]
pub struct Unfinished<R> {
    pub results: Vec<R>,
    pub error: Error,
}

impl<R> From<Unfinished<R>> for Error {
    fn from(unfinished: Unfinished<R>) -> Self {
        unfinished.error
    }
}

/// Does `work` with every item, `workers` of them at a time, and gives the results in the order of the items. After an error
/// nothing more is begun.
pub fn run_parallel<T: Sync, R: Send>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> Result<R> + Sync,
) -> std::result::Result<Vec<R>, Unfinished<R>> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<Error>> = Mutex::new(None);
    let results: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        while failed.lock().expect("no panic while held").is_none() {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(number) else { return };
            match work(item) {
                Ok(result) => *results[number].lock().expect("no panic while held") = Some(result),
                Err(error) => *failed.lock().expect("no panic while held") = Some(error),
            }
        }
    };
    std::thread::scope(|scope| (0..workers.clamp(1, items.len().max(1))).for_each(|_| drop(scope.spawn(worker))));
    let results = results.into_iter().filter_map(|r| r.into_inner().expect("all threads have ended")).collect();
    match failed.into_inner().expect("all threads have ended") {
        Some(error) => Err(Unfinished { results, error }),
        None => Ok(results),
    }
}

/// Returns how many guests fit side by side: one per processor, and no more than the free memory holds.
pub fn guests<'a>(scenarios: impl Iterator<Item = &'a Scenario>) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let largest = scenarios.map(|scenario| u64::from(scenario.guest.memory_mib)).max().unwrap_or(1);
    let memory = available_memory_mib().map_or(usize::MAX, |free| (free / (largest + QEMU_MIB)) as usize);
    processors.min(memory).max(1)
}

/// Returns how much memory can be had without swapping, in MiB.
pub fn available_memory_mib() -> Option<u64> {
    memory::kib("MemAvailable").map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..50).collect();
        let doubled = run_parallel(&items, 4, |n| {
            std::thread::sleep(std::time::Duration::from_micros(50 - n));
            Ok(2 * n)
        });
        assert_eq!(doubled.unwrap(), items.iter().map(|n| 2 * n).collect::<Vec<_>>());
    }

    #[test]
    fn error_ends_the_work_and_what_was_done_is_kept() {
        let begun = AtomicUsize::new(0);
        let ended = run_parallel(&[0; 50], 1, |_| match begun.fetch_add(1, Ordering::Relaxed) {
            number @ ..2 => Ok(number),
            _ => Err(Error::machine("it failed")),
        });
        let ended = ended.unwrap_err();
        assert_eq!((ended.error.to_string().as_str(), begun.into_inner()), ("it failed", 3));
        assert_eq!(ended.results, [0, 1]);
    }
}
