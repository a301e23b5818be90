//! Knows how apt's programs are run and what their messages mean.

use crate::error::Error;
use crate::os::process::Child;
use crate::os::progress::Task;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// Why one of apt's programs did not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// It said so: its standard error.
    Said(String),
    /// Not started, interrupted, or an error of ours.
    Other(Error),
}

impl Failure {
    /// Returns whether the archive does not have the package.
    pub fn is_unknown_package(&self) -> bool {
        self.says("No packages found") || self.says("Unable to locate package")
    }

    /// Returns whether the file that the index names is not there any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Said(text) if says_gone(text))
    }

    /// Returns whether what was fetched is not what the index promised.
    pub fn is_corrupt(&self) -> bool {
        self.says("Hash Sum mismatch") || self.says("unexpected size")
    }

    fn says(&self, words: &str) -> bool {
        matches!(self, Self::Said(text) if text.contains(words))
    }

    /// Returns the one sentence for the user: what could not be done, apt's reason, the way out. `home` is where it writes.
    pub fn sentence(self, what: &str, home: &Path) -> Error {
        let text = match self {
            Self::Other(e) => return e,
            Self::Said(text) => text,
        };
        if text.contains("No space left on device") {
            let home = home.display();
            return Error::machine(format!(
                "cannot {what}: the disk of {home} is full; free some space or set XDG_CACHE_HOME to another disk"
            ));
        }
        let reason = reason(&text);
        let network = ["resolve", "connect", "Failed to fetch", "timed out", "Network is unreachable"];
        let way_out = match network.iter().any(|word| reason.contains(word)) {
            true => "check the network connection, then run the same command again",
            false => "check the machine's apt sources (apt-get update says the same)",
        };
        Error::machine(format!("cannot {what}: {reason}; {way_out}"))
    }
}

/// Returns whether what apt says is that an address leads to nothing.
pub fn says_gone(text: &str) -> bool {
    text.contains("404 ")
}

/// Returns the first error apt reported, blanks squeezed.
fn reason(text: &str) -> String {
    let error = text.lines().find_map(|l| l.strip_prefix("E: "));
    let line = error.or_else(|| text.lines().find(|l| !l.trim().is_empty())).unwrap_or("apt gave no reason");
    line.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches('.').to_owned()
}

/// Runs `command` to its end and gives what it printed.
pub fn quietly(command: &mut Command) -> Result<String, Failure> {
    let mut nothing = |_: &str| ();
    watched(command, &mut nothing)
}

/// Runs `command` with `APT::Status-Fd=1` and moves the bar of `task`, whose end is at `total`.
pub fn with_progress(command: &mut Command, task: &Task, total: u64) -> Result<String, Failure> {
    let mut show = |line: &str| {
        if let Some(percent) = percent(line) {
            task.progress((percent / 100.0 * total as f64) as u64, total);
        }
    };
    watched(command, &mut show)
}

/// Returns the share that is done, from a line such as `dlstatus:1:33.3:Retrieving file 1 of 1`.
fn percent(line: &str) -> Option<f64> {
    line.strip_prefix("dlstatus:")?.split(':').nth(1)?.parse().ok()
}

/// Returns the bytes named by a line such as `Fetched 9417 kB in 1s (6927 kB/s)`.
pub fn fetched_bytes(line: &str) -> Option<u64> {
    let mut words = line.strip_prefix("Fetched ")?.split_whitespace();
    let number: f64 = words.next()?.replace(',', "").parse().ok()?;
    let unit = match words.next()? {
        "B" => 1.0,
        "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        _ => return None,
    };
    Some((number * unit) as u64)
}

fn watched(command: &mut Command, each_line: &mut (dyn FnMut(&str) + Send)) -> Result<String, Failure> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A child is tied to the thread that starts it, so this thread starts and waits, and others read.
    let mut child = Child::spawn(command).map_err(Failure::Other)?;
    let stdout = child.inner().stdout.take().expect("stdout is piped");
    let mut stderr = child.inner().stderr.take().expect("stderr is piped");
    let (status, text, errors) = std::thread::scope(|scope| {
        let reader = scope.spawn(move || {
            let mut text = String::new();
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                each_line(&line);
                text.push_str(&line);
                text.push('\n');
            }
            text
        });
        let complaints = scope.spawn(move || {
            let mut bytes = Vec::new();
            let _ = stderr.read_to_end(&mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let status = child.wait(|| Ok(()));
        // Ends the readers when we were interrupted.
        drop(child);
        (status, reader.join().expect("the reader does not panic"), complaints.join().expect("nor does this"))
    });
    match status.map_err(Failure::Other)?.success() {
        true => Ok(text),
        false => Err(Failure::Said(errors)),
    }
}

/// Asks the machine's own apt something; a machine without apt is told so. `home` is where it writes.
pub fn ask_machine(command: &mut Command, home: &Path) -> crate::error::Result<String> {
    quietly(command.env("LC_ALL", "C")).map_err(|failure| match failure {
        Failure::Other(e) if e.to_string().contains("is not installed") => Error::machine(
            "apt is not installed, and kernels and nfs-utils are fetched from Debian's archive with it; \
             use a Debian machine, or boot a kernel image of your own (--kernel ./vmlinux) with the synthetic server",
        ),
        other => other.sentence("ask the machine's apt for its sources", home),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;

    fn sentence(text: &str) -> String {
        let error = Failure::Said(text.to_owned()).sentence("fetch it", Path::new("/cache"));
        assert_eq!(error.exit(), Exit::Machine);
        error.to_string()
    }

    #[test]
    fn messages_of_apt_become_one_sentence_with_the_way_out() {
        let cut = "W: something\nE: Failed to fetch mirror:/x  Could not resolve 'mirror'\nE: Some index files failed.";
        assert_eq!(
            sentence(cut),
            "cannot fetch it: Failed to fetch mirror:/x Could not resolve 'mirror'; check the network connection, then \
             run the same command again"
        );
        let full = "E: Failed to fetch mirror:/x  Error writing to file - write (28: No space left on device)";
        assert!(sentence(full).contains("the disk of /cache is full; free some space"));
        let suite = "E: The repository 'mirror:/ nosuch Release' does not have a Release file.";
        assert!(sentence(suite).contains("does not have a Release file; check the machine's apt sources"));
    }

    #[test]
    fn progress_and_sizes_are_read() {
        assert_eq!(percent("dlstatus:2:61.0453:Retrieving file 2 of 2"), Some(61.0453));
        assert_eq!(percent("Get:1 mirror"), None);
        assert_eq!(fetched_bytes("Fetched 9417 kB in 1s (6927 kB/s)"), Some(9_417_000));
        assert_eq!(fetched_bytes("Fetched 10.2 MB in 2s (4418 kB/s)"), Some(10_200_000));
        assert_eq!(fetched_bytes("Reading package lists..."), None);
    }

    #[test]
    fn file_that_is_gone_is_told_from_other_failures() {
        assert!(says_gone("E: Failed to fetch mirror:/pool/x.deb  404  Not Found [IP: mirror]"));
        assert!(!says_gone("E: Failed to fetch mirror:/pool/x_404.deb  Could not connect"));
    }

    #[test]
    fn failing_program_says_why() {
        let failure =
            quietly(Command::new("sh").args(["-c", "echo 'E: No packages found' >&2; exit 100"])).unwrap_err();
        assert!(failure.is_unknown_package());
    }
}
