//! Knows the kernels that the user brings, an image or a package, which are never written to.

use super::distro_package::{self, Contents, PackagedImage, Packages};
use super::identify::{self, Kind};
use super::{extract_vmlinux, modules};
use crate::error::{Context, Error, Result};
use crate::kernel::bootable::{Effort, Kernel};
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A kernel of the user's.
pub struct UserKernel {
    /// The word of the command line.
    word: String,
    image: Option<NamedImage>,
    /// Everything that is in packages; none of a plain image.
    packages: Vec<PathBuf>,
    /// `--modules`, if it is a directory.
    modules: Option<PathBuf>,
}

/// A kernel image that the user names.
struct NamedImage {
    path: PathBuf,
    release: String,
}

/// An image that can be found, and where its modules are.
struct Found {
    image: PathBuf,
    image_sha256: String,
    release: String,
    modules: Option<PathBuf>,
}

impl UserKernel {
    /// Takes `path`, which is of a `kind` but no tree; `is_changed` if a revision or patches of it are wanted, which it cannot have.
    /// More of it is in the packages `beside`, and its modules are in `modules`, a directory or packages.
    pub fn new(
        word: &str,
        path: &Path,
        kind: Kind,
        is_changed: bool,
        beside: &[PathBuf],
        modules: &[PathBuf],
    ) -> Result<Self> {
        if is_changed {
            let name = if matches!(kind, Kind::Image { .. }) { "kernel image" } else { "kernel package" };
            return Err(Error::usage(format!(
                "{} is a {name}, which takes neither a revision nor a patch; build a patched one from a series or \
                 a source tree, for instance 6.1+FILE.patch (of packages only Debian's linux-image-VERSION.deb takes a patch)",
                path.display()
            )));
        }
        let mut kernel = Self { word: word.to_owned(), image: None, packages: Vec::new(), modules: None };
        kernel.add(path, kind)?;
        for path in beside {
            kernel.add(path, identify::kind(path)?)?;
        }
        modules.iter().flat_map(|word| parts(word)).try_for_each(|part| kernel.add_modules(&part))?;
        Ok(kernel)
    }

    /// Adds one of the files that the kernel is in.
    fn add(&mut self, path: &Path, kind: Kind) -> Result<()> {
        let shown = path.display();
        let path = path.canonicalize().machine(|| format!("cannot find {shown}"))?;
        match kind {
            Kind::Package => self.packages.push(path),
            Kind::Image { release } if self.image.is_none() => self.image = Some(NamedImage { path, release }),
            Kind::Image { .. } => {
                return Err(Error::usage(format!("{} names two kernel images; of one kernel there is one", self.word)));
            }
            Kind::Tree => {
                return Err(Error::usage(format!("{shown} is a source tree, which is no part of a kernel package")));
            }
        }
        Ok(())
    }

    /// Adds what `--modules` names.
    fn add_modules(&mut self, path: &Path) -> Result<()> {
        let shown = path.display();
        if path.is_dir() {
            if self.modules.replace(path.to_owned()).is_some() {
                return Err(Error::usage("--modules names two directories; the modules of a kernel are in one"));
            }
            return Ok(());
        }
        if !path.exists() {
            return Err(Error::usage(format!("--modules {shown} is no directory and no package: there is nothing")));
        }
        match identify::kind(path) {
            Ok(Kind::Package) => self.add(path, Kind::Package),
            _ => Err(Error::usage(format!("--modules {shown} is no directory and no package"))),
        }
    }

    /// Makes the kernel ready: unpacks it as far as that makes it boot faster.
    pub fn ready(&self, cache: &Cache, ui: &Ui) -> Result<Kernel> {
        let begin = Instant::now();
        let contents = self.packages()?.map(|packages| packages.unpack(cache, ui)).transpose()?;
        let found = self.found(contents)?;
        let image = extract_vmlinux::fastest(&found.image, &found.image_sha256, cache, ui)?;
        let effort = Effort { seconds: begin.elapsed().as_secs_f64(), ..Effort::default() };
        Ok(self.kernel(Found { image, ..found }, effort))
    }

    /// Returns the kernel, if nothing has to be unpacked; an image is ready as it is.
    pub fn cached(&self, cache: &Cache) -> Result<Option<Kernel>> {
        let contents = match self.packages()?.map(|packages| packages.find(cache)) {
            Some(None) => return Ok(None),
            contents => contents.flatten(),
        };
        Ok(Some(self.kernel(self.found(contents)?, Effort::default())))
    }

    fn packages(&self) -> Result<Option<Packages>> {
        (!self.packages.is_empty()).then(|| Packages::new(&self.packages)).transpose()
    }

    /// Finds the image and its modules in what the user names and in what is in the packages.
    fn found(&self, contents: Option<Contents>) -> Result<Found> {
        let (packaged, modules) = contents.map_or_else(Default::default, |contents| (contents.image, contents.modules));
        let (image, image_sha256, release) = match (&self.image, packaged) {
            (Some(NamedImage { path, release }), _) => (path.clone(), identify::sha256(path)?, release.clone()),
            (None, Some(PackagedImage { path, sha256, release })) => (path, sha256, release),
            (None, None) => return Err(distro_package::has_no_image(&self.packages)),
        };
        let modules = match &self.modules {
            Some(dir) => Some(modules::locate(dir, &release)?),
            None => self.of_release(&modules, &release)?,
        };
        Ok(Found { image, image_sha256, release, modules })
    }

    /// Returns the modules of the kernel `release` among those of all releases that the packages have.
    fn of_release(&self, modules: &BTreeMap<String, PathBuf>, release: &str) -> Result<Option<PathBuf>> {
        let own = modules.get(release);
        let is_split = self.packages.len() > usize::from(self.image.is_none());
        if let (None, true, Some(other)) = (own, is_split, modules.keys().next()) {
            return Err(Error::usage(format!(
                "the kernel is {release}, but the packages have modules of {other}; name packages of one version"
            )));
        }
        Ok(own.cloned())
    }

    fn kernel(&self, found: Found, effort: Effort) -> Kernel {
        Kernel {
            spec: self.word.clone(),
            image: found.image,
            release: found.release,
            image_sha256: found.image_sha256,
            modules: found.modules,
            patched_modules: None,
            patches: Vec::new(),
            series: None,
            source_version: None,
            is_package: self.image.is_none(),
            effort,
        }
    }
}

/// Splits the word of an option at its commas, unless there is something that is called so.
fn parts(word: &Path) -> Vec<PathBuf> {
    match word.to_str() {
        Some(text) if !word.exists() => text.split(',').filter(|part| !part.is_empty()).map(PathBuf::from).collect(),
        _ => vec![word.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::kernel::image::identify::tests::bzimage;
    use std::fs;
    use std::slice::from_ref;

    /// Makes a file that looks like a package from its first bytes, and an image.
    fn files() -> (tempfile::TempDir, [PathBuf; 3]) {
        let dir = tempfile::tempdir().unwrap();
        let files = ["a.pkg.tar.zst", "b.rpm", "vmlinuz"].map(|name| dir.path().join(name));
        fs::write(&files[0], b"\x28\xb5\x2f\xfd").unwrap();
        fs::write(&files[1], b"\xed\xab\xee\xdb\x03\0").unwrap();
        fs::write(&files[2], bzimage("6.1-x")).unwrap();
        (dir, files)
    }

    fn contents(releases: &[&str]) -> Option<Contents> {
        let modules = releases.iter().map(|release| ((*release).to_owned(), PathBuf::from(release))).collect();
        Some(Contents { image: None, modules })
    }

    fn refused(result: Result<UserKernel>) -> String {
        let Err(error) = result else { panic!("it is taken") };
        assert_eq!(error.exit(), Exit::Usage);
        error.to_string()
    }

    #[test]
    fn modules_of_an_image_come_from_packages() {
        let (_dir, [arch, rpm, image]) = files();
        let kind = || identify::kind(&image).unwrap();
        let both = PathBuf::from(format!("{},{}", arch.display(), rpm.display()));
        for modules in [vec![both], vec![arch.clone(), rpm.clone()]] {
            let kernel = UserKernel::new("vmlinuz", &image, kind(), false, &[], &modules).unwrap();
            assert_eq!((kernel.packages.len(), kernel.image.is_some()), (2, true));
        }
        let beside = UserKernel::new("a,vmlinuz", &arch, Kind::Package, false, from_ref(&image), &[]).unwrap();
        assert_eq!((beside.packages.len(), beside.image.is_some()), (1, true));
        let found = beside.found(contents(&["6.1-w", "6.1-x"])).unwrap();
        assert_eq!((found.release.as_str(), found.modules), ("6.1-x", Some("6.1-x".into())));
        let Err(error) = beside.found(contents(&["6.1-y"])) else { panic!("it is taken") };
        assert!(error.to_string().contains("the kernel is 6.1-x, but the packages have modules of 6.1-y"), "{error}");
    }

    #[test]
    fn what_cannot_be_one_kernel_is_refused() {
        let (dir, [arch, _, image]) = files();
        let kind = || identify::kind(&image).unwrap();
        let twice = UserKernel::new("two", &image, kind(), false, from_ref(&image), &[]);
        assert!(refused(twice).contains("two names two kernel images"));
        let nothing = UserKernel::new("x", &arch, Kind::Package, false, &[], &[dir.path().join("none.deb")]);
        assert!(refused(nothing).contains("is no directory and no package: there is nothing"));
        let wrong = UserKernel::new("x", &arch, Kind::Package, false, &[], from_ref(&image));
        assert!(refused(wrong).contains("is no directory and no package"));
        let directories = [dir.path().to_owned(), dir.path().to_owned()];
        assert!(
            refused(UserKernel::new("x", &arch, Kind::Package, false, &[], &directories)).contains("two directories")
        );
        let patched = UserKernel::new("x", &arch, Kind::Package, true, &[], &[]);
        assert!(refused(patched).contains("is a kernel package, which takes neither a revision nor a patch"));
    }
}
