//! The file systems a guest needs before it can do anything, and what it reads from its initramfs.

use crate::error::{Context, Error, Result};
use crate::kernel::image::package_names;
use crate::probe::kernel_files::KernelFiles;
use crate::probe::{processors, procfs};
use crate::protocol::message::Plan;
use nix::mount::{MsFlags, mount};
use std::fs;
use std::path::Path;

/// Source, target, type and data of what is mounted at the start.
const MOUNTS: [(&str, &str, &str, Option<&str>); 5] = [
    ("proc", "/proc", "proc", None),
    ("sysfs", "/sys", "sysfs", None),
    ("debugfs", "/sys/kernel/debug", "debugfs", None),
    ("tmpfs", "/run", "tmpfs", Some("size=100%,nr_inodes=0")),
    ("tmpfs", "/export", "tmpfs", Some("size=100%,nr_inodes=0")),
];

/// Mounts everything and makes the kernel speak up early about tasks that hang.
pub fn mount_all() -> Result<()> {
    for (source, target, kind, data) in MOUNTS {
        fs::create_dir_all(target).machine(|| format!("cannot make {target}"))?;
        mount(Some(source), target, Some(kind), MsFlags::empty(), data)
            .map_err(|e| Error::kernel(format!("cannot mount {kind} on {target}: {e}; is it configured?")))?;
    }
    // All are optional: without them a hang is noticed by the host's deadline, and a connection that has ended is
    // freed a minute later, in the middle of some round.
    let _ = fs::write("/proc/sys/kernel/hung_task_timeout_secs", "20");
    let _ = fs::write("/proc/sys/kernel/printk", "5 4 1 5");
    let _ = fs::write("/proc/sys/net/ipv4/tcp_max_tw_buckets", "0");
    Ok(())
}

/// Prints a line on the console as the kernel prints its mildest complaint at unmount, a warning. One line of an opener is never
/// held back by the rate limit (devkmsg_write in kernel/printk/printk.c). If it cannot be written, the host does not hear it.
pub fn say_on_console() {
    let _ = fs::write("/dev/kmsg", format!("<4>{}\n", crate::protocol::guest_paths::SAID));
}

/// Returns the plan that the host put beside us.
pub fn read_plan() -> Result<Plan> {
    let text = fs::read(crate::protocol::guest_paths::PLAN)
        .machine(|| format!("cannot read {}", crate::protocol::guest_paths::PLAN))?;
    serde_json::from_slice(&text).machine(|| format!("cannot understand {}", crate::protocol::guest_paths::PLAN))
}

/// Says which file system the kernel lacks, if it does.
pub fn require_file_system(kind: &str, option: &str) -> Result<()> {
    let known = fs::read_to_string("/proc/filesystems").machine(|| "cannot read /proc/filesystems".into())?;
    if known.lines().any(|line| line.split_whitespace().next_back() == Some(kind)) {
        return Ok(());
    }
    let release = procfs::release()?;
    let hint = package_names::with_nfs(&release).map(|_| format!("; {}", package_names::hint(&release)));
    let hint = hint.unwrap_or_default();
    Err(Error::kernel(format!(
        "this kernel has no {kind} file system: it lacks {option}, or has them as modules that --modules does not name{hint}"
    )))
}

/// Says that the kernel did not bring up all processors that the guest has, if it did not. Nothing but the MP table tells of the others: the
/// guest has no ACPI.
pub fn require_processors(files: &KernelFiles, asked: u32) -> Result<()> {
    match processors::online(files) {
        Some(online) if online < asked as usize => Err(Error::kernel(format!(
            "this kernel brought up {online} of {asked} processors: it lacks CONFIG_X86_MPPARSE, as Debian's cloud kernels do, or was told to \
             use fewer; take another kernel, of Debian's the flavour amd64, or `--processors {online}`"
        ))),
        _ => Ok(()),
    }
}

/// Makes a directory.
pub fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).machine(|| format!("cannot make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::kernel_files::made::MadeFiles;
    use crate::probe::processors::ONLINE;

    #[test]
    fn processors_that_were_not_brought_up_are_told() {
        let of = |online: &str, asked| {
            let made = MadeFiles::new(&[(ONLINE, online)]);
            require_processors(&made.files, asked).map_err(|error| error.to_string())
        };
        assert_eq!([of("0-3\n", 4), of("0\n", 1), of("0-1,3\n", 3), of("0-7\n", 4)], [const { Ok(()) }; 4]);
        let told = of("0\n", 4).unwrap_err();
        assert!(
            told.starts_with("this kernel brought up 1 of 4 processors") && told.ends_with("`--processors 1`"),
            "{told}"
        );
        assert!(of("0-1,3\n", 4).is_err());
        assert!(require_processors(&MadeFiles::new(&[]).files, 4).is_ok(), "a kernel that does not say it");
    }
}
