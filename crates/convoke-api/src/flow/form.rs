//! Forms: what is known of a value before it is there. A result has the form that its step's `output` or primitive gives it.
//!
//! Rule: what is not known for certain is [`Form::Any`], which allows everything; so nothing that could work is refused.

use std::collections::BTreeMap;

use serde_json::Value;

/// How deep a schema is followed.
const DEPTH: usize = 16;

/// What is known of a value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// Nothing.
    Any,
    /// A text.
    Text,
    /// A number.
    Number,
    /// True or false.
    Flag,
    /// A list of values of one form.
    List(Box<Form>),
    /// Parts by name; with others besides them if it is open.
    Object { parts: BTreeMap<String, Form>, is_open: bool },
    /// This, or none.
    Maybe(Box<Form>),
}

impl Form {
    /// A list.
    pub(crate) fn list(of: Self) -> Self {
        Self::List(Box::new(of))
    }

    /// Exactly these parts.
    pub(crate) fn object<const N: usize>(parts: [(&str, Self); N]) -> Self {
        Self::Object { parts: parts.map(|(name, form)| (name.to_owned(), form)).into(), is_open: false }
    }

    /// The result of a split whose items have results of this form.
    pub(crate) fn shares(value: Self) -> Self {
        let text = || Self::Maybe(Box::new(Self::Text));
        let parts = [("key", Self::Text), ("agent", text()), ("ok", Self::Flag), ("value", value), ("error", text())];
        Self::list(Self::object(parts))
    }

    /// The same, or none.
    pub(crate) fn or_none(self) -> Self {
        match self {
            Self::Any | Self::Maybe(_) => self,
            other => Self::Maybe(Box::new(other)),
        }
    }

    /// Without the possibility that it is none.
    pub(crate) fn sure(&self) -> &Self {
        if let Self::Maybe(form) = self { form } else { self }
    }

    /// What both are: the same form, or anything.
    pub(crate) fn both(self, other: Self) -> Self {
        match (&self, &other) {
            (one, two) if one == two => self,
            (Self::Maybe(one), two) | (two, Self::Maybe(one)) if **one == *two.sure() => Self::Maybe(one.clone()),
            _ => Self::Any,
        }
    }

    /// The form of a list's items; anything if it is no list.
    pub(crate) fn items(&self) -> Self {
        if let Self::List(of) = self.sure() { (**of).clone() } else { Self::Any }
    }

    /// For the list that a split gives: the form of the values of those that completed.
    pub(crate) fn values(&self) -> Self {
        match self.items() {
            Self::Object { parts, .. } if parts.contains_key("ok") && parts.contains_key("key") => {
                Self::list(parts.get("value").cloned().unwrap_or(Self::Any))
            }
            other => Self::list(other),
        }
    }

    /// What it is, in words.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Text => "text",
            Self::Number => "a number",
            Self::Flag => "true or false",
            Self::List(_) => "a list",
            Self::Object { .. } => "an object",
            Self::Maybe(form) => form.words(),
        }
    }

    /// The form of the values that fit a JSON Schema.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        Self::within(schema, DEPTH)
    }

    fn within(schema: &Value, depth: usize) -> Self {
        let Some(depth) = depth.checked_sub(1) else { return Self::Any };
        let open = ["$ref", "anyOf", "oneOf", "allOf", "if", "not"];
        if open.iter().any(|word| schema.get(word).is_some()) {
            return Self::Any;
        }
        let (name, may_be_none) = match schema.get("type") {
            Some(Value::String(name)) => (name.as_str(), false),
            Some(Value::Array(names)) => {
                let mut others = names.iter().filter_map(Value::as_str).filter(|name| *name != "null");
                let first = others.next().unwrap_or("");
                (if others.next().is_some() { "" } else { first }, names.iter().any(|name| name == "null"))
            }
            _ => ("", false),
        };
        let form = match name {
            "string" => Self::Text,
            "integer" | "number" => Self::Number,
            "boolean" => Self::Flag,
            "array" => Self::list(schema.get("items").map_or(Self::Any, |items| Self::within(items, depth))),
            "object" => Self::object_of(schema, depth),
            _ => Self::Any,
        };
        if may_be_none { form.or_none() } else { form }
    }

    fn object_of(schema: &Value, depth: usize) -> Self {
        let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Self::Any };
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|one| one == name));
        let part = |(name, schema): (&String, &Value)| {
            let form = Self::within(schema, depth);
            (name.clone(), if is_required(name) { form } else { form.or_none() })
        };
        // Other parts may come unless it says that they may; only what it names can be relied on.
        let said = schema.get("additionalProperties").is_some_and(|other| other.is_object() || other == true);
        Self::Object {
            parts: properties.iter().map(part).collect(),
            is_open: said || schema.get("patternProperties").is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_have_forms() {
        let schema = json!({"type": "object", "required": ["score"], "properties": {
            "score": {"type": "number"}, "why": {"type": ["string", "null"]}, "items": {"type": "array", "items": {"type": "string"}},
            "other": {"anyOf": [{"type": "string"}]}}});
        let Form::Object { parts, is_open } = Form::of_schema(&schema) else { panic!("an object") };
        assert!(!is_open);
        assert_eq!(parts["score"], Form::Number);
        assert_eq!(parts["why"], Form::Maybe(Box::new(Form::Text)));
        assert_eq!(parts["items"].items(), Form::Text);
        assert_eq!(parts["other"], Form::Any);
        assert_eq!(Form::shares(Form::Number).values(), Form::list(Form::Number));
    }
}
