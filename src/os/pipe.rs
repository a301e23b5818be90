//! Pipes between this program and those that it starts.

use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use std::fs::File;
use std::io;

/// Makes a pipe that no other program inherits: the end that is read, and the end that is written to. (`std::io::pipe` is of Rust 1.87.)
pub fn pipe() -> io::Result<(File, File)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((reader.into(), writer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::Command;

    #[test]
    fn pipe_ends_when_we_close_it_whoever_was_started_meanwhile() {
        let (mut reader, mut writer) = pipe().unwrap();
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        writer.write_all(b"said").unwrap();
        drop(writer);
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(said, "said");
    }
}
