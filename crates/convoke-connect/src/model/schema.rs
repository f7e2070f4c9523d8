//! What the vendors' structured output asks of a JSON Schema.
//!
//! The engine checks every answer against the schema itself, so what a vendor cannot enforce is left to that check.

use serde_json::{Map, Value, json};

/// True if `schema` keeps to the subset that OpenAI's strict mode accepts: every object closed, every property required.
/// A schema that does not is still sent, without the vendor's guarantee.
pub(super) fn is_strict(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().all(is_strict),
        Value::Object(map) => is_closed(map) && map.iter().all(|(key, value)| is_data(key) || is_strict(value)),
        _ => true,
    }
}

/// Keywords whose values are data and no schemas.
fn is_data(key: &str) -> bool {
    matches!(key, "enum" | "const" | "default" | "examples" | "required")
}

fn is_closed(map: &Map<String, Value>) -> bool {
    let is_object = map.get("type").is_some_and(|kind| kind == "object");
    if !is_object {
        return true;
    }
    let required = map.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let properties = map.get("properties").and_then(Value::as_object);
    map.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.is_some_and(|all| all.keys().all(|name| required.iter().any(|value| value == name)))
}

/// Keywords that Anthropic's structured output knows; the others are left away, as Anthropic's own SDKs do.
const KNOWN: [&str; 16] = [
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "const",
    "anyOf",
    "allOf",
    "$ref",
    "$defs",
    "definitions",
    "description",
    "title",
    "default",
    "format",
    "additionalProperties",
];

/// `schema` within the subset that Anthropic accepts: objects closed, limits left away, `oneOf` as `anyOf`. `None` where
/// that would change what it means, as for a map with free keys.
pub(super) fn closed(schema: &Value) -> Option<Value> {
    let Value::Object(map) = schema else { return None };
    let mut out = Map::new();
    for (key, value) in map {
        match key.as_str() {
            "properties" | "$defs" | "definitions" => out.insert(key.clone(), each(value)?),
            "items" => out.insert(key.clone(), closed(value)?),
            "anyOf" | "allOf" => out.insert(key.clone(), list(value)?),
            "oneOf" => out.insert("anyOf".to_owned(), list(value)?),
            "additionalProperties" if value != &Value::Bool(false) => return None,
            known if KNOWN.contains(&known) => out.insert(key.clone(), value.clone()),
            _ => None,
        };
    }
    if out.get("type").is_some_and(|kind| kind == "object") {
        out.get("properties")?;
        out.insert("additionalProperties".to_owned(), json!(false));
    }
    Some(Value::Object(out))
}

fn each(schemas: &Value) -> Option<Value> {
    let pairs = schemas.as_object()?.iter().map(|(name, schema)| Some((name.clone(), closed(schema)?)));
    pairs.collect::<Option<Map<_, _>>>().map(Value::Object)
}

fn list(schemas: &Value) -> Option<Value> {
    schemas.as_array()?.iter().map(closed).collect::<Option<Vec<_>>>().map(Value::Array)
}

/// The schema as a sentence of the instructions, where the provider cannot be told otherwise.
pub(super) fn in_words(schema: &Value) -> String {
    format!("When you give your final answer, give nothing but one JSON value that fits this JSON Schema: {schema}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_closed_schemas_are_strict() {
        let closed = json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false});
        let mut open = closed.clone();
        open["additionalProperties"] = json!(true);
        let mut optional = closed.clone();
        optional["required"] = json!([]);
        let nested = json!({"type": "array", "items": open});
        assert!(is_strict(&closed));
        assert!(is_strict(&json!({"type": "array", "items": closed})));
        for schema in [open, optional, nested] {
            assert!(!is_strict(&schema), "{schema}");
        }
    }

    #[test]
    fn objects_are_closed_and_limits_left_away() {
        let schema = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {
                "score": {"type": "number", "minimum": 0, "maximum": 1},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 5}, "maxItems": 3},
                "minimum": {"oneOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["score"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "score": {"type": "number"},
                "tags": {"type": "array", "items": {"type": "string"}},
                "minimum": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
            "required": ["score"],
            "additionalProperties": false,
        });
        assert_eq!(closed(&schema), Some(expected));
    }

    #[test]
    fn what_cannot_be_closed_is_not() {
        let map = json!({"type": "object", "additionalProperties": {"type": "string"}});
        let free = json!({"type": "object"});
        let within = json!({"type": "array", "items": map});
        for schema in [map, free, within, json!(true)] {
            assert_eq!(closed(&schema), None, "{schema}");
        }
    }
}
