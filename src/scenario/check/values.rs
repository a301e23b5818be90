//! What the values of a scenario must be, beyond their types.

use super::complaint::{Check, Complaint, complain, in_range};
use super::{directory, steps};
use crate::sample::PAGE_BYTES;
use crate::scenario::mount_options;
use crate::scenario::types::{FileSystem, Guest, Scenario, ServerKind};
use nix::mount::MsFlags;

const MAX_MOUNTS: u32 = 8;
/// The smallest `struct linux_dirent64`, of a name of up to 4 bytes. A buffer that is too small for a name is refused by the
/// kernel as soon as it meets that name (EINVAL), which is a result like others.
const SMALLEST_RECORD: usize = 24;
const MAX_BUFFER_BYTES: usize = 16 << 20;
/// The client rounds what is not a multiple of a page down, and takes no more than 1 MiB, without a word.
const PAGE: u32 = PAGE_BYTES as u32;
const MAX_RSIZE_BYTES: u32 = 1 << 20;
const MIN_MEMORY_MIB: u32 = 64;
const MAX_MEMORY_MIB: u32 = 1 << 20;
pub(crate) const MAX_CPUS: u32 = 64;
/// A kernel's command line has 2048 bytes on x86, and some of it is ours.
const MAX_ARGUMENTS_BYTES: usize = 1024;
const LABELS: &str = "guest.security_labels";
const MAX_DOSE: u64 = 1_000_000;
/// Refuses the first value that cannot be.
pub(crate) fn check(scenario: &Scenario) -> Check {
    commits(scenario)?;
    directory::check(&scenario.directory, scenario.server)?;
    mount(scenario)?;
    let buffer = scenario.listing.getdents_buffer_bytes;
    in_range("listing.getdents_buffer_bytes", buffer, SMALLEST_RECORD, MAX_BUFFER_BYTES)?;
    export(scenario)?;
    guest(&scenario.guest)?;
    labels(scenario)?;
    if let Some(high) = scenario.cgroup.as_ref().and_then(|cgroup| cgroup.memory_high_mib) {
        in_range("cgroup.memory_high_mib", high, 1, MAX_MEMORY_MIB)?;
    }
    steps::check(scenario)?;
    if let Some(of) = &scenario.cluster {
        super::cluster::check(of, scenario)?;
    }
    ascending("rounds.doses", scenario.rounds.doses)?;
    ascending("rounds.scout_doses", scenario.rounds.scout_doses)
}

fn export(scenario: &Scenario) -> Check {
    match (scenario.export.file_system, scenario.server) {
        (FileSystem::Tmpfs, _) | (_, ServerKind::Knfsd) => Ok(()),
        (other, ServerKind::Synthetic) => {
            let message = format!(
                "`export.file_system` is \"{}\", but the synthetic server exports a formula; use the server \"knfsd\"",
                other.as_str()
            );
            complain("export.file_system", message)
        }
    }
}

fn guest(guest: &Guest) -> Check {
    in_range("guest.memory_mib", guest.memory_mib, MIN_MEMORY_MIB, MAX_MEMORY_MIB)?;
    in_range("guest.cpus", guest.cpus, 1, MAX_CPUS)?;
    let arguments = &guest.kernel_arguments;
    if !arguments.bytes().all(|b| b.is_ascii_graphic() || b == b' ') || arguments.len() > MAX_ARGUMENTS_BYTES {
        let message = format!(
            "`guest.kernel_arguments` must be at most {MAX_ARGUMENTS_BYTES} printable ASCII characters, words separated by spaces"
        );
        return complain("guest.kernel_arguments", message);
    }
    Ok(())
}

fn labels(scenario: &Scenario) -> Check {
    let version = scenario.mount.version;
    match scenario.server {
        _ if !scenario.guest.security_labels => Ok(()),
        ServerKind::Synthetic => {
            complain(LABELS, "`guest.security_labels` needs a server whose files have labels; use the server \"knfsd\"")
        }
        ServerKind::Knfsd if !version.carries_labels() => {
            let message = format!(
                "`guest.security_labels` needs `mount.version` \"4.2\", and it is \"{version}\", which carries no labels"
            );
            complain(LABELS, message)
        }
        ServerKind::Knfsd => Ok(()),
    }
}

fn ascending(key: &'static str, [small, large]: [u64; 2]) -> Check {
    in_range(key, small, 1, MAX_DOSE)?;
    in_range(key, large, 1, MAX_DOSE)?;
    if small >= large {
        return complain(key, format!("`{key}` is [{small}, {large}]; the second must be the larger"));
    }
    Ok(())
}

fn commits(scenario: &Scenario) -> Check {
    for (key, commit) in [("introduced_by", &scenario.introduced_by), ("fixed_by", &scenario.fixed_by)] {
        let Some(commit) = commit else { continue };
        if !(7..=40).contains(&commit.len()) || !commit.bytes().all(|b| b.is_ascii_hexdigit()) {
            return complain(key, format!("`{key}` is \"{commit}\", not 7 to 40 hexadecimal digits of a commit"));
        }
    }
    if scenario.sets.iter().any(String::is_empty) {
        return complain("sets", "`sets` holds an empty name");
    }
    Ok(())
}

fn mount(scenario: &Scenario) -> Check {
    let (mount, server) = (&scenario.mount, scenario.server);
    let version = mount.version;
    in_range("mount.count", mount.count, 1, MAX_MOUNTS)?;
    if mount.own_clients && (mount.count < 2 || server == ServerKind::Synthetic) {
        let message = "`mount.own_clients` tells several mounts of the kernel's own server apart; use the server \"knfsd\" and a `count` of 2 or more";
        return complain("mount.own_clients", message);
    }
    if version.is_4() && server == ServerKind::Synthetic {
        let message = format!(
            "`mount.version` is \"{version}\", but the synthetic server speaks version 3 only; use the server \"knfsd\""
        );
        return complain("mount.version", message);
    }
    in_range("mount.rsize_bytes", mount.rsize_bytes, PAGE, MAX_RSIZE_BYTES)?;
    if mount.rsize_bytes % PAGE != 0 {
        let message = format!("`mount.rsize_bytes` is {}; it must be a multiple of {PAGE}", mount.rsize_bytes);
        return complain("mount.rsize_bytes", message);
    }
    options(scenario)
}

fn options(scenario: &Scenario) -> Check {
    let key = "mount.options";
    if let Some(bad) = scenario.mount.options.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return complain(key, format!("`{key}` contains {bad:?}; options are separated by commas alone"));
    }
    let asked =
        mount_options::for_kernel(&scenario.mount, scenario.server).map_err(|message| Complaint { key, message })?;
    if asked.flags.contains(MsFlags::MS_RDONLY) && scenario.writes() {
        return complain(key, format!("`{key}` contains \"ro\", but the scenario writes through the mount"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::error::Result;
    use crate::scenario::load::parse;

    /// Makes a valid scenario with one line replaced.
    fn with(old: &str, new: &str) -> Result<super::Scenario> {
        let valid = "summary = \"s\"\nserver = \"knfsd\"\nfixed_by = \"db531db951f9\"\n[directory]\nentries = 100\n\
                     names = { min_bytes = 3, max_bytes = 9 }\nmade = \"mount\"\n[mount]\nversion = \"4.2\"\n\
                     rsize_bytes = 65536\noptions = \"actimeo=0\"\n[listing]\ngetdents_buffer_bytes = 280\n[guest]\n\
                     memory_mib = 64\ncpus = 1\n[rounds]\ndoses = [1, 2]\n";
        assert!(valid.contains(old), "{old} is not in the example");
        parse("x.toml", &valid.replace(old, new))
    }

    #[test]
    fn values_that_cannot_be_are_told_with_their_place() {
        let table = [
            (
                "entries = 100",
                "entries = 200000000",
                "x.toml:5:11: `directory.entries` is 200000000; it must be between 0 and",
            ),
            ("entries = 100", "entries = -1", "x.toml:5:11: invalid value"),
            ("entries = 100", "entries = 1000000", "x.toml:6:9: `directory.names.min_bytes` is 3, but 1000000"),
            ("min_bytes = 3", "min_bytes = 0", "`directory.names.min_bytes` is 0; it must be between 1 and 255"),
            ("max_bytes = 9", "max_bytes = 256", "`directory.names.max_bytes` is 256"),
            ("max_bytes = 9", "max_bytes = 2", "which is more than `max_bytes`, 2"),
            ("min_bytes = 3, ", "", "`names` takes either `bytes`, or `min_bytes` and `max_bytes`"),
            ("min_bytes = 3, max_bytes = 9", "pattern = \"f\"", "must contain {n}"),
            ("min_bytes = 3, max_bytes = 9", "pattern = \"a/{n}\"", "contains '/'"),
            ("min_bytes = 3", "length = 3", "x.toml:6:11: unknown key `length`"),
            ("version = \"4.2\"", "version = \"4.9\"", "x.toml:9:11: `mount.version` is \"4.9\""),
            ("\"knfsd\"", "\"synthetic\"", "`directory.made` is \"mount\", but the synthetic server"),
            ("\"knfsd\"", "\"ganesha\"", "x.toml:2:10: unknown value `ganesha`, expected `knfsd` or `synthetic`"),
            ("65536", "65537", "must be a multiple of 4096"),
            ("65536", "1024", "it must be between 4096 and 1048576"),
            ("actimeo=0", "actimeo=0, ro", "contains ' '"),
            ("actimeo=0", "ro,vers=3", "contains \"vers=3\", which is `mount.version`"),
            ("actimeo=0", "noatime,ro", "x.toml:11:11: `mount.options` contains \"ro\", but the scenario writes"),
            ("actimeo=0", "sec=krb5", "contains \"sec=krb5\", which needs a security service that no guest has"),
            ("= 280", "= 23", "it must be between 24 and"),
            ("= 64\n", "= 63\n", "`guest.memory_mib` is 63"),
            ("cpus = 1", "cpus = 0", "`guest.cpus` is 0"),
            ("[1, 2]", "[0, 2]", "`rounds.doses` is 0"),
            ("[1, 2]", "[2, 2]", "x.toml:18:9: `rounds.doses` is [2, 2]; the second must be the larger"),
            ("db531db951f9", "the second", "not 7 to 40 hexadecimal digits"),
            ("entries = 100", "entires = 100", "x.toml:5:1: unknown key `entires`, expected"),
            ("entries = 100\n", "", "missing key `entries`"),
            ("cpus = 1", "cpus = \"one\"", "x.toml:16:8: invalid type"),
            ("[guest]", "[guest", "x.toml:14:"),
        ];
        for (old, new, expected) in table {
            let error = with(old, new).unwrap_err();
            assert_eq!(error.exit(), crate::error::Exit::Usage);
            assert!(error.to_string().contains(expected), "{old} -> {new}: {error}");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn limits_themselves_are_allowed() {
        for (old, new) in [
            ("summary", "summary"),
            ("min_bytes = 3, max_bytes = 9", "min_bytes = 255, max_bytes = 255"),
            ("min_bytes = 3, max_bytes = 9", "pattern = \"{n}_0123456789abcdef\""),
            ("= 280", "= 16777216"),
            ("65536", "4096"),
        ] {
            with(old, new).unwrap();
        }
    }

    #[test]
    fn labels_need_files_and_version_4_2() {
        let labels = "cpus = 1\nsecurity_labels = true";
        assert!(with("cpus = 1", labels).unwrap().guest.security_labels);
        assert!(!with("cpus = 1", "cpus = 1").unwrap().guest.security_labels);
        let text = include_str!("../../../scenarios/labels.toml");
        let version_3 = text.replace("\"4.2\"", "\"3\"");
        let error = parse("x.toml", &version_3).unwrap_err().to_string();
        assert!(error.contains("needs `mount.version` \"4.2\", and it is \"3\""), "{error}");
        let error = parse("x.toml", &version_3.replace("\"knfsd\"", "\"synthetic\"")).unwrap_err().to_string();
        assert!(error.contains("needs a server whose files have labels; use the server \"knfsd\""), "{error}");
    }

    #[test]
    fn synthetic_server_speaks_version_3_only() {
        let text = include_str!("../../../scenarios/quick.toml").replace("version = \"3\"", "version = \"4.2\"");
        let error = parse("quick.toml", &text).unwrap_err().to_string();
        assert!(error.contains("the synthetic server speaks version 3 only"), "{error}");
    }
}
