//! Trials of what a guest, and a QEMU that a guest has taken over, can reach.

use crate::bad_luck::stub;
use crate::case::Case;
use crate::host::guest::{Guest, must};
use crate::program::{Program, Trialled};
use crate::signals::endless;
use dirleak::internals::protocol::message::CommandLine;
use dirleak::internals::vm::qemu::PROGRAM;
use dirleak::internals::vm::sandbox::Sandbox;
use libtest_mimic::Failed;
use nix::libc::{O_ACCMODE, O_RDONLY};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const FIXED: &str = "6.1";
/// Long enough for a guest to boot and be at work.
const BOOTED: Duration = Duration::from_secs(5);
/// As a QEMU that was built without seccomp answers (softmmu/vl.c, "-sandbox support is not enabled").
const WITHOUT_SECCOMP: &str = "#!/bin/sh
case \" $* \" in *' -sandbox '*) echo '-sandbox support is not enabled in this QEMU binary' >&2; exit 1;; esac
PATH=${PATH#*:}
exec qemu-system-x86_64 \"$@\"
";
const INTERFACES: &str = "/proc/net/dev";
const DISKS: &str = "/proc/partitions";

pub fn cases() -> Vec<Case> {
    let sandbox = Sandbox::detect();
    let all = sandbox.seccomp && sandbox.landlock && sandbox.no_sockets;
    let lacking = || (!all).then(|| "this machine lacks seccomp or Landlock, see dirleak doctor".to_owned());
    vec![
        Case::new("QEMU can write nothing but its console, and has no socket", &[FIXED], |_| qemu(opened)),
        Case::new("QEMU runs in its seccomp sandbox and gains no privileges", &[FIXED], |_| qemu(confined))
            .ignored_because(lacking()),
        Case::new("a QEMU that is told to connect to a socket, or to write elsewhere, cannot", &[], move |_| {
            attacks(sandbox)
        })
        .ignored_because(lacking()),
        Case::new("a QEMU that was built without seccomp runs guests, and the result says so", &[FIXED], |_| {
            without_seccomp()
        }),
        Case::new("a guest has no network but its own and no disk", &[FIXED], |_| no_devices()),
    ]
}

/// Looks at the QEMU of a guest that is at work; what is wrong with it fails the trial.
fn qemu(look: impl Fn(&Path) -> Result<Vec<String>, Failed>) -> Trialled {
    let mut running = endless(&["run", "--kernel", FIXED]).start();
    running.wait_for_guests(1)?;
    std::thread::sleep(BOOTED);
    let processes = running.guests();
    let wrong = processes.iter().map(|process| look(&PathBuf::from(format!("/proc/{process}"))));
    let wrong = wrong.collect::<Result<Vec<_>, _>>()?.concat();
    kill(Pid::from_raw(running.id() as i32), Signal::SIGINT)?;
    let seen = running.wait()?;
    seen.must(processes.len() == 1, || format!("it had {} guests at work", processes.len()))?;
    seen.must(wrong.is_empty(), || wrong.join("\n"))?;
    seen.must_end_with(130)
}

/// What QEMU has open and should not.
fn opened(process: &Path) -> Result<Vec<String>, Failed> {
    let (mut written, mut wrong) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        let (number, to) = (entry.file_name(), fs::read_link(entry.path())?);
        let info = fs::read_to_string(process.join("fdinfo").join(number))?;
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).ok_or("fdinfo has no flags")?;
        let is_written = i32::from_str_radix(flags.trim(), 8)? & O_ACCMODE != O_RDONLY;
        let to = to.to_string_lossy().into_owned();
        if to.starts_with("socket:") || to.starts_with("/dev/net") || to.starts_with("/memfd:") {
            wrong.push(format!("QEMU has {to} open"));
        } else if is_written && fs::metadata(entry.path())?.is_file() {
            written.push(to);
        }
    }
    let is_log =
        |name: &&String| name.contains("/dirleak/logs/") && (name.ends_with(".log") || name.ends_with(".qemu"));
    wrong.extend(written.iter().filter(|name| !is_log(name)).map(|name| format!("QEMU has {name} open to write")));
    if !written.iter().any(|name| name.ends_with(".log")) {
        wrong.push(format!("its console is not among the files that it writes: {written:?}"));
    }
    Ok(wrong)
}

/// What the kernel does not keep QEMU from.
fn confined(process: &Path) -> Result<Vec<String>, Failed> {
    let status = fs::read_to_string(process.join("status"))?;
    let lacks = |line: &&str| !status.lines().any(|of| of == *line);
    let wanted = ["Seccomp:\t2", "NoNewPrivs:\t1"];
    Ok(wanted
        .iter()
        .filter(|line| lacks(line))
        .map(|line| format!("its status does not say {line:?}:\n{status}"))
        .collect())
}

/// A QEMU whose arguments have it do what one that was taken over would. Without its sandbox it does it.
fn attacks(sandbox: Sandbox) -> Trialled {
    let dir = tempfile::tempdir()?;
    let (console, other, socket) = (dir.path().join("console"), dir.path().join("other"), dir.path().join("socket"));
    let _listening = UnixListener::bind(&socket)?;
    fs::write(&console, "")?;
    let connecting = format!("socket,id=it,path={}", socket.display());
    let writing = format!("file,id=it,path={}", other.display());
    let told = |chardev: &str, sandbox: Option<Sandbox>| -> Result<String, Failed> {
        let mut qemu = Command::new(PROGRAM);
        // It ends when it is told to, which it hears of when all that its arguments say is done.
        qemu.args(["-nodefaults", "-no-user-config", "-machine", "none", "-display", "none"]);
        qemu.args(["-chardev", chardev, "-monitor", "none", "-S", "-qmp", "stdio"]);
        if let Some(sandbox) = sandbox {
            sandbox.confine(&mut qemu, Some(&console))?;
        }
        let qemu = qemu.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        writeln!(
            qemu.stdin.as_ref().ok_or("no standard input")?,
            "{{\"execute\":\"qmp_capabilities\"}} {{\"execute\":\"quit\"}}"
        )?;
        let ended = qemu.wait_with_output()?;
        Ok(if ended.status.success() { String::new() } else { String::from_utf8_lossy(&ended.stderr).into_owned() })
    };
    for chardev in [&connecting, &writing] {
        let free = told(chardev, None)?;
        if !free.is_empty() {
            return Err(format!("without a sandbox -chardev {chardev} fails: {free}").into());
        }
        let _ = fs::remove_file(&other);
        let confined = told(chardev, Some(sandbox))?;
        if confined.is_empty() || other.exists() {
            return Err(format!("in its sandbox -chardev {chardev} works").into());
        }
    }
    Ok(())
}

fn no_devices() -> Trialled {
    let mut guest = Guest::start(FIXED, false)?;
    let arguments = vec!["--version".to_owned()];
    let files = [INTERFACES, DISKS].map(str::to_owned).into();
    let ended = guest.run(CommandLine { arguments, files, ..CommandLine::default() })?;
    let text = |name: &str| ended.files.get(name).map(|text| String::from_utf8_lossy(text).into_owned());
    let interfaces = text(INTERFACES).unwrap_or_default();
    let names: Vec<&str> = interfaces.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect();
    must(&ended, names == ["lo"], || format!("its network interfaces are {names:?}: {interfaces}"))?;
    // Without block devices there is no such file.
    let disks = text(DISKS).unwrap_or_default();
    must(&ended, disks.lines().count() <= 2, || format!("it has disks: {disks}"))?;
    guest.finish()
}

fn without_seccomp() -> Trialled {
    let program = Program::new(&["run", "--kernel", FIXED, "quick"]);
    let bin = program.dir.path().join("bin");
    fs::create_dir(&bin)?;
    stub(&bin.join("qemu-system-x86_64"), WITHOUT_SECCOMP)?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
    // The directory goes with this.
    let mut running = program.with_env("PATH", &path).start();
    let seen = running.wait()?;
    seen.must_end_with(0)?;
    let record = seen.record()?;
    let fences = record.setup.as_ref().map(|setup| setup.sandbox.clone()).unwrap_or_default();
    seen.must(!fences.contains(&"seccomp".to_owned()), || format!("it claims {fences:?}"))?;
    let said = record.notes.iter().any(|note| note.contains("no fence of seccomp"));
    seen.must(said, || format!("the notes do not say so: {:?}", record.notes))
}
