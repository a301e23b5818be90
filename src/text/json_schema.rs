//! JSON Schemas as text, and whether those in the repository are still what the types say.

use schemars::Schema;

/// Returns the schema as a file has it, with a line feed at the end.
pub fn text(schema: &Schema) -> String {
    serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n"
}

/// Fails unless the file `docs/NAME` is `schema`; writes it first where `DIRLEAK_WRITE_SCHEMA` is set.
#[cfg(test)]
pub fn must_ship(name: &str, schema: &str) {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    if std::env::var_os("DIRLEAK_WRITE_SCHEMA").is_some() {
        std::fs::write(&file, schema).unwrap();
    }
    let is_new = std::fs::read_to_string(&file).unwrap() == schema;
    assert!(is_new, "docs/{name} is old; DIRLEAK_WRITE_SCHEMA=1 writes it when this test runs");
}
