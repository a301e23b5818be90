//! The compiler that a kernel's modules are rebuilt with: that of the kernel, or the user's.

use crate::error::{Error, Result};
use crate::kernel::external::toolchain;
use crate::os::process;
use crate::os::search_path::SearchPath;
use std::process::Command;

/// Returns the compiler as make takes it for the kernel `release` with the configuration `config`.
pub fn of_kernel(config: &str, release: &str, way_out: &str) -> Result<String> {
    if let Some(chosen) = toolchain::chosen_compiler() {
        return Ok(chosen);
    }
    let no_gcc =
        || Error::kernel(format!("{release} was not built with gcc, and modules are rebuilt with gcc only; {way_out}"));
    let major = gcc_major(config).ok_or_else(no_gcc)?;
    let missing = || {
        Error::kernel(format!(
            "{release} was built with gcc {major}, and gcc-{major} is not on this machine: install it (apt install gcc-{major}), name \
             another compiler in CC, or {way_out}"
        ))
    };
    installed(major).ok_or_else(missing)
}

/// Returns what gcc of the version `major` is called on this machine, if it is there.
pub fn installed(major: u32) -> Option<String> {
    let own = format!("gcc-{major}");
    if SearchPath::from_env().find(&own).is_some() {
        return Some(own);
    }
    let is_same = |text: Vec<u8>| String::from_utf8_lossy(&text).trim().split('.').next() == Some(&major.to_string());
    process::output(Command::new("gcc").arg("-dumpversion")).is_ok_and(is_same).then(|| "gcc".to_owned())
}

/// Returns the first number of the version of gcc that a configuration is of.
fn gcc_major(config: &str) -> Option<u32> {
    let number = config.lines().find_map(|line| line.strip_prefix("CONFIG_GCC_VERSION="))?;
    number.parse::<u32>().ok().map(|number| number / 10_000).filter(|major| *major > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiler_is_that_of_the_configuration() {
        assert_eq!(gcc_major("CONFIG_CC_IS_GCC=y\nCONFIG_GCC_VERSION=120200\n"), Some(12));
        assert_eq!(gcc_major("CONFIG_GCC_VERSION=0\n"), None);
        assert_eq!(gcc_major(""), None);
    }

    #[test]
    fn compiler_that_is_not_there_is_named_with_what_has_it() {
        let error = of_kernel("CONFIG_GCC_VERSION=990000\n", "6.1.0-57-amd64", "build 6.1+x").unwrap_err().to_string();
        assert!(error.contains("was built with gcc 99, and gcc-99 is not on this machine: install it"), "{error}");
        assert!(error.ends_with("or build 6.1+x"), "{error}");
    }
}
