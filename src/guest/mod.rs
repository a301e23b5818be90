//! The guest: this program as process 1 of a virtual machine, which sets the stage and obeys orders from the host.

mod agent;
mod cgroup;
pub(crate) mod coverage;
mod exec;
pub mod export_fs;
pub(crate) mod fault_injection;
mod file_churn;
mod heartbeat;
mod init;
pub mod knfsd;
mod memory_pressure;
mod modules;
pub mod nfs_mount;
mod onc_rpc;
mod outage;
mod selinux;
mod selinux_policy;
mod serial;
mod server;
mod status_monitor;
pub mod timing;

use crate::error::{Context, Exit, Result};
use crate::os::panic_hook;
use crate::probe::procfs;
use crate::protocol::message::{AgentFailure, Plan, Request, Response};
use crate::workload::syscall_log;
use agent::GuestAgent;
use nix::sys::reboot::{RebootMode, reboot};
use serial::SerialLink;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs as process 1 and ends with the machine.
pub fn main() -> ! {
    panic_hook::install();
    // There is no link yet; the console is all we have.
    match init::mount_all().and_then(|()| SerialLink::open()) {
        // Process 1 must not end, or the kernel panics, which would be blamed on the kernel.
        Ok(mut link) => {
            if catch_unwind(AssertUnwindSafe(|| serve(&mut link))).is_err() {
                let message = "a bug of dirleak in the guest, which its console tells".to_owned();
                let _ = link.send(&Response::Trouble { trouble: AgentFailure::Bug, message });
            }
        }
        Err(error) => eprintln!("dirleak: {error}"),
    }
    let _ = reboot(RebootMode::RB_AUTOBOOT);
    unreachable!("the machine is off")
}

/// Obeys until the host has enough; what goes wrong is told as the answer.
fn serve(link: &mut SerialLink) {
    if let Err(error) = handle_requests(link) {
        let trouble = match error.exit() {
            Exit::CannotJudge => AgentFailure::Unsupported,
            _ => AgentFailure::Failed,
        };
        // If the link itself failed nobody hears this, and the host's deadline ends the run.
        let _ = link.send(&Response::Trouble { trouble, message: error.to_string() });
    }
}

/// Calls are told in pieces of about so many bytes.
const CALLED_BYTES: usize = 1 << 20;

/// Cuts a text into pieces, each of some whole lines.
fn pieces(mut text: &str, bytes: usize) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let behind = text.as_bytes().get(bytes..).and_then(|rest| rest.iter().position(|&b| b == b'\n'));
        let (piece, rest) = text.split_at(behind.map_or(text.len(), |at| bytes + at + 1));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

fn handle_requests(link: &mut SerialLink) -> Result<()> {
    heartbeat::start(link.sender()).machine(|| "cannot start a thread".into())?;
    link.send(&Response::Hello { release: procfs::release()? })?;
    let plan: Plan = init::read_plan()?;
    if plan.clock_counts {
        link.wait_busily();
    }
    if plan.trace {
        syscall_log::begin();
    }
    let mut worker = GuestAgent::set_up(&plan, link)?;
    link.send(&worker.ready())?;
    loop {
        let order = link.receive()?;
        if matches!(order, Request::Finish) {
            return link.send(&Response::Bye);
        }
        heartbeat::set_working(true);
        let answer = worker.handle(order, link)?;
        heartbeat::set_working(false);
        for lines in pieces(&syscall_log::take(), CALLED_BYTES) {
            link.send(&Response::Called { lines: lines.to_owned() })?;
        }
        link.send(&answer)?;
    }
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn calls_are_told_in_pieces_of_whole_lines() {
        assert_eq!(pieces("one\ntwo\nthree\n", 5).collect::<Vec<_>>(), ["one\ntwo\n", "three\n"]);
        assert_eq!(pieces("one\ntwo\n", 100).collect::<Vec<_>>(), ["one\ntwo\n"]);
        assert_eq!(pieces("", 5).count(), 0);
    }
}
pub mod steps;
