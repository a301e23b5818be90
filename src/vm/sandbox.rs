//! What QEMU may do on this machine, should a guest take it over: nothing that a guest does not need.

use super::console::MOST_LOG_BYTES;
use super::qemu::PROGRAM;
use super::syscalls;
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

/// What it is told of our environment: how to find itself and its libraries. The rest may have secrets in it, or lead to their holders.
const ENVIRONMENT: [&str; 3] = ["PATH", "LD_LIBRARY_PATH", "QEMU_MODULE_DIR"];

/// What keeps the QEMUs of this machine in their place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sandbox {
    /// QEMU's filter of system calls.
    pub seccomp: bool,
    /// The kernel's rules about files and sockets.
    pub landlock: bool,
    /// A filter of ours, which leaves it no socket and no look at others.
    pub no_sockets: bool,
}

impl Sandbox {
    /// Returns what works here: a QEMU may be built without its filter, and a kernel may lack Landlock (before 5.13, or not
    /// turned on).
    pub fn detect() -> Self {
        static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| {
            let ours = [true, false];
            let others = [(true, true), (false, true), (true, false), (false, false)];
            let sandboxes = ours
                .into_iter()
                .flat_map(|no_sockets| others.map(|(seccomp, landlock)| Sandbox { seccomp, landlock, no_sockets }));
            let nothing = Sandbox { seccomp: false, landlock: false, no_sockets: false };
            sandboxes.into_iter().find(|sandbox| sandbox.works()).unwrap_or(nothing)
        });
        *SANDBOX
    }

    /// Returns whether a QEMU starts in it. It puts its filter in place before it lists its processors, and ends at once.
    fn works(self) -> bool {
        let mut command = Command::new(PROGRAM);
        command.args(["-nodefaults", "-no-user-config", "-machine", "none", "-cpu", "help"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let has_rules = !self.landlock || rules(None).is_ok_and(|rules| rules.is_some());
        let is_whole = has_rules && (!self.no_sockets || syscalls::filter().is_some());
        let ends_well = |mut qemu: Child| qemu.wait(|| Ok(())).is_ok_and(|status| status.success());
        is_whole && self.confine(&mut command, None).and_then(|()| Child::spawn(&mut command)).is_ok_and(ends_well)
    }

    /// Has QEMU, which is still to be started, write nowhere but into `console`, which must exist, and no more than [`MOST_LOG_BYTES`],
    /// and has it know nothing of our environment.
    pub fn confine(self, qemu: &mut Command, console: Option<&Path>) -> Result<()> {
        qemu.env_clear();
        qemu.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        // SAFETY: what is called between fork and exec is a few system calls that touch no memory of ours.
        unsafe { qemu.pre_exec(|| limit_files().and_then(|()| keep_no_privileges())) };
        if self.seccomp {
            qemu.args(SECCOMP);
        }
        if self.landlock {
            let rules = rules(console).machine(|| format!("cannot keep {PROGRAM} from writing elsewhere"))?;
            if let Some(rules) = rules {
                // SAFETY: the same holds here.
                unsafe { qemu.pre_exec(move || enforce(&rules)) };
            }
        }
        // The last, as it may forbid what the others need.
        if let Some(filter) = self.no_sockets.then(syscalls::filter).flatten() {
            // SAFETY: the filter was made before, and putting it in place is two system calls.
            unsafe { qemu.pre_exec(move || syscalls::enforce(&filter)) };
        }
        Ok(())
    }

    /// Returns its words in results.
    pub fn names(self) -> Vec<String> {
        self.words(true).into_iter().map(str::to_owned).collect()
    }

    /// Returns the words of what does not work here.
    pub fn missing(self) -> Vec<&'static str> {
        self.words(false)
    }

    fn words(self, are_there: bool) -> Vec<&'static str> {
        let words = [("seccomp", self.seccomp), ("landlock", self.landlock), ("no-sockets", self.no_sockets)];
        words.into_iter().filter(|(_, is_there)| *is_there == are_there).map(|(word, _)| word).collect()
    }
}

/// Makes rules that forbid everything of [`LANDLOCK`] but writing to `console`; `None` where the kernel knows none.
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

/// Sees to it that no file that the calling process and the program that it becomes write gets larger than
/// [`MOST_LOG_BYTES`].
fn limit_files() -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: MOST_LOG_BYTES, rlim_max: MOST_LOG_BYTES };
    // SAFETY: setrlimit reads the limit, and ignoring a signal installs no handler. The signal would end QEMU; ignored, its writes fail.
    let refused = unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN) == libc::SIG_ERR || libc::setrlimit(libc::RLIMIT_FSIZE, &limit) != 0
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The third version of the arguments of capset(2), in which a set has two words.
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: root may be given a kernel of somebody else's.
const TO_OPEN_FILES: u32 = 1 << 1 | 1 << 2;

/// Takes privileges away: of what root may do, the calling process keeps what opens files; the fences let the program
/// that it becomes have no more. The rest would lead around them: root may look into any process.
fn keep_no_privileges() -> io::Result<()> {
    // SAFETY: it only tells a number.
    if unsafe { libc::geteuid() } != 0 {
        return Ok(());
    }
    let mut header: [u32; 2] = [CAPABILITY_VERSION, 0];
    // Effective, permitted and inheritable, the lower words first.
    let sets: [u32; 6] = [TO_OPEN_FILES, TO_OPEN_FILES, 0, 0, 0, 0];
    let mut now: [u32; 6] = [0; 6];
    // SAFETY: both calls read and write the arrays only, which are as long as that version wants them.
    let refused = unsafe {
        libc::syscall(libc::SYS_capget, header.as_mut_ptr(), now.as_mut_ptr()) != 0 || {
            // Only what it has can be kept: in a container that may be less.
            let kept: [u32; 6] = std::array::from_fn(|word| sets[word] & now[word]);
            libc::syscall(libc::SYS_capset, header.as_mut_ptr(), kept.as_ptr()) != 0
        }
    };
    if refused { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the calling process and the program that it becomes obey the rules from now on.
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

    const NOTHING: Sandbox = Sandbox { seccomp: false, landlock: false, no_sockets: false };
    const LANDLOCK_ALONE: Sandbox = Sandbox { landlock: true, ..NOTHING };
    const FILTER_ALONE: Sandbox = Sandbox { no_sockets: true, ..NOTHING };

    /// Returns what of Landlock this kernel knows, as it says itself; 0 without it.
    fn version_of_landlock() -> i64 {
        const ASK_FOR_VERSION: libc::c_uint = 1;
        // SAFETY: without attributes it only tells a number.
        let version =
            unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, ASK_FOR_VERSION) };
        version.max(0)
    }

    /// Returns what a shell behind Landlock says, and what it wrote to the console; `None` only where the kernel has no
    /// Landlock.
    fn told(script: &str) -> Option<(process::Finished, String)> {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console");
        fs::write(&console, "").unwrap();
        let has_rules = rules(None).unwrap().is_some();
        assert_eq!(has_rules, version_of_landlock() > 0, "rules and the kernel disagree");
        if !has_rules {
            return None;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", script]).current_dir(dir.path());
        LANDLOCK_ALONE.confine(&mut shell, Some(&console)).unwrap();
        let finished = process::finish(&mut shell, Stdio::null()).unwrap();
        assert!(!dir.path().join("other").exists(), "it wrote beside its console");
        Some((finished, fs::read_to_string(&console).unwrap()))
    }

    #[test]
    fn files_other_than_the_console_cannot_be_written() {
        // A kernel without Landlock forbids nothing, and says so.
        let Some((finished, console)) = told("echo mine >console; cat console; echo no >other") else { return };
        assert_eq!((console.as_str(), &finished.output[..]), ("mine\n", &b"mine\n"[..]));
        assert!(!finished.status.success());
        assert!(finished.complaint().contains("Permission denied"), "{}", finished.complaint());
    }

    #[test]
    fn entries_are_neither_made_nor_removed_and_other_processes_not_read() {
        for script in ["mkdir other", "mv console other", "ln console other", "rm console", "cat /proc/$PPID/environ"] {
            let Some((finished, _)) = told(script) else { return };
            assert!(!finished.status.success(), "{script}");
        }
    }

    #[test]
    fn privileges_of_root_are_not_kept() {
        let Some((finished, _)) = told("grep -E 'Cap(Eff|Prm|Inh|Amb)' /proc/self/status") else { return };
        let told = String::from_utf8(finished.output).unwrap();
        let sets: Vec<u64> = told.split_whitespace().filter_map(|word| u64::from_str_radix(word, 16).ok()).collect();
        assert!(sets.len() == 4 && sets.iter().all(|set| set & !u64::from(TO_OPEN_FILES) == 0), "{told}");
    }

    #[test]
    fn signals_to_others_are_forbidden_from_version_6_of_landlock_on() {
        let Some((finished, _)) = told("kill -0 $PPID") else { return };
        assert_eq!(finished.status.success(), version_of_landlock() < 6);
    }

    /// Tries something behind the filter, just before a program would be started.
    fn tried(sandbox: Sandbox, attempt: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
        let mut command = Command::new("true");
        sandbox.confine(&mut command, None).unwrap();
        // SAFETY: each attempt is a few system calls and takes no memory.
        unsafe { command.pre_exec(attempt) };
        command.spawn().and_then(|mut child| child.wait()).map(drop)
    }

    #[test]
    fn sockets_of_the_user_cannot_be_reached() {
        use std::net::{TcpListener, TcpStream, UdpSocket};
        use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
        let dir = tempfile::tempdir().unwrap();
        let (stream, datagram) = (dir.path().join("bus"), dir.path().join("log"));
        let _listeners = (UnixListener::bind(&stream).unwrap(), UnixDatagram::bind(&datagram).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap();
        type Attempt = Box<dyn Fn() -> io::Result<()> + Send + Sync>;
        let attempts: [(&str, Attempt); 4] = [
            ("a stream", Box::new(move || UnixStream::connect(&stream).map(drop))),
            ("a datagram", Box::new(move || UnixDatagram::unbound()?.send_to(b"x", &datagram).map(drop))),
            ("TCP", Box::new(move || TcpStream::connect(port).map(drop))),
            ("UDP", Box::new(move || UdpSocket::bind("127.0.0.1:0")?.send_to(b"x", port).map(drop))),
        ];
        for (name, attempt) in attempts {
            let attempt = std::sync::Arc::new(attempt);
            let (free, forbidden) = (attempt.clone(), attempt);
            tried(NOTHING, move || free()).unwrap_or_else(|e| panic!("{name} is not there to be reached: {e}"));
            let error = tried(FILTER_ALONE, move || forbidden()).expect_err(name);
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{name}");
        }
    }

    #[test]
    fn ways_around_the_filter_are_closed() {
        let called = |number: libc::c_long| {
            move || {
                // SAFETY: with these arguments none of the calls does anything to memory of ours.
                let returned = unsafe { libc::syscall(number, 1, 1, 0, 0, 0, 0) };
                if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
            }
        };
        let x32_socket = libc::SYS_socket | 0x4000_0000;
        for number in [libc::SYS_io_uring_setup, libc::SYS_socketpair, libc::SYS_keyctl, libc::SYS_unshare, x32_socket]
        {
            let error = tried(FILTER_ALONE, called(number)).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EPERM), "call {number}");
        }
    }

    #[test]
    fn environment_of_the_user_is_not_told() {
        let mut shell = Command::new("env");
        shell.env("SSH_AUTH_SOCK", "/run/agent").env("GITHUB_TOKEN", "secret");
        NOTHING.confine(&mut shell, None).unwrap();
        let told = String::from_utf8(process::output(&mut shell).unwrap()).unwrap();
        let names: Vec<&str> = told.lines().filter_map(|line| line.split('=').next()).collect();
        assert!(names.contains(&"PATH") && names.iter().all(|name| ENVIRONMENT.contains(name)), "{told}");
    }

    #[test]
    fn console_that_is_flooded_does_not_fill_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let console = dir.path().join("console");
        fs::write(&console, "").unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "yes >console; echo still here"]).current_dir(dir.path());
        NOTHING.confine(&mut shell, Some(&console)).unwrap();
        let finished = process::finish(&mut shell, Stdio::null()).unwrap();
        assert_eq!(&finished.output[..], b"still here\n");
        assert_eq!(fs::metadata(&console).unwrap().len(), MOST_LOG_BYTES);
    }

    #[test]
    fn filter_is_asked_for_only_where_it_works() {
        let arguments = |seccomp| {
            let mut command = Command::new(PROGRAM);
            Sandbox { seccomp, ..NOTHING }.confine(&mut command, None).unwrap();
            command.get_args().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(arguments(true), SECCOMP);
        assert!(arguments(false).is_empty());
        let all = Sandbox { seccomp: true, landlock: true, no_sockets: true };
        assert_eq!((all.names().join(" "), all.missing().len()), ("seccomp landlock no-sockets".into(), 0));
        let some = Sandbox { landlock: false, ..all };
        assert_eq!(
            (some.names().join(" "), some.missing().join(" ")),
            ("seccomp no-sockets".into(), "landlock".into())
        );
    }
}
