//! The system calls that no QEMU of ours needs, and with which one that was taken over would reach others: a filter of our own, which is
//! there from the program's first instruction on and needs nothing of how QEMU was built.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use std::io;

/// Forbidden whatever their arguments are.
const FORBIDDEN: [libc::c_long; 28] = [
    // No socket of any kind: neither the network nor what listens at a path, which starts programs (D-Bus) or has keys (ssh-agent).
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    // Does all of the above without calling it.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // No look into other processes, nor into what they have open.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // No key of the user's.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // No other view of the machine.
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_fsopen,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    // Large pieces of the kernel that only attackers have a use for here.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
];

/// A processor of this kind has every system call under a second number (x32), where the kernel is built for it.
const SECOND_NUMBER: libc::c_long = 0x4000_0000;

/// Makes the filter; `None` where there is none for this processor.
pub fn filter() -> Option<BpfProgram> {
    let processor = TargetArch::try_from(std::env::consts::ARCH).ok()?;
    let second = (processor == TargetArch::x86_64).then_some(SECOND_NUMBER);
    let numbers = FORBIDDEN.into_iter().flat_map(|call| [Some(call), second.map(|bit| call | bit)]);
    let rules = numbers.flatten().map(|number| (number, Vec::new())).collect();
    let refuse = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, SeccompAction::Allow, refuse, processor).ok()?.try_into().ok()
}

/// Puts the calling process and the program that it becomes behind the filter.
pub fn enforce(filter: &BpfProgram) -> io::Result<()> {
    apply_filter(filter).map_err(|_| io::Error::last_os_error())
}
