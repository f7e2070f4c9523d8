//! Profiles, teams and patterns back to YAML. What is at its default is left out; the text reads back to the same value.

use convoke_domain::flow::{Flow, PatternFile};
use convoke_domain::profile::Profile;
use convoke_domain::team::{Pattern, Team};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::library;
use crate::schema::{Kind, schema};

/// A profile as a YAML document.
pub fn profile_to_yaml(profile: &Profile) -> String {
    document(Kind::Profile, profile)
}

/// A pattern as a YAML document.
pub fn pattern_to_yaml(pattern: &PatternFile) -> String {
    document(Kind::Pattern, pattern)
}

/// A team as a YAML document. The steps of a pattern that it names are left out where the library has the same.
pub fn team_to_yaml(team: &Team) -> String {
    if is_of_library(team) {
        return document(Kind::Team, &Team { flow: None, ..team.clone() });
    }
    document(Kind::Team, team)
}

/// A team, the profiles it is made of, and the pattern it names unless the library has the same, in one file.
pub fn bundle_to_yaml(team: &Team, profiles: &[Profile]) -> String {
    bundle_with(team, profiles, &[])
}

/// The same; what of these patterns the team has its steps from is written as it stands there.
pub fn bundle_with(team: &Team, profiles: &[Profile], patterns: &[PatternFile]) -> String {
    let pattern = team.flow.as_ref().filter(|_| names_pattern(team) && !is_of_library(team));
    let whole = |flow: &Flow| {
        let known = patterns.iter().find(|known| known.name == team.pattern.as_str() && known.flow() == *flow);
        known.cloned().unwrap_or_else(|| PatternFile {
            name: team.pattern.as_str().to_owned(),
            description: String::new(),
            parameters: flow.parameters.clone(),
            steps: flow.steps.clone(),
            result: flow.result.clone(),
        })
    };
    let pattern = pattern.map(whole);
    let team = match &pattern {
        Some(_) => document(Kind::Team, &Team { flow: None, ..team.clone() }),
        None => team_to_yaml(team),
    };
    let patterns = pattern.iter().map(pattern_to_yaml);
    profiles.iter().map(profile_to_yaml).chain(patterns).chain([team]).collect::<Vec<_>>().join("---\n")
}

fn names_pattern(team: &Team) -> bool {
    team.pattern.as_str() != Pattern::COORDINATOR_WORKER
}

/// True if the library has the pattern that a team names, with the steps that the team carries.
fn is_of_library(team: &Team) -> bool {
    let known = library::patterns().iter().find(|pattern| pattern.name == team.pattern.as_str());
    names_pattern(team) && team.flow.is_some() && known.map(PatternFile::flow) == team.flow
}

fn document(kind: Kind, value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("definitions are plain data");
    let mut fields = Map::from_iter([("kind".to_owned(), Value::from(kind.as_str()))]);
    let root = schema(kind);
    if let Value::Object(rest) = prune(value, root, root) {
        fields.extend(rest);
    }
    let options = serde_saphyr::ser_options! { yaml_12: false, prefer_block_scalars: true, folded_wrap_chars: 10_000, min_fold_chars: 10_000 };
    serde_saphyr::to_string_with_options(&fields, options).expect("plain data is always YAML")
}

/// A definition without the fields that stand at their default.
pub(crate) fn pruned(kind: Kind, value: Value) -> Value {
    prune(value, schema(kind), schema(kind))
}

/// Leaves out the fields that stand at the default of their schema.
fn prune(value: Value, schema: &Value, root: &Value) -> Value {
    let schema = follow(schema, root);
    match value {
        Value::Object(fields) if schema.get("properties").is_some() => Value::Object(
            fields
                .into_iter()
                .filter_map(|(key, value)| {
                    let field = schema.get("properties")?.get(&key)?;
                    let usual = value.is_null() || field.get("default") == Some(&value);
                    (!usual || required(schema, &key)).then(|| (key, prune(value, field, root)))
                })
                .collect(),
        ),
        Value::Object(fields) => match schema.get("additionalProperties").filter(|each| each.is_object()) {
            Some(each) => {
                Value::Object(fields.into_iter().map(|(key, value)| (key, prune(value, each, root))).collect())
            }
            None => Value::Object(fields),
        },
        Value::Array(items) => match schema.get("items") {
            Some(each) => Value::Array(items.into_iter().map(|item| prune(item, each, root)).collect()),
            None => Value::Array(items),
        },
        other => other,
    }
}

fn required(schema: &Value, key: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|name| name == key))
}

/// Follows a reference, also one that may be null.
fn follow<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let inner = schema.get("anyOf").and_then(Value::as_array).and_then(|options| options.first()).unwrap_or(schema);
    let pointer = inner.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
    pointer.and_then(|pointer| root.pointer(pointer)).unwrap_or(inner)
}
