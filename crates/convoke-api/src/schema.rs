//! JSON Schema of profile, team and pattern files, for editors and for the checks here. Made from the domain's types, so that
//! a field, a range or a word is written down once.

use std::sync::LazyLock;

use convoke_domain::flow::PatternFile;
use convoke_domain::profile::Profile;
use convoke_domain::program::{Input, Output};
use convoke_domain::team::Team;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// What a document defines: its top-level `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `kind: profile`
    Profile,
    /// `kind: team`
    Team,
    /// `kind: pattern`
    Pattern,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Profile, Self::Team, Self::Pattern];

    /// The word in files.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Team => "team",
            Self::Pattern => "pattern",
        }
    }

    /// Reads the word in files.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Further words that the domain reads: definition, the word, what it stands for.
const ALIASES: [(&str, &str, &str); 1] = [("Priority", "medium", "normal")];

static PROFILE: LazyLock<Value> = LazyLock::new(|| generate::<Profile>(Kind::Profile));
static TEAM: LazyLock<Value> = LazyLock::new(|| generate::<Team>(Kind::Team));
static PATTERN: LazyLock<Value> = LazyLock::new(|| generate::<PatternFile>(Kind::Pattern));

/// The JSON Schema (draft 2020-12) of a file that holds one document of this kind.
pub fn schema(kind: Kind) -> &'static Value {
    match kind {
        Kind::Profile => &PROFILE,
        Kind::Team => &TEAM,
        Kind::Pattern => &PATTERN,
    }
}

/// The same for editors: a document that extends another need not say what the other says.
pub fn editor_schema(kind: Kind) -> Value {
    let mut schema = schema(kind).clone();
    if let Some(root) = schema.as_object_mut().filter(|_| kind != Kind::Pattern)
        && let Some(required) = root.shift_remove("required")
    {
        let own = json!({"required": required});
        root.insert("anyOf".to_owned(), json!([own, {"required": ["kind", "name", "extends"]}]));
    }
    schema
}

/// The JSON Schema of what the program of an agent reads on its standard input.
pub fn program_input() -> Value {
    titled::<Input>("What a program in a Convoke team reads")
}

/// The JSON Schema of what the program of an agent prints on its standard output.
pub fn program_output() -> Value {
    titled::<Output>("What a program in a Convoke team prints")
}

fn titled<T: JsonSchema>(title: &str) -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    plain_words(&mut schema);
    schema["title"] = title.into();
    schema
}

fn generate<T: JsonSchema>(kind: Kind) -> Value {
    let mut schema = titled::<T>(&format!("A Convoke {}", kind.as_str()));
    if let Some(root) = schema.as_object_mut() {
        add_kind(root, kind);
        root.get_mut("$defs").and_then(Value::as_object_mut).map(add_aliases);
    }
    schema
}

/// Adds the `kind` that files have and the domain's types have not.
fn add_kind(root: &mut Map<String, Value>, kind: Kind) {
    let word = json!({"description": "What this document defines.", "const": kind.as_str()});
    if let Some(Value::Object(properties)) = root.get_mut("properties") {
        properties.shift_insert(0, "kind".to_owned(), word);
        if kind != Kind::Pattern {
            let about = format!("The {0} whose fields count where this one says nothing: its name.", kind.as_str());
            properties.shift_insert(1, "extends".to_owned(), json!({"description": about, "type": "string"}));
        }
    }
    if let Some(Value::Array(required)) = root.get_mut("required") {
        required.insert(0, json!("kind"));
    }
}

/// Takes the links out of descriptions, which are doc comments of Rust.
fn plain_words(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "description" => *text = text.replace("[`", "`").replace("`]", "`"),
                    other => plain_words(other),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(plain_words),
        _ => {}
    }
}

fn add_aliases(definitions: &mut Map<String, Value>) {
    for (name, word, meaning) in ALIASES {
        let choices = definitions.get_mut(name).and_then(|d| d.get_mut("oneOf")).and_then(Value::as_array_mut);
        if let Some(choices) = choices {
            choices.push(json!({"description": format!("The same as `{meaning}`."), "type": "string", "const": word}));
        }
    }
}
