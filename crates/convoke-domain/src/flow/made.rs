//! Answers made up from a JSON Schema, and numbers drawn from a seed: how rehearsals answer in place of models and people.
//!
//! Rule: whoever rehearses chooses ([`Chooser`]); what is made from the same choices is the same. Start at [`answer`].

use serde_json::{Map, Value, json};

/// The most items of a list whose schema does not bound it.
const ITEMS_MAX: usize = 3;
/// How deep a made-up answer goes.
const DEPTH_MAX: usize = 8;

/// The next of the numbers that follow from a seed, which is kept in `state`: SplitMix64, by Steele, Lea and Flood (2014). Small, and
/// the same everywhere.
pub const fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Numbers that follow from a seed.
#[derive(Debug, Clone)]
pub struct Draw(u64);

impl Draw {
    /// Numbers from this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        split_mix(&mut self.0)
    }

    /// A number below `end`; 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % (end.max(1) as u64)).unwrap_or(0)
    }

    /// True in so many of a hundred cases.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// Who chooses what an answer says. `at` is the field, such as `tasks/assignee`.
pub trait Chooser {
    /// One of `many`.
    fn pick(&mut self, at: &str, many: usize) -> usize;
    /// How long a list is.
    fn length(&mut self, at: &str, least: usize, most: usize) -> usize;
    /// A text.
    fn text(&mut self, at: &str) -> String;
}

/// An answer that fits the schema; a text without one.
pub fn answer(schema: Option<&Value>, chooser: &mut impl Chooser) -> String {
    match schema {
        Some(schema) => value(schema, "", 0, chooser).to_string(),
        None => chooser.text(""),
    }
}

fn value(schema: &Value, at: &str, depth: usize, chooser: &mut impl Chooser) -> Value {
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    if let Some(options) = schema["enum"].as_array().filter(|options| !options.is_empty()) {
        return options[chooser.pick(at, options.len()).min(options.len() - 1)].clone();
    }
    let kind = match &schema["type"] {
        Value::String(kind) => kind.as_str(),
        Value::Array(kinds) => {
            let kinds: Vec<&str> = kinds.iter().filter_map(Value::as_str).collect();
            kinds.get(chooser.pick(at, kinds.len())).copied().unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ => "string",
    };
    match kind {
        "object" if depth < DEPTH_MAX => object(schema, at, depth, chooser),
        "object" => json!({}),
        "array" => list(schema, at, depth, chooser),
        "boolean" => (chooser.pick(at, 2) == 0).into(),
        "integer" => number(schema, at, chooser).round().into(),
        "number" => number(schema, at, chooser).into(),
        "null" => Value::Null,
        _ => chooser.text(at).into(),
    }
}

fn object(schema: &Value, at: &str, depth: usize, chooser: &mut impl Chooser) -> Value {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut fields = Map::new();
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let at = if at.is_empty() { name.clone() } else { format!("{at}/{name}") };
        if required.contains(&name.as_str()) || chooser.pick(&at, 2) == 0 {
            fields.insert(name.clone(), value(part, &at, depth + 1, chooser));
        }
    }
    fields.into()
}

fn list(schema: &Value, at: &str, depth: usize, chooser: &mut impl Chooser) -> Value {
    let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
    let least = bound("minItems").unwrap_or(0);
    let many = chooser.length(at, least, bound("maxItems").unwrap_or(least.max(ITEMS_MAX)));
    let item = &schema["items"];
    let mut items: Vec<Value> = (0..many).map(|_| value(item, at, depth + 1, chooser)).collect();
    // A plan's keys are its own, or it is none.
    if item["properties"].get("key").is_some() && item["properties"].get("depends_on").is_some() {
        for (place, item) in items.iter_mut().enumerate() {
            item["key"] = format!("part-{}", place + 1).into();
            let on = place > 0 && chooser.pick(&format!("{at}/depends_on"), 16) == 15;
            item["depends_on"] = if on { json!([format!("part-{place}")]) } else { json!([]) };
        }
    }
    items.into()
}

/// The least, the largest, or the middle of what is allowed.
fn number(schema: &Value, at: &str, chooser: &mut impl Chooser) -> f64 {
    let least = schema["minimum"].as_f64().unwrap_or(0.0);
    let most = schema["maximum"].as_f64().unwrap_or(least + 10.0);
    match chooser.pick(at, 3) {
        0 => most,
        1 => least,
        _ => (least + most) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Drawn(Draw);

    impl Chooser for Drawn {
        fn pick(&mut self, _: &str, many: usize) -> usize {
            self.0.below(many)
        }
        fn length(&mut self, _: &str, least: usize, most: usize) -> usize {
            least + self.0.below(most - least + 1)
        }
        fn text(&mut self, _: &str) -> String {
            format!("text {}", self.0.below(3))
        }
    }

    #[test]
    fn answers_have_the_form_that_was_asked_for() {
        let schema = json!({
            "type": "object", "required": ["is", "sure", "who", "list", "maybe"],
            "properties": {
                "is": {"enum": ["a", "b"]}, "sure": {"type": "number", "minimum": 0, "maximum": 1}, "who": {"type": ["string", "null"]},
                "list": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}, "maybe": {"type": "integer"}, "left": {"type": "string"}
            }
        });
        let mut drawn = Drawn(Draw::new(7));
        for _ in 0..200 {
            let made: Value = serde_json::from_str(&answer(Some(&schema), &mut drawn)).expect("JSON");
            assert!(made["is"] == "a" || made["is"] == "b");
            assert!((0.0..=1.0).contains(&made["sure"].as_f64().expect("a number")));
            assert!(made["who"].is_string() || made["who"].is_null());
            assert!((1..=2).contains(&made["list"].as_array().expect("a list").len()));
        }
        assert_eq!(Draw::new(3).number(), Draw::new(3).number());
    }

    #[test]
    fn plans_can_be_read() {
        let schema = crate::pattern::plan::schema(&["a".into(), "b".into()], 5);
        let mut drawn = Drawn(Draw::new(1));
        for _ in 0..50 {
            let plan: crate::pattern::plan::Plan =
                serde_json::from_str(&answer(Some(&schema), &mut drawn)).expect("a plan");
            assert!((1..=5).contains(&plan.tasks.len()));
        }
    }
}
