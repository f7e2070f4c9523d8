//! Does a document have the shape of its JSON Schema? Every difference is reported at the value that is wrong.
//!
//! Rule: only the words of JSON Schema that the domain's types produce are understood; a test feeds every default and
//! every broken example through here. Start at [`Shape::check`].

use serde_json::Value;

use crate::near::{nearest, quoted, suggest};
use crate::node::{Entry, Kind, Node, resolve};
use crate::problem::{Place, Reporter, finding};

/// Fields whose values may be secrets and are never quoted.
const SECRET_FIELDS: [&str; 2] = ["env", "headers"];

/// Checks nodes against one schema.
pub(crate) struct Shape<'s, 'r, 'a> {
    pub(crate) root: &'s Value,
    pub(crate) reporter: &'r mut Reporter<'a>,
}

/// Where the check is: the path for people, and the thing whose fields are meant.
#[derive(Clone, Copy)]
pub(crate) struct At<'p> {
    /// `rules.max_rounds`; the noun itself at the top.
    pub(crate) path: &'p str,
    /// The place of the key, for what is missing below it.
    pub(crate) key: Place,
    /// True at the top of a document.
    pub(crate) top: bool,
}

impl<'s> Shape<'s, '_, '_> {
    /// Reports every way in which `node` does not have the shape of `schema`.
    pub(crate) fn check(&mut self, schema: &'s Value, node: &Node, at: At<'_>) {
        let (schema, nullable) = self.resolve(schema);
        if nullable && node.is_null() {
            return;
        }
        let choices = choices(schema);
        if !choices.is_empty() {
            return self.choice(schema, &choices, node, at);
        }
        match type_of(schema) {
            "object" => self.object(schema, node, at),
            "array" => self.array(schema, node, at),
            "string" => self.string(schema, node, at),
            "integer" | "number" => self.number(schema, node, at),
            "boolean" => self.boolean(node, at),
            _ => {}
        }
    }

    /// Follows references and takes `null` out of alternatives.
    fn resolve(&self, schema: &'s Value) -> (&'s Value, bool) {
        let mut schema = schema;
        let mut nullable = false;
        loop {
            if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
                let found = name.strip_prefix('#').and_then(|pointer| self.root.pointer(pointer));
                schema = found.expect("a generated schema defines what it refers to");
            } else if let Some(options) = schema.get("anyOf").and_then(Value::as_array) {
                nullable = true;
                let other = options.iter().find(|option| option.get("type").is_none_or(|kind| kind != "null"));
                schema = other.expect("an optional value has a schema besides null");
            } else {
                nullable |=
                    schema.get("type").and_then(Value::as_array).is_some_and(|kinds| kinds.contains(&"null".into()));
                return (schema, nullable);
            }
        }
    }

    fn object(&mut self, schema: &'s Value, node: &Node, at: At<'_>) {
        let Kind::Map(entries) = &node.kind else {
            return self.wrong_type("a mapping (`key: value`)", node, at);
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let absent: Vec<&str> = properties
            .into_iter()
            .flat_map(|fields| fields.keys())
            .map(String::as_str)
            .filter(|field| !entries.iter().any(|entry| entry.key == *field))
            .collect();
        for entry in entries {
            let known = properties.and_then(|properties| properties.get(&entry.key));
            match known.or(schema.get("additionalProperties").filter(|other| other.is_object())) {
                Some(field) => self.check(field, &entry.node, inner(&path(at, &entry.key), entry.place)),
                None if known.is_none() && schema.get("additionalProperties") == Some(&Value::Bool(false)) => {
                    self.unknown_field(&absent, entry, at);
                }
                None => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for field in required.iter().filter_map(Value::as_str) {
            let mistyped = |entry: &Entry| nearest(&entry.key, absent.iter().copied()) == Some(field);
            if !entries.iter().any(|entry| entry.key == field || mistyped(entry)) {
                self.missing(schema, field, if at.top { node.place } else { at.key }, at);
            }
        }
    }

    fn unknown_field(&mut self, absent: &[&str], entry: &Entry, at: At<'_>) {
        let owner = if at.top { format!("a {}", at.path) } else { format!("`{}`", at.path) };
        let hint = match entry.key.as_str() {
            "<<" => "merge keys are not read; write the fields out".to_owned(),
            key => suggest(key, absent.iter().copied(), "remove it"),
        };
        let message = format!("{owner} has no field `{}`", entry.key);
        self.reporter.report(entry.place, finding("unknown_field", message, hint));
    }

    fn missing(&mut self, schema: &Value, field: &str, place: Place, at: At<'_>) {
        let owner = if at.top { format!("the {}", at.path) } else { format!("`{}`", at.path) };
        let about = schema.pointer(&format!("/properties/{field}/description")).and_then(Value::as_str).unwrap_or("");
        let about = about.lines().next().unwrap_or("");
        let about = about.trim_end_matches('.');
        let message = format!("{owner} lacks the field `{field}`");
        self.reporter.report(place, finding("missing_field", message, format!("add `{field}: …` ({})", lower(about))));
    }

    fn array(&mut self, schema: &'s Value, node: &Node, at: At<'_>) {
        let Kind::List(items) = &node.kind else {
            return self.wrong_type("a list (`[a, b]`, or lines that begin with `- `)", node, at);
        };
        let limit = |word| schema.get(word).and_then(Value::as_u64).and_then(|n| usize::try_from(n).ok());
        let (least, most) = (limit("minItems").unwrap_or(0), limit("maxItems").unwrap_or(usize::MAX));
        if items.len() < least {
            let message = format!("`{}` is empty", at.path);
            self.reporter.report(at.key, finding("empty", message, format!("put at least {least} into it")));
        }
        if items.len() > most {
            let message = format!("`{}` has {} entries; at most {most} are allowed", at.path, items.len());
            self.reporter.report(at.key, finding("out_of_range", message, format!("leave {most} or fewer")));
        }
        let Some(each) = schema.get("items") else { return };
        for (index, item) in items.iter().enumerate() {
            self.check(each, item, inner(&format!("{}[{index}]", at.path), item.place));
        }
    }

    fn string(&mut self, schema: &Value, node: &Node, at: At<'_>) {
        let Some(text) = node.text() else {
            return self.wrong_type("text", node, at);
        };
        if text.trim().is_empty() && schema.get("minLength").is_some() {
            let message = format!("`{}` is empty", at.path);
            self.reporter.report(node.place, finding("empty", message, "write some text"));
        }
    }

    fn boolean(&mut self, node: &Node, at: At<'_>) {
        let plain = matches!(&node.kind, Kind::Scalar { text, plain: true } if resolve(text).is_boolean());
        if !plain {
            self.wrong_type("`true` or `false`", node, at);
        }
    }

    fn number(&mut self, schema: &Value, node: &Node, at: At<'_>) {
        let whole = type_of(schema) == "integer";
        let wanted = if whole { "a whole number" } else { "a number" };
        let Value::Number(number) = node.to_json() else {
            return self.wrong_type(wanted, node, at);
        };
        if whole && number.is_f64() {
            return self.wrong_type(wanted, node, at);
        }
        let bound = |word| schema.get(word).and_then(Value::as_f64);
        let value = number.as_f64().unwrap_or(f64::NAN);
        let above = bound("exclusiveMinimum");
        let most = bound("maximum");
        let least = bound("minimum").filter(|_| above.is_none());
        let fits = least.is_none_or(|least| value >= least)
            && above.is_none_or(|above| value > above)
            && most.or_else(|| widest(schema)).is_none_or(|most| value <= most);
        if !fits {
            let message = format!("`{}` is {number}, which is out of range", at.path);
            self.reporter.report(
                node.place,
                finding(
                    "out_of_range",
                    message,
                    range(least, above, most.or_else(|| widest(schema).filter(|_| value > 0.0))),
                ),
            );
        }
    }

    fn choice(&mut self, schema: &Value, choices: &[&str], node: &Node, at: At<'_>) {
        let Some(text) = node.text() else {
            return self.wrong_type(&format!("one of {}", quoted(choices)), node, at);
        };
        if choices.contains(&text) {
            return;
        }
        let hint = match (nearest(text, choices.iter().copied()), choices) {
            (Some(near), _) => format!("did you mean `{near}`? (allowed: {})", quoted(choices)),
            (None, [only]) => format!("write `{only}`"),
            (None, _) => format!("use one of {}", described(schema, choices)),
        };
        let message = format!("`{}` cannot be `{text}`", at.path);
        self.reporter.report(node.place, finding("unknown_value", message, hint));
    }

    fn wrong_type(&mut self, wanted: &str, node: &Node, at: At<'_>) {
        let secret = SECRET_FIELDS.iter().any(|field| at.path.contains(&format!(".{field}.")));
        let what = if at.top { format!("a {}", at.path) } else { format!("`{}`", at.path) };
        let message = format!("{what} must be {wanted}, not {}", found(node, secret));
        self.reporter.report(node.place, finding("wrong_type", message, fix(wanted, node, secret)));
    }
}

/// The place of a field or an item.
fn inner<'p>(path: &'p str, key: Place) -> At<'p> {
    At { path, key, top: false }
}

fn path(at: At<'_>, key: &str) -> String {
    if at.top { key.to_owned() } else { format!("{}.{key}", at.path) }
}

/// The first type that is not `null`.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(kind)) => kind,
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or(""),
        _ => "",
    }
}

/// The words that a choice allows; nothing if it is no choice.
fn choices(schema: &Value) -> Vec<&str> {
    let list = |word: &str| schema.get(word).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let one = schema.get("const").and_then(Value::as_str);
    let several = list("oneOf").iter().flat_map(choices);
    one.into_iter().chain(several).chain(list("enum").iter().filter_map(Value::as_str)).collect()
}

/// The words that a choice allows, with what each means where the schema says so.
fn described(schema: &Value, choices: &[&str]) -> String {
    let about = |word: &str| {
        let options = schema.get("oneOf")?.as_array()?;
        let option = options.iter().find(|option| option.get("const").is_some_and(|known| known == word))?;
        Some(format!("`{word}` ({})", lower(option.get("description")?.as_str()?.trim_end_matches('.'))))
    };
    choices.iter().map(|word| about(word).unwrap_or_else(|| format!("`{word}`"))).collect::<Vec<_>>().join(", ")
}

/// The largest value of a number's format, where the schema names no maximum.
fn widest(schema: &Value) -> Option<f64> {
    match schema.get("format").and_then(Value::as_str) {
        Some("uint32") => Some(f64::from(u32::MAX)),
        Some("int32") => Some(f64::from(i32::MAX)),
        Some("uint64" | "int64") => Some(i64::MAX as f64),
        _ => None,
    }
}

fn range(least: Option<f64>, above: Option<f64>, most: Option<f64>) -> String {
    match (least, above, most) {
        (Some(least), _, Some(most)) => format!("give a number from {least} to {most}"),
        (Some(least), _, None) => format!("give at least {least}"),
        (None, Some(above), Some(most)) => format!("give more than {above} and at most {most}"),
        (None, Some(above), None) => format!("give more than {above}"),
        (None, None, most) => format!("give at most {}", most.unwrap_or(f64::MAX)),
    }
}

/// What stands there, in words.
fn found(node: &Node, secret: bool) -> String {
    match &node.kind {
        Kind::List(_) => "a list".to_owned(),
        Kind::Map(_) => "a mapping".to_owned(),
        Kind::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        Kind::Scalar { .. } if secret => "what stands there".to_owned(),
        Kind::Scalar { text, .. } if node.text().is_some() => format!("the text `{}`", short(text)),
        Kind::Scalar { text, .. } => format!("`{}`", short(text)),
    }
}

/// What to write instead.
fn fix(wanted: &str, node: &Node, secret: bool) -> String {
    match &node.kind {
        _ if node.is_null() => format!("write {wanted}; a field that may be absent can be left out"),
        Kind::Scalar { text, plain: true } if wanted == "text" && !secret => {
            format!("put it in quotes: `\"{}\"`", short(text))
        }
        Kind::Scalar { .. } if wanted == "text" => "put it in quotes".to_owned(),
        Kind::Scalar { text, plain: false }
            if matches!(resolve(text), Value::Number(_) | Value::Bool(_)) && !secret =>
        {
            format!("remove the quotes: `{}`", short(text))
        }
        Kind::Scalar { text, .. } if wanted.starts_with("`true`") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "1" => "write `true`".to_owned(),
            "no" | "off" | "n" | "0" => "write `false`".to_owned(),
            _ => format!("write {wanted}"),
        },
        Kind::Scalar { text, .. } if wanted.starts_with("a list") && !text.contains('\n') && !secret => {
            format!("write `[{}]`", short(text))
        }
        _ => format!("write {wanted}"),
    }
}

fn short(text: &str) -> String {
    const SHOWN: usize = 40;
    let line = text.lines().next().unwrap_or("");
    if line.chars().count() <= SHOWN && line.len() == text.len() {
        return text.to_owned();
    }
    format!("{}…", line.chars().take(SHOWN).collect::<String>())
}

/// A sentence as it stands inside another one.
fn lower(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    let second = chars.clone().next().is_some_and(char::is_uppercase);
    if second { sentence.to_owned() } else { first + chars.as_str() }
}
