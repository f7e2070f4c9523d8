//! Reading a tool's arguments: each error names the tool, the field, what was found and what was expected.
//!
//! Rule: lenient in what models commonly get wrong without harm (`"5"` or `5.0` for 5, `null` for absent), strict in all else.

use convoke_port::tool::ToolError;
use serde_json::{Map, Value};

/// The arguments of one call.
pub(crate) struct Arguments<'a> {
    tool: &'a str,
    fields: &'a Map<String, Value>,
}

impl<'a> Arguments<'a> {
    /// Takes the arguments apart; fields other than `known` are refused.
    pub(crate) fn read(tool: &'a str, input: &'a Value, known: &[&str]) -> Result<Self, ToolError> {
        static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
        let fields = match input {
            Value::Object(fields) => fields,
            Value::Null => &EMPTY,
            other => {
                return Err(ToolError::Refused(format!(
                    "{tool}: the arguments must be a JSON object, not {}",
                    kind(other)
                )));
            }
        };
        if let Some(stranger) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            let stranger: String = stranger.chars().take(60).collect();
            return Err(ToolError::Refused(format!(
                "{tool}: there is no argument `{stranger}`; it takes {}",
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(Self { tool, fields })
    }

    /// Is the field given and not null?
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The raw value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    /// A text that must be there.
    pub(crate) fn text(&self, name: &str) -> Result<&'a str, ToolError> {
        self.text_if(name)?.ok_or_else(|| self.wrong(name, "is missing; give it as a text"))
    }

    /// A text that may be absent.
    pub(crate) fn text_if(&self, name: &str) -> Result<Option<&'a str>, ToolError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, &format!("must be a text, not {}", kind(other)))),
        }
    }

    /// A text or a list of texts; at least one.
    pub(crate) fn texts(&self, name: &str, most: usize) -> Result<Vec<&'a str>, ToolError> {
        let list = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().ok_or_else(|| self.wrong(name, "must be a list of texts")))
                .collect::<Result<_, _>>()?,
            Some(other) => return Err(self.wrong(name, &format!("must be a list of texts, not {}", kind(other)))),
        };
        if list.is_empty() || list.len() > most {
            return Err(self.wrong(name, &format!("has {} items; give 1 to {most}", list.len())));
        }
        Ok(list)
    }

    /// A whole number from `low` to `high`, `default` if absent.
    pub(crate) fn number(&self, name: &str, default: u64, low: u64, high: u64) -> Result<u64, ToolError> {
        let Some(value) = self.get(name) else { return Ok(default) };
        let number = match value {
            Value::Number(number) => {
                number.as_u64().or_else(|| number.as_f64().filter(|f| f.fract() == 0.0 && *f >= 0.0).map(|f| f as u64))
            }
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.filter(|number| (low..=high).contains(number)).ok_or_else(|| {
            let found: String = value.to_string().chars().take(40).collect();
            self.wrong(name, &format!("is {found}; give a whole number from {low} to {high}"))
        })
    }

    /// A refusal that names this tool and the field.
    pub(crate) fn wrong(&self, name: &str, what: &str) -> ToolError {
        ToolError::Refused(format!("{}: `{name}` {what}", self.tool))
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message<T>(result: Result<T, ToolError>) -> String {
        result.err().expect("an error").to_string()
    }

    #[test]
    fn errors_name_the_tool_and_the_field() {
        let input = json!({"path": 3, "limit": -1, "deep": "x"});
        assert_eq!(
            message(Arguments::read("list", &input, &["path", "limit"])),
            "list: there is no argument `deep`; it takes `path`, `limit`"
        );
        let arguments = Arguments::read("list", &input, &["path", "limit", "deep"]).expect("known fields");
        assert_eq!(message(arguments.text("path")), "list: `path` must be a text, not a number");
        assert_eq!(message(arguments.text("glob")), "list: `glob` is missing; give it as a text");
        assert_eq!(message(arguments.number("limit", 1, 0, 9)), "list: `limit` is -1; give a whole number from 0 to 9");
        assert_eq!(
            message(arguments.number("deep", 1, 0, 9)),
            "list: `deep` is \"x\"; give a whole number from 0 to 9"
        );
        assert!(message(Arguments::read("list", &json!([1]), &[])).contains("must be a JSON object, not a list"));
    }

    #[test]
    fn harmless_slips_are_forgiven() {
        let input = json!({"a": "5", "b": 5.0, "c": null});
        let arguments = Arguments::read("t", &input, &["a", "b", "c"]).expect("known fields");
        assert_eq!(arguments.number("a", 0, 0, 9).expect("a"), 5);
        assert_eq!(arguments.number("b", 0, 0, 9).expect("b"), 5);
        assert_eq!(arguments.number("c", 7, 0, 9).expect("c"), 7);
        assert!(Arguments::read("t", &Value::Null, &[]).is_ok());
    }
}
