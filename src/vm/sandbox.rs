//! What QEMU may do on this machine, should a guest take it over: nothing that a guest does not need.

use super::console::MOST_LOG_BYTES;
use super::qemu::PROGRAM;
use crate::error::{Context, Result};
use crate::os::process::Child;
use landlock::{
    ABI, Access, AccessFs, AccessNet, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError,
    Scope,
};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// QEMU's own filter of system calls, as libvirt sets it: no program is started, no privilege gained, no scheduling changed, and nothing
/// called that no QEMU of today calls.
const SECCOMP: [&str; 2] = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"];
/// What Landlock is asked to forbid: writing anywhere (version 1), TCP (4), ioctls of devices (5), and signals to others and their abstract
/// sockets (6). A kernel forbids what it knows of it.
const LANDLOCK: ABI = ABI::V6;
/// What else than its console QEMU may open for writing.
const DEVICES: [&str; 2] = ["/dev/kvm", "/dev/null"];

/// What keeps the QEMUs of this machine in their place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sandbox {
    /// QEMU's filter of system calls.
    pub seccomp: bool,
    /// The kernel's rules about files and sockets.
    pub landlock: bool,
}

impl Sandbox {
    /// What works here: a QEMU may be built without its filter, and a kernel may lack Landlock (before 5.13, or not turned on).
    pub fn of_this_machine() -> Self {
        static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
            let sandboxes = [(true, true), (false, true), (true, false)];
            let sandboxes = sandboxes.map(|(seccomp, landlock)| Sandbox { seccomp, landlock });
            let nothing = Sandbox { seccomp: false, landlock: false };
            sandboxes.into_iter().find(|sandbox| sandbox.works()).unwrap_or(nothing)
        });
        *SANDBOX
    }

    /// Whether a QEMU starts in it. It puts its filter in place before it lists its processors, and ends at once.
    fn works(self) -> bool {
        let mut command = Command::new(PROGRAM);
        command.args(["-nodefaults", "-no-user-config", "-machine", "none", "-cpu", "help"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let is_whole = !self.landlock || rules(None).is_ok_and(|rules| rules.is_some());
        let ends_well = |mut qemu: Child| qemu.wait(|| Ok(())).is_ok_and(|status| status.success());
        is_whole && self.confine(&mut command, None).and_then(|()| Child::spawn(&mut command)).is_ok_and(ends_well)
    }

    /// Has QEMU, which is still to be started, write nowhere but into `console`, which must exist, and no more than [`MOST_LOG_BYTES`].
    pub fn confine(self, qemu: &mut Command, console: Option<&Path>) -> Result<()> {
        // SAFETY: what is called between fork and exec is two system calls that touch no memory of ours.
        unsafe { qemu.pre_exec(limit_files) };
        if self.seccomp {
            qemu.args(SECCOMP);
        }
        if !self.landlock {
            return Ok(());
        }
        let rules = rules(console).machine(|| format!("cannot keep {PROGRAM} from writing elsewhere"))?;
        if let Some(rules) = rules {
            // SAFETY: the same holds here.
            unsafe { qemu.pre_exec(move || enforce(&rules)) };
        }
        Ok(())
    }

    /// Its words in results.
    pub fn names(self) -> Vec<String> {
        let words = [("seccomp", self.seccomp), ("landlock", self.landlock)];
        words.into_iter().filter(|(_, is_there)| *is_there).map(|(word, _)| word.to_owned()).collect()
    }
}

/// Rules that forbid everything of [`LANDLOCK`] but writing to `console`; `None` where the kernel knows none.
fn rules(console: Option<&Path>) -> std::result::Result<Option<OwnedFd>, RulesetError> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_write(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?;
    let to_file = AccessFs::from_write(LANDLOCK) & AccessFs::from_file(LANDLOCK);
    for path in DEVICES.into_iter().map(Path::new).chain(console) {
        // A device that is not there needs no rule, and a console that is not there is told by QEMU.
        if let Ok(file) = PathFd::new(path) {
            rules = rules.add_rule(PathBeneath::new(file, to_file))?;
        }
    }
    Ok(rules.into())
}

/// No file that the calling process and the program that it becomes write gets larger than [`MOST_LOG_BYTES`].
fn limit_files() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: MOST_LOG_BYTES, rlim_max: MOST_LOG_BYTES };
    // SAFETY: setrlimit reads the limit, and ignoring a signal installs no handler. The signal would end QEMU; ignored, its writes fail.
    let refused = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN) == libc::SIG_ERR || libc::setrlimit(libc::RLIMIT_FSIZE, &limit) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The calling process and the program that it becomes obey the rules from now on.
fn enforce(rules: &OwnedFd) -> io::Result<()> {
    // SAFETY: neither call touches memory of ours.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::syscall(libc::SYS_landlock_restrict_self, rules.as_raw_fd(), 0) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::process;
    use std::fs;

    /// What a shell in the sandbox says, and what it wrote to the console.
    fn told(script: &str) -> Option<(process::Finished, String)> {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console");
        fs::write(&console, "").unwrap();
        rules(None).unwrap()?;
        let sandbox = Sandbox { seccomp: false, landlock: true };
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(dir.path());
        sandbox.confine(&mut shell, Some(&console)).unwrap();
        let finished = process::finish(&mut shell, Stdio::null()).unwrap();
        assert!(!dir.path().join("other").exists(), "it wrote beside its console");
        Some((finished, fs::read_to_string(&console).unwrap()))
    }

    #[test]
    fn only_the_console_can_be_written() {
        // A kernel without Landlock forbids nothing, and says so.
        let Some((finished, console)) = told("echo mine >console; cat console; echo no >other") else { return };
        assert_eq!((console.as_str(), &finished.output[..]), ("mine\n", &b"mine\n"[..]));
        assert!(!finished.status.success());
        assert!(finished.complaint().contains("Permission denied"), "{}", finished.complaint());
    }

    #[test]
    fn nothing_is_made_removed_or_sent_elsewhere() {
        let script = "mkdir other || mv console other || ln console other || rm console || kill -0 $PPID";
        let Some((finished, _)) = told(script) else { return };
        assert!(!finished.status.success(), "{}", finished.complaint());
    }

    #[test]
    fn a_console_that_is_flooded_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console");
        fs::write(&console, "").unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "yes >console; echo still here"]).current_dir(dir.path());
        Sandbox { seccomp: false, landlock: false }.confine(&mut shell, Some(&console)).unwrap();
        let finished = process::finish(&mut shell, Stdio::null()).unwrap();
        assert_eq!(&finished.output[..], b"still here\n");
        assert_eq!(fs::metadata(&console).unwrap().len(), MOST_LOG_BYTES);
    }

    #[test]
    fn the_filter_is_asked_for_only_where_it_works() {
        let arguments = |seccomp| {
            let mut command = Command::new(PROGRAM);
            Sandbox { seccomp, landlock: false }.confine(&mut command, None).unwrap();
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(arguments(true), SECCOMP);
        assert!(arguments(false).is_empty());
        assert_eq!(Sandbox { seccomp: true, landlock: true }.names(), ["seccomp", "landlock"]);
    }
}
