//! The revert as it was sent: its patch, and who said what when.

use super::history::{git, told};
use dirleak::internals::error::{Context, Error, Result};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The title of the change that leaks, unless the revert names another.
const OPTIMISATION: &str = "NFS: readdirplus optimization by cache mechanism";

/// A revert, taken apart.
pub struct Letter {
    /// The patch alone, which git reads.
    pub patch: PathBuf,
    /// What it says below its title.
    pub body: String,
    subject: Option<String>,
    /// Name, address and date, as far as it is a mail.
    pub author: Option<[String; 3]>,
}

impl Letter {
    /// Reads the mail or patch `file`; what becomes of it is written into `scratch`.
    pub fn read(file: &Path, scratch: &Path) -> Result<Self> {
        let shown = file.display();
        let mail = File::open(file).map_err(|e| Error::usage(format!("cannot read the patch {shown}: {e}")))?;
        let (body, patch) = (scratch.join("body"), scratch.join("patch"));
        let nothing = || Error::usage(format!("{shown} has no patch in it that git understands"));
        let headers = told(git(scratch).args(["mailinfo", "--encoding=UTF-8"]).args([&body, &patch]).stdin(mail));
        let headers = headers.map_err(|_| nothing())?;
        let numbers = told(git(scratch).args(["apply", "--numstat"]).arg(&patch)).map_err(|_| nothing())?;
        if numbers.trim().is_empty() {
            return Err(nothing());
        }
        let header = |name: &str| {
            let value = headers.lines().find_map(|line| line.strip_prefix(name))?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        };
        let body = fs::read(&body).machine(|| format!("cannot read {}", body.display()))?;
        let author = (header("Author:"), header("Email:"), header("Date:"));
        Ok(Self {
            patch,
            body: String::from_utf8_lossy(&body).trim().to_owned(),
            subject: header("Subject:"),
            author: if let (Some(name), Some(address), Some(date)) = author {
                Some([name, address, date])
            } else {
                None
            },
        })
    }

    /// Returns the title of the change that leaks.
    pub fn optimisation(&self) -> &str {
        let named = self.subject.as_deref().and_then(|subject| subject.strip_prefix("Revert \"")?.rsplit_once('"'));
        named.map_or(OPTIMISATION, |(title, _)| title)
    }

    /// Returns the title of the revert.
    pub fn revert(&self) -> String {
        let made_up = || format!("Revert \"{OPTIMISATION}\"");
        self.subject.clone().unwrap_or_else(made_up)
    }

    /// Returns the commit that it says it reverts.
    pub fn reverted(&self) -> Option<&str> {
        let said = self.body.split_once("This reverts commit ")?.1;
        said.split(|c: char| !c.is_ascii_hexdigit()).next().filter(|id| !id.is_empty())
    }
}
