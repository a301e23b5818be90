//! How a private source tree is filled for the first time, whole or not at all.

use super::debian::Package;
use super::snapshot::Snapshot;
use crate::error::{Context, Error, Result};
use crate::kernel::external::runner;
use crate::os::cache::install_atomically;
use crate::os::progress::Ui;
use crate::os::temp_dir::Scratch;
use std::fs::{self, File};
use std::io::Seek;
use std::path::Path;
use std::process::Command;

/// What unpacked sources and their objects take, measured for 6.12, and a little more.
pub const NEEDED_MIB: u64 = 2300;

/// What the headers of a kernel, the sources of its modules and their objects take.
pub const NEEDED_FOR_MODULES_MIB: u64 = 700;

/// Unpacks `package` to `src` in the directory `home`; the file `note` in it then has its version.
pub fn package(package: &Package, home: &Path, src: &Path, note: &str, ui: &Ui) -> Result<()> {
    check_space(home, &package.package, NEEDED_MIB)?;
    install_atomically(src, |new| {
        fs::create_dir(new).machine(|| format!("cannot make {}", new.display()))?;
        sources(package, new, &[], home, ui)?;
        fs::write(new.join(note), &package.version).machine(|| format!("cannot write in {}", new.display()))
    })
}

/// Unpacks the sources in `package` into the directory `into`, but for what `left_out` names from the top of the sources on.
/// `home` is for what is in the making.
pub fn sources(package: &Package, into: &Path, left_out: &[&str], home: &Path, ui: &Ui) -> Result<()> {
    let what = format!("unpacking {} {}", package.package, package.version);
    let scratch = Scratch::within(home)?;
    deb(&package.deb, scratch.path(), &what, home)?;
    let archive = scratch.path().join(format!("usr/src/{}.tar.xz", package.package));
    let mut archive = File::open(&archive)
        .machine(|| format!("{} has no usr/src/{}.tar.xz", package.deb.display(), package.package))?;
    let total = archive.metadata().map_or(0, |m| m.len());
    let task = ui.task(what.clone());
    let input = archive.try_clone().machine(|| "cannot copy a file handle".into())?;
    // tar reads through our own handle, so our position in the file is how far it has come.
    let tick = || {
        task.progress(archive.stream_position().unwrap_or(0) >> 20, total >> 20);
        Ok(())
    };
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--strip-components=1", "-I", "xz -T0 -dc", "--anchored"]);
    tar.args(left_out.iter().map(|pattern| format!("--exclude={}/{pattern}", package.package)));
    tool(tar.args(["-f", "-", "-C"]).arg(into), input, &what, home, tick)?;
    task.done("done");
    Ok(())
}

/// Unpacks all that is in the Debian package `file` into the directory `into`; `what` says in errors what it is about, and `home` is
/// where that is.
pub fn deb(file: &Path, into: &Path, what: &str, home: &Path) -> Result<()> {
    let nothing = File::open("/dev/null").machine(|| "cannot open /dev/null".into())?;
    let mut extract = Command::new("dpkg-deb");
    tool(extract.arg("-x").arg(file).arg(into), nothing, what, home, || Ok(()))
}

/// Begins a tree at `src` that is to be made into `snapshot`: a copy of `seed`, or else nothing. The file `note` in it
/// then is empty.
pub fn start(snapshot: &Snapshot, seed: Option<&Path>, home: &Path, src: &Path, note: &str, ui: &Ui) -> Result<()> {
    check_space(home, &snapshot.name, NEEDED_MIB)?;
    let failed = || format!("cannot make {}", src.display());
    install_atomically(src, |new| {
        match seed {
            Some(seed) => {
                let what = format!("copying the objects of {}", seed.display());
                let task = ui.task(what.clone());
                let mut copy = Command::new("cp");
                let nothing = File::open("/dev/null").machine(|| "cannot open /dev/null".into())?;
                tool(copy.args(["-a", "--reflink=auto"]).arg(seed).arg(new), nothing, &what, home, || Ok(()))?;
                relocate(&new.join("tools"), &seed.to_string_lossy(), &src.to_string_lossy())
                    .machine(|| format!("cannot write in {}", new.display()))?;
                task.done("done");
            }
            None => fs::create_dir(new).machine(failed)?,
        }
        fs::write(new.join(note), "").machine(failed)
    })
}

/// Replaces the path `from` by `to` in the notes that make left below `dir`. Only the kernel's tools are compiled with absolute
/// paths; objtool made anew would have every object made anew.
fn relocate(dir: &Path, from: &str, to: &str) -> std::io::Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() {
            relocate(&path, from, to)?;
        } else if name.ends_with(".cmd") || name.ends_with(".d") {
            let (time, text) = (fs::metadata(&path)?.modified()?, fs::read_to_string(&path)?);
            if text.contains(from) {
                fs::write(&path, text.replace(from, to))?;
                File::options().write(true).open(&path)?.set_modified(time)?;
            }
        }
    }
    Ok(())
}

/// Fails where the disk that holds `home` has less than `needed_mib` for the build of `what`.
pub fn check_space(home: &Path, what: &str, needed_mib: u64) -> Result<()> {
    let stat = nix::sys::statvfs::statvfs(home).machine(|| format!("cannot look at {}", home.display()))?;
    let free_mib = (stat.blocks_available() * stat.fragment_size()) >> 20;
    if free_mib < needed_mib {
        let place = home.display();
        return Err(Error::machine(format!(
            "building {what} takes {needed_mib} MiB, but the disk that holds {place} has {free_mib} MiB left; \
             free some of it or set XDG_CACHE_HOME to another"
        )));
    }
    Ok(())
}

fn tool(command: &mut Command, input: File, what: &str, home: &Path, tick: impl FnMut() -> Result<()>) -> Result<()> {
    command.env("LC_ALL", "C");
    let ended = runner::run(command, input.into(), None, |_| {}, tick).map_err(|stopped| stopped.why)?;
    if ended.status.success() { Ok(()) } else { Err(ended.machine_failure(what, home)) }
}
