//! Several guests side by side: as many as processors and memory allow, results in the order of what was asked for.

use crate::error::{Error, Result};
use crate::probe::memory;
use crate::scenario::Scenario;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};

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
    let processors = processors();
    let largest = scenarios.map(|scenario| u64::from(scenario.guest.memory_mib)).max().unwrap_or(1);
    let memory = available_memory_mib().map_or(usize::MAX, |free| (free / (largest + QEMU_MIB)) as usize);
    processors.min(memory).max(1)
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processors of this machine, of which each guest takes as many as it has itself. Those that wait for each other, as a guest's do,
/// take many times as long where each waits for a processor of ours first.
pub struct ProcessorSlots {
    all: usize,
    free: Mutex<usize>,
    given_back: Condvar,
}

impl Default for ProcessorSlots {
    fn default() -> Self {
        Self::new(processors())
    }
}

impl ProcessorSlots {
    fn new(all: usize) -> Self {
        Self { all, free: Mutex::new(all), given_back: Condvar::new() }
    }

    /// Does `work` as soon as `wanted` processors are free, or all, where there are not as many.
    pub fn with<T>(&self, wanted: u32, work: impl FnOnce() -> T) -> T {
        let taken = usize::try_from(wanted).unwrap_or(usize::MAX).clamp(1, self.all);
        let free = self.free.lock().expect("no panic while held");
        *self.given_back.wait_while(free, |free| *free < taken).expect("no panic while held") -= taken;
        let done = work();
        *self.free.lock().expect("no panic while held") += taken;
        self.given_back.notify_all();
        done
    }
}

/// Returns how much memory can be had without swapping, in MiB.
pub fn available_memory_mib() -> Option<u64> {
    memory::kib("MemAvailable").map(|kib| kib / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_of_several_processors_have_as_many_to_themselves() {
        let slots = ProcessorSlots::new(3);
        let (busy, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let guest = |cpus: u32| {
            slots.with(cpus, || {
                let now = busy.fetch_add(cpus.min(3) as usize, Ordering::SeqCst) + cpus.min(3) as usize;
                most.fetch_max(now, Ordering::SeqCst);
                std::thread::sleep(std::time::Duration::from_millis(5));
                busy.fetch_sub(cpus.min(3) as usize, Ordering::SeqCst);
            });
        };
        let guests = [1, 2, 64, 1, 1, 2, 4, 1];
        std::thread::scope(|scope| guests.iter().for_each(|cpus| drop(scope.spawn(|| guest(*cpus)))));
        assert_eq!(most.load(Ordering::SeqCst), 3, "so many processors were busy at once");
        assert_eq!(*slots.free.lock().unwrap(), 3);
    }

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
