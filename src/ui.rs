//! What the user sees while we work, on standard error: bars on a terminal, plain lines everywhere else.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// The place where progress is shown. Cheap to clone, safe to use from several threads.
#[derive(Clone)]
pub struct Ui {
    bars: Option<MultiProgress>,
    silent: bool,
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

impl Ui {
    /// Bars if standard error is a terminal.
    pub fn new() -> Self {
        let terminal = std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|t| t != "dumb");
        Self { bars: terminal.then(MultiProgress::new), silent: false }
    }

    /// Shows nothing but what is said by `line`.
    pub fn plain() -> Self {
        Self { bars: None, silent: false }
    }

    /// Shows nothing at all.
    pub fn silent() -> Self {
        Self { bars: None, silent: true }
    }

    /// One line that stays.
    pub fn line(&self, text: &str) {
        let print = || {
            // A closed standard error is no reason to stop measuring.
            let _ = writeln!(std::io::stderr(), "{text}");
        };
        match &self.bars {
            Some(bars) => bars.suspend(print),
            None if self.silent => {}
            None => print(),
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

impl Default for Ui {
    fn default() -> Self {
        Self::new()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant").progress_chars("=> ")
}

impl Task {
    /// `done` of `total` parts are ready; shows a bar with the time left.
    pub fn progress(&self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total) {
                bar.set_style(style("{spinner} {msg} [{bar:25}] {pos}/{len}, {eta} left"));
                bar.set_length(total);
            }
            bar.set_position(done);
        } else if self.is_due() && done > 0 {
            let left = self.started.elapsed().mul_f64(total.saturating_sub(done) as f64 / done as f64);
            self.ui.line(&format!("{}: {done} of {total}, about {} s left", self.name, left.as_secs()));
        }
    }

    /// What is being done just now.
    pub fn note(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}: {text}", self.name));
        } else if self.is_due() {
            self.ui.line(&format!("{}: {text}", self.name));
        }
    }

    /// The work is done: one line says so and how long it took.
    pub fn done(self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.ui.line(&format!("{}: {text} ({:.1} s)", self.name, self.started.elapsed().as_secs_f64()));
    }

    fn is_due(&self) -> bool {
        let mut spoken = self.spoken.lock().expect("nobody panics while holding it");
        let due = spoken.elapsed() >= PLAIN_PAUSE;
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
