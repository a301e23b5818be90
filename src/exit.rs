//! The exit statuses that users script against, in one table.
//!
//! `git bisect run` reads 1 to 127 as "this commit is bad", 125 apart, which it skips. So 1 is sacred: it only
//! ever comes from a verdict, and whatever else goes wrong is 125 or at least 128.

/// Why the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `run`: every verdict clean. `verify`: proven.
    Clean = 0,
    /// `run`: at least one leak. `verify`: not proven.
    Leak = 1,
    /// This kernel cannot be judged: undecided, unsupported, crash, its patch, build or boot failed.
    CannotJudge = 125,
    /// The machine failed: QEMU, disk, network, cache, result file, or a bug of ours.
    Machine = 128,
    /// Arguments, scenario files, unknown names.
    Usage = 129,
    /// Stopped by SIGINT.
    Interrupted = 130,
    /// Stopped by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// The number given to the shell.
    pub fn status(self) -> i32 {
        self as i32
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    /// The table of the documentation, row by row: changing a number breaks people's scripts.
    #[test]
    fn statuses_are_the_documented_ones() {
        let table = [
            (Exit::Clean, 0),
            (Exit::Leak, 1),
            (Exit::CannotJudge, 125),
            (Exit::Machine, 128),
            (Exit::Usage, 129),
            (Exit::Interrupted, 130),
            (Exit::Terminated, 143),
        ];
        for (exit, status) in table {
            assert_eq!(exit.status(), status, "{exit:?}");
            let row = format!("\n| {status} | ");
            assert!(include_str!("../docs/exit-status.md").contains(&row), "{status} is not documented");
        }
    }
}
