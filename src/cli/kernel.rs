//! `dirleak kernel`: what can be booted, getting it ready, and getting rid of it.

use super::kernel_args::Sources;
use super::output::{print, print_exactly};
use crate::error::{Error, Exit, Result};
use crate::kernel;
use crate::kernel::build::store;
use crate::kernel::distribution::offer::{self, Image};
use crate::kernel::distribution::patched;
use crate::kernel::source::catalog::{Catalog, Series};
use crate::kernel::source::debian;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::text::layout::{self, Align};
use crate::text::truncate::{head_of, some_of};
use std::path::{Path, PathBuf};

/// List, build and remove kernels.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the series that are known by name, their patches and the distribution's kernels of them, and the kernels that are ready.
    List,
    /// Get a kernel ready, from the newest source of its series.
    Build(Wanted),
    /// Print where the image of a kernel is that is ready.
    Path(Wanted),
    /// Remove the kernels, their sources and their objects from the cache.
    Clean,
}

#[derive(clap::Args, Debug)]
struct Wanted {
    /// A series (6.1, or newest), the distribution's kernel of it (6.1:cloud), a source tree (DIR, DIR@REV), each with patches or
    /// without (6.1+spare-pages, DIR+fix.patch), or a path to an image.
    #[arg(value_name = "SPEC")]
    spec: String,
    #[command(flatten)]
    sources: Sources,
}

/// Does what the subcommand says.
pub fn run(arguments: &Args) -> Result<Exit> {
    let cache = Cache::open()?;
    match &arguments.command {
        Command::List => print(&list(&Catalog::load()?, &cache)).map(|()| Exit::Clean),
        Command::Build(wanted) => build(wanted, &cache),
        Command::Path(wanted) => path(wanted, &cache),
        Command::Clean => clean(&cache),
    }
}

fn list(catalog: &Catalog, cache: &Cache) -> String {
    let mut text = String::new();
    for series in catalog.iter() {
        let version = debian::cached(series, cache).map_or_else(|| "not fetched yet".into(), |s| s.version);
        text += &format!("{}: {} of Debian {} ({version})\n", series.name, series.package, series.suite);
        let patches = series.patches();
        if !patches.is_empty() {
            text += &layout::list("  patches: ", "    ", patches.iter().map(String::as_str), ", ", layout::WIDTH);
        }
        text += &flavours(series, cache);
    }
    let built = store::all(cache).into_iter().map(|kernel| {
        let dir = kernel.image.parent().map(Path::to_owned).unwrap_or_default();
        Ready {
            name: kernel.meta.series,
            patches: kernel.meta.patches,
            kernel: [kernel.meta.release, kernel.meta.version],
            dir,
        }
    });
    let patched = patched::all(cache).into_iter().map(|(meta, dir)| Ready {
        name: meta.release.clone(),
        patches: meta.patches,
        kernel: [meta.release, meta.version],
        dir,
    });
    text + &table("READY", built.collect(), &cache.root().join("kernels"))
        + &table("REBUILT MODULES OF", patched.collect(), &cache.root().join(patched::HOME))
}

/// Something in the cache.
struct Ready {
    name: String,
    patches: Vec<String>,
    /// The release and the version of the sources.
    kernel: [String; 2],
    dir: PathBuf,
}

/// Returns a table of what is ready in the directory `place`; nothing, if nothing is.
fn table(title: &str, ready: Vec<Ready>, place: &Path) -> String {
    if ready.is_empty() {
        return String::new();
    }
    let mut rows = vec![[title, "RELEASE", "SOURCE", "DIRECTORY"].map(str::to_owned)];
    for Ready { name, patches, kernel: [release, version], dir } in ready {
        let name = [vec![name], patches].concat().join("+");
        let width = release.len().clamp(10, 28);
        let dir = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let cells = [(name, 28 + width - 10), (release, width), (version, 12), (dir, 24.max(width + 17))];
        rows.push(cells.map(|(cell, width)| head_of(&cell, width)));
    }
    format!("\n{}in {}\n", aligned(&rows), place.display())
}

/// Returns a line for each flavour of the series as Debian builds it, with its versions, from the index that is at hand.
fn flavours(series: &Series, cache: &Cache) -> String {
    let name = &series.name;
    let Some(flavours) = offer::at_hand(name, &series.suite, cache) else {
        return format!("  as Debian builds it: not looked up yet (dirleak kernel build {name}:cloud does)\n");
    };
    if flavours.is_empty() {
        return format!("  as Debian builds it: no image of {name} in {}\n", series.suite);
    }
    let line = |(flavour, images): (&String, &Vec<Image>)| {
        let versions: Vec<&str> = images.iter().map(|image| image.version.as_str()).collect();
        format!("  {name}:{flavour} as Debian builds it: {}\n", some_of(&versions, offer::MOST_NAMED))
    };
    flavours.iter().map(line).collect()
}

/// Returns the rows as lines, without spaces at their ends.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    layout::table(rows, [Align::Left; N]).iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn build(wanted: &Wanted, cache: &Cache) -> Result<Exit> {
    let kernel = kernel::resolve(&wanted.spec, &wanted.sources.options(true), cache, &Ui::new())?;
    let version = kernel.source_version.map_or_else(String::new, |v| format!(", source {v}"));
    let megabytes = kernel.effort.downloaded_bytes / 1_000_000;
    let fetched = if megabytes > 0 { format!(", {megabytes} MB fetched") } else { String::new() };
    let how = match kernel.effort {
        e if e.built => format!(" ({:.0} s{fetched})", e.seconds),
        _ => " (was ready)".into(),
    };
    print(&format!("{}: Linux {}{version}{how}\n{}\n", kernel.spec, kernel.release, kernel.image.display()))?;
    Ok(Exit::Clean)
}

fn path(wanted: &Wanted, cache: &Cache) -> Result<Exit> {
    let kernel = kernel::cached(&wanted.spec, &wanted.sources.options(true), cache)?;
    let not_ready = || Error::kernel(format!("{0} is not ready; build it with: dirleak kernel build {0}", wanted.spec));
    print_exactly(&format!("{}\n", kernel.ok_or_else(not_ready)?.image.display())).map(|()| Exit::Clean)
}

fn clean(cache: &Cache) -> Result<Exit> {
    let bytes = store::clean(&Catalog::load()?, cache, &Ui::new())?;
    print(&format!("removed {} MB from {}\n", bytes / 1_000_000, cache.root().display()))?;
    Ok(Exit::Clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_have_no_tail() {
        let rows = [["A", "LONG", "C"], ["longer", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(aligned(&rows), "A       LONG  C\nlonger  b\n");
    }

    #[test]
    fn list_names_the_series_before_anything_was_built() {
        let dir = tempfile::tempdir().unwrap();
        let text = list(&Catalog::load().unwrap(), &Cache::at(dir.path().to_owned()).unwrap());
        assert!(text.contains("\n6.1: linux-source-6.1 of Debian bookworm (not fetched yet)\n  patches: "), "{text}");
        assert!(
            text.contains("\n  as Debian builds it: not looked up yet (dirleak kernel build 6.1:cloud does)\n"),
            "{text}"
        );
        assert!(!text.contains("READY"));
    }
}
