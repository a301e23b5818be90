//! The clock of the machine that is measured, and how much of its time nobody used.

use nix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::Duration;

/// Returns the seconds since this machine booted, which are those of its own clock: where that counts instructions they are no seconds of the
/// host's.
pub fn seconds() -> f64 {
    // A clock that every kernel has.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(0.0, |time| Duration::from(time).as_secs_f64())
}

/// Returns the seconds for which a processor had nothing to do, those of all processors divided by their number; `None` if the kernel does
/// not tell. The second number of /proc/uptime, in hundredths (uptime_proc_show in fs/proc/uptime.c, 5.1 to 7.3).
pub fn idle_seconds(processors: usize) -> Option<f64> {
    parse_idle(&fs::read_to_string("/proc/uptime").ok()?).map(|all| all / processors.max(1) as f64)
}

fn parse_idle(uptime: &str) -> Option<f64> {
    uptime.split_whitespace().nth(1)?.parse().ok().filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_the_second_number_of_uptime() {
        assert_eq!(parse_idle("350735.47 234388.90\n"), Some(234388.9));
        assert_eq!(parse_idle("350735.47\n"), None);
        assert_eq!(parse_idle("1 NaN"), None);
    }

    #[test]
    fn clock_goes_on_and_nobody_is_idle_for_longer_than_it_went() {
        let (before, idle) = (seconds(), idle_seconds(1).unwrap());
        std::thread::sleep(Duration::from_millis(3));
        assert!(before > 0.0 && seconds() >= before + 0.003);
        let processors = std::thread::available_parallelism().unwrap().get();
        // Beside hundredths of each processor.
        let idled = (idle_seconds(1).unwrap() - idle) / processors as f64;
        assert!(idled >= 0.0 && idled <= seconds() - before + 0.02, "{idled}");
    }
}
