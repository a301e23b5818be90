//! Mount options as mount(8), fstab and /proc/mounts have them, and what mount(2) is given of them.

use super::nfs_version::NfsVersion;
use super::types::{Mount, ServerKind};
use nix::mount::MsFlags;

/// The server's address.
pub const ADDRESS: &str = "127.0.0.1";
/// The port of the NFS program of the kernel's own server.
pub const NFS_PORT: u16 = 2049;
/// The port of its MOUNT program; with it a client need not ask rpcbind.
pub const MOUNT_PORT: u16 = 20048;

/// What mount(2) is given.
#[derive(Debug, PartialEq, Eq)]
pub struct KernelOptions {
    pub flags: MsFlags,
    /// What remains for the file system, separated by commas.
    pub data: String,
}

/// Returns what the kernel is given of the options of `mount`, in their order, of which the last one wins. What is for userspace alone
/// is dropped, and so is what says what the scenario says anyway. The error is a sentence about an option that contradicts it.
pub fn for_kernel(mount: &Mount, server: ServerKind) -> Result<KernelOptions, String> {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in split(&mount.options) {
        let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
        if let Some((clear, set)) = flag(name).filter(|_| matches!(value, None | Some("vfs" | "fs" | "recursive"))) {
            flags = flags.difference(clear).union(set);
        } else if !is_for_userspace(name) && !is_said_already(name, value, mount, server)? {
            data.push(option);
        }
    }
    Ok(KernelOptions { flags, data: data.join(",") })
}

impl Mount {
    /// Returns whether the client starts lockd for it: version 4 has locks of its own, and without `lock` among the options guests mount
    /// with `nolock`.
    pub fn has_lockd(&self) -> bool {
        !self.version.is_4() && asks_for_lockd(&self.options)
    }
}

/// Returns whether options ask for lockd: the last of them about locks is `lock`, or `local_lock=` of less than all, as `/proc/mounts` has
/// it.
pub fn asks_for_lockd(options: &str) -> bool {
    let about_locks = |option: &&str| ["lock", "nolock"].contains(option) || option.starts_with("local_lock=");
    split(options).filter(about_locks).last().is_some_and(|option| option != "nolock" && option != "local_lock=all")
}

/// Returns the options between the commas, of which those within quotes (`context="u:r:t:s0:c1,c2"`) separate nothing.
pub fn split(options: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let parts = options.split(move |c| {
        is_quoted ^= c == '"';
        c == ',' && !is_quoted
    });
    parts.filter(|option| !option.is_empty())
}

/// Returns the version that options ask for, each of which is `vers=4.1`, `nfsvers=4.1`, `v4.1` or, beside `vers=4`,
/// `minorversion=1`; `None` if an option is about something else.
pub fn version_word(option: &str) -> Option<&str> {
    match option.split_once('=') {
        Some(("vers" | "nfsvers", version)) => Some(version),
        Some(_) => None,
        None => option.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())),
    }
}

/// Returns the flags of mount(2) that an option clears, and those that it sets (mount(8); linux_flags_map and userspace_opts_map in
/// libmount/src/optmap.c).
fn flag(name: &str) -> Option<(MsFlags, MsFlags)> {
    const NOSYMFOLLOW: MsFlags = MsFlags::from_bits_retain(256);
    const NONE: MsFlags = MsFlags::empty();
    let owner = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let on = |flag: MsFlags| Some((NONE, flag));
    let off = |flag: MsFlags| Some((flag, NONE));
    match name {
        "ro" => on(MsFlags::MS_RDONLY),
        "rw" => off(MsFlags::MS_RDONLY),
        "nosuid" => on(MsFlags::MS_NOSUID),
        "suid" => off(MsFlags::MS_NOSUID),
        "nodev" => on(MsFlags::MS_NODEV),
        "dev" => off(MsFlags::MS_NODEV),
        "noexec" => on(MsFlags::MS_NOEXEC),
        "exec" => off(MsFlags::MS_NOEXEC),
        "sync" => on(MsFlags::MS_SYNCHRONOUS),
        "async" => off(MsFlags::MS_SYNCHRONOUS),
        "dirsync" => on(MsFlags::MS_DIRSYNC),
        "silent" => on(MsFlags::MS_SILENT),
        "loud" => off(MsFlags::MS_SILENT),
        "mand" => on(MsFlags::MS_MANDLOCK),
        "nomand" => off(MsFlags::MS_MANDLOCK),
        "noatime" => on(MsFlags::MS_NOATIME),
        "atime" => off(MsFlags::MS_NOATIME),
        "nodiratime" => on(MsFlags::MS_NODIRATIME),
        "diratime" => off(MsFlags::MS_NODIRATIME),
        "relatime" => on(MsFlags::MS_RELATIME),
        "norelatime" => off(MsFlags::MS_RELATIME),
        "strictatime" => on(MsFlags::MS_STRICTATIME),
        "nostrictatime" => off(MsFlags::MS_STRICTATIME),
        "iversion" => on(MsFlags::MS_I_VERSION),
        "noiversion" => off(MsFlags::MS_I_VERSION),
        "lazytime" => on(MsFlags::MS_LAZYTIME),
        "nolazytime" => off(MsFlags::MS_LAZYTIME),
        "nosymfollow" => on(NOSYMFOLLOW),
        "symfollow" => off(NOSYMFOLLOW),
        "user" | "users" => on(owner | MsFlags::MS_NOEXEC),
        "owner" | "group" => on(owner),
        _ => None,
    }
}

/// Returns whether an option is for mount(8), mount.nfs(8), systemd and others, and means nothing to the kernel or to a mount that is
/// made once in a guest.
fn is_for_userspace(name: &str) -> bool {
    const NAMES: [&str; 27] = [
        "defaults",
        "auto",
        "noauto",
        "nofail",
        "fail",
        "user",
        "nouser",
        "nousers",
        "noowner",
        "nogroup",
        "_netdev",
        "comment",
        "helper",
        "uhelper",
        "pamconsole",
        "managed",
        "kudzu",
        "bg",
        "fg",
        "retry",
        "bootwait",
        "nobootwait",
        "shared",
        "private",
        "slave",
        "rshared",
        "rprivate",
    ];
    NAMES.contains(&name) || ["x-", "X-"].iter().any(|prefix| name.starts_with(prefix))
}

/// Returns whether an option says what the scenario or the guest says anyway; an error if it says something else.
fn is_said_already(name: &str, value: Option<&str>, mount: &Mount, server: ServerKind) -> Result<bool, String> {
    let option = value.map_or(name.to_owned(), |value| format!("{name}={value}"));
    let version = mount.version;
    let refuse = |why: &str| Err(format!("`mount.options` contains \"{option}\", which {why}"));
    let same = |is_same: bool, why: &str| if is_same { Ok(true) } else { refuse(why) };
    if let Some(word) = version_word(&option) {
        let any_minor = word == "4" && version.is_4();
        return same(any_minor || word == version.as_str(), &format!("is `mount.version`, and that is \"{version}\""));
    }
    let is_knfsd = server == ServerKind::Knfsd;
    let value = value.unwrap_or_default();
    let ours = |port: u16| is_knfsd && value == port.to_string();
    match name {
        "minorversion" => {
            let is_minor = version.as_str().strip_prefix("4.") == Some(value);
            same(is_minor, &format!("is `mount.version`, and that is \"{version}\""))
        }
        "rsize" => {
            let bytes = mount.rsize_bytes;
            same(value.parse() == Ok(bytes), &format!("is `mount.rsize_bytes`, and that is {bytes}"))
        }
        "addr" | "clientaddr" | "mountaddr" | "mounthost" => {
            same(value == ADDRESS, &format!("is set by the guest, to {ADDRESS}"))
        }
        "port" => same(ours(NFS_PORT), "is set by the guest, to the port of its server"),
        "mountport" => same(ours(MOUNT_PORT), "is set by the guest, to the port of its server"),
        "mountvers" => same(value == "3", "is set by the guest, to 3"),
        "tcp" => Ok(true),
        "proto" | "mountproto" | "udp" | "rdma" => {
            same(value == "tcp", "is set by the guest: its servers speak over tcp")
        }
        "sec" => same(value == "sys", "needs a security service that no guest has; guests have sec=sys"),
        "xprtsec" => same(value == "none", "needs a daemon for TLS that no guest has"),
        "remount" | "bind" | "rbind" | "move" => refuse("changes a mount that there is already"),
        _ => Ok(false),
    }
}

/// Returns the version of this many words, of which `vers=4` and `minorversion=1` are two; `None` if they name none.
pub fn version_of(options: &[&str], now: NfsVersion) -> Result<Option<NfsVersion>, String> {
    let word = options.iter().rev().find_map(|option| version_word(option));
    let minor = options.iter().rev().find_map(|option| option.strip_prefix("minorversion="));
    match (word, minor) {
        (None, None) => Ok(None),
        (Some("4") | None, Some(minor)) => format!("4.{minor}").parse().map(Some),
        (Some("4"), None) if now.is_4() => Ok(None),
        (Some(word), _) => word.parse().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(version: NfsVersion, options: &str) -> Mount {
        Mount { version, count: 1, own_clients: false, rsize_bytes: 1_048_576, options: options.into() }
    }

    fn given(version: NfsVersion, options: &str) -> Result<(u64, String), String> {
        let asked = for_kernel(&mount(version, options), ServerKind::Knfsd)?;
        Ok((asked.flags.bits(), asked.data))
    }

    #[test]
    fn options_become_what_mount_8_makes_of_them() {
        const NOATIME: u64 = libc::MS_NOATIME;
        let table = [
            ("", 0, ""),
            ("noatime", NOATIME, ""),
            ("nodiratime,noatime", NOATIME | libc::MS_NODIRATIME, ""),
            ("rw,hard,intr,nolock,nosuid", libc::MS_NOSUID, "hard,intr,nolock"),
            (
                "ro,nosuid,wsize=8192,hard,intr,nolock,x-systemd.automount,noauto",
                libc::MS_RDONLY | libc::MS_NOSUID,
                "wsize=8192,hard,intr,nolock",
            ),
            ("defaults,_netdev", 0, ""),
            ("actimeo=0,noatime,nosuid,nodev,_netdev", NOATIME | libc::MS_NOSUID | libc::MS_NODEV, "actimeo=0"),
            ("sync,dirsync,lazytime,noexec", libc::MS_SYNCHRONOUS | libc::MS_DIRSYNC | 1 << 25 | libc::MS_NOEXEC, ""),
            ("relatime,strictatime,nosymfollow", libc::MS_RELATIME | libc::MS_STRICTATIME | 256, ""),
            ("bg,retry=5,fg,comment=systemd.automount,nofail,soft,timeo=30", 0, "soft,timeo=30"),
            ("x-systemd.device-timeout=10,X-mount.mkdir=0755,x-gvfs-hide,noac", 0, "noac"),
            ("ro,rw,noatime,atime,sync,async", 0, ""),
            ("user,exec", libc::MS_NOSUID | libc::MS_NODEV, ""),
            ("user=alice,owner", libc::MS_NOSUID | libc::MS_NODEV, ""),
            ("context=\"u:r:t:s0:c1,ro,c2\",ro", libc::MS_RDONLY, "context=\"u:r:t:s0:c1,ro,c2\""),
            (",,actimeo=0,", 0, "actimeo=0"),
            ("rw,lock,local_lock=none", 0, "lock,local_lock=none"),
        ];
        for (options, flags, data) in table {
            assert_eq!(given(NfsVersion::V3, options), Ok((flags, data.to_owned())), "{options}");
        }
    }

    #[test]
    fn line_of_proc_mounts_agrees_with_the_mount_that_it_is_of() {
        let line_3 = "rw,relatime,vers=3,rsize=1048576,wsize=1048576,namlen=255,hard,nolock,proto=tcp,port=2049,timeo=600,retrans=2,\
                      sec=sys,mountaddr=127.0.0.1,mountvers=3,mountport=20048,mountproto=tcp,local_lock=all,addr=127.0.0.1";
        let rest = "wsize=1048576,namlen=255,hard,nolock,timeo=600,retrans=2,local_lock=all";
        assert_eq!(given(NfsVersion::V3, line_3), Ok((libc::MS_RELATIME, rest.to_owned())));
        let line_4 = "rw,noatime,vers=4.1,rsize=1048576,wsize=1048576,namlen=255,hard,proto=tcp,timeo=600,retrans=2,sec=sys,\
                      clientaddr=127.0.0.1,local_lock=none,addr=127.0.0.1";
        let rest = "wsize=1048576,namlen=255,hard,timeo=600,retrans=2,local_lock=none";
        assert_eq!(given(NfsVersion::V4_1, line_4), Ok((libc::MS_NOATIME, rest.to_owned())));
        for word in ["v4.1", "v4", "vers=4", "nfsvers=4,minorversion=1", "nfsvers=4.1", "tcp"] {
            assert_eq!(given(NfsVersion::V4_1, word), Ok((0, String::new())), "{word}");
        }
    }

    #[test]
    fn option_that_contradicts_the_scenario_is_refused() {
        let table = [
            ("vers=4.1", "contains \"vers=4.1\", which is `mount.version`, and that is \"3\""),
            ("nfsvers=4", "is `mount.version`"),
            ("v4.2", "is `mount.version`"),
            ("minorversion=1", "is `mount.version`"),
            ("rsize=8192", "which is `mount.rsize_bytes`, and that is 1048576"),
            ("proto=udp", "its servers speak over tcp"),
            ("udp", "its servers speak over tcp"),
            ("rdma", "its servers speak over tcp"),
            ("proto=tcp6", "its servers speak over tcp"),
            ("mountproto=udp", "its servers speak over tcp"),
            ("port=20049", "is set by the guest"),
            ("mountport=111", "is set by the guest"),
            ("addr=10.0.0.1", "is set by the guest, to 127.0.0.1"),
            ("clientaddr=10.0.0.1", "is set by the guest"),
            ("mountvers=1", "is set by the guest, to 3"),
            ("sec=krb5p", "no guest has"),
            ("xprtsec=mtls", "no guest has"),
            ("remount", "changes a mount"),
        ];
        for (options, expected) in table {
            let why = given(NfsVersion::V3, &format!("hard,{options}")).unwrap_err();
            assert!(why.starts_with("`mount.options` contains ") && why.contains(expected), "{options}: {why}");
        }
        let why = for_kernel(&mount(NfsVersion::V3, "port=2049"), ServerKind::Synthetic).unwrap_err();
        assert!(why.contains("the port of its server"), "{why}");
    }

    #[test]
    fn version_is_named_in_each_way_that_nfs_5_has() {
        let version = |options: &[&str]| version_of(options, NfsVersion::V3);
        assert_eq!(version(&["hard", "vers=3"]), Ok(Some(NfsVersion::V3)));
        assert_eq!(version(&["v4.2"]), Ok(Some(NfsVersion::V4_2)));
        assert_eq!(version(&["nfsvers=4", "minorversion=1"]), Ok(Some(NfsVersion::V4_1)));
        assert_eq!(version(&["vers=4.2", "vers=4.0"]), Ok(Some(NfsVersion::V4_0)));
        assert_eq!(version(&["verbose", "wsize=4"]), Ok(None));
        assert!(version(&["v4"]).unwrap_err().contains("must be one of 3, 4.0, 4.1, 4.2"));
        assert_eq!(version_of(&["v4"], NfsVersion::V4_1), Ok(None));
    }
}
