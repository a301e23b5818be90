//! Pages made by dirleak from results that were measured.

use crate::browser::Browser;
use crate::must;
use libtest_mimic::Failed;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Results in tests/data/report: a comparison, runs of which some went wrong, a bisection, a cluster of servers; times of one kernel, of two,
/// and of directories of several sizes.
const FILES: [&str; 7] = ["verify", "run", "bisect", "cluster", "bench", "bench-compared", "bench-growth"];

/// Pages, the results that they are of, and how many pictures they have at least.
pub const PAGES: [(&str, &[&str], u64); 9] = [
    ("verify", &["verify"], 1),
    ("run", &["run"], 1),
    ("bisect", &["bisect"], 1),
    ("cluster", &["cluster"], 4),
    ("bench", &["bench"], 0),
    ("bench-compared", &["bench-compared"], 1),
    ("bench-growth", &["bench-growth"], 1),
    ("benches", &["bench", "bench-compared", "bench-growth"], 2),
    ("all", &FILES, 5),
];

/// What must never become an element.
pub const MARKUP: &str = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>";

/// A page and the directory that it is in.
pub struct Page {
    name: String,
    dir: TempDir,
}

impl Page {
    /// Of results that ship, with a console beside them.
    pub fn from_shipped(name: &str, files: &[&str]) -> Result<Self, Failed> {
        Self::make(name, files, |text| text)
    }

    /// The same with names, reasons and a console that are markup.
    pub fn hostile() -> Result<Self, Failed> {
        let markup = json!(MARKUP).to_string();
        let inside = markup.trim_matches('"').to_owned();
        let names = ["6.1+spare-pages", "6.1+slow-readdir", "million", "huge-flat", "quick", "AMD EPYC", "linear"];
        Self::make("hostile", &["verify", "bench-compared", "bench-growth"], move |text| {
            let text = text.replace("nfs_readdir_page_array_append", &inside).replace("kmalloc-256", &inside);
            let text = text.replace("\"unit\":\"listing\"", &format!("\"unit\":{markup}"));
            names.iter().fold(text, |text, name| text.replace(&format!("\"{name}\""), &markup))
        })
    }

    fn make(name: &str, files: &[&str], change: impl Fn(String) -> String) -> Result<Self, Failed> {
        let dir = tempfile::tempdir()?;
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/report");
        let mut command = Command::new(env!("CARGO_BIN_EXE_dirleak"));
        command.current_dir(dir.path()).env("XDG_CACHE_HOME", dir.path()).args(["report", "--html", "page.html"]);
        for file in files {
            let text = change(fs::read_to_string(data.join(format!("{file}.json")))?);
            let mut result: serde_json::Value = serde_json::from_str(&text)?;
            for record in result["results"].as_array_mut().into_iter().flatten() {
                record["console_log"] = "console.log".into();
            }
            fs::write(dir.path().join(format!("{file}.json")), result.to_string())?;
            command.arg(format!("{file}.json"));
        }
        let console = format!("[    0.000000] Linux version\n{}\n{MARKUP}\n</pre></details>\n", "x".repeat(400));
        fs::write(dir.path().join("console.log"), console)?;
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        must(output.status.success() && said.is_empty(), || {
            format!("dirleak report ended with {}: {said}", output.status)
        })?;
        Ok(Self { name: name.to_owned(), dir })
    }

    pub fn address(&self) -> String {
        format!("file://{}", self.dir.path().join("page.html").display())
    }

    /// Keeps a picture of what is shown, for people, if they ask for it.
    pub fn keep(&self, browser: &mut Browser, how: &str) -> Result<(), Failed> {
        let Some(to) = std::env::var_os("DIRLEAK_SCREENSHOTS").map(PathBuf::from) else { return Ok(()) };
        let params = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = browser.call("Page.captureScreenshot", params)?;
        // As the browser gives it: `base64 -d` makes the picture of it.
        let text = picture["data"].as_str().unwrap_or_default();
        Ok(fs::write(to.join(format!("{}-{how}.png.base64", self.name)), text)?)
    }
}
