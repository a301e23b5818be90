//! Extracts from a package of any distribution what a guest can use of it, and no more than a kernel has.

use crate::error::{Context, Error, Result};
use crate::kernel::build::store::size;
use crate::kernel::external::runner;
use crate::os::pipe::pipe;
use crate::os::process::{self, Child};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Most of a package, and nothing that listing a directory needs. Of the drivers those of block devices stay, because an export can
/// be on a loop device.
const LEFT_OUT: [&str; 10] = [
    "*/kernel/drivers/[!b]*",
    "*/kernel/drivers/b[!l]*",
    "*/kernel/drivers/bl[!o]*",
    "*/kernel/sound",
    "*/kernel/sound/*",
    "*/System.map*",
    "*/usr/share/*",
    "*/usr/src/*",
    "usr/share/*",
    "usr/src/*",
];

/// Between two looks at what has been unpacked.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Fails once more than `most` bytes are in a directory, which it looks at now and then.
struct Watch<'a> {
    package: &'a Path,
    into: &'a Path,
    most: u64,
    last: Instant,
}

impl Watch<'_> {
    fn look_now_and_then(&mut self) -> Result<()> {
        if self.last.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.last = Instant::now();
        self.look()
    }

    fn look(&self) -> Result<()> {
        if size(self.into) <= self.most {
            return Ok(());
        }
        let (shown, mib) = (self.package.display(), self.most >> 20);
        Err(Error::usage(format!("{shown} has more than {mib} MiB of what is kept of a package, which no kernel has")))
    }
}

/// Puts the files that are kept into `into`, `most` bytes of them.
pub fn extract(path: &Path, into: &Path, most: u64) -> Result<()> {
    let mut watch = Watch { package: path, into, most, last: Instant::now() };
    let mut magic = [0; 8];
    let is_debian = File::open(path).and_then(|mut f| f.read_exact(&mut magic)).is_ok() && magic == *b"!<arch>\n";
    let mut unpacker = if is_debian { Command::new("tar") } else { Command::new("bsdtar") };
    // Owners and permissions are those of another machine.
    unpacker.args(["--no-same-owner", "--no-same-permissions", "-x", "-C"]).arg(into);
    for pattern in LEFT_OUT {
        unpacker.args(["--exclude", pattern]);
    }
    if is_debian {
        extract_debian(path, unpacker.args(["-f", "-"]), into, &mut watch)?;
        return watch.look();
    }
    unpacker.arg("-f").arg(path);
    let finished = process::finish_watched(&mut unpacker, Stdio::null(), || watch.look_now_and_then())?;
    let ended = finished.status.success().then_some(()).ok_or_else(|| finished.first_complaint());
    ended.map_err(|why| failed(path, &why, into))?;
    watch.look()
}

/// Extracts a Debian package: dpkg-deb decompresses, and tar picks out of it.
fn extract_debian(path: &Path, unpacker: &mut Command, into: &Path, watch: &mut Watch) -> Result<()> {
    let (reader, writer) = pipe().machine(|| "cannot make a pipe".into())?;
    let mut said = tempfile::tempfile().machine(|| "cannot write a temporary file".into())?;
    let errors = said.try_clone().machine(|| "cannot write a temporary file".into())?;
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(path).stdin(Stdio::null()).stdout(writer).stderr(errors);
    let reading = Child::spawn(&mut command);
    // It holds the pipe open, which then would never end.
    drop(command);
    let mut reading = reading?;
    let finished = process::finish_watched(unpacker, reader.into(), || watch.look_now_and_then())?;
    if !finished.status.success() && finished.first_complaint().contains("No space left") {
        return Err(failed(path, &finished.first_complaint(), into));
    }
    if !reading.wait(|| Ok(()))?.success() {
        let mut text = String::new();
        let _ = said.rewind().and_then(|()| said.read_to_string(&mut text));
        return Err(failed(path, text.trim().lines().next_back().unwrap_or("dpkg-deb failed"), into));
    }
    let ended = finished.status.success().then_some(()).ok_or_else(|| finished.first_complaint());
    ended.map_err(|why| failed(path, &why, into))
}

fn failed(path: &Path, why: &str, into: &Path) -> Error {
    if why.contains("No space left") {
        return runner::disk_full(&format!("unpacking {}", path.display()), into);
    }
    Error::usage(format!("{} cannot be unpacked, so it is damaged or no package after all: {why}", path.display()))
}
