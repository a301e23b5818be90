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

/// Unpacks `package` to `src` in the directory `home`; the file `note` in it then has its version.
pub fn package(package: &Package, home: &Path, src: &Path, note: &str, ui: &Ui) -> Result<()> {
    check_space(home, &package.package)?;
    let what = format!("unpacking {} {}", package.package, package.version);
    let scratch = Scratch::within(home)?;
    let mut extract = Command::new("dpkg-deb");
    let nothing = File::open("/dev/null").machine(|| "cannot open /dev/null".into())?;
    tool(extract.arg("-x").arg(&package.deb).arg(scratch.path()), nothing, &what, home, || Ok(()))?;
    let archive = scratch.path().join(format!("usr/src/{}.tar.xz", package.package));
    let mut archive = File::open(&archive)
        .machine(|| format!("{} has no usr/src/{}.tar.xz", package.deb.display(), package.package))?;
    let total = archive.metadata().map_or(0, |m| m.len());
    install_atomically(src, |new| {
        fs::create_dir(new).machine(|| format!("cannot make {}", new.display()))?;
        let task = ui.task(what.clone());
        let input = archive.try_clone().machine(|| "cannot copy a file handle".into())?;
        // tar reads through our own handle, so our position in the file is how far it has come.
        let tick = || {
            task.progress(archive.stream_position().unwrap_or(0) >> 20, total >> 20);
            Ok(())
        };
        let mut tar = Command::new("tar");
        tar.args(["-x", "--no-same-owner", "--strip-components=1", "-I", "xz -T0 -dc", "-f", "-", "-C"]).arg(new);
        tool(&mut tar, input, &what, home, tick)?;
        fs::write(new.join(note), &package.version).machine(|| format!("cannot write in {}", new.display()))?;
        task.done("done");
        Ok(())
    })
}

/// Begins a tree at `src` that is to be made into `snapshot`: a copy of `seed`, or else nothing. The file `note` in it
/// then is empty.
pub fn start(snapshot: &Snapshot, seed: Option<&Path>, home: &Path, src: &Path, note: &str, ui: &Ui) -> Result<()> {
    check_space(home, &snapshot.name)?;
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

/// Fails where the disk that holds `home` has too little space for the build of `what`.
pub fn check_space(home: &Path, what: &str) -> Result<()> {
    let stat = nix::sys::statvfs::statvfs(home).machine(|| format!("cannot look at {}", home.display()))?;
    let free_mib = (stat.blocks_available() * stat.fragment_size()) >> 20;
    if free_mib < NEEDED_MIB {
        let place = home.display();
        return Err(Error::machine(format!(
            "building {what} takes {NEEDED_MIB} MiB, but the disk that holds {place} has {free_mib} MiB left; \
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
