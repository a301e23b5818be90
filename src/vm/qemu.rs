//! The arguments of QEMU: a machine with nothing emulated that is not used.

use std::ffi::OsString;
use std::path::Path;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor itself.
    Kvm,
    /// QEMU's translator.
    Tcg,
    /// The same, with a clock that counts instructions: one is a nanosecond, and waiting takes no time.
    Counted,
}

impl Accelerator {
    /// Returns the word in results.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
            Self::Counted => "tcg-icount",
        }
    }
}

/// A virtual machine to be started.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    pub kernel: &'a Path,
    pub initramfs: Option<&'a Path>,
    pub command_line: &'a str,
    pub memory_mib: u32,
    pub cpus: u32,
    pub accelerator: Accelerator,
    /// Of what a guest whose clock counts instructions takes for random.
    pub seed: u64,
    pub console_log: &'a Path,
}

/// The program that is started.
pub const PROGRAM: &str = "qemu-system-x86_64";

/// The kernel's command line: a machine that ends when it panics.
///
/// - `reboot=t` is a triple fault, the fastest way out of a microvm; with `panic=-1` and QEMU's `-no-reboot` a panic
///   ends QEMU.
/// - `noreplace-smp` leaves lock prefixes where they are, which a guest with one processor does not need; taking each of them
///   away takes 0.4 s on a distribution's kernel.
/// - `no_timer_check` spares the kernel to look whether its timer ticks: it waits for a number of the host's cycles, in which an emulated timer
///   does not tick often enough while the host is busy, and then it panics ("IO-APIC + timer doesn't work!").
/// - `cryptomgr.notests` leaves self-tests out, which take 0.3 s under TCG.
/// - `trace_eval_init` puts numbers for the names of enumerations into the texts of some hundred trace events that nobody here reads, and
///   takes 2 s.
/// - `damon_stat.enabled=N` keeps DAMON, which Debian's kernels since 7.2 have watch all memory from the start, from making and
///   dropping objects all the time; others know no such name and pass over it.
pub const KERNEL_COMMAND_LINE: &str = "console=ttyS0 quiet loglevel=5 reboot=t panic=-1 oops=panic \
     noreplace-smp no_timer_check cryptomgr.notests mitigations=off initcall_blacklist=trace_eval_init \
     damon_stat.enabled=N";

/// What makes counts exact and says who allocated what is counted.
///
/// - `slub_debug=U` stores who allocated an object and turns per-CPU free lists off.
/// - `slab_nomerge` keeps caches of the same size apart.
pub const TRACK_OBJECTS: &str = "slub_debug=U slab_nomerge";

/// Stores who allocated a page, where the kernel can.
pub const TRACK_PAGES: &str = "page_owner=on";

/// The kernel's own leak detector, which must watch from boot on.
pub const KMEMLEAK: &str = "kmemleak=on";

/// SELinux alone, which labels files and with which NFS carries labels. It forbids nothing (`enforcing=0`) and reports nothing
/// (`audit=0`).
pub const SECURITY_LABELS: &str = "lsm=selinux enforcing=0 audit=0";

/// What makes counts and traces exact on a kernel that stores nothing about its allocations, as distributions boot it.
///
/// - `slab_nomerge` keeps caches of the same size apart. A merged cache would be counted as well, but under the name of any one of
///   those in it.
/// - `rcutree.rcu_min_cached_objs=0` leaves kfree_rcu() no pages to gather pointers in, so that it frees one by one and a trace sees
///   it: what is freed in bulk has no tracepoint.
pub const AS_DISTRIBUTIONS_DO: &str = "slab_nomerge rcutree.rcu_min_cached_objs=0";

/// A time stamp counter that counts instructions counts one a nanosecond.
const COUNTED_TSC_KHZ: u32 = 1_000_000;

/// The kernel calibrates the timer of the local APIC by reading the time stamp counter in a loop for two times 0.1 s, which takes QEMU 10 s
/// where the counter counts instructions. Without it the kernel takes the older timer, and does not calibrate it.
const NO_APIC_TIMER: &str = "nolapic_timer";

/// One instruction takes 2^0 ns, and when the guest has nothing to do its clock goes to the next timer at once. The time of day is always the
/// same, too, and goes with that clock: when a second ends decides whether a file that was changed twice has changed.
const COUNT_INSTRUCTIONS: [&str; 4] = ["-icount", "shift=0,sleep=off", "-rtc", "base=2026-01-01T00:00:00,clock=vm"];

/// An old processor has less for QEMU to emulate: `quick` took 5.5 s with it and 6.0 s with `max` (medians of three, side by side). What it
/// takes for random comes from `-seed` by RDRAND.
const COUNTED_CPU: &str = "Nehalem,+rdrand";

/// Returns what the kernel's command line says beside that: how fast the time stamp counter runs. Under TCG the guest reads
/// the host's, and calibrating it against an emulated timer fails more often than not, which leaves the guest with a
/// clock of 4 ms.
pub fn clock(accelerator: Accelerator) -> String {
    match accelerator {
        Accelerator::Kvm => String::new(),
        Accelerator::Tcg => format!(" tsc=reliable tsc_early_khz={}", host_tsc_khz()),
        Accelerator::Counted => format!(" tsc=reliable tsc_early_khz={COUNTED_TSC_KHZ} {NO_APIC_TIMER}"),
    }
}

#[cfg(target_arch = "x86_64")]
fn host_tsc_khz() -> u64 {
    static KHZ: LazyLock<u64> = LazyLock::new(|| {
        // SAFETY: every x86-64 processor has the instruction, and it touches nothing.
        let now = || (Instant::now(), unsafe { std::arch::x86_64::_rdtsc() });
        let (begin, ticks) = now();
        std::thread::sleep(Duration::from_millis(20));
        let (end, more) = now();
        ((more - ticks) as u128 * 1_000_000 / (end - begin).as_nanos()) as u64
    });
    *KHZ
}

#[cfg(not(target_arch = "x86_64"))]
fn host_tsc_khz() -> u64 {
    // QEMU's counter on other hosts counts nanoseconds.
    1_000_000
}

/// Returns all arguments, in an order that does not matter to QEMU.
pub(super) fn arguments(machine: &Machine) -> Vec<OsString> {
    let mut arguments = Vec::new();
    for part in [bare(), accelerator(machine), kernel(machine), serial_ports(machine)] {
        arguments.extend(part);
    }
    arguments
}

/// Several processors without MONITOR and MWAIT: a kernel that has them idles by them, and QEMU has a processor that waits so go round in a
/// loop, as it cannot tell when another writes what is waited for (helper_mwait in target/i386/tcg/sysemu/misc_helper.c). By HLT it
/// sleeps, and leaves the host's processors to those that work: `quick-v4` with four took 18 s instead of 28 on a busy host with two.
const EMULATED_SMP: &str = "max,-monitor";

/// Returns no default devices, no configuration of the user's, no window, no second life after a reboot.
fn bare() -> Vec<OsString> {
    strings(&["-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-no-reboot"])
}

/// Returns the options of the machine and its accelerator: microvm has no PCI and no firmware tables; under TCG it
/// hangs with ACPI, so that is off.
fn accelerator(machine: &Machine) -> Vec<OsString> {
    let (accel, cpu) = match machine.accelerator {
        Accelerator::Kvm => ("kvm", "host"),
        Accelerator::Tcg if machine.cpus > 1 => ("tcg,thread=multi", EMULATED_SMP),
        Accelerator::Tcg => ("tcg,thread=multi", "max"),
        // Instructions of several processors are counted one processor after the other.
        Accelerator::Counted => ("tcg,thread=single", COUNTED_CPU),
    };
    let mut arguments = strings(&["-machine", "microvm,acpi=off,isa-serial=on,rtc=on", "-accel", accel, "-cpu", cpu]);
    arguments.extend(strings(&["-smp", &machine.cpus.to_string(), "-m", &format!("{}M", machine.memory_mib)]));
    if machine.accelerator == Accelerator::Counted {
        arguments.extend(strings(&COUNT_INSTRUCTIONS));
        arguments.extend(strings(&["-seed", &machine.seed.to_string()]));
    }
    arguments
}

fn kernel(machine: &Machine) -> Vec<OsString> {
    let mut arguments = strings(&["-append", machine.command_line, "-kernel"]);
    arguments.push(machine.kernel.into());
    if let Some(initramfs) = machine.initramfs {
        arguments.push("-initrd".into());
        arguments.push(initramfs.into());
    }
    arguments
}

/// Returns the options of the serial ports: COM1 is the console, written to a log by QEMU itself so that it is there
/// however we end; COM2, which microvm does not have of its own, is the link over our pipes.
fn serial_ports(machine: &Machine) -> Vec<OsString> {
    let mut log = OsString::from("file,id=console,path=");
    log.push(escaped(machine.console_log));
    let mut arguments = strings(&["-chardev"]);
    arguments.push(log);
    arguments.extend(strings(&[
        "-serial",
        "chardev:console",
        "-chardev",
        "stdio,id=link,signal=off",
        "-device",
        "isa-serial,chardev=link,iobase=0x2f8,irq=3,index=1",
    ]));
    arguments
}

/// Escapes a path, as QEMU splits its options at commas; a doubled one is a comma.
fn escaped(path: &Path) -> OsString {
    path.to_string_lossy().replace(',', ",,").into()
}

fn strings(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(accelerator: Accelerator) -> String {
        let machine = Machine {
            kernel: Path::new("/k/vmlinux"),
            initramfs: Some(Path::new("/i")),
            command_line: "quiet",
            memory_mib: 256,
            cpus: 2,
            accelerator,
            seed: 7,
            console_log: Path::new("/logs/a,b"),
        };
        let words = arguments(&machine);
        words.iter().map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn device_that_is_not_used_is_not_emulated() {
        let line = machine(Accelerator::Tcg);
        for word in [
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-accel tcg,thread=multi -cpu max,-monitor",
            "-m 256M",
            "-smp 2",
        ] {
            assert!(line.contains(word), "{word} is missing in {line}");
        }
        assert!(machine(Accelerator::Kvm).contains("-accel kvm -cpu host"));
        assert!(!machine(Accelerator::Tcg).contains("-icount"));
        assert!(machine(Accelerator::Counted).contains("-icount shift=0,sleep=off"));
        assert!(machine(Accelerator::Counted).contains("-seed 7") && !machine(Accelerator::Tcg).contains("-seed"));
    }

    #[test]
    fn comma_in_a_path_does_not_split_the_option() {
        assert!(machine(Accelerator::Tcg).contains("path=/logs/a,,b"));
    }
}
