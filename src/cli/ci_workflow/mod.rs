//! The workflow files that have dirleak run in somebody's CI.

#[cfg(test)]
mod tests;

use crate::doctor;
use crate::text::layout;
use std::path::Path;

/// Debian with a Rust toolchain; `dirleak` is built and run in it.
const IMAGE: &str = "rust:1-bookworm";

/// Systems that workflows are written for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub enum System {
    Github,
    Gitlab,
}

/// What the workflow runs.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Kernel specs.
    pub kernels: Vec<String>,
    /// Sets of scenarios.
    pub sets: Vec<String>,
    /// Machines that share a set on a kernel.
    pub shards: u32,
    /// Where the program comes from.
    pub program: Program,
}

/// Where the program comes from in CI.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Program {
    /// The repository of the workflow is dirleak's own.
    Here,
    /// A git repository.
    Git(String),
}

impl System {
    /// Returns where the system looks for it.
    pub fn file(self) -> &'static Path {
        Path::new(match self {
            Self::Github => ".github/workflows/dirleak.yml",
            Self::Gitlab => ".gitlab-ci.yml",
        })
    }

    fn template(self) -> &'static str {
        match self {
            Self::Github => include_str!("github.yml"),
            Self::Gitlab => include_str!("gitlab.yml"),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Github => "github",
            Self::Gitlab => "gitlab",
        }
    }

    /// Returns the workflow file that carries out `plan`.
    pub fn workflow(self, plan: &Plan) -> String {
        let shards: Vec<String> = (1..=plan.shards).map(|number| format!("{number}/{}", plan.shards)).collect();
        let values = [
            ("@AGAIN@", plan.command(self)),
            ("@IMAGE@", IMAGE.to_owned()),
            ("@BUILD@", plan.program.build()),
            ("@SETUP@", plan.program.setup()),
            ("@KERNELS@", sequence(&plan.kernels)),
            ("@SETS@", sequence(&plan.sets)),
            ("@SHARDS@", sequence(&shards)),
        ];
        let filled = |line: &str| match values.iter().find(|(name, _)| line.contains(name)) {
            Some((name, value)) => put(line, name, value),
            None => format!("{line}\n"),
        };
        self.template().lines().map(filled).collect()
    }
}

impl Plan {
    /// Returns the command line that writes the same again.
    fn command(&self, system: System) -> String {
        let mut words = format!("dirleak ci init {} --force --shards {}", system.as_str(), self.shards);
        for (option, values) in [("--kernel", &self.kernels), ("--set", &self.sets)] {
            values.iter().for_each(|value| words += &format!(" {option} {value}"));
        }
        match &self.program {
            Program::Here => words,
            Program::Git(address) => format!("{words} --from {address}"),
        }
    }
}

impl Program {
    /// Returns the shell command that puts the program into `/tmp/dirleak/bin`.
    fn build(&self) -> String {
        let from = match self {
            Self::Here => "--path .".to_owned(),
            Self::Git(address) => format!("--git '{address}' dirleak"),
        };
        format!("cargo install --locked --root /tmp/dirleak {from}")
    }

    /// Returns the shell commands that install what the program needs.
    fn setup(&self) -> String {
        if *self == Self::Here {
            return "vm/setup".into();
        }
        let install = "apt-get -q install -y --no-install-recommends ";
        let lines = layout::list(install, "  ", doctor::packages().into_iter(), " ", layout::WIDTH);
        format!("apt-get -q update\n{}", lines.trim_end().replace('\n', " \\\n"))
    }
}

/// Returns `value` in the place of `name`, each line of it as deep as the first.
fn put(line: &str, name: &str, value: &str) -> String {
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    line.replace(name, &value.replace('\n', &format!("\n{indent}"))) + "\n"
}

/// Returns a YAML sequence of strings: quoted, or 6.10 would be the number 6.1.
fn sequence(items: &[String]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| serde_json::Value::from(item.as_str()).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}
