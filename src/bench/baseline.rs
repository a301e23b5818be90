//! A result that was stored, to compare with: refused where seconds of then are not seconds of now.

use super::compare::compare;
use crate::error::{Error, Result};
use crate::result::bench::{BenchFile, BenchRecord, Comparison, Machine};
use crate::scenario::{Scenario, ServerKind};
use crate::vm::qemu::Accelerator;
use std::path::Path;

/// A file that was read.
pub struct Baseline {
    shown: String,
    file: BenchFile,
}

impl Baseline {
    /// Reads the result of a bench; what is none is said in one sentence.
    pub fn read(path: &Path) -> Result<Self> {
        let file = BenchFile::read(path)?;
        Ok(Self { shown: path.display().to_string(), file })
    }

    /// Refuses what cannot be compared, before anything is booted.
    pub fn check(&self, machine: &Machine, accelerator: Accelerator, scenarios: &[Scenario], seed: u64) -> Result<()> {
        let refuse = |what: String| {
            Err(Error::usage(format!("{} cannot be compared with: {what}; measure the reference anew", self.shown)))
        };
        let (then, now) = (self.file.accelerator.as_str(), accelerator.as_str());
        if then != now {
            return refuse(format!("its accelerator is {then}, and now it is {now}"));
        }
        if let Some((what, then, now)) = difference(&self.file.machine, machine, accelerator) {
            return refuse(format!("its {what} is \"{then}\", and here it is \"{now}\""));
        }
        for scenario in scenarios {
            let name = &scenario.name;
            let Some(record) = self.record(name) else {
                return refuse(format!("it has no result of the scenario {name}"));
            };
            if (Scenario { name: name.clone(), ..record.setup.clone() }) != *scenario || record.seed != seed {
                return refuse(format!("its scenario {name} was another one"));
            }
            let is_ours = scenario.server == ServerKind::Synthetic;
            if is_ours && self.file.machine.program_sha256 != machine.program_sha256 {
                return refuse(format!(
                    "the server of {name} is dirleak's own, and it was measured by another build of dirleak"
                ));
            }
        }
        Ok(())
    }

    /// Compares what was measured now with it.
    pub fn compare(&self, now: &BenchRecord, margin: f64) -> Option<Comparison> {
        let then = self.record(&now.scenario)?;
        let comparison = compare(then, now, margin);
        Some(Comparison { base: format!("{} in {}", then.kernel.spec, self.shown), ..comparison })
    }

    fn record(&self, scenario: &str) -> Option<&BenchRecord> {
        self.file.results.iter().find(|record| record.scenario == scenario)
    }
}

/// Returns what of the machine is another, if it matters: where instructions are counted it is QEMU that executes them,
/// wherever it runs.
fn difference<'a>(
    then: &'a Machine,
    now: &'a Machine,
    accelerator: Accelerator,
) -> Option<(&'static str, String, String)> {
    let real = accelerator != Accelerator::Counted;
    let parts = [
        (true, "QEMU", then.qemu.clone(), now.qemu.clone()),
        (real, "processor", then.processor.clone(), now.processor.clone()),
        (real, "number of processors", then.processors.to_string(), now.processors.to_string()),
        (real, "memory in MiB", then.memory_mib.to_string(), now.memory_mib.to_string()),
        (real, "kernel of the host", then.host_release.clone(), now.host_release.clone()),
    ];
    parts.into_iter().find(|(matters, _, a, b)| *matters && a != b).map(|(_, what, a, b)| (what, a, b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use crate::protocol::timing::Footprint;
    use crate::result::bench::{KernelId, SCHEMA};
    use crate::scenario::load;

    fn machine() -> Machine {
        Machine {
            processor: "Some CPU".into(),
            processors: 2,
            memory_mib: 24_000,
            host_release: "6.18".into(),
            qemu: "QEMU 7.2".into(),
            program_sha256: "aa".into(),
        }
    }

    fn stored(scenario: &Scenario) -> BenchFile {
        BenchFile {
            bench: SCHEMA,
            dirleak: "0.1.0".into(),
            command_line: Vec::new(),
            machine: machine(),
            accelerator: "tcg-icount".into(),
            results: vec![BenchRecord {
                scenario: scenario.name.clone(),
                kernel: KernelId::default(),
                entries: 1,
                seed: 42,
                setup: scenario.clone(),
                wall_seconds: 1.0,
                states: Vec::new(),
                memory: Footprint::default(),
                listings: Vec::new(),
                console_log: None,
            }],
            comparisons: Vec::new(),
            growth: Vec::new(),
            fail_if_slower: None,
        }
    }

    fn read(text: &str) -> Result<Baseline> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Baseline::read(file.path())
    }

    #[test]
    fn stored_bench_is_taken_where_nothing_has_changed() {
        let scenario = load("quick").unwrap();
        let reference = read(&serde_json::to_string(&stored(&scenario)).unwrap()).unwrap();
        let elsewhere = Machine { processor: "Other CPU".into(), processors: 64, ..machine() };
        for machine in [machine(), elsewhere] {
            reference.check(&machine, Accelerator::Counted, std::slice::from_ref(&scenario), 42).unwrap();
        }
    }

    #[test]
    fn change_since_the_baseline_is_named() {
        let scenario = load("quick").unwrap();
        let mut file = stored(&scenario);
        let refusal = |file: &BenchFile, machine: Machine, accelerator, scenario: &Scenario| {
            let reference = read(&serde_json::to_string(file).unwrap()).unwrap();
            let error = reference.check(&machine, accelerator, std::slice::from_ref(scenario), 42).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            error.to_string()
        };
        let counted = Accelerator::Counted;
        let error = refusal(&file, machine(), Accelerator::Kvm, &scenario);
        assert!(error.contains("its accelerator is tcg-icount, and now it is kvm; measure"), "{error}");
        let error = refusal(&file, Machine { qemu: "QEMU 9.0".into(), ..machine() }, counted, &scenario);
        assert!(error.contains("its QEMU is \"QEMU 7.2\", and here it is \"QEMU 9.0\""), "{error}");
        let error = refusal(&file, Machine { program_sha256: "bb".into(), ..machine() }, counted, &scenario);
        assert!(error.contains("another build of dirleak"), "{error}");
        let error = refusal(&file, machine(), counted, &load("huge-flat").unwrap());
        assert!(error.contains("it has no result of the scenario huge-flat"), "{error}");
        let mut other = scenario.clone();
        other.mount.rsize_bytes = 8192;
        let error = refusal(&file, machine(), counted, &other);
        assert!(error.contains("its scenario quick was another one"), "{error}");
        file.accelerator = "kvm".into();
        let error = refusal(&file, Machine { processors: 4, ..machine() }, Accelerator::Kvm, &scenario);
        assert!(error.contains("its number of processors is \"2\", and here it is \"4\""), "{error}");
    }

    #[test]
    fn file_that_is_no_result_of_a_bench_is_told_in_a_sentence() {
        for (text, expected) in [
            ("", "is no result of dirleak bench: "),
            ("{\"schema\": 1}", "no field \"bench\""),
            ("{\"bench\": 9}", "its schema is 9"),
        ] {
            let error = read(text).err().unwrap();
            assert!(error.exit() == Exit::Usage && error.to_string().contains(expected), "{error}");
        }
        assert!(Baseline::read(Path::new("/nowhere.json")).is_err());
    }
}
