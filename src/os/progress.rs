//! What the user sees while we work, on standard error: bars on a terminal, plain lines everywhere else.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How much is told.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing at all.
    Silent,
    /// What the user must know.
    Quiet,
    /// A line for each step that is finished, and bars on a terminal.
    #[default]
    Normal,
    /// A line for whatever happens, each program that is started among it; no bars.
    Verbose,
}

/// What the command line asks for.
static LEVEL: OnceLock<Level> = OnceLock::new();

/// Sets how much is told from now on. Only the first call counts.
pub fn set_level(level: Level) {
    let _ = LEVEL.set(level);
}

fn level() -> Level {
    LEVEL.get().copied().unwrap_or_default()
}

/// The place where progress is shown. Cheap to clone, safe to use from several threads.
#[derive(Clone)]
pub struct Ui {
    bars: Option<MultiProgress>,
    level: Level,
}

/// One piece of long work. Ends with `done`; dropped without it, it just disappears.
pub struct Task {
    ui: Ui,
    name: String,
    bar: Option<ProgressBar>,
    started: Instant,
    /// Where there is no terminal: when the last line was printed.
    spoken: std::sync::Mutex<Instant>,
}

/// Between two lines about the same work in a log.
const PLAIN_PAUSE: Duration = Duration::from_secs(30);
/// The same for those who want to know.
const VERBOSE_PAUSE: Duration = Duration::from_secs(3);

impl Ui {
    /// Tells as much as the command line asks for, with bars if standard error is a terminal.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Self { bars: (terminal && level() == Level::Normal).then(MultiProgress::new), level: level() }
    }

    /// Shows lines and no bars.
    pub fn plain() -> Self {
        Self { bars: None, level: Level::Normal }
    }

    /// Shows nothing at all.
    pub fn silent() -> Self {
        Self { bars: None, level: Level::Silent }
    }

    /// Prints one line that stays: a step is finished.
    pub fn line(&self, text: &str) {
        if self.level >= Level::Normal {
            self.print(text);
        }
    }

    /// Prints one line that stays, for the quiet too: something that changes what the result means.
    pub fn warn(&self, text: &str) {
        if self.level >= Level::Quiet {
            self.print(text);
        }
    }

    fn print(&self, text: &str) {
        match &self.bars {
            Some(bars) => bars.suspend(|| print(text)),
            None => print(text),
        }
    }

    /// Begins a piece of long work.
    pub fn task(&self, name: impl Into<String>) -> Task {
        let name = name.into();
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new_spinner().with_message(name.clone()));
            bar.set_style(style("{spinner} {wide_msg} {elapsed}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        if bar.is_none() {
            self.line(&format!("{name} ..."));
        }
        let started = Instant::now();
        Task { ui: self.clone(), name, bar, started, spoken: std::sync::Mutex::new(started) }
    }
}

/// Steps of a bar whose parts take different times.
const SHARES: u64 = 1000;

impl Default for Ui {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells which program is started, to those who want to know.
pub fn started(command: &Command) {
    if level() == Level::Verbose {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let words: Vec<String> = words.map(|word| quoted(&word.to_string_lossy())).collect();
        print(&format!("+ {}", words.join(" ")));
    }
}

/// Quotes a word as a shell takes it, on one line.
fn quoted(word: &str) -> String {
    crate::text::quote::quoted(word).replace('\n', " ")
}

fn print(text: &str) {
    // A closed standard error is no reason to stop measuring.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("=> ")
}

impl Task {
    /// Shows that `done` of `total` parts are ready, by a bar with the time left.
    pub fn progress(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_style(style("{spinner} {wide_msg} [{bar:20}] {pos}/{len}, {eta} left"));
                bar.set_length(total);
            }
            bar.set_position(done);
        } else if self.is_due() && done > 0 {
            let left = self.started.elapsed().mul_f64(total.saturating_sub(done) as f64 / done as f64);
            self.ui.line(&format!("{}: {done} of {total}, about {} s left", self.name, left.as_secs()));
        }
    }

    /// Shows that `done` of `total` parts are ready, which take a long time each; `share` of the whole time is behind
    /// us.
    pub fn part(&self, done: usize, total: usize, share: f64) {
        let text = format!("{}: {done} of {total}", self.name);
        if let Some(bar) = &self.bar {
            bar.set_style(style("{spinner} {wide_msg} [{bar:20}] {eta} left"));
            bar.set_length(SHARES);
            bar.set_position((share * SHARES as f64) as u64);
            bar.set_message(text);
        } else if self.is_due() && share > 0.0 {
            let left = self.started.elapsed().mul_f64((1.0 - share).max(0.0) / share);
            self.ui.line(&format!("{text}, about {} s left", left.as_secs()));
        }
    }

    /// Shows what is being done just now.
    pub fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.name));
        } else if self.is_due() {
            self.ui.line(&format!("{}: {text}", self.name));
        }
    }

    /// Ends the work: one line says that it is done and how long it took.
    pub fn done(self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.ui.line(&format!("{}: {text} ({:.1} s)", self.name, self.started.elapsed().as_secs_f64()));
    }

    fn is_due(&self) -> bool {
        let mut spoken = self.spoken.lock().expect("nobody panics while holding it");
        let pause = if self.ui.level == Level::Verbose { VERBOSE_PAUSE } else { PLAIN_PAUSE };
        let due = spoken.elapsed() >= pause;
        if due {
            *spoken = Instant::now();
        }
        due
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_in_order() {
        assert!(Level::Silent < Level::Quiet && Level::Quiet < Level::Normal && Level::Normal < Level::Verbose);
    }

    #[test]
    fn commands_are_told_as_a_shell_takes_them() {
        assert_eq!(quoted("-j2"), "-j2");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("two\nlines"), "'two lines'");
    }
}
