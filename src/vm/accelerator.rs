//! Whether KVM really runs a guest here. A `/dev/kvm` that opens proves nothing: only a guest that has spoken does.

use super::qemu::{Accelerator, KERNEL_COMMAND_LINE, Machine};
use crate::error::{Context, Result};
use crate::os::cache::{Cache, install_atomically};
use crate::os::process::Child;
use crate::os::progress::Ui;
use crate::os::signals;
use crate::os::temp_dir::Scratch;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A kernel that runs on KVM prints within a tenth of this.
const KVM_LIMIT: Duration = Duration::from_secs(5);
/// The same kernel under TCG, to tell a broken KVM from a broken kernel.
const TCG_LIMIT: Duration = Duration::from_secs(20);

/// Chooses KVM if a guest speaks under it, TCG otherwise. The answer is remembered until this machine boots again.
pub fn choose(kernel: &Path, cache: &Cache, ui: &Ui) -> Result<Accelerator> {
    if fs::File::options().read(true).write(true).open("/dev/kvm").is_err() {
        return Ok(Accelerator::Tcg);
    }
    let _lock = cache.lock("kvm", ui)?;
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").machine(|| "cannot read the boot id".into())?;
    let memory = cache.dir("kvm")?.join(boot.trim());
    match fs::read_to_string(&memory).as_deref() {
        Ok("kvm") => return Ok(Accelerator::Kvm),
        Ok("tcg") => return Ok(Accelerator::Tcg),
        _ => {}
    }
    let task = ui.task("trying whether KVM runs a guest here");
    if speaks(kernel, Accelerator::Kvm, KVM_LIMIT, cache)? {
        task.done("it does");
        remember(&memory, "kvm")?;
        return Ok(Accelerator::Kvm);
    }
    task.done("it does not; guests run under TCG until this machine boots again");
    // A kernel that is silent under TCG too says nothing about KVM.
    if speaks(kernel, Accelerator::Tcg, TCG_LIMIT, cache)? {
        remember(&memory, "tcg")?;
    }
    Ok(Accelerator::Tcg)
}

fn remember(memory: &Path, answer: &str) -> Result<()> {
    install_atomically(memory, |new| fs::write(new, answer).machine(|| format!("cannot write {}", new.display())))
}

/// Returns whether the kernel prints anything before `limit`. Without an initramfs it panics soon after, which is fine.
fn speaks(kernel: &Path, accelerator: Accelerator, limit: Duration, cache: &Cache) -> Result<bool> {
    let dir = Scratch::within(&cache.dir("kvm")?)?;
    let log = dir.path().join("console");
    let command_line = KERNEL_COMMAND_LINE.replace("quiet", "");
    let machine = Machine {
        kernel,
        initramfs: None,
        command_line: &command_line,
        memory_mib: 128,
        cpus: 1,
        accelerator,
        seed: 0,
        console_log: &log,
    };
    let mut command = super::launch::command(&machine)?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut qemu = Child::spawn(&mut command)?;
    let end = Instant::now() + limit;
    while Instant::now() < end {
        signals::check()?;
        if fs::metadata(&log).is_ok_and(|m| m.len() > 0) {
            return Ok(true);
        }
        if qemu.wait_for(Duration::from_millis(20))?.is_some() {
            return Ok(fs::metadata(&log).is_ok_and(|m| m.len() > 0));
        }
    }
    Ok(false)
}
