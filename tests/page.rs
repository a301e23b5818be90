//! The HTML report in a real browser: nothing is cut off, empty, illegible or fetched, on a phone, a tablet and a desk, in light and
//! dark and in print, and what a guest said is not run.
//!
//! Chromium is that of the search path, or Debian's package, which is unpacked into the cache. Where neither can be had the trials are
//! ignored. `DIRLEAK_SCREENSHOTS=DIR` keeps what was seen.

#[path = "page/browser.rs"]
mod browser;
#[path = "page/chromium.rs"]
mod chromium;
#[path = "page/made.rs"]
mod made;

use browser::Browser;
use chromium::Chromium;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use made::Page;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::sync::OnceLock;

/// Pixels of a phone, a tablet and a desk.
const WIDTHS: [u32; 3] = [360, 800, 1440];
const LOOK: &str = include_str!("page/look.js");

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // A browser is many processes already.
    arguments.test_threads = Some(1);
    let mut trials: Vec<Trial> = made::PAGES
        .iter()
        .map(|(name, files, pictures)| {
            trial(format!("the page of {name} is whole in each width, light and dark"), move |browser| {
                look(browser, &Page::from_shipped(name, files)?, *pictures)
            })
        })
        .collect();
    trials.push(trial("a page that is too wide is seen to be".into(), sees_what_is_wrong));
    trials.push(trial("what a guest said is text".into(), is_text));
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: String, body: impl FnOnce(&mut Browser) -> Result<(), Failed> + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        static CHROMIUM: OnceLock<Result<Chromium, String>> = OnceLock::new();
        match CHROMIUM.get_or_init(|| Chromium::find().map_err(|e| e.to_string())) {
            Ok(chromium) => body(&mut Browser::start(chromium)?).map(|()| Completion::Completed),
            Err(why) if std::env::var_os("DIRLEAK_NIGHTLY").is_some() => {
                Err(format!("all was to be tried, and there is no Chromium: {why}").into())
            }
            Err(why) => Ok(Completion::ignored_with(format!("there is no Chromium: {why}"))),
        }
    })
}

/// Looks at a page in every way that people do.
fn look(browser: &mut Browser, page: &Page, least: u64) -> Result<(), Failed> {
    for (media, scheme) in [("screen", "light"), ("screen", "dark"), ("print", "light")] {
        for width in WIDTHS {
            let seen = look_once(browser, page, width, media, scheme)?;
            let at = format!("{width} pixels, {media}, {scheme}");
            must(seen["wrong"] == json!([]), || format!("{at}: {:#}", seen["wrong"]))?;
            let pictures = seen["pictures"].as_u64();
            must(pictures >= Some(least), || format!("{at}: there are {pictures:?} pictures, not {least}"))?;
            let paper = seen["paper"].as_f64().unwrap_or(0.5);
            let right = if scheme == "dark" { paper < 0.1 } else { paper > 0.9 };
            must(right, || format!("{at}: the paper has luminance {paper}"))?;
        }
    }
    Ok(())
}

fn look_once(browser: &mut Browser, page: &Page, width: u32, media: &str, scheme: &str) -> Result<Value, Failed> {
    let metrics = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
    browser.call("Emulation.setDeviceMetricsOverride", metrics)?;
    let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
    browser.call("Emulation.setEmulatedMedia", json!({ "media": media, "features": features }))?;
    let (fetched, complaints) = browser.show(&page.address())?;
    must(fetched == [page.address()], || format!("it fetches {fetched:?}"))?;
    must(complaints.is_empty(), || format!("the browser complains: {complaints:?}"))?;
    page.keep(browser, &format!("{width}-{media}-{scheme}"))?;
    // Folded parts are looked at, too.
    browser.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")?;
    let seen = browser.evaluate(LOOK)?;
    page.keep(browser, &format!("{width}-{media}-{scheme}-open"))?;
    Ok(seen)
}

/// The look itself works: a page that was spoiled is not found whole.
fn sees_what_is_wrong(browser: &mut Browser) -> Result<(), Failed> {
    let page = Page::from_shipped("verify", &["verify"])?;
    let good = look_once(browser, &page, 360, "screen", "light")?;
    must(good["wrong"] == json!([]), || format!("{:#}", good["wrong"]))?;
    for spoil in [
        "document.querySelector('table').style.minWidth = '500px'",
        "document.querySelector('pre').style.cssText = 'white-space: pre; overflow: hidden; width: 5rem'",
        "document.querySelector('td').textContent = ''",
        "document.querySelector('h1').style.color = '#ccc'",
        "document.querySelectorAll('svg text').forEach(text => text.setAttribute('x', '-50'))",
        "document.querySelectorAll('circle').forEach(circle => circle.remove())",
    ] {
        look_once(browser, &page, 360, "screen", "light")?;
        browser.evaluate(spoil)?;
        let seen = browser.evaluate(LOOK)?;
        must(seen["wrong"] != json!([]), || format!("nothing is found wrong after {spoil}"))?;
    }
    Ok(())
}

/// A result and a console log full of markup: none of it becomes an element, and nothing runs.
fn is_text(browser: &mut Browser) -> Result<(), Failed> {
    let page = Page::hostile()?;
    let seen = look_once(browser, &page, 800, "screen", "light")?;
    must(seen["wrong"] == json!([]), || format!("{:#}", seen["wrong"]))?;
    let elements = browser.evaluate("document.querySelectorAll('script, img, iframe, [onerror], [onload]').length")?;
    must(elements == 0, || format!("{elements} elements came through"))?;
    let ran = browser.evaluate("String(window.ran)")?;
    must(ran == "undefined", || "a script ran".into())?;
    let shown = browser.evaluate(&format!("document.body.innerText.includes({})", json!(made::MARKUP)))?;
    must(shown == true, || "what the guest said is not shown".into())
}

pub fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failed> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
