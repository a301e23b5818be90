//! A bisection in the result file: which commit, and how it was found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A commit by its id and the first line of its message.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Commit {
    /// The id, in hexadecimal.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

/// A bisection, in the result file.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct BisectionRecord {
    /// The tree that was searched, as it was named.
    pub tree: String,
    /// The scenario by its name.
    pub scenario: String,
    /// Whether the commit that fixed the leak was looked for.
    pub find_fix: bool,
    /// The function whose allocations alone counted, if one was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call_site: Option<String>,
    /// The first bad commit, or the first fixed one; none if skipped commits leave several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Commit>,
    /// The message of that commit.
    #[serde(default)]
    pub message: String,
    /// The function that allocated most of what leaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// Commands that show it again in the tree's directory: the commit's parent, then the commit.
    #[serde(default)]
    pub reproduce: Vec<String>,
    /// What it can be where skipped commits leave several.
    pub among: Vec<Commit>,
    /// Whether the found commit and its parent said the same again in fresh guests, and the new end without it agreed.
    pub confirmed: bool,
    /// What the confirmation came to, in one sentence.
    pub confirmation: String,
    /// What the kernel before the found commit said, in one sentence.
    pub before: String,
    /// What the kernel of the found commit said, in one sentence.
    pub after: String,
    /// Probability, at most, that one of the verdicts that led there is wrong.
    pub error_of_path: f64,
    /// Probability, at most, that both verdicts on the found commit or both on its parent are wrong.
    pub error_of_result: f64,
    /// Guests that were run, and those of them for the confirmation.
    pub guests: u64,
    /// Guests that tried the answer again.
    pub guests_of_confirmation: u64,
    /// How long it took.
    pub seconds: f64,
    /// What was tested, in order.
    pub steps: Vec<StepRecord>,
    /// `git bisect log`.
    pub log: String,
}

/// One commit that was judged on the way.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct StepRecord {
    /// The commit.
    pub commit: Commit,
    /// `leak`, `clean` or `skip`.
    pub state: String,
    /// The rate, or why it was skipped.
    pub what: String,
    /// How long it took.
    pub seconds: f64,
    /// Guests that were run for it; none if the verdict was known.
    pub guests: u64,
}

/// Returns the answer in one sentence.
pub fn sentence(record: &BisectionRecord) -> String {
    let verb = verb(record);
    match &record.commit {
        Some(commit) => {
            format!("{} {verb} the leak in {}; {}.", commit, record.scenario, record.confirmation)
        }
        None => {
            let (count, scenario) = (record.among.len(), &record.scenario);
            format!("one of {count} commits {verb} the leak in {scenario}; those in between cannot be judged.")
        }
    }
}

/// Returns what the commit does to the leak, as a verb.
pub fn verb(record: &BisectionRecord) -> &'static str {
    if record.find_fix { "fixes" } else { "brings" }
}
