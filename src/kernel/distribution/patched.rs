//! Patches in a distribution's kernel: the modules that they touch are rebuilt, and kept under a key of everything they were made from.

use super::fit;
use super::module_tree::Origin;
use super::offer::Image;
use super::touched::{self, Kbuild, ModuleAt, is_no_code};
use crate::error::{Context, Error, Result};
use crate::kernel::bootable::Kernel;
use crate::kernel::build::build_tree::Tree;
use crate::kernel::build::make;
use crate::kernel::external::toolchain;
use crate::kernel::image::identify;
use crate::kernel::image::modules::Modules;
use crate::kernel::source::catalog::Series;
use crate::kernel::source::patch::{self, Change, Patch};
use crate::os::cache::{Cache, install_atomically};
use crate::os::progress::{Task, Ui};
use crate::text::truncate::some_of;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

/// Where in the cache the rebuilt modules are.
pub const HOME: &str = "modules";

/// Changed when the way of building changes what comes out.
const RECIPE: &str = "1";

const META: &str = "meta.json";

/// What tells debuggers of a kernel takes longer than all the rest, and needs the kernel's own.
const WITHOUT: [&str; 3] = ["CONFIG_DEBUG_INFO=", "CONFIG_DEBUG_INFO_BTF=", "CONFIG_DEBUG_INFO_BTF_MODULES="];

/// How many modules a line names.
const MOST_NAMED: usize = 3;

/// Patches that are put into a kernel of Debian's.
pub struct Patched<'a> {
    word: &'a str,
    image: Image,
    series: &'a Series,
    patches: &'a [Patch],
    /// What else can be done, for sentences.
    way_out: String,
}

/// What is known of modules that were rebuilt; `meta.json` beside their files.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Meta {
    /// The kernel's release and the version of its package.
    pub release: String,
    pub version: String,
    pub patches: Vec<String>,
    /// The compiler as it was called, and what it called itself.
    cc: String,
    compiler: String,
    /// SHA-256 by the name of the file.
    modules: BTreeMap<String, String>,
}

impl<'a> Patched<'a> {
    /// Takes the kernel `image` of `series`, which `word` asks for with `patches`.
    pub fn new(word: &'a str, image: Image, series: &'a Series, patches: &'a [Patch]) -> Self {
        let names: String = patches.iter().map(|patch| format!("+{}", patch.name)).collect();
        let way_out = format!("build the whole kernel from source instead: --kernel {}{names}", series.name);
        Self { word, image, series, patches, way_out }
    }

    /// Returns `kernel`, which is without them, with the patches, if their modules are there.
    pub fn cached(&self, kernel: Kernel, cache: &Cache) -> Result<Option<Kernel>> {
        let dir = self.home(&kernel, cache);
        Ok(read(&dir).filter(Meta::is_of_this_compiler).map(|_| self.with_modules(kernel, dir)))
    }

    /// Puts the patches into `kernel`, which is without them, building what is not there.
    pub fn ready(&self, kernel: Kernel, cache: &Cache, ui: &Ui) -> Result<Kernel> {
        let begin = Instant::now();
        if let Some(ready) = self.cached(kernel.clone(), cache)? {
            return Ok(ready);
        }
        let bytes = self.build(&kernel, cache, ui)?;
        let dir = self.home(&kernel, cache);
        let mut patched = self.with_modules(kernel, dir);
        patched.effort.seconds += begin.elapsed().as_secs_f64();
        patched.effort.downloaded_bytes += bytes;
        patched.effort.built = true;
        Ok(patched)
    }

    fn with_modules(&self, kernel: Kernel, dir: PathBuf) -> Kernel {
        Kernel {
            spec: self.word.to_owned(),
            patched_modules: Some(dir),
            patches: self.patches.iter().map(|patch| patch.name.clone()).collect(),
            series: Some(self.series.name.clone()),
            source_version: Some(self.image.version.clone()),
            ..kernel
        }
    }

    fn home(&self, kernel: &Kernel, cache: &Cache) -> PathBuf {
        let mut hasher = Sha256::new();
        let texts = [RECIPE, &self.image.version, &kernel.image_sha256].map(str::as_bytes);
        for part in texts.into_iter().chain(self.patches.iter().map(|patch| patch.content.as_slice())) {
            // The length keeps two neighbours from being read as one.
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        let key = &identify::hex(&hasher.finalize())[..16];
        cache.root().join(HOME).join(format!("{}-{key}", self.image.release()))
    }

    /// Rebuilds the modules, unless another dirleak did so meanwhile; gives how many bytes were fetched for it.
    fn build(&self, kernel: &Kernel, cache: &Cache, ui: &Ui) -> Result<u64> {
        let release = self.image.release();
        for program in ["patch", "make", "ld", "dpkg-deb", "tar", "xz"] {
            toolchain::require(program, &format!("putting a patch into {release}"))?;
        }
        // What is wrong with a patch is told before anything is fetched.
        let files = touched::files(self.patches, &release, &self.way_out)?;
        let code = self.patches.iter().map(|patch| patch::without(patch, is_no_code));
        let code: Vec<Patch> = code.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
        let origin = Origin { image: &self.image, series: self.series, way_out: &self.way_out };
        let _lock = cache.lock(&format!("kernel-{}", origin.name()), ui)?;
        if self.cached(kernel.clone(), cache)?.is_some() {
            return Ok(0);
        }
        let (tree, bytes) = origin.open(cache, ui)?;
        let cc = origin.compiler(&tree.src())?;
        let source = format!("linux-source-{} {}", self.image.series(), self.image.version);
        let mut changes = patch::changes(&tree.src(), &source, &code)?;
        let symbols = fit::read_symbols(&tree.src())?;
        // Saved with the others, as what is rebuilt is taken out of it.
        changes.push(Change { path: fit::SYMBOLS.into(), content: Some(symbols.clone().into_bytes()) });
        let changed = tree.change(&changes)?;
        let maker = Maker { patched: self, tree: &tree, cc: &cc, symbols, ui };
        let stock = self.stock(kernel)?;
        let wanted = Kbuild::new(&tree.src(), &release, &self.way_out).modules(&files)?;
        let built = maker.all(wanted, &stock)?;
        self.keep(&built, &stock, &cc, &tree, &self.home(kernel, cache))?;
        changed.put_back()?;
        Ok(bytes)
    }

    /// Opens the modules of the kernel as it is.
    fn stock(&self, kernel: &Kernel) -> Result<Modules> {
        let none =
            || Error::kernel(format!("{} has no modules, so no patch can be put into it; {}", self.word, self.way_out));
        Modules::open(kernel.modules.as_ref().ok_or_else(none)?)
    }

    /// Puts what was built in place, whole.
    fn keep(&self, built: &[ModuleAt], stock: &Modules, cc: &str, tree: &Tree, dir: &Path) -> Result<()> {
        let failed = || format!("cannot write {}", dir.display());
        install_atomically(dir, |new| {
            fs::create_dir(new).machine(failed)?;
            let mut modules = BTreeMap::new();
            for module in built {
                let file = format!("{}.ko", module.name);
                let from = tree.src().join(&module.dir).join(&file);
                fit::check_magic(module, &from, stock)?;
                fs::copy(&from, new.join(&file)).machine(failed)?;
                modules.insert(file.clone(), identify::sha256(&new.join(&file))?);
            }
            let patches = self.patches.iter().map(|patch| patch.name.clone()).collect();
            let (release, version) = (self.image.release(), self.image.version.clone());
            let (cc, compiler) = (cc.to_owned(), toolchain::version_line(cc)?);
            let meta = Meta { release, version, patches, cc, compiler, modules };
            let text = serde_json::to_vec_pretty(&meta).expect("strings are always JSON");
            fs::write(new.join(META), text).machine(failed)
        })
    }
}

impl Meta {
    /// Returns whether they would be built with the same compiler today.
    fn is_of_this_compiler(&self) -> bool {
        let is_chosen = toolchain::chosen_compiler().is_none_or(|chosen| chosen == self.cc);
        is_chosen && toolchain::version_line(&self.cc).is_ok_and(|line| line == self.compiler)
    }
}

/// Returns the SHA-256 of each module in the directory of a kernel's rebuilt modules.
pub fn digests(dir: &Path) -> BTreeMap<String, String> {
    read(dir).map(|meta| meta.modules).unwrap_or_default()
}

/// Reads what is whole in `dir`.
fn read(dir: &Path) -> Option<Meta> {
    let meta: Meta = serde_json::from_slice(&fs::read(dir.join(META)).ok()?).ok()?;
    let is_same =
        |(file, sha256): (&String, &String)| identify::sha256(&dir.join(file)).is_ok_and(|now| now == *sha256);
    meta.modules.iter().all(is_same).then_some(meta)
}

/// Returns all that are there, with their directories.
pub fn all(cache: &Cache) -> Vec<(Meta, PathBuf)> {
    let entries = fs::read_dir(cache.root().join(HOME)).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut all: Vec<_> = entries.filter_map(|dir| Some((read(&dir)?, dir))).collect();
    all.sort_by(|a, b| (&a.0.release, &a.0.patches, &a.1).cmp(&(&b.0.release, &b.0.patches, &b.1)));
    all
}

/// Runs make for modules.
struct Maker<'a> {
    patched: &'a Patched<'a>,
    tree: &'a Tree,
    cc: &'a str,
    /// What the kernel and its modules offer, as the package says it.
    symbols: String,
    ui: &'a Ui,
}

impl Maker<'_> {
    /// Builds `wanted`, and after them those that do not fit any more; gives all of them.
    fn all(&self, wanted: BTreeSet<ModuleAt>, stock: &Modules) -> Result<Vec<ModuleAt>> {
        let release = self.patched.image.release();
        let mut all: Vec<ModuleAt> = self.in_order(wanted, stock)?;
        let mut done = 0;
        while done < all.len() {
            // What is rebuilt offers what it offers then, and nothing else.
            fit::write_symbols(&self.tree.src(), &self.symbols, &all)?;
            self.make(&all, done)?;
            done = all.len();
            let changed = fit::changed_symbols(&self.symbols, &self.tree.src(), &all)?;
            let misfits = fit::misfits(&changed, stock, &all, &self.tree.src(), &release, &self.patched.way_out)?;
            all.extend(self.in_order(misfits, stock)?);
        }
        Ok(all)
    }

    /// Returns those of `modules` that the kernel has, those before that others need; none of them is an error.
    fn in_order(&self, modules: BTreeSet<ModuleAt>, stock: &Modules) -> Result<Vec<ModuleAt>> {
        if modules.is_empty() {
            return Ok(Vec::new());
        }
        let release = self.patched.image.release();
        let (there, missing): (Vec<_>, Vec<_>) = modules.into_iter().partition(|module| stock.has(&module.plain()));
        if there.is_empty() {
            let names = missing.iter().map(|module| format!("{}.ko", module.name)).collect::<Vec<_>>().join(", ");
            return Err(Error::kernel(format!(
                "{names}, which the patch is in, is not among the modules of {release} that a guest can have; {}",
                self.patched.way_out
            )));
        }
        let names: Vec<String> = there.iter().map(ModuleAt::plain).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let order: Vec<String> = stock.needed(&names, &[], &release)?.into_iter().map(|module| module.name).collect();
        let place = |module: &ModuleAt| order.iter().position(|name| *name == module.plain());
        let mut there = there;
        there.sort_by_key(place);
        Ok(there)
    }

    /// Makes all of `modules` but the first `done`, which were made already, directory by directory. Of a directory those that were
    /// made are made with it, so that its list of symbols has them all.
    fn make(&self, modules: &[ModuleAt], done: usize) -> Result<()> {
        let names: Vec<String> = modules[done..].iter().map(|module| format!("{}.ko", module.name)).collect();
        let what = format!("building {} of {}", some_of(&names, MOST_NAMED), self.patched.word);
        let task = self.ui.task(what.clone());
        let mut end = done;
        while end < modules.len() {
            let dir = &modules[end].dir;
            end += modules[end..].iter().take_while(|module| module.dir == *dir).count();
            let (here, elsewhere): (Vec<&ModuleAt>, Vec<_>) =
                modules[..end].iter().partition(|module| module.dir == *dir);
            let symbols = elsewhere.iter().map(|module| self.tree.src().join(&module.dir).join(fit::SYMBOLS)).collect();
            self.make_in(dir, &here, &symbols, &what, &task)?;
        }
        task.done("done");
        Ok(())
    }

    /// Makes `modules` in `dir`; `symbols` are the lists of what was made elsewhere.
    fn make_in(
        &self,
        dir: &Path,
        modules: &[&ModuleAt],
        symbols: &BTreeSet<PathBuf>,
        what: &str,
        task: &Task,
    ) -> Result<()> {
        let src = self.tree.src();
        let jobs = std::thread::available_parallelism().map_or(1, |n| n.get());
        let symbols: Vec<_> = symbols.iter().map(|path| path.display().to_string()).collect();
        let mut command = Command::new("make");
        toolchain::clean_environment(&mut command);
        command.arg(format!("-j{jobs}")).arg("--no-print-directory").arg("-C").arg(&src);
        command.arg(format!("M={}", src.join(dir).display())).arg(format!("CC={}", self.cc)).arg("ARCH=x86");
        command.arg(format!("KERNELRELEASE={}", self.patched.image.release())).args(WITHOUT);
        command.arg(format!("KBUILD_EXTRA_SYMBOLS={}", symbols.join(" ")));
        command.args(modules.iter().map(|module| format!("{}.ko", module.name)));
        let now = Mutex::new(None);
        let hear = |line: &str| {
            if let Some(step) = make::step(line) {
                *now.lock().expect("nobody panics while holding it") = Some(step);
            }
        };
        make::run(self.tree, what, &mut command, hear, || {
            if let Some(step) = now.lock().expect("nobody panics while holding it").take() {
                task.note(&step.replace(&format!("{}/", src.display()), ""));
            }
            Ok(())
        })
    }
}
