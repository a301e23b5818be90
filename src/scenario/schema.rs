//! The JSON Schema of scenario files, made from their types, so that editors know each key.

use super::Scenario;
use schemars::generate::SchemaSettings;

/// The schema as text, with a line feed at the end.
pub fn schema() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<Scenario>();
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is JSON");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the repository has it, for editors.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scenario.schema.json");

    #[test]
    fn the_schema_that_ships_is_that_of_the_types() {
        if std::env::var_os("DIRLEAK_WRITE_SCHEMA").is_some() {
            std::fs::write(FILE, schema()).unwrap();
        }
        let ships = std::fs::read_to_string(FILE).unwrap();
        let is_new = ships == schema();
        assert!(is_new, "docs/scenario.schema.json is old; DIRLEAK_WRITE_SCHEMA=1 writes it when this test runs");
    }
}
