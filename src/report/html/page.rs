//! The page as a whole: its head, its sections, its foot.

use super::badge::verdict;
use super::document::{Parts, document};
use super::{bench, chapter};
use crate::error::Result;
use crate::report::console::Logs;
use crate::report::formats::format::Format;
use crate::report::headline::{self};
use crate::report::merge::Report;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// The format of `--html`.
#[derive(Debug)]
pub struct Html;

impl Format for Html {
    fn option(&self) -> &'static str {
        "html"
    }

    fn help(&self) -> &'static str {
        "Write a page to this file, which needs nothing but itself: no network, no script"
    }

    fn render(&self, report: &Report, logs: &Logs) -> Result<Vec<u8>> {
        Ok(page(report, logs).into_bytes())
    }
}

/// Returns the page. Whatever is from a result or a log is text in it: the templates escape all that they are given.
pub fn page(merged: &Report, logs: &Logs) -> String {
    let headline = headline::for_report(merged);
    let is_only = merged.chapters.len() + merged.benches.len() == 1;
    document(&Parts {
        title: &headline.sentence,
        about: about(merged),
        heading: verdict(&headline),
        main: html! {
            @for chapter in &merged.chapters { (chapter::section(chapter, logs, is_only)) }
            @for bench in &merged.benches { (bench::section(bench, logs, is_only)) }
        },
        footer: footer(merged),
    })
}

/// Returns what the page is about.
fn about(merged: &Report) -> &'static str {
    match (merged.chapters.is_empty(), merged.benches.is_empty()) {
        (true, false) => "dirleak: what listing NFS directories costs",
        (false, false) => "dirleak: kernel memory kept by listing NFS directories, and what listing them costs",
        _ => "dirleak: kernel memory kept by listing NFS directories",
    }
}

fn footer(merged: &Report) -> Markup {
    let benches = || merged.benches.iter();
    let versions = merged.chapters.iter().flat_map(|c| &c.versions).chain(benches().map(|bench| &bench.file.dirleak));
    let versions: BTreeSet<&str> = versions.map(String::as_str).collect();
    let names = merged.chapters.iter().flat_map(|chapter| &chapter.names).chain(benches().map(|bench| &bench.name));
    html! {
        p { "Measured by dirleak " (versions.into_iter().collect::<Vec<_>>().join(", ")) ". Made from:" }
        ul { @for name in names { li { code { (name) } } } }
        @for note in &merged.notes { p { (note) "." } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::html::plot;
    use crate::report::test_results::suites::tests::{HOSTILE, bisection, hostile, merged, runs};
    use crate::result::example;
    use crate::result::file::ResultFile;
    use crate::result::record::{RunRecord, Verdict};

    fn shown(file: ResultFile) -> String {
        page(&merged(vec![file]), &Logs::default())
    }

    #[test]
    fn page_has_verdict_picture_stack_and_command() {
        let text = shown(ResultFile { results: plot::tests::with_rounds(), ..example::verify() });
        for part in [
            "Proven: 6.1+spare-pages leaks 25.0",
            "<svg",
            "<code>nfs_readdir_page_array_append</code>",
            "dirleak verify --seed 42",
            "at most 0.13 per listing",
            "310 (+150)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn servers_of_a_cluster_are_shown() {
        let leak = plot::tests::with_rounds().remove(0);
        let leak_in = |scenario: &str| RunRecord { scenario: scenario.into(), ..leak.clone() };
        let results = vec![leak_in("cluster/server-2"), leak_in("cluster/1800")];
        let text = shown(ResultFile { clusters: vec![example::cluster()], results, ..runs(&[]) });
        assert!(text.contains("objects kept in cluster/server-2") && !text.contains("objects kept in cluster/1800"));
        for part in
            ["Servers of cluster on 6.1+spare-pages", "server-2 has the largest site, of 1800 entries", "server-1"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn page_fetches_nothing_and_has_no_script() {
        for text in [shown(example::verify()), shown(bisection()), shown(runs(&[Verdict::Crash])), shown(hostile())] {
            let lower = text.to_lowercase();
            for mark in ["<script", "<link", "<img", "<iframe", "@import", "url(", "onload=", "<object"] {
                assert!(!lower.contains(mark), "{mark}");
            }
        }
    }

    #[test]
    fn hostile_console_stays_text() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, format!("</pre></details><script>x</script>{HOSTILE}")).unwrap();
        let results = vec![RunRecord { console_log: Some(log.display().to_string()), ..example::leak() }];
        let file = ResultFile { results, proof: None, ..example::verify() };
        let text = page(&merged(vec![file]), &Logs::within([dir.path().to_owned()]));
        assert!(text.contains("&lt;/pre&gt;&lt;/details&gt;&lt;script&gt;x&lt;/script&gt;"), "{text}");
        assert!(!text.contains("<script") && !text.contains('\u{1b}'));
    }

    #[test]
    fn files_have_a_chapter_each() {
        let text = page(&merged(vec![example::verify(), bisection()]), &Logs::default());
        assert_eq!(text.matches("<section>").count(), 2);
        assert!(text.contains("2 results: 2 good."), "{text}");
    }
}
