//! The JSON Schemas in the repository are those of the code.

use convoke_api::{Kind, schema};
use serde_json::Value;

fn committed(kind: Kind) -> String {
    format!("{}/../../docs/schema/{}.json", env!("CARGO_MANIFEST_DIR"), kind.as_str())
}

/// Run with `CONVOKE_WRITE_SCHEMA=1` to write the files anew.
#[test]
fn committed_schemas_are_those_of_the_code() {
    for kind in Kind::ALL {
        let path = committed(kind);
        let text = format!("{:#}\n", schema(kind));
        if std::env::var_os("CONVOKE_WRITE_SCHEMA").is_some() {
            std::fs::write(&path, &text).expect("writes the schema");
        }
        let kept = std::fs::read_to_string(&path).expect("the schema is committed");
        assert!(kept == text, "{path} is out of date; run with CONVOKE_WRITE_SCHEMA=1");
    }
}

#[test]
fn schemas_are_schemas_and_every_field_has_a_sentence() {
    for kind in Kind::ALL {
        let schema = schema(kind);
        jsonschema::meta::validate(schema).expect("a JSON Schema");
        let root = std::iter::once(("", schema));
        let definitions = schema["$defs"].as_object().into_iter().flatten();
        for (name, definition) in root.chain(definitions.map(|(name, d)| (name.as_str(), d))) {
            for (field, about) in definition["properties"].as_object().into_iter().flatten() {
                let text = about.get("description").and_then(Value::as_str).unwrap_or("");
                assert!(!text.is_empty(), "{}: {name}.{field} has no description", kind.as_str());
            }
        }
    }
}
