//! A browser without a window, driven over two pipes by the DevTools protocol: a JSON object each way, ended by a zero byte.

use crate::chromium::Chromium;
use dirleak::internals::os::process::Child;
use libtest_mimic::Failed;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Whatever takes longer will never end.
const PATIENCE: Duration = Duration::from_secs(60);
/// The descriptors on which Chromium reads and writes.
const THEIRS: [i32; 2] = [3, 4];
const OPTIONS: [&str; 12] = [
    "--headless",
    "--remote-debugging-pipe",
    // It shows files that we made, as whoever runs the tests, in containers as root.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "about:blank",
];

/// A browser that shows one page.
pub struct Browser {
    to: File,
    from: File,
    heard: Vec<u8>,
    /// What it said unasked.
    events: Vec<Value>,
    session: String,
    number: u64,
    // Dropping it kills the browser; its profile goes after it.
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    pub fn start(chromium: &Chromium) -> Result<Self, Failed> {
        let profile = tempfile::tempdir()?;
        let (their_in, to) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let (from, their_out) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let mut command = chromium.command();
        command.args(OPTIONS).arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Where they cannot be in each other's way when they are moved.
        let high = [high(&their_in)?, high(&their_out)?];
        let [read, write] = [high[0].as_raw_fd(), high[1].as_raw_fd()];
        // SAFETY: dup2 is async-signal-safe and touches no memory of ours.
        unsafe {
            command.pre_exec(move || {
                for (ours, theirs) in [read, write].into_iter().zip(THEIRS) {
                    if libc::dup2(ours, theirs) < 0 {
                        return Err(std::io::Error::last_os_error());
                    }
                }
                Ok(())
            });
        }
        let child = Child::spawn(&mut command).map_err(|e| e.to_string())?;
        let mut browser = Self {
            to: to.into(),
            from: from.into(),
            heard: Vec::new(),
            events: Vec::new(),
            session: String::new(),
            number: 0,
            _child: child,
            _profile: profile,
        };
        browser.attach()?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<(), Failed> {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }))?;
        let attached =
            self.call("Target.attachToTarget", json!({ "targetId": target["targetId"], "flatten": true }))?;
        self.session = attached["sessionId"].as_str().ok_or("the browser gives no session")?.to_owned();
        for domain in ["Page", "Network", "Log", "Runtime"] {
            self.call(&format!("{domain}.enable"), json!({}))?;
        }
        Ok(())
    }

    /// Asks for something and waits for the answer.
    pub fn call(&mut self, method: &str, params: Value) -> Result<Value, Failed> {
        self.number += 1;
        let mut order = json!({ "id": self.number, "method": method, "params": params });
        if !self.session.is_empty() {
            order["sessionId"] = self.session.clone().into();
        }
        self.to.write_all(format!("{order}\0").as_bytes())?;
        let end = Instant::now() + PATIENCE;
        loop {
            let mut said = self.hear(end)?;
            if said["id"] == self.number {
                return match said.get("error") {
                    Some(error) => Err(format!("{method}: {error}").into()),
                    None => Ok(said["result"].take()),
                };
            }
            self.events.push(said);
        }
    }

    /// Shows a page and waits until all of it is there; gives the addresses that were asked for, and what was complained of.
    pub fn show(&mut self, address: &str) -> Result<(Vec<String>, Vec<String>), Failed> {
        self.events.clear();
        self.call("Page.navigate", json!({ "url": address }))?;
        let end = Instant::now() + PATIENCE;
        while !self.events.iter().any(|event| event["method"] == "Page.loadEventFired") {
            let said = self.hear(end)?;
            self.events.push(said);
        }
        // Whatever the page asks for when it is there is asked for by now.
        self.evaluate("new Promise(done => setTimeout(done, 200))")?;
        let all = |method: &'static str, text: &'static str| {
            let events = self.events.iter().filter(move |event| event["method"] == method);
            events
                .filter_map(move |event| event["params"].pointer(text)?.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let complaints =
            [all("Log.entryAdded", "/entry/text"), all("Runtime.exceptionThrown", "/exceptionDetails/text")];
        Ok((all("Network.requestWillBeSent", "/request/url"), complaints.concat()))
    }

    /// What an expression comes to on the page.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value, Failed> {
        let params = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let mut answer = self.call("Runtime.evaluate", params)?;
        match answer.get("exceptionDetails") {
            Some(details) => Err(format!("{expression}: {details}").into()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// One message, at the latest at `end`.
    fn hear(&mut self, end: Instant) -> Result<Value, Failed> {
        loop {
            if let Some(length) = self.heard.iter().position(|byte| *byte == 0) {
                let message: Vec<u8> = self.heard.drain(..=length).collect();
                return Ok(serde_json::from_slice(&message[..length])?);
            }
            let left = end.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            if poll(&mut [PollFd::new(self.from.as_fd(), PollFlags::POLLIN)], timeout)? == 0 {
                return Err("the browser is silent".into());
            }
            let mut part = [0; 65536];
            match self.from.read(&mut part)? {
                0 => return Err("the browser has ended".into()),
                length => self.heard.extend(&part[..length]),
            }
        }
    }
}

/// The same descriptor with a number above those that Chromium wants; closed when the browser has its own.
fn high(of: &OwnedFd) -> nix::Result<OwnedFd> {
    use nix::fcntl::{FcntlArg, fcntl};
    use std::os::fd::FromRawFd;
    let number = fcntl(of, FcntlArg::F_DUPFD_CLOEXEC(10))?;
    // SAFETY: fcntl made it just now, for us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
