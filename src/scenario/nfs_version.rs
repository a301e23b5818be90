//! The versions of NFS that a client can be told to speak.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A version of NFS, older ones smaller.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum NfsVersion {
    V3,
    V4_0,
    V4_1,
    V4_2,
}

impl NfsVersion {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::V3, Self::V4_0, Self::V4_1, Self::V4_2];

    /// Returns what scenarios, results and mount(8) call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V3 => "3",
            Self::V4_0 => "4.0",
            Self::V4_1 => "4.1",
            Self::V4_2 => "4.2",
        }
    }

    /// Returns whether it is a minor version of 4, which needs neither rpcbind nor the MOUNT protocol, and waits for a grace period.
    pub fn is_4(self) -> bool {
        self >= Self::V4_0
    }

    /// Returns whether client and server have sessions (RFC 5661).
    pub fn has_sessions(self) -> bool {
        self >= Self::V4_1
    }

    /// Returns whether attributes can carry security labels (RFC 7862).
    pub fn carries_labels(self) -> bool {
        self >= Self::V4_2
    }
}

impl fmt::Display for NfsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for NfsVersion {
    type Err = String;

    /// Returns the version, or a sentence that says which there are.
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|version| version.as_str() == text).ok_or_else(|| {
            let known = Self::ALL.map(Self::as_str).join(", ");
            format!("`mount.version` is \"{text}\"; it must be one of {known}")
        })
    }
}

impl TryFrom<String> for NfsVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<NfsVersion> for String {
    fn from(version: NfsVersion) -> Self {
        version.as_str().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_as_it_is_written() {
        for version in NfsVersion::ALL {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        assert_eq!(
            "4".parse::<NfsVersion>().unwrap_err(),
            "`mount.version` is \"4\"; it must be one of 3, 4.0, 4.1, 4.2"
        );
    }

    #[test]
    fn minor_version_has_what_the_ones_before_lack() {
        assert_eq!(NfsVersion::ALL.map(NfsVersion::is_4), [false, true, true, true]);
        assert_eq!(NfsVersion::ALL.map(NfsVersion::has_sessions), [false, false, true, true]);
        assert_eq!(NfsVersion::ALL.map(NfsVersion::carries_labels), [false, false, false, true]);
    }
}
