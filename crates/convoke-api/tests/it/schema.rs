//! The JSON Schemas in the repository are those of the code.

use convoke_api::{Kind, editor_schema, program_input, program_output};
use serde_json::Value;

/// Every schema by the name of its file.
fn all() -> Vec<(&'static str, Value)> {
    let files = Kind::ALL.map(|kind| (kind.as_str(), editor_schema(kind)));
    files.into_iter().chain([("program-input", program_input()), ("program-output", program_output())]).collect()
}

/// Run with `CONVOKE_WRITE_SCHEMA=1` to write the files anew.
#[test]
fn committed_schemas_are_those_of_the_code() {
    for (name, schema) in all() {
        let path = format!("{}/../../docs/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = format!("{schema:#}\n");
        if std::env::var_os("CONVOKE_WRITE_SCHEMA").is_some() {
            std::fs::write(&path, &text).expect("writes the schema");
        }
        let kept = std::fs::read_to_string(&path).expect("the schema is committed");
        assert!(kept == text, "{path} is out of date; run with CONVOKE_WRITE_SCHEMA=1");
    }
}

#[test]
fn schemas_are_schemas_and_every_field_has_a_sentence() {
    for (file, schema) in &all() {
        jsonschema::meta::validate(schema).expect("a JSON Schema");
        let root = std::iter::once(("", schema));
        let definitions = schema["$defs"].as_object().into_iter().flatten();
        for (name, definition) in root.chain(definitions.map(|(name, d)| (name.as_str(), d))) {
            for (field, about) in definition["properties"].as_object().into_iter().flatten() {
                let text = about.get("description").and_then(Value::as_str).unwrap_or("");
                assert!(!text.is_empty(), "{file}: {name}.{field} has no description");
            }
        }
    }
}
