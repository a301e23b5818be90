//! Fuzzing of what reads scenarios.

use super::load::parse;
use super::overrides::Overrides;
use super::types::Scenario;
use nfs_fault_server::dirtree::tree::Tree;

/// A directory of more entries takes too long to be made here.
const MOST_ENTRIES: u64 = 1000;

/// Reads the text of a scenario. What is taken is the same for the guest, which gets it as JSON, and can be made.
pub fn scenario(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(mut scenario) = parse("scenarios/fuzz.toml", &text) else { return };
    let json = serde_json::to_vec(&scenario).expect("a scenario is JSON");
    let read: Scenario = serde_json::from_slice(&json).expect("it was written so");
    scenario.name = String::new();
    assert_eq!(read, scenario);
    if Overrides::default().apply(&mut scenario).is_ok() && scenario.directory.entries <= MOST_ENTRIES {
        let tree = Tree::new(&scenario.directory, 42);
        assert!(tree.all_entries() >= scenario.directory.entries);
    }
    let _ = scenario.memory_shortfall();
}
