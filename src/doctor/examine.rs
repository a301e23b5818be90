//! Looking at everything that this machine has and lacks.

use super::request::{CheckRequest, Places};
use super::{host, machine, programs};
use crate::error::Result;
use crate::os::cache::Cache;
use crate::os::progress::Ui;
use crate::result::doctor::{Check, Checkup, CostEstimate, Purpose, State};

/// Looks at everything. Nothing is fetched or built; one guest is booted where KVM was not tried yet since this machine booted.
pub fn examine(question: &CheckRequest, places: &Places, cache: &Cache, ui: &Ui) -> Result<Checkup> {
    let verify = CostEstimate::from_cache(question, cache)?;
    let mut checks = vec![machine::architecture()];
    checks.extend(programs::guests(&places.path));
    let has_qemu = checks.iter().all(|check| check.state == State::Ok);
    checks.push(machine::kvm(has_qemu, cache, ui)?);
    checks.extend(machine::sandbox(has_qemu));
    checks.push(machine::memory(&verify)?);
    checks.extend(programs::building(&places.path, &verify)?);
    checks.push(machine::disk(&verify, cache)?);
    checks.extend(programs::fetching(&places.path, &verify));
    checks.push(machine::apt_sources(&checks, &verify, cache));
    checks.extend(programs::others(places));
    checks.extend(host::checks());
    let has_apt = has_apt(&checks);
    for check in checks.iter_mut().filter(|check| check.state != State::Ok) {
        check.mend = check.mend.take().or_else(|| check.package.map(|package| programs::install(&[package], has_apt)));
    }
    Ok(Checkup { schema: 1, dirleak: env!("CARGO_PKG_VERSION"), checks, verify })
}

pub(super) fn has_apt(checks: &[Check]) -> bool {
    checks.iter().any(|check| check.name == "apt-get" && check.state == State::Ok)
}

impl Checkup {
    /// Returns what a verify cannot do without, in words.
    pub fn missing(&self) -> Vec<&str> {
        self.checks.iter().filter(|check| check.state == State::Missing).map(|check| check.name.as_str()).collect()
    }
}

impl Check {
    /// Makes the check of something that is there, about which `detail` is to be known.
    pub(super) fn ok(name: &str, purpose: Purpose, detail: String) -> Self {
        Self { name: name.into(), purpose, state: State::Ok, detail: Some(detail), package: None, mend: None }
    }

    /// Makes the check of something that is not as it should be, and what mends it.
    pub(super) fn lacking(name: &str, purpose: Purpose, is_needed: bool, detail: String, mend: String) -> Self {
        let state = if is_needed { State::Missing } else { State::Optional };
        Self { state, mend: Some(mend), ..Self::ok(name, purpose, detail) }
    }
}
