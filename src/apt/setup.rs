//! Knows what a private apt needs: a configuration made from the machine's own, source entries, empty states.

use super::run::ask_machine;
use super::sources::{Entry, FORMAT, Sources};
use crate::error::{Context, Error, Result};
use crate::os::cache::install_atomically;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The file whose age is the index's.
pub const STAMP: &str = "updated";

/// Returns what the machine's apt says about Debian's archive. Apt's digest of the machine's package lists is kept in
/// `scratch`: containers are often told to keep none, and then each question would cost half a second.
pub fn machine_sources(scratch: &Path) -> Result<Sources> {
    let ask = |release_info: &str| {
        let mut command = Command::new("apt-get");
        command.args(["indextargets", release_info, "--format", FORMAT, "Created-By: Packages"]);
        command.args(["-o", "Dir::Cache::srcpkgcache="]);
        command.arg("-o").arg(format!("Dir::Cache::pkgcache={}/machine.bin", scratch.display()));
        ask_machine(&mut command, scratch)
    };
    Ok(Sources::parse(&ask("--no-release-info")?, &ask("--release-info")?))
}

/// Returns the error of a machine that has apt, but another distribution's.
pub fn no_archive() -> Error {
    Error::machine(
        "the machine's apt sources name no Debian archive (component main of a Debian suite), and kernels and nfs-utils \
         come from there; add one, or boot a kernel image of your own (--kernel ./vmlinux) with the synthetic server",
    )
}

/// Writes the private configuration and source entries below `home`; an index made from others is not fresh any more.
pub fn write(home: &Path, entries: &BTreeSet<Entry>) -> Result<()> {
    if entries.is_empty() {
        return Err(no_archive());
    }
    for dir in ["state/lists/partial", "cache/archives/partial", "downloads", "sources.d"] {
        let dir = home.join(dir);
        fs::create_dir_all(&dir).machine(|| format!("cannot make {}", dir.display()))?;
    }
    let mut changed = write_if_other(&home.join("status"), "")?;
    changed |= write_if_other(&home.join("apt.conf"), &configuration(home, &machine_configuration(home)?))?;
    for format in ["list", "sources"] {
        let texts: Vec<&str> = entries.iter().filter(|e| e.format == format).map(|e| e.text.as_str()).collect();
        changed |= write_if_other(&home.join("sources.d").join(format!("debian.{format}")), &texts.join("\n"))?;
    }
    if changed {
        let _ = fs::remove_file(home.join(STAMP));
    }
    Ok(())
}

fn write_if_other(path: &Path, text: &str) -> Result<bool> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    install_atomically(path, |new| fs::write(new, text).machine(|| format!("cannot write {}", path.display())))?;
    Ok(true)
}

fn machine_configuration(home: &Path) -> Result<String> {
    // The user's locale must not translate it.
    ask_machine(Command::new("apt-config").arg("dump"), home)
}

/// Returns the machine's settings on how to reach and trust an archive, and our own on everything else. The machine's hooks
/// (which delete archives in containers and wake desktop services) and preferences stay out, and so does whatever lets an archive in
/// whose signature does not hold.
fn configuration(home: &Path, machine: &str) -> String {
    let home = home.display();
    let kept: Vec<&str> = machine.lines().filter(|line| is_kept(line)).collect();
    format!(
        "{}\n\
         Dir::Etc::parts \"/dev/null\";\n\
         Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::sourcelist \"/dev/null\";\n\
         Dir::Etc::sourceparts \"{home}/sources.d\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::State \"{home}/state\";\n\
         Dir::State::status \"{home}/status\";\n\
         Dir::Cache \"{home}/cache\";\n\
         Dir::Cache::srcpkgcache \"\";\n\
         Dir::Log \"{home}/cache\";\n\
         APT::Sandbox::User \"root\";\n\
         APT::Update::Error-Mode \"any\";\n\
         APT::Install-Recommends \"false\";\n\
         Acquire::Languages {{ \"none\"; }};\n\
         Acquire::AllowInsecureRepositories \"false\";\n\
         Acquire::AllowWeakRepositories \"false\";\n\
         Acquire::AllowDowngradeToInsecureRepositories \"false\";\n\
         APT::Get::AllowUnauthenticated \"false\";\n\
         Acquire::Retries \"2\";\n",
        kept.join("\n")
    )
}

fn is_kept(line: &str) -> bool {
    let other = [
        "Acquire::IndexTargets",
        "Acquire::Languages",
        "Acquire::Changelogs",
        "Acquire::Retries",
        "Acquire::AllowInsecureRepositories",
        "Acquire::AllowWeakRepositories",
        "Acquire::AllowDowngradeToInsecureRepositories",
    ];
    let key = line.split(' ').next().unwrap_or_default();
    let reach = key.starts_with("Acquire::") && !other.iter().any(|o| key.starts_with(o));
    let trust =
        ["Dir::Etc::netrc", "Dir::Etc::trusted", "Dir::Bin::methods", "APT::Architecture", "APT::Key", "APT::Hashes"];
    // A value that has quotes in it does not survive being written back.
    (reach || trust.iter().any(|t| key.starts_with(t))) && line.matches('"').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn way_of_the_machine_to_the_archive_is_kept_and_its_hooks_are_not() {
        let machine = "APT::Update::Post-Invoke:: \"rm -f /var/cache/apt/*.bin\";\nDir::Cache::pkgcache \"\";\n\
                       Acquire::http::Proxy \"mirror:8080\";\nAcquire::Check-Date \"false\";\nAcquire::Languages:: \"de\";\n\
                       Dir::Etc::trusted \"trusted.gpg\";\nDir::Etc::preferences \"preferences\";\n";
        let text = configuration(Path::new("/home/u"), machine);
        assert!(text.starts_with(
            "Acquire::http::Proxy \"mirror:8080\";\nAcquire::Check-Date \"false\";\nDir::Etc::trusted \"trusted.gpg\";\n"
        ));
        assert!(
            !text.contains("rm -f") && !text.contains("\nDir::Cache::pkgcache") && !text.contains("\"de\""),
            "{text}"
        );
        assert!(text.contains("Dir::State::status \"/home/u/status\""));
    }

    #[test]
    fn machine_that_takes_unsigned_archives_is_not_followed() {
        let machine = "Acquire::AllowInsecureRepositories \"true\";\nAcquire::AllowWeakRepositories \"1\";\n\
                       Acquire::AllowDowngradeToInsecureRepositories \"yes\";\nAPT::Get::AllowUnauthenticated \"true\";\n";
        let text = configuration(Path::new("/home/u"), machine);
        let said: Vec<&str> = text.lines().filter(|line| line.contains("::Allow")).collect();
        assert!(said.len() == 4 && said.iter().all(|line| line.ends_with(" \"false\";")), "{said:?}");
    }

    #[test]
    fn changed_entries_make_the_index_old() {
        let dir = tempfile::tempdir().unwrap();
        let stamp = dir.path().join(STAMP);
        let entries = |text: &str| BTreeSet::from([Entry { format: "list", text: text.to_owned() }]);
        write(dir.path(), &entries("deb mirror:/a one main\n")).unwrap();
        fs::write(&stamp, "").unwrap();
        write(dir.path(), &entries("deb mirror:/a one main\n")).unwrap();
        assert!(stamp.exists());
        write(dir.path(), &entries("deb mirror:/a two main\n")).unwrap();
        assert!(!stamp.exists());
        assert!(write(dir.path(), &BTreeSet::new()).unwrap_err().to_string().contains("no Debian archive"));
    }
}
