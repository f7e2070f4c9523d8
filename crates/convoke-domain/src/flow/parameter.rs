//! Values of a pattern's parameters: what a team sets under `with`, else the default. The check before a run and the run
//! itself both ask here, so that they cannot differ. Start at [`value_of`].
//!
//! Rule: text of an `agents` or `list` is an expression; text of an `agent` is a name if somebody has it, else an expression.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Flow, Parameter, ParameterType, template};
use crate::profile::Role;

/// What is wrong with the value of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrong {
    /// No value is set, and there is no default.
    Missing,
    /// It is something else than what is asked for: in words, such as `a list of names`.
    Type(&'static str),
    /// It is too small or too large: the least and the largest, in words.
    Range(String),
    /// It names somebody who is not in the team.
    Stranger(String),
    /// Its expression has no value, for this reason.
    Expression(String),
}

/// A member as expressions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its part in the team.
    pub role: Role,
    /// What it can do.
    pub capabilities: &'a [String],
}

/// The variables that tell of the team: `coordinator`, `members`, `by_role`, `by_capability`.
pub fn team(coordinator: &str, members: &[Seen<'_>]) -> Map<String, Value> {
    let mut by_role: BTreeMap<&str, Vec<&str>> =
        [Role::Coordinator, Role::Specialist, Role::Worker, Role::Reviewer].map(|role| (role.as_str(), vec![])).into();
    let mut by_capability: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for member in members {
        by_role.entry(member.role.as_str()).or_default().push(member.name);
        for capability in member.capabilities {
            by_capability.entry(capability).or_default().push(member.name);
        }
    }
    let names: Vec<&str> = members.iter().map(|member| member.name).collect();
    let all = json!({"coordinator": coordinator, "members": names, "by_role": by_role, "by_capability": by_capability});
    all.as_object().cloned().unwrap_or_default()
}

/// The values of all parameters, or the first that is wrong.
pub fn values(
    flow: &Flow,
    with: &BTreeMap<String, Value>,
    team: &Map<String, Value>,
) -> Result<BTreeMap<String, Value>, (String, Wrong)> {
    let one = |(name, parameter): (&String, &Parameter)| match value_of(parameter, with.get(name), team) {
        Ok(value) => Ok((name.clone(), value)),
        Err(wrong) => Err((name.clone(), wrong)),
    };
    flow.parameters.iter().map(one).collect()
}

/// The value of a parameter that is set to `given`, in a team that these variables tell of.
pub fn value_of(parameter: &Parameter, given: Option<&Value>, team: &Map<String, Value>) -> Result<Value, Wrong> {
    let given = given.filter(|value| !value.is_null());
    let value = given.or(parameter.default.as_ref()).ok_or(Wrong::Missing)?;
    match parameter.r#type {
        ParameterType::Text => value.as_str().map(Value::from).ok_or(Wrong::Type("text")),
        ParameterType::Agent => agent(value, team),
        ParameterType::Agents => agents(value, team),
        ParameterType::Integer | ParameterType::Number => number(parameter, value),
        ParameterType::Flag => value.as_bool().map(Value::from).ok_or(Wrong::Type("`true` or `false`")),
        ParameterType::List => list(value, team, "a list"),
        ParameterType::Schema => match value.is_object() {
            true => Ok(value.clone()),
            false => Err(Wrong::Type("a JSON Schema, which is a mapping")),
        },
    }
}

fn is_in_team(name: &str, team: &Map<String, Value>) -> bool {
    let members = team.get("members").and_then(Value::as_array);
    team.get("coordinator").is_some_and(|one| one == name)
        || members.is_some_and(|all| all.iter().any(|one| one == name))
}

fn agent(value: &Value, team: &Map<String, Value>) -> Result<Value, Wrong> {
    let text = value.as_str().ok_or(Wrong::Type("the name of a member or the coordinator"))?;
    if is_in_team(text, team) {
        return Ok(text.into());
    }
    // A word that could be a name and names nothing else is the name of a stranger, not a broken expression.
    let is_word = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if is_word && !team.contains_key(text) {
        return Err(Wrong::Stranger(text.to_owned()));
    }
    match template::evaluate(text, team).map_err(Wrong::Expression)? {
        Value::String(name) if is_in_team(&name, team) => Ok(name.into()),
        Value::String(name) => Err(Wrong::Stranger(name)),
        _ => Err(Wrong::Type("the name of a member or the coordinator")),
    }
}

fn agents(value: &Value, team: &Map<String, Value>) -> Result<Value, Wrong> {
    const NAMES: &str = "a list of names of members";
    let list = list(value, team, NAMES)?;
    for name in list.as_array().into_iter().flatten() {
        let name = name.as_str().ok_or(Wrong::Type(NAMES))?;
        if !is_in_team(name, team) {
            return Err(Wrong::Stranger(name.to_owned()));
        }
    }
    Ok(list)
}

fn list(value: &Value, team: &Map<String, Value>, what: &'static str) -> Result<Value, Wrong> {
    let value = match value {
        Value::String(text) => template::evaluate(text, team).map_err(Wrong::Expression)?,
        other => other.clone(),
    };
    if value.is_array() { Ok(value) } else { Err(Wrong::Type(what)) }
}

fn number(parameter: &Parameter, value: &Value) -> Result<Value, Wrong> {
    let is_whole = parameter.r#type == ParameterType::Integer;
    let wanted = if is_whole { "a whole number" } else { "a number" };
    let number = value.as_f64().filter(|_| !is_whole || value.is_i64() || value.is_u64()).ok_or(Wrong::Type(wanted))?;
    let fits = parameter.min.is_none_or(|least| number >= least) && parameter.max.is_none_or(|most| number <= most);
    if fits {
        return Ok(value.clone());
    }
    Err(Wrong::Range(match (parameter.min, parameter.max) {
        (Some(least), Some(most)) => format!("from {least} to {most}"),
        (Some(least), None) => format!("at least {least}"),
        (None, most) => format!("at most {}", most.unwrap_or(f64::MAX)),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crew() -> Map<String, Value> {
        let can = ["logs".to_owned()];
        let seen = |name, role| Seen { name, role, capabilities: &can };
        team("lead", &[seen("ada", Role::Specialist), seen("bob", Role::Reviewer)])
    }

    fn of(r#type: ParameterType, given: Value) -> Result<Value, Wrong> {
        value_of(&Parameter { r#type, min: Some(1.0), max: Some(5.0), ..Parameter::default() }, Some(&given), &crew())
    }

    #[test]
    fn names_and_expressions_are_told_apart() {
        use ParameterType::{Agent, Agents, List};
        assert_eq!(of(Agent, json!("ada")), Ok(json!("ada")));
        assert_eq!(of(Agent, json!("coordinator")), Ok(json!("lead")));
        assert_eq!(of(Agent, json!("by_role.reviewer | first")), Ok(json!("bob")));
        assert_eq!(of(Agent, json!("eve")), Err(Wrong::Stranger("eve".into())));
        assert_eq!(of(Agents, json!("members")), Ok(json!(["ada", "bob"])));
        assert_eq!(of(Agents, json!(["ada", "lead"])), Ok(json!(["ada", "lead"])));
        assert_eq!(of(Agents, json!(["eve"])), Err(Wrong::Stranger("eve".into())));
        assert_eq!(of(List, json!("by_capability.logs")), Ok(json!(["ada", "bob"])));
        assert_eq!(of(List, json!("coordinator")), Err(Wrong::Type("a list")));
        assert!(matches!(of(List, json!("nobody")), Err(Wrong::Expression(_))));
    }

    #[test]
    fn numbers_have_a_range() {
        use ParameterType::{Flag, Integer, Number};
        assert_eq!(of(Integer, json!(5)), Ok(json!(5)));
        assert_eq!(of(Integer, json!(6)), Err(Wrong::Range("from 1 to 5".into())));
        assert_eq!(of(Integer, json!(1.5)), Err(Wrong::Type("a whole number")));
        assert_eq!(of(Number, json!(1.5)), Ok(json!(1.5)));
        assert_eq!(of(Flag, json!("yes")), Err(Wrong::Type("`true` or `false`")));
        let needed = Parameter::default();
        assert_eq!(value_of(&needed, None, &crew()), Err(Wrong::Missing));
        assert_eq!(value_of(&needed, Some(&Value::Null), &crew()), Err(Wrong::Missing));
    }
}
