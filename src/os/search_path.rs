//! Where this machine's programs and headers are.

use super::process;
use crate::error::Result;
use nix::unistd::{AccessFlags, access};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Directories in which programs are looked for, in order.
#[derive(Clone, Debug)]
pub struct SearchPath(Vec<PathBuf>);

impl SearchPath {
    /// Returns the user's path, `PATH`.
    pub fn from_env() -> Self {
        Self(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect())
    }

    /// Returns the path of these directories.
    pub fn new(dirs: &[&Path]) -> Self {
        Self(dirs.iter().map(|dir| dir.to_path_buf()).collect())
    }

    /// Returns where `program` is, if it is there and may be started.
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        let mut places = self.0.iter().map(|dir| dir.join(program));
        places.find(|place| place.is_file() && access(place, AccessFlags::X_OK).is_ok())
    }

    /// Returns whether the compiler finds the header `name`; not, where there is no compiler.
    pub fn has_header(&self, name: &str) -> Result<bool> {
        let Some(gcc) = self.find("gcc") else { return Ok(false) };
        let mut command = Command::new(gcc);
        command.args(["-E", "-x", "c", "-include", name, "/dev/null"]);
        let mut child =
            process::Child::spawn(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))?;
        Ok(child.wait(|| Ok(()))?.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn headers_are_found_or_not() {
        assert!(SearchPath::from_env().has_header("stdio.h").unwrap());
        assert!(!SearchPath::from_env().has_header("dirleak-no-such-header.h").unwrap());
        assert!(!SearchPath::new(&[]).has_header("stdio.h").unwrap());
    }

    #[test]
    fn program_is_a_file_that_may_be_started() {
        let dir = tempfile::tempdir().unwrap();
        let path = SearchPath::new(&[dir.path()]);
        fs::create_dir(dir.path().join("make")).unwrap();
        fs::write(dir.path().join("flex"), "").unwrap();
        assert_eq!((path.find("make"), path.find("flex"), path.find("bison")), (None, None, None));
        fs::set_permissions(dir.path().join("flex"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(path.find("flex"), Some(dir.path().join("flex")));
    }
}
