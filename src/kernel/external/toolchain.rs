//! The programs that a kernel is built or unpacked with: whether they are there, and which compiler it is.

use crate::error::{Error, Result};
use crate::os::process;
use crate::os::search_path::SearchPath;
use std::process::Command;

/// What patching and building call.
pub const PROGRAMS: [&str; 8] = ["patch", "make", "gcc", "ld", "flex", "bison", "bc", "awk"];
/// What unpacking a series' package calls.
pub const FOR_PACKAGES: [&str; 3] = ["dpkg-deb", "tar", "xz"];
/// The kernel's objtool reads ELF files with it.
pub const ELF_HEADER: &str = "gelf.h";

/// Fails with the names of what is missing for building, and for unpacking a package if that comes first.
pub fn check(unpacking: bool) -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        let this = std::env::consts::ARCH;
        return Err(Error::machine(format!(
            "kernels are built and booted for x86-64 only, and this machine is {this}"
        )));
    }
    let unpacked_with = if unpacking { &FOR_PACKAGES[..] } else { &[] };
    let path = SearchPath::from_env();
    let needed = unpacked_with.iter().chain(&PROGRAMS).copied();
    let mut missing: Vec<&str> = needed.filter(|name| path.find(name).is_none()).collect();
    if !missing.contains(&"gcc") && !path.has_header(ELF_HEADER)? {
        missing.push("the headers of libelf");
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::machine(format!("building a kernel needs {}; vm/setup installs what is missing", missing.join(", "))))
}

/// Fails if `program` is not there, which is needed for `what`.
pub fn require(program: &str, what: &str) -> Result<()> {
    if SearchPath::from_env().find(program).is_some() {
        return Ok(());
    }
    Err(Error::machine(format!("{what} needs {program}; vm/setup installs what is missing")))
}

/// Returns the user's compiler, as make takes it: `CC`, for instance `ccache gcc-11` or `distcc gcc`.
pub fn chosen_compiler() -> Option<String> {
    std::env::var("CC").ok().filter(|cc| !cc.trim().is_empty())
}

/// Returns the compiler and the linker with their versions: another one makes another kernel.
pub fn compiler() -> Result<String> {
    Ok(format!("{}, {}", version_line(chosen_compiler().as_deref().unwrap_or("gcc"))?, version_line("ld")?))
}

/// Returns the first line of what a program, named as make takes it, tells of its version.
pub fn version_line(program: &str) -> Result<String> {
    let mut words = program.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("gcc"));
    let text = process::output(command.args(words).arg("--version").env("LC_ALL", "C"))?;
    Ok(String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned())
}

/// Lets `command` see nothing of the user's environment that could change what is built, but for what tells a
/// compiler's cache or its helpers where they are.
pub fn clean_environment(command: &mut Command) {
    command.env_clear().env("LC_ALL", "C");
    let kept = |name: &str| {
        ["PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME"].contains(&name)
            || name.starts_with("CCACHE_")
            || name.starts_with("DISTCC_")
    };
    command.envs(std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(kept)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn program_that_is_missing_is_named_with_what_needs_it() {
        assert!(require("sh", "nothing").is_ok());
        let error = require("dirleak-no-such-program", "unpacking x").unwrap_err().to_string();
        assert_eq!(error, "unpacking x needs dirleak-no-such-program; vm/setup installs what is missing");
    }

    #[test]
    fn compiler_tells_its_version() {
        let text = compiler().unwrap();
        assert!(text.contains("gcc") && text.contains("ld") && text.contains(char::is_numeric), "{text}");
    }
}
