//! The JSON Schema of result files, made from the types of the records, so that whatever reads results can be checked against it.

use super::file::ResultFile;
use crate::text::json_schema;
use schemars::generate::SchemaSettings;

/// The schema as text, with a line feed at the end. It is of what is written, so that what later versions add is allowed.
pub fn schema() -> String {
    json_schema::text(&SchemaSettings::draft07().for_serialize().into_generator().into_root_schema_for::<ResultFile>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bisect::history::Terms;
    use crate::report::bisection;
    use crate::result::example;
    use crate::result::record::*;
    use serde_json::Value;

    /// Where the repository has it.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/result.schema.json");

    #[test]
    fn the_schema_that_ships_is_that_of_the_types() {
        crate::text::json_schema::must_ship("result.schema.json", &schema());
    }

    /// What is wrong with a file, by the schema that ships.
    fn errors(file: &Value) -> Vec<String> {
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        validator.iter_errors(file).map(|e| format!("{}: {e}", e.instance_path())).collect()
    }

    #[track_caller]
    fn is_valid(file: &ResultFile) {
        assert_eq!(errors(&serde_json::to_value(file).unwrap()), Vec::<String>::new());
    }

    #[test]
    fn every_kind_of_file_is_valid() {
        let run = |record| ResultFile { results: vec![record], proof: None, ..example::verify() };
        is_valid(&ResultFile::new());
        is_valid(&example::verify());
        is_valid(&run(RunRecord::begin("quick", KernelRecord::default(), u64::MAX)));
        is_valid(&run(example::every_field()));
        for terms in [Terms::Break, Terms::Fix] {
            is_valid(&ResultFile { bisection: Some(bisection::tests::example(terms)), ..run(example::leak()) });
        }
        is_valid(&example::branches());
    }

    #[test]
    fn what_is_wrong_is_not_valid() {
        let good = serde_json::to_value(example::verify()).unwrap();
        let table: [(&str, Value); 5] = [
            ("/results/0/verdict", "maybe".into()),
            ("/results/0/seed", (-1).into()),
            ("/results/0/findings/0/call_sites/0/stack", "nfs_readdir".into()),
            ("/results", Value::Null),
            ("/proof/outcome", "probably".into()),
        ];
        for (place, value) in table {
            let mut bad = good.clone();
            *bad.pointer_mut(place).unwrap() = value;
            assert!(!errors(&bad).is_empty(), "{place}");
        }
        let mut future = good.clone();
        future["results"][0]["field_of_the_future"] = 1.into();
        assert_eq!(errors(&future), Vec::<String>::new());
    }
}
