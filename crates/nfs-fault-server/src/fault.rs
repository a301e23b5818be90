//! The words in which a fault is told: on which calls, when, what goes wrong, and how often.

#[cfg(feature = "schema")]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::procedure::Procedure;

/// Something that goes wrong on purpose. In TOML:
///
/// ```toml
/// { on = "readdir", when = { reply = 3 }, what = { error = "JUKEBOX" }, times = 1 }
/// ```
///
/// `on` is `"readdir"`, `when` is `{ reply = 1 }` unless said otherwise. Replies are counted from the moment the fault is
/// armed, and only those to calls that `on` names.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Which calls it looks at.
    #[serde(default)]
    pub on: FaultScope,
    /// Which of them it is to hit.
    #[serde(default)]
    pub when: FaultTrigger,
    /// What it does to them.
    pub what: FaultAction,
    /// How many replies it hits before it is used up: that of `when` and those that follow. 1 unless said otherwise; with
    /// `every`, no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u64>,
}

/// The calls that a fault looks at.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(rename = "On"))]
pub enum FaultScope {
    /// READDIR and READDIRPLUS.
    #[default]
    Readdir,
    /// READDIR alone.
    PlainReaddir,
    /// READDIRPLUS alone.
    Readdirplus,
    /// NULL, of both programs.
    Null,
    /// GETATTR.
    Getattr,
    /// LOOKUP.
    Lookup,
    /// ACCESS.
    Access,
    /// READLINK.
    Readlink,
    /// FSSTAT.
    Fsstat,
    /// FSINFO.
    Fsinfo,
    /// PATHCONF.
    Pathconf,
    /// MNT, which answers a mount with the first file handle.
    Mnt,
}

/// Which of the calls that it looks at a fault is to hit.
///
/// A fault that the call leaves no room for (a reply of three entries cannot be cut to ten, another fault has put an error
/// in its place) hits the next one that does, except with `entry`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(rename = "When"))]
pub enum FaultTrigger {
    /// The nth since the fault was armed, counted from 1.
    Reply(u64),
    /// Every nth.
    Every(u64),
    /// The one whose reply would hold the nth entry of its directory; `.` and `..` are not counted.
    Entry(u64),
    /// The first that comes so many milliseconds after the fault was armed, or later.
    AfterMs(u64),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(rename = "What"))]
pub enum FaultAction {
    /// The reply is this error of NFSv3.
    Error(Nfs3Error),
    /// The reply, and all that follow on its connection, come so many milliseconds later.
    DelayMs(u64),
    /// The reply has at most so many entries.
    Short(u64),
    /// The reply has no entries, and is not the end of the directory.
    Empty,
    /// The reply says that it is the end of the directory, which it is not.
    EarlyEof,
    /// The reply does not say that it is the end of the directory, which it is; the client asks again and gets an empty one.
    LateEof,
    /// The last entry has the cookie of the one before it, so that the client meets it again.
    DuplicateCookie,
    /// The cookies of all entries but the last run backward; the listing goes on after the last one as it should.
    BackwardCookies,
    /// The reply begins at the first entry, whatever cookie the call names.
    IgnoreCookie,
    /// All hard links of a file have one cookie, that of the last of them, so that a listing that goes on behind one goes on behind
    /// all.
    HardLinkCookies,
    /// From this reply on the cookie verifier is another one.
    NewVerifier(OldVerifiers),
    /// From this reply on the file or directory that the call names has a newer change time.
    NewerChangeTime,
    /// READDIRPLUS shows attributes, but no file handles.
    NoHandles,
    /// The reply cannot be decoded.
    Garbage(Garbage),
    /// The call is never answered; later ones on the same connection are.
    NoReply,
    /// The connection is closed.
    Disconnect(Moment),
    /// The connection stays open, but nothing is answered on it any more: neither this call nor a later one.
    HalfOpen,
}

/// What becomes of cookies that came with an older verifier.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum OldVerifiers {
    /// They are good, and the listing goes on.
    Accept,
    /// They are answered with BAD_COOKIE.
    Refuse,
}

/// How a reply cannot be decoded. Its RPC header always can.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Garbage {
    /// It ends after half of its bytes; what is there can be decoded.
    Cut,
    /// It begins with NFS3_OK, and random bytes follow: nothing can be decoded.
    Random,
    /// The name of the entry in the middle is said to be longer than any reply; the entries before it can be decoded.
    LongName,
}

/// When a connection is closed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// Without a reply.
    BeforeReply,
    /// After half of the reply's bytes.
    InReply,
}

/// Errors of NFS version 3 (RFC 1813, section 2.6) that a server can be told to give.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Nfs3Error {
    /// NFS3ERR_NOENT: no such file or directory.
    Noent,
    /// NFS3ERR_IO: a hard error, as of a disk.
    Io,
    /// NFS3ERR_ACCES: permission denied.
    Acces,
    /// NFS3ERR_STALE: the file of the handle is gone.
    Stale,
    /// NFS3ERR_BAD_COOKIE: the cookie means nothing (any more).
    BadCookie,
    /// NFS3ERR_NOTSUPP: the procedure is not supported; a client goes from READDIRPLUS to READDIR.
    Notsupp,
    /// NFS3ERR_TOOSMALL: not one entry fits the reply.
    Toosmall,
    /// NFS3ERR_SERVERFAULT: an error that has no name.
    Serverfault,
    /// NFS3ERR_JUKEBOX: not now, try again later.
    Jukebox,
}

impl Default for FaultTrigger {
    fn default() -> Self {
        Self::Reply(1)
    }
}

impl Fault {
    /// Makes a fault by which `what` happens once, on the next READDIR or READDIRPLUS.
    pub const fn next(what: FaultAction) -> Self {
        Self { on: FaultScope::Readdir, when: FaultTrigger::Reply(1), what, times: None }
    }

    /// Returns how many replies it hits.
    pub fn times(&self) -> u64 {
        let endless = matches!(self.when, FaultTrigger::Every(_));
        self.times.unwrap_or(if endless { u64::MAX } else { 1 })
    }
}

impl FaultScope {
    /// Returns whether it names this procedure.
    pub fn matches(self, procedure: Procedure) -> bool {
        match self {
            Self::Readdir => matches!(procedure, Procedure::Readdir | Procedure::Readdirplus),
            Self::PlainReaddir => procedure == Procedure::Readdir,
            Self::Readdirplus => procedure == Procedure::Readdirplus,
            Self::Null => procedure == Procedure::Null,
            Self::Getattr => procedure == Procedure::Getattr,
            Self::Lookup => procedure == Procedure::Lookup,
            Self::Access => procedure == Procedure::Access,
            Self::Readlink => procedure == Procedure::Readlink,
            Self::Fsstat => procedure == Procedure::Fsstat,
            Self::Fsinfo => procedure == Procedure::Fsinfo,
            Self::Pathconf => procedure == Procedure::Pathconf,
            Self::Mnt => procedure == Procedure::Mnt,
        }
    }

    /// Returns whether the calls list directories.
    pub fn lists(self) -> bool {
        matches!(self, Self::Readdir | Self::PlainReaddir | Self::Readdirplus)
    }
}

impl Nfs3Error {
    /// Returns the number that stands for it in a reply.
    pub fn status(self) -> u32 {
        use nfs3_types::nfs3::nfsstat3;
        let status = match self {
            Self::Noent => nfsstat3::NFS3ERR_NOENT,
            Self::Io => nfsstat3::NFS3ERR_IO,
            Self::Acces => nfsstat3::NFS3ERR_ACCES,
            Self::Stale => nfsstat3::NFS3ERR_STALE,
            Self::BadCookie => nfsstat3::NFS3ERR_BAD_COOKIE,
            Self::Notsupp => nfsstat3::NFS3ERR_NOTSUPP,
            Self::Toosmall => nfsstat3::NFS3ERR_TOOSMALL,
            Self::Serverfault => nfsstat3::NFS3ERR_SERVERFAULT,
            Self::Jukebox => nfsstat3::NFS3ERR_JUKEBOX,
        };
        status as u32
    }
}
