//! Several processes that read one directory at once: copies of this program that send what the kernel gave them.
//!
//! Process 1 of a guest has threads, and after fork(2) such a process may do little before exec. So the readers are started
//! anew, from the program's own file, with a word that nobody else says. They only make system calls: what they read comes back
//! through a pipe as it stood in the buffer, and is taken apart and checked here.

use super::getdents::{Buffer, Records};
use super::{Counts, DIRECTORY, Failed, Record, failed};
use crate::error::{Context, Error, Result as OurResult};
use crate::workload::progress;
use nix::errno::Errno;
use nix::fcntl::open;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

/// The program itself, even if its file was replaced.
pub const ITSELF: &str = "/proc/self/exe";
/// What a reader is started with; its buffer's size in bytes and the directory follow.
const WORD: &str = "read-a-directory-for-your-parent";

/// A reader says with four bytes how many bytes of a reply follow; or this, and an errno. No reply is that long.
const FAILED: u32 = u32::MAX;

/// Lists `dir` to the end with getdents64 by as many processes as there are closures, which get the records of their process and
/// say whether it is to go on. All begin when all have opened the directory. How each of them fared is in the order of the
/// closures. `program` is dirleak: [`ITSELF`].
pub fn list<F>(program: &Path, dir: &Path, buffer_bytes: usize, each: Vec<F>) -> OurResult<Vec<Result<Counts, Failed>>>
where
    F: FnMut(&Record) -> ControlFlow<()> + Send,
{
    let mut readers = each.iter().map(|_| Reader::start(program, dir, buffer_bytes)).collect::<OurResult<Vec<_>>>()?;
    let opened = readers.iter_mut().map(Reader::opened).collect::<OurResult<Vec<_>>>()?;
    let mut able = readers.iter_mut().zip(&opened).filter(|(_, opened)| opened.is_ok());
    able.try_for_each(|(reader, _)| reader.begin())?;
    std::thread::scope(|scope| {
        let take = |((reader, opened), each): ((Reader, Result<(), Failed>), F)| {
            scope.spawn(move || match opened {
                Ok(()) => reader.records(each),
                Err(failed) => Ok(Err(failed)),
            })
        };
        let threads: Vec<_> = readers.into_iter().zip(opened).zip(each).map(take).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// What the program does if it was started as a reader; `None` if it was not.
pub fn asked(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let read = match (arguments.next().and_then(|bytes| bytes.to_str()?.parse().ok()), arguments.next()) {
        (Some(buffer_bytes), Some(dir)) => send_replies(Path::new(&dir), buffer_bytes),
        _ => return Some(ExitCode::FAILURE),
    };
    Some(if read.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The work of a reader. An error is one of the pipes: whoever started it is gone, or wants no more.
fn send_replies(dir: &Path, buffer_bytes: usize) -> io::Result<()> {
    let (mut go, mut out) = (io::stdin(), io::stdout().lock());
    // Nobody outlives who started him.
    set_pdeathsig(Signal::SIGKILL)?;
    let fd = match open(dir, DIRECTORY, Mode::empty()) {
        Ok(fd) => fd,
        Err(errno) => return send_failure(&mut out, errno),
    };
    send(&mut out, &[])?;
    go.read_exact(&mut [0])?;
    let mut buffer = Buffer::new(buffer_bytes);
    loop {
        match buffer.fill(fd.as_fd()) {
            Ok(reply) => {
                send(&mut out, reply)?;
                if reply.is_empty() {
                    return Ok(());
                }
            }
            Err(errno) => return send_failure(&mut out, errno),
        }
    }
}

fn send(out: &mut impl Write, reply: &[u8]) -> io::Result<()> {
    out.write_all(&(reply.len() as u32).to_ne_bytes())?;
    out.write_all(reply)?;
    out.flush()
}

fn send_failure(out: &mut impl Write, errno: Errno) -> io::Result<()> {
    out.write_all(&FAILED.to_ne_bytes())?;
    out.write_all(&(errno as i32).to_ne_bytes())?;
    out.flush()
}

/// A reader that runs; dropping it ends it.
struct Reader {
    child: Child,
    go: ChildStdin,
    replies: ChildStdout,
    reply: Vec<u8>,
}

impl Reader {
    fn start(program: &Path, dir: &Path, buffer_bytes: usize) -> OurResult<Self> {
        let cannot = || format!("cannot start {} as a reader of {}", program.display(), dir.display());
        let mut command = Command::new(program);
        command.arg(WORD).arg(buffer_bytes.to_string()).arg(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().machine(cannot)?;
        let (Some(go), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::machine(format!("{}: no pipes", cannot())));
        };
        Ok(Self { child, go, replies, reply: Vec::new() })
    }

    /// Whether it could open the directory.
    fn opened(&mut self) -> OurResult<Result<(), Failed>> {
        Ok(self.reply()?.map(|_| ()).map_err(failed("open")))
    }

    fn begin(&mut self) -> OurResult<()> {
        self.go.write_all(&[0]).machine(died)
    }

    /// Takes its replies apart until the last one.
    fn records(mut self, mut each: impl FnMut(&Record) -> ControlFlow<()>) -> OurResult<Result<Counts, Failed>> {
        let mut counts = Counts::default();
        loop {
            let reply = match self.reply()? {
                Ok(reply) => reply,
                Err(errno) => return Ok(Err(Failed { call: "getdents64", errno, entries: counts.entries })),
            };
            counts.getdents_calls += 1;
            progress::made();
            if reply.is_empty() {
                return Ok(Ok(counts));
            }
            for record in Records(reply) {
                counts.entries += 1;
                if each(&record).is_break() {
                    return Ok(Ok(counts));
                }
            }
        }
    }

    /// Its next reply, as getdents64 gave it.
    fn reply(&mut self) -> OurResult<Result<&[u8], Errno>> {
        let length = self.number()?;
        if length == FAILED {
            return Ok(Err(Errno::from_raw(self.number()? as i32)));
        }
        self.reply.resize(length as usize, 0);
        self.replies.read_exact(&mut self.reply).machine(died)?;
        Ok(Ok(&self.reply))
    }

    fn number(&mut self) -> OurResult<u32> {
        let mut bytes = [0; 4];
        self.replies.read_exact(&mut bytes).machine(died)?;
        Ok(u32::from_ne_bytes(bytes))
    }
}

fn died() -> String {
    "a process that reads a directory for us has died".into()
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It has ended by itself, or is to; a failure means that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
