//! The clock of the machine that is measured, and how much of its time nobody used.

use super::kernel_files::KernelFiles;
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// Returns the seconds since this machine booted, which are those of its own clock: where that counts instructions they are no seconds of the
/// host's.
pub fn seconds() -> f64 {
    // A clock that every kernel has.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// Returns the seconds for which a processor had nothing to do, those of all processors divided by their number; `None` if the kernel does
/// not tell. The second number of /proc/uptime, in hundredths (uptime_proc_show in fs/proc/uptime.c, 5.1 to 7.3).
pub fn idle_seconds(files: &KernelFiles, processors: usize) -> Option<f64> {
    parse_idle(&files.text("/proc/uptime").ok()?).map(|all| all / processors.max(1) as f64)
}

fn parse_idle(uptime: &str) -> Option<f64> {
    uptime.split_whitespace().nth(1)?.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;

    #[test]
    fn idle_time_is_the_second_number_of_uptime() {
        assert_eq!(parse_idle("350735.47 234388.90\n"), Some(234388.9));
        assert_eq!(parse_idle("350735.47\n"), None);
        assert_eq!(["1 NaN", "1 inf", "1 -5.0"].map(parse_idle), [None; 3]);
    }

    #[test]
    fn idle_time_is_that_of_one_processor() {
        let made = MadeFiles::new(&[("/proc/uptime", "350735.47 234388.90\n")]);
        let idle = |processors| idle_seconds(&made.files, processors);
        assert_eq!([idle(1), idle(2), idle(0)], [Some(234388.9), Some(117194.45), Some(234388.9)]);
        made.remove("/proc/uptime");
        assert_eq!(idle(1), None);
    }

    #[test]
    fn clock_goes_on_and_nobody_is_idle_for_longer_than_it_went() {
        let idle_seconds = || idle_seconds(&KernelFiles::of_this_machine(), 1).unwrap();
        let (before, idle) = (seconds(), idle_seconds());
        std::thread::sleep(Duration::from_millis(3));
        assert!(before > 0.0 && seconds() >= before + 0.003);
        let processors = std::thread::available_parallelism().unwrap().get();
        // Beside hundredths of each processor.
        let idled = (idle_seconds() - idle) / processors as f64;
        assert!(idled >= 0.0 && idled <= seconds() - before + 0.02, "{idled}");
    }
}
