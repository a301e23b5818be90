//! A version of Linux.

use std::fmt;
use std::str::FromStr;

/// The first two numbers of a kernel's version, which tell what Kconfig symbols it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

impl Version {
    /// Returns the release after it, as far as the numbers tell.
    pub fn next(self) -> Self {
        Self { minor: self.minor + 1, ..self }
    }
}

impl FromStr for Version {
    type Err = ();

    /// Reads `5.10`; whatever follows the second number is not looked at.
    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().map_err(|_| ()));
        let mut next = || numbers.next().unwrap_or(Err(()));
        Ok(Self { major: next()?, minor: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}
