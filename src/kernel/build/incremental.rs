//! Building a kernel: the private tree of its series configured, patched, made and put back, which makes a variant with
//! a patch an increment of the build before it.

use super::build_tree::Tree;
use super::config;
use super::coverage;
use super::make;
use super::store::{self, Ingredients, Stored};
use crate::error::{Context, Error, Result};
use crate::kernel::external::toolchain;
use crate::kernel::image::identify;
use crate::kernel::source::debian::Source;
use crate::kernel::source::patch;
use crate::os::cache::{Cache, Lock};
use crate::os::progress::{Task, Ui};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

/// In the tree: what it was last configured from.
const CONFIGURED: &str = ".dirleak-configured";

/// In the tree: how many steps were made, and how many there are once that is known.
const STEPS: &str = ".dirleak-steps";

/// Builds what `ingredients` says, unless another dirleak did so meanwhile.
pub fn build(ingredients: &Ingredients, how: &BuildOptions, cache: &Cache, ui: &Ui) -> Result<Stored> {
    toolchain::check(matches!(ingredients.source, Source::Package { .. }))?;
    let name = ingredients.build_name();
    let home = cache.root().join("build").join(&name);
    let _lock = cache.lock(&format!("kernel-{name}"), ui)?;
    if let Some(ready) = store::find(ingredients, cache) {
        return Ok(ready);
    }
    let started = Instant::now();
    let tree = {
        let (seed, _lock) = seed(&ingredients.source, cache, ui)?;
        Tree::open(home, &ingredients.source, seed.as_deref(), ui)?
    };
    let changes = patch::changes(&tree.src(), &ingredients.source.to_string(), &ingredients.patches)?;
    let changed = tree.change(&changes)?;
    let maker = Maker { tree: &tree, ingredients, steps: Steps::load(&tree, ingredients.source.steps()), how, ui };
    maker.configure(&changes)?;
    maker.compile()?;
    let built = tree.src().join("vmlinux");
    let release = match identify::kind(&built)? {
        identify::Kind::Image { release } => release,
        other => return Err(Error::kernel(format!("the build made no kernel but {other:?}"))),
    };
    let stored = store::keep(ingredients, &tree.src(), release, started.elapsed().as_secs_f64(), cache)?;
    changed.put_back()?;
    Ok(stored)
}

/// Finds what the first build of a user's tree starts from: the tree of the series of the same version, and the lock on
/// it.
fn seed(source: &Source, cache: &Cache, ui: &Ui) -> Result<(Option<PathBuf>, Option<Lock>)> {
    let Source::Tree(snapshot) = source else { return Ok((None, None)) };
    let build = cache.root().join("build");
    let series = snapshot.version.to_string();
    if build.join(&snapshot.name).join("tree").exists() || !build.join(&series).exists() {
        return Ok((None, None));
    }
    let lock = cache.lock(&format!("kernel-{series}"), ui)?;
    Ok((Tree::at_rest(build.join(series)), Some(lock)))
}

/// Runs make in a tree.
struct Maker<'a> {
    tree: &'a Tree,
    ingredients: &'a Ingredients,
    steps: Steps,
    how: &'a BuildOptions<'a>,
    ui: &'a Ui,
}

/// How a build is to go about.
pub struct BuildOptions<'a> {
    /// Jobs of make.
    pub jobs: usize,
    /// Asked now and then; an error ends the build with it.
    pub go_on: &'a (dyn Fn() -> Result<()> + Sync),
}

impl Default for BuildOptions<'_> {
    /// Returns the options of a build with all processors, to the end.
    fn default() -> Self {
        Self { jobs: std::thread::available_parallelism().map_or(1, |n| n.get()), go_on: &|| Ok(()) }
    }
}

impl Maker<'_> {
    /// Turns the fragment into a configuration and checks that all of it was taken.
    fn configure(&self, changes: &[patch::Change]) -> Result<()> {
        let note = self.tree.src().join(CONFIGURED);
        let wanted = self.configured_from(changes)?;
        if fs::read_to_string(&note).is_ok_and(|text| text == wanted) {
            return Ok(());
        }
        super::build_tree::remove(&note)?;
        let fragment = self.tree.beside("fragment");
        fs::write(&fragment, &self.ingredients.fragment).machine(|| format!("cannot write {}", fragment.display()))?;
        let mut command = self.make();
        command.env("KCONFIG_ALLCONFIG", &fragment).arg("allnoconfig");
        let what = format!("configuring {}", self.ingredients.describe());
        make::run(self.tree, &what, &mut command, |_| {}, || Ok(()))?;
        let dot_config = self.tree.src().join(".config");
        let dot_config = fs::read_to_string(&dot_config).machine(|| format!("cannot read {}", dot_config.display()))?;
        let dropped = config::not_taken(&self.ingredients.fragment, &dot_config);
        if !dropped.is_empty() {
            return Err(Error::kernel(format!(
                "{} does not take {}: it depends on something that is off, or has another name there",
                self.ingredients.source,
                dropped.join(", ")
            )));
        }
        fs::write(&note, wanted).machine(|| format!("cannot write {}", note.display()))
    }

    /// Returns all that a configuration depends on: the fragment, the compiler, and Kconfig's files where they can change.
    fn configured_from(&self, changes: &[patch::Change]) -> Result<String> {
        let is_kconfig =
            |c: &&patch::Change| c.path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("Kconfig"));
        let patched: Vec<_> = changes.iter().filter(is_kconfig).collect();
        let asked: Vec<_> = config::requested_lines(&self.ingredients.fragment).collect();
        let kconfig = match &self.ingredients.source {
            Source::Package { .. } => String::new(),
            Source::Tree(snapshot) => snapshot.kconfig()?,
        };
        Ok(format!("{}\n{}\n{patched:?}\n{kconfig}", self.ingredients.compiler, asked.join("\n")))
    }

    /// Makes the vmlinux.
    fn compile(&self) -> Result<()> {
        let what = format!("building {}", self.ingredients.describe());
        let task = self.ui.task(what.clone());
        let mut command = self.make();
        command.arg(format!("-j{}", self.how.jobs)).arg("vmlinux");
        let result = make::run(
            self.tree,
            &what,
            &mut command,
            |line| self.steps.hear(line),
            || {
                self.steps.show(&task);
                (self.how.go_on)()
            },
        );
        self.steps.save(self.tree, result.is_ok());
        result?;
        task.done("done");
        Ok(())
    }

    /// Returns a make with an environment that makes the same vmlinux of the same sources everywhere.
    fn make(&self) -> Command {
        let mut command = Command::new("make");
        toolchain::clean_environment(&mut command);
        command.args(toolchain::chosen_compiler().map(|cc| format!("CC={cc}")));
        command.args(coverage::is_counting(&self.ingredients.fragment).then(coverage::argument));
        command.env("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970").env("KBUILD_BUILD_VERSION", "1");
        command.env("KBUILD_BUILD_USER", "dirleak").env("KBUILD_BUILD_HOST", "dirleak").env("LOCALVERSION", "");
        command.arg("-C").arg(self.tree.src()).arg("--no-print-directory");
        command
    }
}

impl Ingredients {
    /// Names a build: `6.1+spare-pages`.
    fn describe(&self) -> String {
        let patches = self.patches.iter().map(|p| format!("+{}", p.name));
        let base = match &self.source {
            Source::Package { series, .. } => series.name.clone(),
            Source::Tree(_) => self.source.to_string(),
        };
        std::iter::once(base).chain(patches).collect()
    }
}

/// How far a build is, counted in the lines by which make says what it does.
struct Steps {
    /// How many a build from scratch has: an estimate, until one was finished in this tree.
    total: u64,
    /// Whether a build from scratch is under way; an increment has as many as it has.
    whole: bool,
    now: Mutex<(u64, String)>,
}

impl Steps {
    fn load(tree: &Tree, estimate: u64) -> Self {
        let text = fs::read_to_string(tree.src().join(STEPS)).unwrap_or_default();
        let mut words = text.split_whitespace().map_while(|w| w.parse().ok());
        let (done, total) = (words.next().unwrap_or(0), words.next());
        Self { total: total.unwrap_or(estimate), whole: total.is_none(), now: Mutex::new((done, String::new())) }
    }

    /// Counts a line such as `  CC      fs/nfs/dir.o` as a step.
    fn hear(&self, line: &str) {
        if let Some(step) = make::step(line) {
            let mut now = self.now.lock().expect("nobody panics while holding it");
            *now = (now.0 + 1, step);
        }
    }

    fn show(&self, task: &Task) {
        let now = self.now.lock().expect("nobody panics while holding it").clone();
        if self.whole {
            task.progress(now.0.min(self.total), self.total);
        } else if !now.1.is_empty() {
            task.note(&now.1);
        }
    }

    /// Remembers how far a build came, or how long it was. Losing this only makes the next bar less true.
    fn save(&self, tree: &Tree, finished: bool) {
        let done = self.now.lock().expect("nobody panics while holding it").0;
        let text = match (self.whole, finished) {
            (true, true) => format!("{done} {done}\n"),
            (true, false) => format!("{done}\n"),
            (false, _) => return,
        };
        let _ = fs::write(tree.src().join(STEPS), text);
    }
}
