//! A program of the user's instead of a scenario.

use crate::error::{Error, Result};
use crate::scenario::program::Program;
use crate::scenario::{Overrides, Scenario, Step, Unit, select};

/// The scenario whose mount a program gets unless one is named.
const MOUNT: &str = "quick-v4";
/// What it mounts with beyond that.
const NEVER_GOOD: &str = "actimeo=0";
/// What the scenario is called.
const NAME: &str = "exec";
/// Memory for interpreters and their libraries, in MiB.
const MEMORY_MIB: u32 = 768;

/// What a unit runs, and what that needs.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct Exec {
    /// Judge this program instead of a listing: it runs once in each unit, in a directory of the mount, and must end with status 0. It is split
    /// into words as a shell does, and given to no shell; {dir} is its directory, {mount} the mount, {unit} the number of the unit, {seed} the
    /// seed. Programs and files that it names, and those that a shell script names, come into the guest. With a scenario, on its mount.
    #[arg(long, value_name = "COMMAND", conflicts_with_all = ["set", "entries"])]
    pub exec: Option<String>,
    /// A file or directory, beside or below the working directory, that the program needs. Can be given several times.
    #[arg(long = "file", value_name = "PATH", requires = "exec")]
    pub exec_files: Vec<String>,
    /// A program of this machine that it starts, by name. Can be given several times.
    #[arg(long = "program", value_name = "NAME", requires = "exec")]
    pub exec_programs: Vec<String>,
    /// A Debian package that it needs, which is unpacked and not installed. Can be given several times.
    #[arg(long = "package", value_name = "NAME", requires = "exec")]
    pub exec_packages: Vec<String>,
}

impl Exec {
    /// Returns the scenario of the program, on the mount of that which `words` name; `None` if there is no program.
    pub fn scenario(&self, words: &[String], overrides: &Overrides) -> Result<Option<Scenario>> {
        let Some(command) = &self.exec else { return Ok(None) };
        if words.len() > 1 {
            return Err(Error::usage("--exec takes the mount of one scenario; name one, or none"));
        }
        let program = Program::new(command);
        program
            .words()
            .map_err(|message| Error::usage(format!("--exec {command:?}: {}", message.replace("`run`", "it"))))?;
        let mut scenarios = select(words, None, &[MOUNT], overrides)?;
        let Some(mut scenario) = scenarios.pop() else { return Ok(None) };
        if scenario.cluster.is_some() {
            return Err(Error::usage(format!(
                "--exec cannot run in {}, whose servers are several guests",
                scenario.name
            )));
        }
        if words.is_empty() {
            // What has listings cold costs a program a call for each look at a file.
            let options = scenario.mount.options.split(',').filter(|option| *option != NEVER_GOOD);
            scenario.mount.options = options.collect::<Vec<_>>().join(",");
        }
        let on = if words.is_empty() { String::new() } else { format!("-{}", scenario.name) };
        scenario.name = format!("{NAME}{on}");
        scenario.summary = format!("`{command}` as a unit.");
        scenario.sets.clear();
        scenario.beside = ".".into();
        scenario.unit = Unit { name: "run".into(), steps: vec![Step::Run(program)] };
        let guest = &mut scenario.guest;
        (guest.files, guest.programs, guest.packages) =
            (self.exec_files.clone(), self.exec_programs.clone(), self.exec_packages.clone());
        guest.memory_mib = guest.memory_mib.max(MEMORY_MIB);
        Ok(Some(scenario))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(command: &str, words: &[&str]) -> Result<Scenario> {
        let exec = Exec { exec: Some(command.into()), exec_packages: vec!["acl".into()], ..Exec::default() };
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        exec.scenario(&words, &Overrides::default()).map(|scenario| scenario.expect("there is a program"))
    }

    #[test]
    fn program_is_the_only_step_of_a_scenario() {
        let own = scenario("./a.sh {dir}", &[]).unwrap();
        assert_eq!((own.name.as_str(), own.unit.name.as_str()), ("exec", "run"));
        assert_eq!(own.unit.steps, [Step::Run(Program::new("./a.sh {dir}"))]);
        assert_eq!(
            (own.mount.version.to_string().as_str(), own.guest.packages.as_slice()),
            ("4.2", &["acl".to_owned()][..])
        );
        let other = scenario("./a.sh", &["quick"]).unwrap();
        assert_eq!((other.name.as_str(), other.mount.version.to_string().as_str()), ("exec-quick", "3"));
    }

    #[test]
    fn program_that_cannot_be_is_told_before_anything_is_built() {
        let error = |command: &str, words: &[&str]| scenario(command, words).unwrap_err().to_string();
        assert_eq!(error(" ", &[]), "--exec \" \": it names no program");
        assert!(error("a 'b", &[]).contains("have no end"));
        assert!(error("a", &["quick", "quick-v4"]).contains("the mount of one scenario"));
        assert!(error("a", &["cluster"]).contains("several guests"));
    }
}
