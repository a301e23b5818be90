//! Knows what nfsd asks about the clients of before a restart, and that there are none.
//!
//! A starting nfsd waits a second for nfsdcld, the daemon that keeps such clients in a database, and without one it
//! refuses new files to NFSv4 clients for a grace period of at least ten seconds. A guest's server never restarts, so
//! a database is of no use: each question is answered at once. Without the answers all works, only later.

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use std::{io, thread};

const PIPES: &str = "/run/rpc_pipefs";
const PIPE: &str = "/run/rpc_pipefs/nfsd/cld";

/// The pipe appears while nfsd starts, which looks for a reader ten times in a second.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(4);

/// Offsets in `struct cld_msg` of `linux/nfsd/cld.h`.
const COMMAND: usize = 1;
const STATUS: std::ops::Range<usize> = 2..4;
const VERSION: usize = 8;
/// `Cld_Check`: may this client reclaim what it had open?
const CHECK: u8 = 2;
/// `Cld_GetVersion`: which version of the messages do you know?
const GET_VERSION: u8 = 5;
/// Larger than any version's message.
const LONGEST: usize = 4096;

/// Answers from now on until the machine is off.
pub fn answer() {
    thread::spawn(|| {
        let answered = mount_pipes().and_then(|()| open_pipe()).and_then(serve);
        if let Err(error) = answered {
            eprintln!("nfsd's questions about clients are not answered: {error}");
        }
    });
}

fn mount_pipes() -> io::Result<()> {
    fs::create_dir_all(PIPES)?;
    Ok(mount(Some("rpc_pipefs"), PIPES, Some("rpc_pipefs"), MsFlags::empty(), None::<&str>)?)
}

fn open_pipe() -> io::Result<File> {
    let end = Instant::now() + PATIENCE;
    loop {
        match OpenOptions::new().read(true).write(true).open(PIPE) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && Instant::now() < end => thread::sleep(POLL),
            result => return result,
        }
    }
}

fn serve(mut pipe: File) -> io::Result<()> {
    let mut message = [0; LONGEST];
    loop {
        // Reading an empty pipe of this kind gives nothing instead of waiting.
        poll(&mut [PollFd::new(pipe.as_fd(), PollFlags::POLLIN)], PollTimeout::NONE)?;
        let length = pipe.read(&mut message)?;
        if length > VERSION {
            reply(&mut message[..length]);
            pipe.write_all(&message[..length])?;
        }
    }
}

/// Turns a question into its answer, which is the question with a status.
fn reply(message: &mut [u8]) {
    let status: i16 = match message[COMMAND] {
        CHECK => -(libc::ENOENT as i16),
        _ => 0,
    };
    message[STATUS].copy_from_slice(&status.to_ne_bytes());
    if message[COMMAND] == GET_VERSION {
        message[VERSION] = 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(command: u8) -> [u8; 16] {
        let mut message = [7; 16];
        message[COMMAND] = command;
        reply(&mut message);
        message
    }

    #[test]
    fn version_is_one_and_nobody_may_reclaim() {
        let version = asked(GET_VERSION);
        assert_eq!((&version[STATUS], version[VERSION]), (&[0, 0][..], 1));
        let check = asked(CHECK);
        assert_eq!(i16::from_ne_bytes(check[STATUS].try_into().unwrap()), -2);
        assert_eq!(check[VERSION], 7);
        // The number by which nfsd finds its question stays.
        assert_eq!(check[4..8], [7; 4]);
    }
}
