//! A scenario as the text of a file, without what is so anyway.

use super::step::Pass;
use super::types::Scenario;
use serde::Serialize;
use toml::{Table, Value};

/// The sections of a file, in the order in which people write them.
const SECTIONS: [&str; 9] = ["export", "directory", "mount", "listing", "unit", "cgroup", "cluster", "guest", "rounds"];
/// Those that must be there though nothing is in them.
const MAY_BE_EMPTY: [&str; 1] = ["cgroup"];
/// What is so where it is not said, as a file has it.
const DEFAULTS: &str = r#"
sets = []
export = { file_system = "tmpfs" }
directory = { shape = "flat", kinds = { files = 1, directories = 0, symlinks = 0, hard_links = 0 }, made = "export" }
mount = { count = 1, own_clients = false, options = "" }
unit = { name = "listing", steps = ["touch", "list"] }
guest = { kernel_arguments = "", security_labels = false, stock = false, real_time = false }
rounds = { scout_doses = [1, 2] }
"#;

/// Returns the text of a file that is read as this scenario.
pub fn to_toml(scenario: &Scenario) -> String {
    let mut table = as_table(scenario);
    let defaults: Table = toml::from_str(DEFAULTS).expect("it is tested");
    if let Some(Value::Array(steps)) = table.get_mut("unit").and_then(|unit| unit.get_mut("steps")) {
        steps.iter_mut().for_each(shorten_step);
    }
    leave_out(&mut table, &defaults);
    let mut text = String::new();
    for (key, value) in table.iter().filter(|(key, _)| !SECTIONS.contains(&key.as_str())) {
        text += &format!("{key} = {value}\n");
    }
    for name in SECTIONS {
        let Some(Value::Table(section)) = table.get(name) else { continue };
        if section.is_empty() && !MAY_BE_EMPTY.contains(&name) {
            continue;
        }
        text += &format!("\n[{name}]\n");
        for (key, value) in section {
            text += &format!("{key} = {value}\n");
        }
    }
    text
}

fn as_table(value: &impl Serialize) -> Table {
    match Value::try_from(value) {
        Ok(Value::Table(table)) => table,
        // Its types have names for keys and numbers that a file can have.
        _ => Table::new(),
    }
}

/// Leaves out of a step what a pass is like anyway.
fn shorten_step(step: &mut Value) {
    let Some(pass) = step.get_mut("list").and_then(Value::as_table_mut) else { return };
    leave_out(pass, &as_table(&Pass::default()));
    for within in pass.get_mut("middle").and_then(Value::as_array_mut).into_iter().flatten() {
        shorten_step(within);
    }
    if pass.is_empty() {
        *step = Value::String("list".into());
    }
}

/// Leaves out what is as it would be if nothing was said, one level down, too.
fn leave_out(table: &mut Table, defaults: &Table) {
    table.retain(|key, value| match (value, defaults.get(key)) {
        (value, Some(default)) if value == default => false,
        (Value::Table(inner), Some(Value::Table(defaults))) => {
            inner.retain(|key, value| defaults.get(key) != Some(value));
            true
        }
        _ => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load::{load, names, parse};

    #[test]
    fn scenario_is_read_as_it_was_written() {
        for name in names() {
            let scenario = load(&name).unwrap();
            let text = to_toml(&scenario);
            assert_eq!(parse(&format!("{name}.toml"), &text).unwrap(), scenario, "{text}");
        }
    }

    #[test]
    fn what_is_so_anyway_is_left_out() {
        let text = to_toml(&load("seek").unwrap());
        assert!(text.contains(r#"steps = ["drop-pages", "touch", { list = { to = "middle" } }, "touch", "#), "{text}");
        assert!(!text.contains("threads") && !text.contains("own_clients") && !text.contains("[export]"), "{text}");
        let quick = to_toml(&load("quick").unwrap());
        assert!(!quick.contains("[unit]") && !quick.contains("shape"), "{quick}");
        assert!(to_toml(&load("reclaim").unwrap()).contains("\n[cgroup]\n"));
    }
}
