//! What the vendors' structured output asks of a JSON Schema.

use serde_json::Value;

/// True if `schema` keeps to the subset that strict structured output accepts: every object closed, every property
/// required. A schema that does not is still sent, without the vendor's guarantee; the engine checks answers anyway.
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

fn is_closed(map: &serde_json::Map<String, Value>) -> bool {
    let is_object = map.get("type").is_some_and(|kind| kind == "object");
    if !is_object {
        return true;
    }
    let required = map.get("required").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let properties = map.get("properties").and_then(Value::as_object);
    map.get("additionalProperties") == Some(&Value::Bool(false))
        && properties.is_some_and(|all| all.keys().all(|name| required.iter().any(|value| value == name)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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
}
