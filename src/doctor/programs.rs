//! Which programs and headers each command calls, and the Debian packages that have them.

use super::request::Places;
use crate::apt;
use crate::error::Result;
use crate::kernel::external::toolchain::{ELF_HEADER, FOR_PACKAGES, PROGRAMS};
use crate::os::search_path::SearchPath;
use crate::result::doctor::{Check, CostEstimate, Purpose, State};
use crate::vm::qemu;
use std::path::Path;

/// Debian's package of each program or header.
const PACKAGES: [(&str, &str); 27] = [
    (qemu::PROGRAM, "qemu-system-x86"),
    ("ld", "binutils"),
    ("awk", "mawk"),
    (ELF_HEADER, "libelf-dev"),
    (C_HEADER, "libc6-dev"),
    ("dpkg-deb", "dpkg"),
    ("xz", "xz-utils"),
    ("bsdtar", "libarchive-tools"),
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("apt-config", "apt"),
    ("apt-helper", "apt"),
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("cp", "coreutils"),
    ("patch", "patch"),
    ("make", "make"),
    ("gcc", "gcc"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
    ("tar", "tar"),
    ("gzip", "gzip"),
    ("zstd", "zstd"),
    ("lz4", "lz4"),
    ("git", "git"),
];

/// The kernel's own tools are programs of this machine.
const C_HEADER: &str = "stdio.h";
/// Which compiler it is makes another kernel, so these are asked even if the kernel is ready.
const ALWAYS_ASKED: [&str; 2] = ["gcc", "ld"];
/// What building modules of a distribution's kernel calls; its package of tools brings the rest.
const FOR_MODULES: [&str; 4] = ["patch", "make", "gcc", "ld"];
const OF_APT: [&str; 3] = ["apt-get", "apt-cache", "apt-config"];
const DECOMPRESSORS: [&str; 5] = ["gzip", "xz", "zstd", "lz4", "bsdtar"];
const MKFS: [&str; 3] = ["mkfs.ext4", "mkfs.xfs", "mkfs.btrfs"];

/// Checks for what starts a guest.
pub fn guests(path: &SearchPath) -> Vec<Check> {
    vec![program(qemu::PROGRAM, Purpose::Guests, true, path.find(qemu::PROGRAM).is_some())]
}

/// Checks for what builds a kernel.
pub fn building(path: &SearchPath, verify: &CostEstimate) -> Result<Vec<Check>> {
    let whole = verify.builds_kernels();
    let modules = |name: &str| verify.builds() && FOR_MODULES.contains(&name);
    let needed = |name: &str| whole || modules(name) || ALWAYS_ASKED.contains(&name);
    let here = |name: &str| path.find(name).is_some();
    let mut checks: Vec<Check> =
        PROGRAMS.iter().map(|name| program(name, Purpose::Building, needed(name), here(name))).collect();
    for header in [ELF_HEADER, C_HEADER] {
        checks.push(program(header, Purpose::Building, whole, path.has_header(header)?));
    }
    Ok(checks)
}

/// Checks for what fetches and unpacks the sources of kernels and the programs of knfsd.
pub fn fetching(path: &SearchPath, verify: &CostEstimate) -> Vec<Check> {
    let fetches = verify.fetches();
    let here = |name: &str| path.find(name).is_some();
    let mut checks: Vec<Check> =
        OF_APT.iter().map(|name| program(name, Purpose::Fetching, fetches, here(name))).collect();
    checks.push(program("apt-helper", Purpose::Fetching, fetches, Path::new(apt::HELPER).exists()));
    let unpacks = verify.unpacks();
    let unpackers = FOR_PACKAGES.iter().map(|name| {
        let needed = unpacks || (fetches && *name == "dpkg-deb");
        program(name, Purpose::Fetching, needed, here(name))
    });
    checks.extend(unpackers);
    checks
}

/// Checks for what only some kernels, commands and scenarios need.
pub fn others(places: &Places) -> Vec<Check> {
    let checks_of = |purpose, names: &[&str], path: &SearchPath| {
        let checks = names.iter().map(|name| program(name, purpose, false, path.find(name).is_some()));
        checks.collect::<Vec<_>>()
    };
    let mut checks = checks_of(Purpose::OwnKernels, &DECOMPRESSORS, &places.path);
    checks.extend(checks_of(Purpose::Trees, &["git", "cp"], &places.path));
    checks.extend(checks_of(Purpose::Exports, &MKFS, &places.mkfs));
    checks
}

/// Returns Debian's packages of all that building kernels and running guests call.
pub fn installed_by_setup() -> Vec<&'static str> {
    let programs = [qemu::PROGRAM, ELF_HEADER, C_HEADER].into_iter().chain(PROGRAMS).chain(FOR_PACKAGES);
    let mut packages: Vec<&str> = programs.chain(DECOMPRESSORS).chain(["git"]).filter_map(package_of).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn package_of(name: &str) -> Option<&'static str> {
    PACKAGES.iter().find(|(program, _)| *program == name).map(|(_, package)| *package)
}

fn program(name: &str, purpose: Purpose, is_needed: bool, is_there: bool) -> Check {
    let state = match (is_there, is_needed) {
        (true, _) => State::Ok,
        (false, true) => State::Missing,
        (false, false) => State::Optional,
    };
    Check { name: name.into(), purpose, state, detail: None, package: package_of(name), mend: None }
}

/// Returns what installs Debian's `packages`: a command, where there is apt.
pub fn install(packages: &[&str], has_apt: bool) -> String {
    if !has_apt {
        return format!("install what Debian has in {}", packages.join(", "));
    }
    let sudo = if nix::unistd::geteuid().is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get install --no-install-recommends {}", packages.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Makes a search path with programs that do nothing, successfully.
    fn fake(programs: &[&str]) -> (tempfile::TempDir, SearchPath) {
        let dir = tempfile::tempdir().unwrap();
        for name in programs {
            let program = dir.path().join(name);
            fs::write(&program, "#!/bin/sh\n").unwrap();
            fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = SearchPath::new(&[dir.path()]);
        (dir, path)
    }

    fn in_state(checks: &[Check], state: State) -> Vec<&str> {
        checks.iter().filter(|check| check.state == state).map(|check| check.name.as_str()).collect()
    }

    #[test]
    fn machine_without_any_program_misses_everything_that_a_build_needs() {
        let (_dir, path) = fake(&[]);
        let all = ["patch", "make", "gcc", "ld", "flex", "bison", "bc", "awk", "gelf.h", "stdio.h"];
        assert_eq!(in_state(&building(&path, &CostEstimate::example(true, true)).unwrap(), State::Missing), all);
        let ready = building(&path, &CostEstimate::example(false, false)).unwrap();
        assert_eq!(in_state(&ready, State::Missing), ["gcc", "ld"], "the compiler's version is asked all the same");
        assert_eq!(in_state(&guests(&path), State::Missing), ["qemu-system-x86_64"]);
        assert!(in_state(&fetching(&path, &CostEstimate::example(true, true)), State::Missing).contains(&"apt-get"));
        let unpacking = fetching(&path, &CostEstimate::example(true, false));
        assert_eq!(in_state(&unpacking, State::Missing), ["dpkg-deb", "tar", "xz"]);
        assert!(in_state(&fetching(&path, &CostEstimate::example(false, false)), State::Missing).is_empty());
    }

    #[test]
    fn missing_program_is_named_with_the_command_that_brings_it() {
        let (_dir, path) = fake(&["patch", "make", "gcc", "ld", "bison", "bc", "awk"]);
        let checks = building(&path, &CostEstimate::example(true, true)).unwrap();
        assert_eq!(in_state(&checks, State::Missing), ["flex"]);
        let flex = checks.iter().find(|check| check.name == "flex").unwrap();
        let command = install(&[flex.package.unwrap()], true);
        assert!(command.ends_with("apt-get install --no-install-recommends flex"), "{command}");
        assert_eq!(install(&["flex", "bison"], false), "install what Debian has in flex, bison");
    }

    #[test]
    fn program_that_only_other_commands_need_is_never_missing() {
        let (_dir, path) = fake(&["git"]);
        let checks = others(&Places { path: path.clone(), mkfs: path });
        assert_eq!(in_state(&checks, State::Ok), ["git"]);
        assert!(in_state(&checks, State::Missing).is_empty());
        assert!(checks.iter().all(|check| check.package.is_some()), "{checks:?}");
    }

    /// Compares with `vm/setup`, which installs what running and building need; the two must not know different things.
    #[test]
    fn installer_brings_the_same_programs_from_the_same_packages() {
        let setup = include_str!("../../vm/setup");
        let begin = setup.find("needs=(").unwrap();
        let lines = setup[begin..].lines().skip(1).take_while(|line| *line != ")");
        let installed: BTreeSet<(&str, &str)> =
            lines.filter_map(|line| line.split_whitespace().next()?.split_once(':')).collect();
        let (_dir, path) = fake(&[]);
        let all = CostEstimate::example(true, true);
        let mut checks = guests(&path);
        checks.extend(building(&path, &all).unwrap());
        checks.extend(fetching(&path, &all).into_iter().filter(|check| check.package != Some("apt")));
        let own = others(&Places { path: path.clone(), mkfs: path });
        checks.extend(own.into_iter().filter(|check| check.purpose == Purpose::OwnKernels || check.name == "git"));
        let known: BTreeSet<(&str, &str)> = checks.iter().map(|c| (c.name.as_str(), c.package.unwrap())).collect();
        assert_eq!(known, installed);
        let packages: BTreeSet<&str> = installed.iter().map(|(_, package)| *package).collect();
        assert_eq!(installed_by_setup(), packages.into_iter().collect::<Vec<_>>());
    }
}
