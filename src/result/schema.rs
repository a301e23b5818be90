//! The JSON Schemas of all files that are written, made from the types of the records, so that whatever reads them can be checked.

use super::bench::BenchFile;
use super::coverage::CoverageFile;
use super::doctor::Checkup;
use super::file::ResultFile;
use super::forecast::ForecastFile;
use crate::text::json_schema;
use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};

/// Returns each schema as text, with a line feed at the end, after the name of its file in `docs/`.
pub fn schemas() -> [(&'static str, String); 5] {
    [
        ("result.schema.json", schema::<ResultFile>()),
        ("bench.schema.json", schema::<BenchFile>()),
        ("coverage.schema.json", schema::<CoverageFile>()),
        ("forecast.schema.json", schema::<ForecastFile<'static>>()),
        ("doctor.schema.json", schema::<Checkup>()),
    ]
}

/// Returns the schema of what is written, so that what later versions add is allowed.
fn schema<File: JsonSchema>() -> String {
    let settings = SchemaSettings::draft07().for_serialize().with_transform(RecursiveTransform(allow_more));
    json_schema::text(&settings.into_generator().into_root_schema_for::<File>())
}

/// Allows keys that nobody knows yet, which a scenario refuses when it is read: in a result they are those of a later version.
fn allow_more(schema: &mut Schema) {
    if schema.get("additionalProperties") == Some(&false.into()) {
        schema.remove("additionalProperties");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bisect::history::Terms;
    use crate::report::bisection;
    use crate::result::bench::BenchRecord;
    use crate::result::example;
    use crate::result::record::*;
    use crate::scenario::load;
    use serde_json::Value;

    #[test]
    fn schemas_that_ship_are_those_of_the_types() {
        for (name, schema) in schemas() {
            json_schema::must_ship(name, &schema);
        }
    }

    /// Returns what is wrong with a file, by the schema that ships as `name`.
    fn errors_by(name: &str, file: &Value) -> Vec<String> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
        let schema: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        validator.iter_errors(file).map(|e| format!("{}: {e}", e.instance_path())).collect()
    }

    fn errors(file: &Value) -> Vec<String> {
        errors_by("result.schema.json", file)
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
    fn coverage_is_valid_and_of_another_form_is_not() {
        let mut file = serde_json::to_value(crate::result::coverage::tests::example()).unwrap();
        assert_eq!(errors_by("coverage.schema.json", &file), Vec::<String>::new());
        file["files"][0]["lines"]["reached"] = (-1).into();
        assert_eq!(errors_by("coverage.schema.json", &file).len(), 1);
    }

    #[test]
    fn file_with_a_mistake_is_not_valid() {
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
    /// Checks that every scenario can be timed and stands in the file as it was timed.
    #[test]
    fn bench_of_any_scenario_is_valid() {
        let mut file = crate::report::bench::example::file();
        let record = file.results[0].clone();
        file.results = crate::os::assets::list("scenarios")
            .iter()
            .map(|path| path.trim_start_matches("scenarios/").trim_end_matches(".toml"))
            .map(|name| BenchRecord { setup: load(name).unwrap(), ..record.clone() })
            .collect();
        assert!(file.results.len() > 40);
        assert_eq!(errors_by("bench.schema.json", &serde_json::to_value(&file).unwrap()), Vec::<String>::new());
        let mut future = serde_json::to_value(&file).unwrap();
        future["results"][0]["setup"]["key_of_the_future"] = 1.into();
        assert_eq!(errors_by("bench.schema.json", &future), Vec::<String>::new());
        future["results"][0]["setup"]["server"] = "samba".into();
        assert_eq!(errors_by("bench.schema.json", &future).len(), 1);
    }
}
