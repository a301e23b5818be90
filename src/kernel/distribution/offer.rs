//! Which kernel images Debian has: read from the names of its packages.

use crate::apt::{Apt, version};
use crate::error::{Error, Result};
use crate::kernel::spec::Flavour;
use crate::os::cache::Cache;
use crate::os::process;
use crate::text::truncate::some_of;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// What the package of an image is called before and behind the release of its kernel, the better one before. Since Linux 7.2 the image is
/// in `linux-binary`, and `linux-image` only asks for that. What is not signed is there first, and the same otherwise.
const NAMES: [(&str, &str); 4] =
    [("linux-binary-unsigned-", ""), ("linux-binary-", ""), ("linux-image-", "-unsigned"), ("linux-image-", "")];

/// Which of them has its modules in a package of their own, of this name before the release.
const SPLIT: &str = "linux-binary-";
const MODULES: &str = "linux-modules-";

/// What Debian configures kernels for x86-64 for, as its packages call it.
const FLAVOURS: [&str; 3] = ["cloud-amd64", "rt-amd64", "amd64"];

/// How many versions are named of a flavour.
pub const MOST_NAMED: usize = 6;

/// A package with a kernel image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub package: String,
    /// Debian's version of it, for instance `6.1.192-3`.
    pub version: String,
    /// The release without the flavour, for instance `6.1.0-57`.
    pub abi: String,
    /// As the package calls it, for instance `cloud-amd64`.
    pub flavour: String,
}

impl Image {
    /// Reads the name of a package, `linux-image-6.1.0-57-cloud-amd64-unsigned`; gives `None` for what has no image itself (the
    /// package of the newest one, debug information) and for other machines.
    pub fn parse(package: &str, version: &str) -> Option<Self> {
        let (_, release) = named(package)?;
        let of = |flavour: &'static str| Some((release.strip_suffix(flavour)?.strip_suffix('-')?, flavour));
        let (abi, flavour) = FLAVOURS.into_iter().find_map(of)?;
        let numbers = abi.split(['-', '+']).next()?;
        let is_release = numbers.split('.').count() > 2 && numbers.split('.').all(|n| n.parse::<u32>().is_ok());
        let (abi, flavour) = (abi.to_owned(), flavour.to_owned());
        is_release.then(|| Self { package: package.to_owned(), version: version.to_owned(), abi, flavour })
    }

    /// Reads the name and version that the package `file` says it has; gives `None` for what is not Debian's package of an image.
    pub fn from_file(file: &Path) -> Option<Self> {
        let text = process::output(Command::new("dpkg-deb").arg("-f").arg(file).args(["Package", "Version"])).ok()?;
        let text = String::from_utf8_lossy(&text);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Self::parse(field("Package:")?, field("Version:")?)
    }

    /// Returns `uname -r` of the kernel.
    pub fn release(&self) -> String {
        format!("{}-{}", self.abi, self.flavour)
    }

    /// Returns the first two numbers of its version.
    pub fn series(&self) -> String {
        self.abi.split('.').take(2).collect::<Vec<_>>().join(".")
    }

    /// Returns all packages that the kernel is in, as apt takes them.
    pub fn packages(&self) -> Vec<String> {
        let modules = format!("{MODULES}{}", self.release());
        let beside = self.package.starts_with(SPLIT).then_some(&modules);
        std::iter::once(&self.package).chain(beside).map(|package| format!("{package}={}", self.version)).collect()
    }

    /// Returns which of the packages of a release is to be taken: the one of the lowest number.
    fn rank(&self) -> Option<usize> {
        named(&self.package).map(|(rank, _)| rank)
    }

    fn is_version(&self, wanted: &str) -> bool {
        [&self.version, &self.abi, &self.release()].iter().any(|known| *known == wanted)
    }
}

/// Returns the place in the list of names of packages, and what stands for the release in `package`.
fn named(package: &str) -> Option<(usize, &str)> {
    let release = |(before, behind): &(&str, &str)| package.strip_prefix(before)?.strip_suffix(behind);
    NAMES.iter().map(release).enumerate().find_map(|(rank, release)| Some((rank, release?)))
}

/// Returns the name that a spec has for a flavour: `cloud` for `cloud-amd64`, and `amd64`.
pub fn short_flavour(flavour: &str) -> &str {
    flavour.strip_suffix("-amd64").unwrap_or(flavour)
}

/// Returns the images that `apt`'s index has, the newest first, and of each release the one first that is to be taken.
pub fn images(apt: &Apt) -> Result<Vec<Image>> {
    let mut offered = apt.offered("linux-image-")?;
    offered.extend(apt.offered(SPLIT)?);
    Ok(sorted(offered.iter().filter_map(|(package, version)| Image::parse(package, version)).collect()))
}

fn sorted(mut images: Vec<Image>) -> Vec<Image> {
    images.sort_by(|a, b| {
        let newest_first = version::compare(&b.version, &a.version);
        newest_first.then_with(|| (&a.flavour, a.rank()).cmp(&(&b.flavour, b.rank())))
    });
    images
}

/// Returns the images of the same kernel as `image`, the one first that is to be taken.
pub fn packagings<'a>(images: &'a [Image], image: &Image) -> Vec<&'a Image> {
    let is_same = |other: &&Image| (other.release(), &other.version) == (image.release(), &image.version);
    images.iter().filter(is_same).collect()
}

/// Returns the images of `series` by flavour, as specs name it, from the index of `suite` that is at hand; nothing is fetched, and
/// nothing is there if apt cannot be asked.
pub fn at_hand(series: &str, suite: &str, cache: &Cache) -> Option<BTreeMap<String, Vec<Image>>> {
    let images = images(&Apt::with_index(cache, suite)?).ok()?;
    let mut by_flavour: BTreeMap<String, Vec<Image>> = BTreeMap::new();
    for image in images.into_iter().filter(|image| image.series() == series) {
        let known = by_flavour.entry(short_flavour(&image.flavour).to_owned()).or_default();
        if packagings(known, &image).is_empty() {
            known.push(image);
        }
    }
    Some(by_flavour)
}

/// Returns the image that `wanted` names among `images` of `suite`, which are sorted; the error names those that are there.
pub fn choose<'a>(images: &'a [Image], wanted: &Flavour, suite: &str) -> Result<&'a Image> {
    let Flavour { series, name, version } = wanted;
    let of_series: Vec<&Image> = images.iter().filter(|image| image.series() == *series).collect();
    let is_flavour = |image: &&&Image| image.flavour == *name || short_flavour(&image.flavour) == name;
    let of_flavour: Vec<&Image> = of_series.iter().filter(is_flavour).copied().collect();
    let is_wanted = |image: &&&Image| version.as_ref().is_none_or(|version| image.is_version(version));
    if let Some(image) = of_flavour.iter().find(is_wanted) {
        return Ok(image);
    }
    let listed = |all: Vec<String>| some_of(&all, MOST_NAMED);
    Err(Error::usage(if let (Some(version), false) = (version, of_flavour.is_empty()) {
        let mut there: Vec<String> = of_flavour.iter().map(|image| image.version.clone()).collect();
        there.dedup();
        let there = listed(there);
        format!("Debian {suite} has no {series}:{name} of the version {version}; it has {there}")
    } else if of_series.is_empty() {
        let mut others: Vec<String> = Vec::new();
        images.iter().map(Image::series).for_each(|other| {
            if !others.contains(&other) {
                others.push(other)
            }
        });
        let there = if others.is_empty() { "none at all".to_owned() } else { format!("those of {}", listed(others)) };
        format!(
            "Debian {suite} has no kernel image of {series}, but {there}; {series} without a flavour is built from source"
        )
    } else {
        let flavours: BTreeSet<&str> = of_series.iter().map(|image| short_flavour(&image.flavour)).collect();
        let there = listed(flavours.into_iter().map(|flavour| format!("{series}:{flavour}")).collect());
        format!("Debian {suite} has no kernel of the flavour '{name}'; of {series} it has {there}")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Image> {
        let offered = [
            ("linux-image-6.1.0-56-cloud-amd64", "6.1.192-2"),
            ("linux-image-6.1.0-56-cloud-amd64-unsigned", "6.1.192-2"),
            ("linux-image-6.1.0-57-cloud-amd64-unsigned", "6.1.192-3"),
            ("linux-image-6.1.0-9-cloud-amd64", "6.1.27-1"),
            ("linux-image-6.1.0-57-amd64-unsigned", "6.1.192-3"),
            ("linux-image-6.1.0-57-amd64-dbg", "6.1.192-3"),
            ("linux-image-6.12.117+deb12-rt-amd64", "6.12.117-1~deb12u1"),
            ("linux-image-cloud-amd64", "6.1.192-2"),
            ("linux-image-6.12-cloud-amd64", "6.12.117-1~deb12u1"),
            ("linux-image-6.1.0-57-arm64", "6.1.192-3"),
        ];
        sorted(offered.iter().filter_map(|(package, version)| Image::parse(package, version)).collect())
    }

    fn wanted(series: &str, name: &str, version: Option<&str>) -> Flavour {
        Flavour { series: series.into(), name: name.into(), version: version.map(str::to_owned) }
    }

    #[test]
    fn names_of_packages_tell_release_and_flavour() {
        let image = Image::parse("linux-image-6.1.0-0.deb11.48-cloud-amd64-unsigned", "6.1.172-1~deb11u1").unwrap();
        assert_eq!((image.abi.as_str(), image.flavour.as_str()), ("6.1.0-0.deb11.48", "cloud-amd64"));
        assert_eq!((image.release().as_str(), image.series().as_str()), ("6.1.0-0.deb11.48-cloud-amd64", "6.1"));
        let image = Image::parse("linux-image-6.12.115+deb13.1-amd64", "6.12.115-2").unwrap();
        assert_eq!((image.abi.as_str(), image.series().as_str()), ("6.12.115+deb13.1", "6.12"));
    }

    #[test]
    fn newest_version_comes_first_and_the_unsigned_image_before_the_signed() {
        let all = all();
        let packages: Vec<&str> = all.iter().map(|image| image.package.as_str()).collect();
        assert_eq!(
            packages,
            [
                "linux-image-6.12.117+deb12-rt-amd64",
                "linux-image-6.1.0-57-amd64-unsigned",
                "linux-image-6.1.0-57-cloud-amd64-unsigned",
                "linux-image-6.1.0-56-cloud-amd64-unsigned",
                "linux-image-6.1.0-56-cloud-amd64",
                "linux-image-6.1.0-9-cloud-amd64",
            ]
        );
        let of_56: Vec<_> = packagings(&all, &all[4]).into_iter().map(|image| image.package.as_str()).collect();
        assert_eq!(of_56, packages[3..5]);
    }

    #[test]
    fn kernel_in_two_packages_is_fetched_as_both() {
        let release = "7.3.4+deb13-cloud-amd64";
        let names = ["linux-image-", "linux-binary-", "linux-binary-unsigned-"].map(|name| format!("{name}{release}"));
        let all = sorted(names.iter().filter_map(|name| Image::parse(name, "7.3.4-1~bpo13+1")).collect());
        let packages = all[0].packages();
        assert_eq!((all.len(), all[2].package.as_str()), (3, names[0].as_str()));
        let wanted = ["linux-binary-unsigned", "linux-modules"].map(|name| format!("{name}-{release}=7.3.4-1~bpo13+1"));
        assert_eq!(packages, wanted);
        let one = Image::parse("linux-image-6.1.0-57-amd64-unsigned", "6.1.192-3").unwrap();
        assert_eq!(one.packages(), ["linux-image-6.1.0-57-amd64-unsigned=6.1.192-3"]);
    }

    #[test]
    fn image_is_chosen_by_flavour_and_version() {
        let all = all();
        let chosen = |name: &str, version: Option<&str>| {
            choose(&all, &wanted("6.1", name, version), "bookworm").map(|image| image.release())
        };
        for name in ["cloud", "cloud-amd64"] {
            assert_eq!(chosen(name, None).unwrap(), "6.1.0-57-cloud-amd64");
        }
        for version in ["6.1.192-2", "6.1.0-56", "6.1.0-56-cloud-amd64"] {
            assert_eq!(chosen("cloud", Some(version)).unwrap(), "6.1.0-56-cloud-amd64");
        }
    }

    #[test]
    fn what_is_not_there_is_told_with_what_is() {
        let all = all();
        let refused = |wanted: Flavour| choose(&all, &wanted, "bookworm").unwrap_err().to_string();
        let version = refused(wanted("6.1", "cloud", Some("6.1.1-1")));
        assert!(
            version.ends_with("no 6.1:cloud of the version 6.1.1-1; it has 6.1.192-3, 6.1.192-2, 6.1.27-1"),
            "{version}"
        );
        let flavour = refused(wanted("6.1", "clod", None));
        assert!(flavour.ends_with("no kernel of the flavour 'clod'; of 6.1 it has 6.1:amd64, 6.1:cloud"), "{flavour}");
        let series = refused(wanted("7.2", "cloud", None));
        assert!(series.contains("no kernel image of 7.2, but those of 6.12, 6.1; 7.2 without a flavour"), "{series}");
        let nothing = choose(&[], &wanted("7.2", "cloud", None), "forky").unwrap_err().to_string();
        assert!(nothing.contains("Debian forky has no kernel image of 7.2, but none at all"), "{nothing}");
    }
}
