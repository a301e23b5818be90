//! What a scenario repeats.

use super::fail_nth::FailNth;
use super::files::FileSteps;
use super::pass::Position;
use super::program::Program;
use super::step::{Pass, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One unit, of which a round makes as many as its dose says.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Unit {
    /// What reports call it, for instance "listing".
    #[serde(default = "listing")]
    pub name: String,
    /// Done one after the other.
    #[serde(default = "touch_and_list")]
    pub steps: Vec<Step>,
}

/// One cold listing.
impl Default for Unit {
    fn default() -> Self {
        Self { name: listing(), steps: touch_and_list() }
    }
}

fn listing() -> String {
    "listing".into()
}

fn touch_and_list() -> Vec<Step> {
    vec![Step::Touch, Step::List(Pass::default())]
}

impl Unit {
    /// Returns how many steps list the mount, or a second one.
    pub fn listings(&self) -> usize {
        self.steps.iter().filter(|step| matches!(step, Step::List(_) | Step::MountCycle)).count()
    }

    /// Returns whether a unit mounts the export once more.
    pub fn mounts(&self) -> bool {
        self.steps.contains(&Step::MountCycle)
    }

    /// Returns the passes of the unit.
    pub fn passes(&self) -> impl Iterator<Item = &Pass> {
        self.steps.iter().filter_map(|step| match step {
            Step::List(pass) => Some(pass),
            _ => None,
        })
    }

    /// Returns all steps, those within passes, too.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let within = self.passes().flat_map(|pass| pass.middle.iter().chain(pass.every.iter().flat_map(|e| &e.steps)));
        self.steps.iter().chain(within)
    }

    /// Returns the programs that a unit runs, in their order.
    pub fn programs(&self) -> impl Iterator<Item = &Program> {
        self.steps.iter().filter_map(|step| match step {
            Step::Run(program) => Some(program),
            _ => None,
        })
    }

    /// Returns the first allocation that is to fail, if one is.
    pub fn fail_nth(&self) -> Option<FailNth> {
        self.steps.iter().find_map(|step| match step {
            Step::FailNth(fail) => Some(*fail),
            _ => None,
        })
    }

    /// Returns the steps that do operations to files, in their order.
    pub fn file_steps(&self) -> impl Iterator<Item = &FileSteps> {
        self.steps.iter().filter_map(|step| match step {
            Step::Files(steps) => Some(steps),
            _ => None,
        })
    }

    /// Returns whether a unit works on the mount by other means than listing it.
    pub fn works(&self) -> bool {
        self.programs().next().is_some() || self.file_steps().next().is_some()
    }

    /// Returns whether some step needs the cookie in the middle of the directory.
    pub fn seeks(&self) -> bool {
        self.passes().any(|pass| pass.from == Position::Middle)
    }
}
