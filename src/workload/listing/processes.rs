//! Several processes that read one directory at once: copies of this program that send what the kernel gave them.
//!
//! Process 1 of a guest has threads, and after fork(2) such a process may do little before exec. So the readers are started
//! anew, from the program's own file, with a word that nobody else says. They only make system calls: what they read comes back
//! through a pipe as it stood in the buffer, and is taken apart and checked here. They stay for the next listing, because
//! starting a process moves more of a kernel's memory than any listing.

use super::entry::{Counts, DIRECTORY, Dirent, ListError, failed};
use super::getdents::{Buffer, Dirents};
use crate::error::{Context, Error, Result as OurResult};
use crate::workload::{progress, syscall_log};
use nix::errno::Errno;
use nix::fcntl::open;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

/// What a reader is started with; its buffer's size in bytes and the directory follow.
const WORD: &str = "read-a-directory-for-your-parent";

/// A reader says with four bytes how many bytes of a reply follow; or this, and an errno. No reply is that long.
const FAILED: u32 = u32::MAX;

/// Processes that wait for a directory to read. Dropping them ends them.
pub struct Readers {
    program: PathBuf,
    buffer_bytes: usize,
    waiting: Vec<Reader>,
}

impl Readers {
    /// Makes readers whose getdents64 buffers have so many bytes. `program` is dirleak: [`crate::assets::OURSELVES`] in
    /// a guest. None is started yet.
    pub fn new(program: &Path, buffer_bytes: usize) -> Self {
        Self { program: program.to_owned(), buffer_bytes, waiting: Vec::new() }
    }

    /// Starts as many as are missing for so many to wait.
    pub fn start(&mut self, readers: usize) -> OurResult<()> {
        while self.waiting.len() < readers {
            self.waiting.push(Reader::start(&self.program, self.buffer_bytes)?);
        }
        Ok(())
    }

    /// Lists `dir` to the end by as many processes as there are closures, which get the records of their process and say
    /// whether it is to go on; if not, it is killed. All begin when all have opened the directory. How each of them fared is in
    /// the order of the closures.
    pub fn list<F>(&mut self, dir: &Path, each: Vec<F>) -> OurResult<Vec<Result<Counts, ListError>>>
    where
        F: FnMut(&Dirent) -> ControlFlow<()> + Send,
    {
        self.start(each.len())?;
        let mut readers: Vec<Reader> = self.waiting.drain(..each.len()).collect();
        readers.iter_mut().try_for_each(|reader| reader.open(dir))?;
        let opened = readers.iter_mut().map(Reader::opened).collect::<OurResult<Vec<_>>>()?;
        let mut open = readers.iter_mut().zip(&opened).filter(|(_, opened)| opened.is_ok());
        open.try_for_each(|(reader, _)| reader.begin())?;
        let listed = std::thread::scope(|scope| {
            let take = |((mut reader, opened), each): ((Reader, Result<(), ListError>), F)| {
                scope.spawn(move || match opened {
                    Ok(()) => Ok((reader.records(each)?, reader)),
                    Err(failed) => Ok((Err(failed), reader)),
                })
            };
            let threads: Vec<_> = readers.into_iter().zip(opened).zip(each).map(take).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect::<OurResult<Vec<_>>>()
        })?;
        let (results, readers): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        self.waiting.extend(readers.into_iter().filter(|reader| reader.waits));
        Ok(results)
    }
}

/// Serves as a reader if the program was started as one, and tells how that ended; `None` if it was not.
pub fn run_if_reader(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != WORD {
        return None;
    }
    let Some(buffer_bytes) = arguments.next().and_then(|bytes| bytes.to_str()?.parse().ok()) else {
        return Some(ExitCode::FAILURE);
    };
    Some(if serve(buffer_bytes).is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does the work of a reader: one directory after the other. An error is one of the pipes: whoever started it is gone,
/// or wants no more.
fn serve(buffer_bytes: usize) -> io::Result<()> {
    let (mut orders, mut out) = (io::stdin().lock(), io::stdout().lock());
    // Nobody outlives who started him.
    set_pdeathsig(Signal::SIGKILL)?;
    let mut buffer = Buffer::new(buffer_bytes);
    loop {
        let mut length = [0; 4];
        orders.read_exact(&mut length)?;
        let mut dir = vec![0; u32::from_ne_bytes(length) as usize];
        orders.read_exact(&mut dir)?;
        match open(Path::new(OsStr::from_bytes(&dir)), DIRECTORY, Mode::empty()) {
            Err(errno) => send_failure(&mut out, errno)?,
            Ok(fd) => {
                send(&mut out, &[])?;
                orders.read_exact(&mut [0])?;
                send_replies(&fd, &mut buffer, &mut out)?;
            }
        }
    }
}

fn send_replies(fd: &OwnedFd, buffer: &mut Buffer, out: &mut impl Write) -> io::Result<()> {
    loop {
        match buffer.fill(fd.as_fd()) {
            Ok(reply) => {
                send(out, reply)?;
                if reply.is_empty() {
                    return Ok(());
                }
            }
            Err(errno) => return send_failure(out, errno),
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
    orders: ChildStdin,
    replies: ChildStdout,
    reply: Vec<u8>,
    /// Whether it has sent all of a directory and waits for the next one.
    waits: bool,
}

impl Reader {
    fn start(program: &Path, buffer_bytes: usize) -> OurResult<Self> {
        let cannot = || format!("cannot start {} as a reader of directories", program.display());
        let mut command = Command::new(program);
        command.arg(WORD).arg(buffer_bytes.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().machine(cannot)?;
        let (Some(orders), Some(replies)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::machine(format!("{}: no pipes", cannot())));
        };
        Ok(Self { child, orders, replies, reply: Vec::new(), waits: true })
    }

    /// Asks it to open a directory.
    fn open(&mut self, dir: &Path) -> OurResult<()> {
        self.waits = false;
        let dir = dir.as_os_str().as_bytes();
        let order = [&(dir.len() as u32).to_ne_bytes(), dir].concat();
        self.orders.write_all(&order).machine(died)
    }

    /// Returns whether it could open the directory.
    fn opened(&mut self) -> OurResult<Result<(), ListError>> {
        let opened = self.reply()?.map(|_| ()).map_err(failed("open"));
        self.waits = opened.is_err();
        Ok(opened)
    }

    fn begin(&mut self) -> OurResult<()> {
        self.orders.write_all(&[0]).machine(died)
    }

    /// Takes its replies apart until the last one.
    fn records(&mut self, mut each: impl FnMut(&Dirent) -> ControlFlow<()>) -> OurResult<Result<Counts, ListError>> {
        let mut counts = Counts::default();
        loop {
            let reply = match self.reply()? {
                Ok(reply) => reply,
                Err(errno) => {
                    self.waits = true;
                    return Ok(Err(ListError { call: "getdents64", errno, entries: counts.entries }));
                }
            };
            counts.getdents_calls += 1;
            progress::made();
            syscall_log::record(|| format!("getdents64 = {}, by a process", reply.len()));
            if reply.is_empty() {
                self.waits = true;
                return Ok(Ok(counts));
            }
            for record in Dirents(reply) {
                counts.entries += 1;
                if each(&record).is_break() {
                    return Ok(Ok(counts));
                }
            }
        }
    }

    /// Reads its next reply, as getdents64 gave it.
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
