//! Answers out of nothing: the smallest value that fits a JSON Schema, a plan, a text. Always the same for the same input.

use serde_json::{Map, Value, json};

/// How deep a schema is followed; deeper is `null`, so a schema that refers to itself ends.
const DEPTH: usize = 16;

const WORDS: [&str; 12] =
    ["the", "service", "answered", "late", "because", "one", "query", "held", "its", "lock", "too", "long"];

/// A text of so many words.
pub fn text(words: usize) -> String {
    let mut text = WORDS.iter().cycle().take(words).copied().collect::<Vec<_>>().join(" ");
    text.push('.');
    text
}

/// A plan with one task for each assignee, if the schema asks for one: an object with a list `tasks`.
pub fn plan(schema: &Value, assignees: &[String]) -> Option<Value> {
    let item = schema.pointer("/properties/tasks/items")?;
    let mut plan = value(schema);
    let tasks = assignees.iter().enumerate().map(|(index, name)| task(schema, item, index, name)).collect();
    plan.as_object_mut()?.insert("tasks".to_owned(), Value::Array(tasks));
    Some(plan)
}

/// One task: what its schema requires, with the well-known fields filled in where the schema has them.
fn task(schema: &Value, item: &Value, index: usize, assignee: &str) -> Value {
    let mut task = sample(schema, item, DEPTH);
    let known = [
        ("key", json!(format!("t{}", index + 1))),
        ("title", json!(format!("Part {} of the work", index + 1))),
        ("instructions", json!("Look at your part of the input and say what you find.")),
        ("assignee", json!(assignee)),
        ("needs", json!([])),
        ("depends_on", json!([])),
        ("after", json!([])),
    ];
    let fields = resolve(schema, item).get("properties").and_then(Value::as_object);
    if let Some(task) = task.as_object_mut() {
        let has = |name: &str| fields.is_none_or(|fields| fields.contains_key(name));
        task.extend(known.into_iter().filter(|(name, _)| has(name)).map(|(name, value)| (name.to_owned(), value)));
    }
    task
}

/// The smallest value that fits a schema, for the parts of JSON Schema that structured output allows.
pub fn value(schema: &Value) -> Value {
    sample(schema, schema, DEPTH)
}

fn sample(root: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolve(root, schema);
    if depth == 0 {
        return Value::Null;
    }
    if let Some(fixed) = schema.get("const").or_else(|| schema.get("enum").and_then(|values| values.get(0))) {
        return fixed.clone();
    }
    if let Some(choice) = ["anyOf", "oneOf", "allOf"].iter().find_map(|word| schema.get(*word)?.get(0)) {
        return sample(root, choice, depth - 1);
    }
    match kind(schema) {
        "object" => object(root, schema, depth),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(64);
            (0..least).map(|_| sample(root, &schema["items"], depth - 1)).collect()
        }
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "number" => schema.get("minimum").cloned().unwrap_or(json!(0.5)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text(8)),
    }
}

fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("string"),
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    }
}

fn object(root: &Value, schema: &Value, depth: usize) -> Value {
    let Some(fields) = schema.get("properties").and_then(Value::as_object) else { return json!({}) };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let kept = fields.iter().filter(|(name, _)| is_required(name));
    kept.map(|(name, field)| (name.clone(), sample(root, field, depth - 1))).collect::<Map<_, _>>().into()
}

/// Follows a reference into the schema itself.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
    target.and_then(|path| root.pointer(path)).unwrap_or(schema)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_has_a_task_for_each_assignee_with_the_fields_of_its_schema() {
        let schema = json!({"type":"object","required":["tasks","summary"],"properties":{
            "summary":{"type":"string"},
            "tasks":{"type":"array","items":{"$ref":"#/$defs/T"}}},
            "$defs":{"T":{"type":"object","required":["key","title","expected_output"],"properties":{
                "key":{"type":"string"},"title":{"type":"string"},"expected_output":{"type":"string"},
                "assignee":{"type":["string","null"]},"depends_on":{"type":"array","items":{"type":"string"}}}}}});
        let plan = plan(&schema, &["a".to_owned(), "b".to_owned()]).expect("it is a plan");
        assert!(plan["summary"].is_string());
        assert_eq!(plan["tasks"][1]["assignee"], "b");
        assert_eq!(plan["tasks"][1]["key"], "t2");
        assert!(plan["tasks"][0]["expected_output"].is_string());
        assert!(plan["tasks"][0].get("instructions").is_none(), "the schema has no such field");
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type":"object","required":["next"],"properties":{"next":{"$ref":"#"}}});
        assert!(value(&schema)["next"]["next"].is_object());
    }

    #[test]
    fn the_smallest_value_obeys_enum_const_bounds_and_choices() {
        let schema = json!({"type":"object","required":["a","b","c","d"],"properties":{
            "a":{"enum":["x","y"]},"b":{"type":"integer","minimum":3},"c":{"anyOf":[{"type":"null"},{"type":"string"}]},
            "d":{"type":"array","minItems":2,"items":{"const":7}},"e":{"type":"string"}}});
        assert_eq!(value(&schema), json!({"a":"x","b":3,"c":null,"d":[7,7]}));
    }
}
