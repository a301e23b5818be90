//! What the machine itself must have: the processor, KVM, memory, disk, and apt's sources.

use crate::apt::Apt;
use crate::boot::pool::{QEMU_MIB, available_memory_mib};
use crate::error::{Context, Result};
use crate::kernel::build::store;
use crate::kernel::source::unpack::NEEDED_MIB;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::doctor::{Check, CostEstimate, Purpose, State};
use crate::scenario;
use crate::vm::accelerator;
use crate::vm::qemu::Accelerator;
use crate::vm::sandbox::Sandbox;
use std::fs::File;
use std::io::ErrorKind;

/// Checks the processor: guests are x86-64, and so must this machine be.
pub fn architecture() -> Check {
    let this = std::env::consts::ARCH;
    if this == "x86_64" {
        return Check::ok("x86-64", Purpose::Guests, "this machine's processor".into());
    }
    let mend = "run dirleak on an x86-64 machine".into();
    Check::lacking("x86-64", Purpose::Guests, true, format!("this machine is {this}"), mend)
}

/// Checks whether KVM really runs a guest: a device that opens proves nothing. Without it guests run under TCG, which
/// is slower.
pub fn kvm(has_qemu: bool, cache: &Cache, ui: &Ui) -> Result<Check> {
    let lacking = |detail: &str, mend: &str| {
        let detail = format!("{detail}; guests run under TCG, which is slower and judges the same");
        Ok(Check::lacking("KVM", Purpose::Guests, false, detail, mend.into()))
    };
    match File::options().read(true).write(true).open("/dev/kvm").map_err(|e| e.kind()) {
        Err(ErrorKind::NotFound) => {
            let mend = "turn virtualization on in the firmware, or for this machine where it is a guest itself";
            return lacking("there is no /dev/kvm", mend);
        }
        Err(ErrorKind::PermissionDenied) => {
            return lacking("/dev/kvm may not be opened", "sudo usermod -aG kvm $USER, then log in again");
        }
        Err(kind) => return lacking(&format!("/dev/kvm cannot be opened ({kind})"), "modprobe kvm_intel or kvm_amd"),
        Ok(_) => {}
    }
    let kernels = store::all(cache);
    match kernels.first().filter(|_| has_qemu) {
        None => lacking(
            "/dev/kvm opens, and the first run tries whether it runs a guest; if not",
            "dirleak kernel build 6.1, then dirleak doctor",
        ),
        Some(kernel) => match accelerator::choose(&kernel.image, cache, ui)? {
            Accelerator::Kvm => Ok(Check::ok("KVM", Purpose::Guests, "it runs a guest here".into())),
            Accelerator::Tcg | Accelerator::Counted => lacking(
                "/dev/kvm opens, but a guest does not run under it",
                "modprobe kvm_intel or kvm_amd; in a virtual machine, turn nested virtualization on",
            ),
        },
    }
}

/// Checks what keeps QEMU in its place. Guests run without it, too.
pub fn sandbox(has_qemu: bool) -> Vec<Check> {
    if !has_qemu {
        return Vec::new();
    }
    let Sandbox { seccomp, landlock, no_sockets } = Sandbox::detect();
    let check = |name, is_there, detail: [&str; 2], mend: &str| match is_there {
        true => Check::ok(name, Purpose::Guests, detail[0].into()),
        false => Check::lacking(name, Purpose::Guests, false, detail[1].into(), mend.into()),
    };
    vec![
        check(
            "QEMU's seccomp sandbox",
            seccomp,
            [
                "QEMU starts no programs and gains no privileges",
                "this QEMU does not start with -sandbox on; guests run without",
            ],
            "install a QEMU that was built with --enable-seccomp",
        ),
        check(
            "Landlock",
            landlock,
            [
                "QEMU writes nothing but its console log",
                "this kernel does not keep QEMU from writing files of yours; guests run without",
            ],
            "run Linux 5.13 or later with landlock in the list of its lsm= parameter",
        ),
        check(
            "the filter of system calls",
            no_sockets,
            [
                "QEMU reaches no socket, no process and no key of yours",
                "this machine does not keep QEMU from sockets of yours; guests run without",
            ],
            "run a kernel with CONFIG_SECCOMP_FILTER",
        ),
    ]
}

/// Checks the memory for the largest guest of a verify, and of the library.
pub fn memory(verify: &CostEstimate) -> Result<Check> {
    let names = scenario::names();
    let all = names.iter().map(|name| scenario::load(name)).collect::<Result<Vec<_>>>()?;
    let largest = all.iter().map(|s| u64::from(s.guest.memory_mib) + QEMU_MIB).max().unwrap_or_default();
    let needed = verify.largest_guest_mib;
    let Some(free) = available_memory_mib() else {
        return Ok(Check::ok("memory", Purpose::Guests, format!("unknown; verify takes {needed} MiB")));
    };
    let detail = format!("{free} MiB free; verify takes {needed} MiB, the largest scenario {largest} MiB");
    let mend = "end other programs, or take scenarios with smaller guests".to_owned();
    Ok(match free {
        free if free < needed => Check::lacking("memory", Purpose::Guests, true, detail, mend),
        free if free < largest => Check::lacking("memory", Purpose::Guests, false, detail, mend),
        _ => Check::ok("memory", Purpose::Guests, detail),
    })
}

/// Checks the room in the cache for what a verify puts there, and for what another series would.
pub fn disk(verify: &CostEstimate, cache: &Cache) -> Result<Check> {
    let root = cache.root();
    let stat = nix::sys::statvfs::statvfs(root).machine(|| format!("cannot look at {}", root.display()))?;
    let free_mib = (stat.blocks_available() * stat.fragment_size()) >> 20;
    let needed_mib = (verify.disk_bytes >> 20).max(if verify.unpacks() { NEEDED_MIB } else { 0 });
    let name = format!("disk of {}", root.display());
    let detail = format!("{free_mib} MiB free; verify takes {needed_mib} MiB, another series {NEEDED_MIB} MiB");
    let mend = "dirleak kernel clean, or set XDG_CACHE_HOME to a larger disk".to_owned();
    Ok(match free_mib {
        free if free < needed_mib => Check::lacking(&name, Purpose::Building, true, detail, mend),
        free if free < NEEDED_MIB => Check::lacking(&name, Purpose::Building, false, detail, mend),
        _ => Check::ok(&name, Purpose::Building, detail),
    })
}

/// Checks whether the machine's apt knows Debian's archive; it is not asked for anything.
pub fn apt_sources(programs: &[Check], verify: &CostEstimate, cache: &Cache) -> Check {
    const NAME: &str = "apt sources";
    let lacking = |detail, mend| Check::lacking(NAME, Purpose::Fetching, verify.fetches(), detail, mend);
    let is_there = |name: &str| programs.iter().any(|check| check.name == name && check.state == State::Ok);
    if !["apt-get", "apt-config"].into_iter().all(is_there) {
        return lacking("there is no apt to ask".into(), "run dirleak on Debian, or boot a kernel of your own".into());
    }
    match Apt::open(cache, None) {
        Ok(apt) => Check::ok(NAME, Purpose::Fetching, format!("they name Debian {}", apt.suite())),
        Err(error) => lacking(error.to_string(), "add a source of Debian, main, to /etc/apt".into()),
    }
}
