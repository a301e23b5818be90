//! A git tree with a made-up history on the sources of a series: commits that change nothing of note, merges, and some
//! that leak, mend, do not compile, do not boot or cannot list. For trials of bisections, which must name the right ones.

#![allow(dead_code, reason = "each of its users makes histories of other deeds")]

use dirleak::internals::kernel::source::catalog::Catalog;
use dirleak::internals::kernel::source::debian;
use dirleak::internals::os::cache::Cache;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a commit does to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Another object file, the same behaviour.
    Nothing,
    /// Applies the leak patch of this name.
    Leak(&'static str),
    /// Takes it out again.
    Fix(&'static str),
    /// Does not compile until the next `Mend`.
    DoesNotCompile,
    /// Panics at boot until the next `Mend`.
    Panics,
    /// Hangs at boot until the next `Mend`.
    Hangs,
    /// Listing fails until the next `Mend`.
    CannotList,
    /// Each getdents64 call leaks 16 MiB until the next `Mend`.
    LeaksUntilOom,
    /// Undoes what cannot stay.
    Mend,
}

impl Deed {
    /// What it puts at the head of nfs_readdir().
    fn at_head(self) -> &'static str {
        match self {
            Self::CannotList => "\n\tif (ctx->pos >= 0)\n\t\treturn -EIO;",
            Self::LeaksUntilOom => "\n\tfor (int made = 0; made < 4096; made++)\n\t\t__get_free_page(GFP_KERNEL);",
            _ => "",
        }
    }
}

/// The commits of a history by their numbers, the first one being 0.
pub struct GitHistory {
    /// Commit ids in the order of the deeds.
    pub ids: Vec<String>,
}

/// Files that commits change in passing; those of the second list only on side branches.
const FILES: [&str; 6] =
    ["fs/nfs/dir.c", "fs/nfs/inode.c", "fs/nfs/nfs3proc.c", "net/sunrpc/clnt.c", "fs/nfs/read.c", "mm/util.c"];
const SIDE_FILES: [&str; 2] = ["net/sunrpc/sched.c", "fs/nfsd/export.c"];

/// Where what cannot stay is put.
const PATIENT: &str = "fs/nfs/unlink.c";
/// Where listings begin.
const LISTING: &str = "fs/nfs/dir.c";
const HEAD: &str = "static int nfs_readdir(struct file *file, struct dir_context *ctx)\n{";

/// Below these, kernels of ours compile nothing; only what configures and makes is kept there.
const NOT_COMPILED: [&str; 12] = [
    "Documentation",
    "sound",
    "tools/perf",
    "tools/testing",
    "drivers/gpu",
    "drivers/media",
    "drivers/staging",
    "drivers/infiniband",
    "drivers/scsi",
    "drivers/usb",
    "drivers/net/ethernet",
    "drivers/net/wireless",
];

/// Makes the tree at `dir` of the source package of `series` in the cache, with one commit, unless it is there.
pub fn base(dir: &Path, series: &str) {
    if dir.join(".git/refs/heads/base").exists() {
        return;
    }
    let catalog = Catalog::load().expect("the catalog");
    let series = catalog.series(series).expect("a series of the catalog");
    let package = debian::cached(series, &Cache::open().expect("a cache")).expect("its source in the cache");
    fs::create_dir_all(dir).unwrap();
    let shell = format!(
        "set -e; rm -rf x; dpkg-deb -x {deb} x; \
         tar -x -I 'xz -T0 -dc' --no-same-owner --strip-components=1 -f x/usr/src/*.tar.xz; rm -rf x; \
         for d in {dirs} $(ls -d arch/*/ | grep -v arch/x86/); do \
             find $d -type f ! -name 'Kconfig*' ! -name 'Makefile*' ! -name Kbuild -delete; done; \
         git init -q -b main .; git add -f -A; {git} commit -qm 'The sources as they are'; git branch base",
        deb = package.deb.display(),
        dirs = NOT_COMPILED.join(" "),
        git = "GIT_COMMITTER_DATE=1700000000+0000 GIT_AUTHOR_DATE=1700000000+0000 git -c user.name=made -c user.email=made@localhost"
    );
    let output = Command::new("bash").args(["-c", &shell]).current_dir(dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

impl GitHistory {
    /// Adds `deeds` one after the other to the base of `dir`, as the branch `name` and the tags `NAME-0`, `NAME-1` and so on.
    /// After every `every`-th one a side branch of two commits is merged. `patches` has the leak patches.
    pub fn new(dir: &Path, name: &str, deeds: &[Deed], seed: u64, every: usize, patches: &Path) -> Self {
        let mut history = Script {
            dir,
            patches,
            text: String::new(),
            mark: 0,
            files: BTreeMap::new(),
            lot: ChaCha8Rng::seed_from_u64(seed),
            name,
        };
        let mut tip = "refs/heads/base".to_owned();
        for (number, deed) in deeds.iter().enumerate() {
            tip = history.commit(&[&tip], *deed, number);
            history.text.push_str(&format!("reset refs/tags/{name}-{number}\nfrom {tip}\n\n"));
            if number % every == every - 1 {
                tip = history.side_branch(&tip, number);
            }
        }
        history.text.push_str(&format!("reset refs/heads/{name}\nfrom {tip}\n\n"));
        history.import();
        let ids = (0..deeds.len()).map(|n| git(dir, &["rev-parse", &format!("{name}-{n}^{{commit}}")])).collect();
        Self { ids }
    }
}

/// What git fast-import is told.
struct Script<'a> {
    dir: &'a Path,
    patches: &'a Path,
    text: String,
    mark: u32,
    /// The files that were touched, as they are now.
    files: BTreeMap<String, String>,
    lot: ChaCha8Rng,
    name: &'a str,
}

impl Script<'_> {
    fn commit(&mut self, from: &[&str], deed: Deed, number: usize) -> String {
        let subject = match deed {
            Deed::Nothing => format!("change {number} of nothing of note"),
            other => format!("change {number}: {other:?}"),
        };
        let touched = self.touched(deed, number);
        self.write(from, &subject, &[touched])
    }

    /// Two commits beside the main line, and the merge.
    fn side_branch(&mut self, tip: &str, number: usize) -> String {
        let file = SIDE_FILES.choose(&mut self.lot).expect("it is not empty").to_string();
        let mut side = tip.to_owned();
        for part in ["a", "b"] {
            self.append(&file, &changed(&format!("{}_{number}{part}", self.name)));
            side = self.write(&[&side], &format!("side {number}{part}"), std::slice::from_ref(&file));
        }
        let main = self.commit(&[tip], Deed::Nothing, 1000 + number);
        self.write(&[&main, &side], &format!("Merge side {number}"), &[file])
    }

    /// Does it and gives the file in which it was done.
    fn touched(&mut self, deed: Deed, number: usize) -> String {
        let text = match deed {
            Deed::Nothing => {
                let file = FILES.choose(&mut self.lot).expect("it is not empty").to_string();
                self.append(&file, &changed(&format!("{}_{number}", self.name)));
                return file;
            }
            Deed::Leak(patch) => return self.patch(patch, false),
            Deed::Fix(patch) => return self.patch(patch, true),
            Deed::DoesNotCompile => "#error this does not compile",
            Deed::Panics => "static int __init made_up(void) { panic(\"made up\"); }\nlate_initcall(made_up);",
            Deed::Hangs => "static int __init made_up(void) { for (;;) barrier(); return 0; }\nlate_initcall(made_up);",
            Deed::CannotList | Deed::LeaksUntilOom => {
                let text = self.content(LISTING).replacen(HEAD, &format!("{HEAD}{}", deed.at_head()), 1);
                assert!(text.contains(deed.at_head()), "nfs_readdir() has another head");
                self.files.insert(LISTING.into(), text);
                return LISTING.into();
            }
            Deed::Mend => {
                let listing = self.content(LISTING);
                let at_head = [Deed::CannotList, Deed::LeaksUntilOom].map(Deed::at_head);
                if let Some(fault) = at_head.into_iter().find(|fault| listing.contains(fault)) {
                    self.files.insert(LISTING.into(), listing.replacen(fault, "", 1));
                    return LISTING.into();
                }
                self.files.remove(PATIENT);
                self.content(PATIENT);
                return PATIENT.into();
            }
        };
        self.append(PATIENT, &format!("\n#include <linux/init.h>\n#include <linux/kernel.h>\n{text}\n"));
        PATIENT.into()
    }

    fn content(&mut self, file: &str) -> String {
        let read = || fs::read_to_string(self.dir.join(file)).expect("the base has it");
        self.files.entry(file.to_owned()).or_insert_with(read).clone()
    }

    fn append(&mut self, file: &str, text: &str) {
        let content = self.content(file) + text;
        self.files.insert(file.to_owned(), content);
    }

    /// Leak patches of `fs/nfs/dir.c` alone.
    fn patch(&mut self, name: &str, reverse: bool) -> String {
        let scratch = tempfile::tempdir().unwrap();
        let (path, content) = (scratch.path().join("dir.c"), self.content(LISTING));
        fs::write(&path, content).unwrap();
        let patch = fs::File::open(self.patches.join(format!("{name}.patch"))).unwrap();
        let mut command = Command::new("patch");
        command.args(["-s", "--no-backup-if-mismatch"]).args(reverse.then_some("-R")).arg(&path).stdin(patch);
        assert!(command.status().unwrap().success(), "{name} does not apply");
        self.files.insert(LISTING.into(), fs::read_to_string(&path).unwrap());
        LISTING.into()
    }

    fn write(&mut self, from: &[&str], subject: &str, files: &[String]) -> String {
        self.mark += 1;
        let (mark, time) = (self.mark, 1_700_000_000 + self.mark * 60);
        let who = "made <made@localhost>";
        let text = &mut self.text;
        text.push_str(&format!("commit refs/heads/made\nmark :{mark}\ncommitter {who} {time} +0000\n"));
        text.push_str(&format!("data {}\n{subject}\n", subject.len()));
        for (at, from) in from.iter().enumerate() {
            text.push_str(&format!("{} {from}\n", if at == 0 { "from" } else { "merge" }));
        }
        for file in files {
            let content = self.files.get(file).cloned().expect("it was touched");
            text.push_str(&format!("M 100644 inline {file}\ndata {}\n{content}\n", content.len()));
        }
        text.push('\n');
        format!(":{mark}")
    }

    fn import(&self) {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.dir).args(["fast-import", "--quiet", "--force"]).stdin(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

/// Something that makes another object file and no other kernel.
fn changed(name: &str) -> String {
    let name = name.replace('-', "_");
    format!("\nstatic const char made_{name}[] __attribute__((used)) = \"{name}\";\n")
}

fn git(dir: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git").arg("-C").arg(dir).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// So many deeds of no note, with others at places drawn by lot, each with what undoes it after it: a leak and its fix, and one
/// commit each that does not compile and that panics, and in a long history that hangs and that cannot list. Also gives the
/// numbers of the leak and of its fix.
pub fn draw(commits: usize, seed: u64) -> (Vec<Deed>, usize, usize) {
    let mut lot = ChaCha8Rng::seed_from_u64(seed);
    let mut deeds = vec![Deed::Nothing; commits];
    let leak = lot.random_range(1..commits / 2);
    let fix = lot.random_range(commits / 2 + 1..commits - 1);
    (deeds[leak], deeds[fix]) = (Deed::Leak("spare-pages"), Deed::Fix("spare-pages"));
    let faults = [Deed::DoesNotCompile, Deed::Panics, Deed::CannotList, Deed::Hangs];
    for deed in &faults[..if commits < 48 { 2 } else { 4 }] {
        loop {
            let at = lot.random_range(1..commits - 3);
            // Away from the ends and from what is looked for, so that it can be told apart.
            if deeds[at - 1..at + 3].iter().all(|d| *d == Deed::Nothing) {
                (deeds[at], deeds[at + 1]) = (*deed, Deed::Mend);
                break;
            }
        }
    }
    (deeds, leak, fix)
}
