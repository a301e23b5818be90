//! The grammar of a kernel spec: what one word on the command line, with `--patch` and `--rev`, asks to be booted.
//!
//! `6.1`, `6.1:FLAVOUR`, `6.1:FLAVOUR=VERSION`, `PATH`, `TREE@REV`, and any of them but an image followed by `+NAME` or
//! `+FILE.patch`; an image or a package followed by `,PACKAGE`, as often as the kernel is in several.
//! Nothing is opened here: what exists on disk is asked of the caller.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A spec, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What is booted or built.
    pub base: Base,
    /// Packages that have more of the same kernel.
    pub beside: Vec<PathBuf>,
    /// The revision of a git tree.
    pub rev: Option<String>,
    /// What is applied to it, in order.
    pub patches: Vec<PatchRef>,
}

/// What a spec begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// A series of the catalog, which is built.
    Series(String),
    /// A kernel of the series as the distribution builds it.
    Distribution(Flavour),
    /// An image, a package or a source tree.
    Path(PathBuf),
}

/// A distribution's kernel by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flavour {
    /// A series of the catalog.
    pub series: String,
    /// What it is configured for, as the user writes it: `cloud`, `amd64`.
    pub name: String,
    /// The version of its package, or its release without the flavour; none is the newest.
    pub version: Option<String>,
}

/// A patch as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchRef {
    /// One that comes with the program.
    Name(String),
    /// One of the user's.
    File(PathBuf),
}

impl PatchRef {
    /// Returns the name in results.
    pub fn name(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::File(file) => file.display().to_string(),
        }
    }
}

/// What the parser may ask about the world.
pub trait SpecContext {
    /// Returns whether the catalog has this series.
    fn is_series(&self, name: &str) -> bool;
    /// Returns whether this path exists on disk.
    fn exists(&self, path: &Path) -> bool;
    /// Names the known series, for sentences.
    fn series_names(&self) -> String;
}

/// Takes `word` apart; `patches` and `rev` are what `--patch` and `--rev` say beside it.
pub fn parse(word: &str, patches: &[String], rev: Option<&str>, world: &impl SpecContext) -> Result<Spec> {
    let (base, rest) = split_base(word, world)?;
    let (beside, rest) = split_beside(word, rest, world)?;
    let needs_none = match &base {
        Base::Series(name) => Some(format!("the series {name}")),
        Base::Distribution(_) => Some("a distribution's kernel".to_owned()),
        Base::Path(_) => None,
    };
    if let (Some(what), false) = (needs_none, beside.is_empty()) {
        return Err(Error::usage(format!("{word} names packages beside {what}, which needs none")));
    }
    let (word_rev, rest) = split_rev(word, rest)?;
    if word_rev.is_some() && rev.is_some() {
        return Err(Error::usage(format!("{word} names a revision and --rev another; leave one of them out")));
    }
    let rev = word_rev.or(rev.map(str::to_owned));
    let of_series = match &base {
        Base::Series(name) | Base::Distribution(Flavour { series: name, .. }) => Some(name),
        Base::Path(_) => None,
    };
    if let (Some(name), Some(rev)) = (of_series, &rev) {
        return Err(Error::usage(format!(
            "the series {name} has no revisions, so '{rev}' names none; a revision needs a git tree: DIR@{rev}"
        )));
    }
    let mut all = split_patches(word, rest, world)?;
    for patch in patches {
        all.push(patch_ref(patch, world)?);
    }
    Ok(Spec { base, beside, rev, patches: all })
}

/// Splits the base off; gives it and what follows it.
fn split_base<'a>(word: &'a str, world: &impl SpecContext) -> Result<(Base, &'a str)> {
    if let Some((series, rest)) = word.split_once(':').filter(|(series, _)| world.is_series(series)) {
        let (flavour, rest) = split_flavour(word, series, rest)?;
        return Ok((Base::Distribution(flavour), rest));
    }
    let head = &word[..word.find(['@', '+', ',']).unwrap_or(word.len())];
    if world.is_series(head) {
        return Ok((Base::Series(head.to_owned()), &word[head.len()..]));
    }
    if let Some(path) = longest_existing(word, &['@', '+', ','], world) {
        return Ok((Base::Path(PathBuf::from(path)), &word[path.len()..]));
    }
    let known = world.series_names();
    Err(Error::usage(if let Some((series, flavour)) = head.split_once(':').filter(|(series, _)| is_version(series)) {
        format!("unknown series '{series}' in {series}:{flavour}; a series is one of {known}")
    } else if head.contains('/') {
        format!("no kernel image, package or source tree at {head}; a series is one of {known}")
    } else {
        format!("unknown kernel '{head}': neither a series ({known}) nor a file or directory")
    }))
}

/// Returns whether `text` is two numbers with a dot between them.
fn is_version(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('.').is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// Reads `FLAVOUR` or `FLAVOUR=VERSION` in `rest`; gives what follows it, too.
fn split_flavour<'a>(word: &str, series: &str, rest: &'a str) -> Result<(Flavour, &'a str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let (name, rest) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
    if name.is_empty() {
        let sentence =
            format!("{word}: a flavour must follow '{series}:', for instance {series}:cloud or {series}:amd64");
        return Err(Error::usage(sentence));
    }
    let flavour = |version| Flavour { series: series.to_owned(), name: name.to_owned(), version };
    let Some(text) = rest.strip_prefix('=') else {
        return match rest.chars().next() {
            None | Some('+' | '@' | ',') => Ok((flavour(None), rest)),
            Some(_) => Err(Error::usage(format!(
                "{word}: '{rest}' follows the flavour {name}, which is no version (=VERSION)"
            ))),
        };
    };
    let (version, rest) = text.split_at(version_length(text));
    if version.is_empty() {
        return Err(Error::usage(format!("{word}: a version must follow '=', as dirleak kernel list shows them")));
    }
    if let Some(other) = version.chars().find(|c| !(c.is_ascii_alphanumeric() || "+-.:~".contains(*c))) {
        return Err(Error::usage(format!(
            "{word}: the version '{version}' has a {other:?} in it, which no version has"
        )));
    }
    Ok((flavour(Some(version.to_owned())), rest))
}

/// Returns how many bytes of `text` are the version of a Debian package. A plus in it (`7.3.4-1~bpo13+1`, `6.12.118+deb13`) is
/// followed by a number or by the distribution's; anything else behind a plus is a patch.
fn version_length(text: &str) -> usize {
    let goes_on = |rest: &str| {
        let rest = rest.strip_prefix("deb").unwrap_or(rest);
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        // `6.1:cloud=6.1.192-3+2fixes` has a patch, `+1` and `+deb12u1` belong to the version.
        digits > 0 && rest[digits..].chars().next().is_none_or(|c| matches!(c, '+' | '.' | 'u' | '@' | ',' | '~'))
    };
    let ends = |(at, c): &(usize, char)| match c {
        '@' | ',' => true,
        '+' => !goes_on(&text[at + 1..]),
        _ => false,
    };
    text.char_indices().find(ends).map_or(text.len(), |(at, _)| at)
}

/// Reads `,PACKAGE`, as often as it comes; gives the packages and what follows them.
fn split_beside<'a>(word: &str, mut rest: &'a str, world: &impl SpecContext) -> Result<(Vec<PathBuf>, &'a str)> {
    let mut beside = Vec::new();
    while let Some(text) = rest.strip_prefix(',') {
        let head = text.split(',').next().unwrap_or_default();
        let missing = || Error::usage(format!("{word}: there is no kernel package at '{head}'"));
        let path = longest_existing(text, &['@', '+', ','], world).ok_or_else(missing)?;
        beside.push(PathBuf::from(path));
        rest = &text[path.len()..];
    }
    Ok((beside, rest))
}

/// Returns the longest prefix of `text` that exists and is followed by nothing or by one of `ends`.
fn longest_existing<'a>(text: &'a str, ends: &[char], world: &impl SpecContext) -> Option<&'a str> {
    let cuts = std::iter::once(text.len()).chain(text.rmatch_indices(ends).map(|(at, _)| at));
    cuts.map(|at| &text[..at]).find(|prefix| !prefix.is_empty() && world.exists(Path::new(prefix)))
}

/// Splits `@REV` off; gives it and what follows it.
fn split_rev<'a>(word: &str, rest: &'a str) -> Result<(Option<String>, &'a str)> {
    let Some(rest) = rest.strip_prefix('@') else {
        return Ok((None, rest));
    };
    let (rev, rest) = rest.split_at(rest.find('+').unwrap_or(rest.len()));
    if rev.is_empty() {
        return Err(Error::usage(format!("{word}: a revision must follow '@', for instance @v6.1")));
    }
    Ok((Some(rev.to_owned()), rest))
}

/// Reads `+NAME` and `+FILE.patch`, as often as they come.
fn split_patches(word: &str, mut rest: &str, world: &impl SpecContext) -> Result<Vec<PatchRef>> {
    let mut patches = Vec::new();
    while let Some(text) = rest.strip_prefix('+') {
        let first = &text[..text.find('+').unwrap_or(text.len())];
        // The name of the user's file may itself contain a plus.
        let item = longest_existing(text, &['+'], world).filter(|p| looks_like_file(p)).unwrap_or(first);
        if item.is_empty() {
            return Err(Error::usage(format!("{word}: a patch must follow '+', for instance +NAME or +FILE.patch")));
        }
        patches.push(patch_ref(item, world)?);
        rest = &text[item.len()..];
    }
    Ok(patches)
}

/// Reads the word for a patch, which is a name unless it contains `/` or ends in `.patch`.
pub fn patch_ref(text: &str, world: &impl SpecContext) -> Result<PatchRef> {
    if text.is_empty() {
        return Err(Error::usage("--patch needs a name or a file"));
    }
    if !looks_like_file(text) {
        return Ok(PatchRef::Name(text.to_owned()));
    }
    if !world.exists(Path::new(text)) {
        return Err(Error::usage(format!("no patch file {text}")));
    }
    Ok(PatchRef::File(PathBuf::from(text)))
}

fn looks_like_file(text: &str) -> bool {
    text.contains('/') || text.ends_with(".patch")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Here(&'static [&'static str]);

    impl SpecContext for Here {
        fn is_series(&self, name: &str) -> bool {
            name == "6.1"
        }
        fn exists(&self, path: &Path) -> bool {
            self.0.iter().any(|p| Path::new(p) == path)
        }
        fn series_names(&self) -> String {
            "6.1".into()
        }
    }

    const HERE: Here = Here(&[
        "6.1",
        "./6.1",
        "vmlinux",
        "dir/linux_6.1+deb12u1.deb",
        "linux",
        "linux@old",
        "../linux",
        "fix.patch",
        "a+b.patch",
        "p/fix",
        "name",
    ]);

    fn ok(word: &str) -> Spec {
        parse(word, &[], None, &HERE).unwrap()
    }

    fn refused(word: &str) -> String {
        let error = parse(word, &[], None, &HERE).unwrap_err();
        assert_eq!(error.exit(), crate::error::Exit::Usage);
        error.to_string()
    }

    fn path(p: &str) -> Base {
        Base::Path(p.into())
    }

    fn name(n: &str) -> PatchRef {
        PatchRef::Name(n.into())
    }

    fn file(f: &str) -> PatchRef {
        PatchRef::File(f.into())
    }

    #[test]
    fn series_wins_over_a_directory_of_that_name() {
        assert_eq!(ok("6.1").base, Base::Series("6.1".into()));
        assert_eq!(ok("./6.1").base, path("./6.1"));
    }

    #[test]
    fn patches_follow_a_series() {
        assert_eq!(ok("6.1+spare-pages").patches, [name("spare-pages")]);
        assert_eq!(ok("6.1+one+fix.patch+p/fix").patches, [name("one"), file("fix.patch"), file("p/fix")]);
        // A name stays a name even where a file is called the same.
        assert_eq!(ok("6.1+name").patches, [name("name")]);
    }

    #[test]
    fn patch_file_may_have_a_plus_in_its_name() {
        assert_eq!(ok("6.1+a+b.patch+one").patches, [file("a+b.patch"), name("one")]);
    }

    #[test]
    fn path_is_the_longest_prefix_that_exists() {
        assert_eq!(ok("dir/linux_6.1+deb12u1.deb").base, path("dir/linux_6.1+deb12u1.deb"));
        assert_eq!(ok("linux@old").base, path("linux@old"));
        assert_eq!(ok("linux@old").rev, None);
        assert_eq!(ok("vmlinux").base, path("vmlinux"));
    }

    #[test]
    fn kernel_may_be_in_several_packages() {
        let spec = ok("dir/linux_6.1+deb12u1.deb,vmlinux,name");
        assert_eq!(
            (spec.base, spec.beside),
            (path("dir/linux_6.1+deb12u1.deb"), vec!["vmlinux".into(), "name".into()])
        );
        assert!(refused("vmlinux,no.deb,name").contains("there is no kernel package at 'no.deb'"));
        assert!(refused("6.1,vmlinux").contains("names packages beside the series 6.1, which needs none"));
    }

    fn flavour(name: &str, version: Option<&str>) -> Base {
        Base::Distribution(Flavour { series: "6.1".into(), name: name.into(), version: version.map(str::to_owned) })
    }

    #[test]
    fn flavour_of_a_series_takes_a_version_and_patches() {
        assert_eq!(ok("6.1:cloud").base, flavour("cloud", None));
        let spec = ok("6.1:cloud-amd64+one+fix.patch");
        assert_eq!((spec.base, spec.patches), (flavour("cloud-amd64", None), vec![name("one"), file("fix.patch")]));
        for version in ["6.1.192-3", "6.1.176-1+deb12u1", "7.3.4-1~bpo13+1", "6.12.118+deb13", "6.12.115+deb13.1"] {
            let spec = ok(&format!("6.1:amd64={version}+one"));
            assert_eq!((spec.base, spec.patches), (flavour("amd64", Some(version)), vec![name("one")]), "{version}");
        }
        assert_eq!(ok("6.1:cloud=6.1.192-3+2fixes").patches, [name("2fixes")]);
    }

    #[test]
    fn flavour_that_cannot_be_is_refused_in_a_sentence() {
        for (word, part) in [
            ("6.1:", "a flavour must follow '6.1:', for instance 6.1:cloud or 6.1:amd64"),
            ("6.1:cloud=", "a version must follow '='"),
            ("6.1:cloud=../x", "the version '../x' has a '/' in it"),
            ("6.1:cloud/x", "'/x' follows the flavour cloud"),
            ("6.1:cloud@v6.1", "the series 6.1 has no revisions"),
            ("6.1:cloud,vmlinux", "names packages beside a distribution's kernel"),
            ("6.7:cloud", "unknown series '6.7' in 6.7:cloud; a series is one of 6.1"),
        ] {
            assert!(refused(word).contains(part), "{word}: {}", refused(word));
        }
    }

    #[test]
    fn tree_takes_a_revision_and_patches() {
        let spec = ok("../linux@v6.1-rc3+fix.patch");
        assert_eq!(
            spec,
            Spec {
                base: path("../linux"),
                beside: Vec::new(),
                rev: Some("v6.1-rc3".into()),
                patches: vec![file("fix.patch")]
            }
        );
    }

    #[test]
    fn options_say_the_same_without_the_grammar() {
        let spec = parse("linux", &["one".into(), "fix.patch".into()], Some("v6.1"), &HERE).unwrap();
        assert_eq!(spec.rev.as_deref(), Some("v6.1"));
        assert_eq!(spec.patches, [name("one"), file("fix.patch")]);
        let both = parse("linux@v6.0", &[], Some("v6.1"), &HERE).unwrap_err();
        assert!(both.to_string().contains("leave one of them out"), "{both}");
    }

    #[test]
    fn spec_that_cannot_be_is_refused_in_a_sentence() {
        for (word, part) in [
            ("6.7", "unknown kernel '6.7': neither a series (6.1) nor"),
            ("6.7+spare-pages", "unknown kernel '6.7'"),
            ("", "unknown kernel ''"),
            ("no/such/vmlinux", "no kernel image, package or source tree at no/such/vmlinux"),
            ("6.1+", "a patch must follow '+'"),
            ("6.1++x", "a patch must follow '+'"),
            ("linux@", "a revision must follow '@'"),
            ("6.1@v6.1", "the series 6.1 has no revisions"),
            ("6.1+no.patch", "no patch file no.patch"),
        ] {
            assert!(refused(word).contains(part), "{word}: {}", refused(word));
        }
    }

    #[test]
    fn revision_after_a_patch_is_part_of_no_patch_name() {
        // '@' is no separator after '+', so this is a patch called one@v6.1, which the catalog will not know.
        assert_eq!(ok("linux+one@v6.1").patches, [name("one@v6.1")]);
    }
}
