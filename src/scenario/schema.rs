//! The JSON Schema of scenario files, made from their types, so that editors know each key.

use super::types::Scenario;
use crate::text::json_schema;
use schemars::generate::SchemaSettings;

/// Returns the schema as text, with a line feed at the end.
pub fn schema() -> String {
    json_schema::text(&SchemaSettings::draft07().into_generator().into_root_schema_for::<Scenario>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_that_ships_is_that_of_the_types() {
        crate::text::json_schema::must_ship("scenario.schema.json", &schema());
    }
}
