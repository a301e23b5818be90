//! Where a Chromium comes from: the machine's own, or Debian's packages of it, unpacked into the cache. Nothing is installed.

use dirleak::internals::apt::Apt;
use dirleak::internals::error::{Context, Error, Result};
use dirleak::internals::os::cache::{Cache, install_atomically};
use dirleak::internals::os::progress::Ui;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program, and where its libraries and fonts are if it is not the machine's own.
pub struct Chromium {
    program: PathBuf,
    root: Option<PathBuf>,
}

/// Packages of the browser, and a font to draw with.
const PACKAGES: [&str; 2] = ["chromium", "fonts-dejavu-core"];

/// Which fonts are taken, so that a page looks the same on every machine.
const FONTS: &str = r#"<fontconfig>
<dir>/usr/share/fonts</dir><dir>HERE</dir>
<alias><family>sans-serif</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>system-ui</family><prefer><family>DejaVu Sans</family></prefer></alias>
<alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"#;

impl Chromium {
    /// That of the search path, or else the one in the cache, which is fetched if it is not there.
    pub fn find() -> Result<Self> {
        let found = Self::find_program()?;
        match (found.starts(), &found.root) {
            (Ok(()), _) => Ok(found),
            // It was unpacked for another release of the machine.
            (Err(_), Some(root)) => {
                fs::remove_dir_all(root).machine(|| format!("cannot remove {}", root.display()))?;
                let fresh = Self::find_program()?;
                fresh.starts().map(|()| fresh)
            }
            (Err(e), None) => Err(e),
        }
    }

    fn starts(&self) -> Result<()> {
        let output = self.command().arg("--version").output();
        let output = output.machine(|| format!("cannot start {}", self.program.display()))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Error::machine(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }

    fn find_program() -> Result<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = std::env::split_paths(&path).map(|dir| dir.join("chromium")).find(|program| program.is_file());
        if let Some(program) = own {
            return Ok(Self { program, root: None });
        }
        let cache = Cache::open()?;
        let home = cache.root().join("chromium");
        let unpacked = |home: &Path| Self { program: home.join("usr/lib/chromium/chromium"), root: Some(home.into()) };
        if !home.is_dir() {
            let _lock = cache.lock("chromium", &Ui::plain())?;
            if !home.is_dir() {
                install_atomically(&home, |new| fetch(&cache, new))?;
            }
        }
        Ok(unpacked(&home))
    }

    /// To be started with it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(root) = &self.root {
            let multiarch = "usr/lib/x86_64-linux-gnu";
            let libraries = [multiarch, "lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/pulseaudio"];
            let path = std::env::join_paths(libraries.map(|dir| root.join(dir))).unwrap_or(OsString::new());
            command.env("LD_LIBRARY_PATH", path).env("FONTCONFIG_FILE", root.join("fonts.conf"));
        }
        command
    }
}

/// The packages that this machine does not have.
fn fetch(cache: &Cache, new: &Path) -> Result<()> {
    let ui = Ui::plain();
    let apt = Apt::open(cache, None)?;
    apt.update(&ui)?;
    let installed = installed()?;
    let closure = apt.closure(&PACKAGES)?;
    let missing: Vec<&str> =
        closure.iter().map(|p| p.name.as_str()).filter(|name| !installed.contains(*name)).collect();
    let debs = new.join("debs");
    for deb in apt.download(&missing, &debs, &ui)? {
        let status = Command::new("dpkg-deb").arg("-x").arg(&deb).arg(new).status();
        if !status.machine(|| "cannot start dpkg-deb".into())?.success() {
            return Err(Error::machine(format!("dpkg-deb cannot unpack {}", deb.display())));
        }
    }
    fs::remove_dir_all(&debs).machine(|| format!("cannot remove {}", debs.display()))?;
    // Its place is known once it is in place, so fonts are named from there.
    let fonts = cache.root().join("chromium/usr/share/fonts");
    let text = FONTS.replace("HERE", &fonts.display().to_string());
    fs::write(new.join("fonts.conf"), text).machine(|| "cannot write fonts.conf".into())
}

fn installed() -> Result<BTreeSet<String>> {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${db:Status-Status} ${Package}\n"]).output();
    let text = String::from_utf8_lossy(&output.machine(|| "cannot start dpkg-query".into())?.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect())
}
