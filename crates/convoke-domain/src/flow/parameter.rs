//! Values of a flow's parameters: what the team sets, or the defaults. Settled once, when a run starts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Parameter, ParameterType, template};
use crate::profile::Role;
use crate::spec::RunSpec;

/// What templates know of a team: `coordinator`, `members`, `by_role`, `by_capability`.
pub fn team_variables(spec: &RunSpec) -> Map<String, Value> {
    let members = spec.members();
    let names: Vec<&String> = members.iter().map(|(name, _)| name).collect();
    let roles = [Role::Coordinator, Role::Specialist, Role::Worker, Role::Reviewer];
    let mut by_role: BTreeMap<&str, Vec<&str>> = roles.map(|role| (role.as_str(), Vec::new())).into();
    let mut by_capability: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, can) in &members {
        let said = spec.team.members.iter().find(|member| member.profile == *name).and_then(|member| member.role);
        let role = said.or_else(|| spec.profiles.get(name).map(|profile| profile.role)).unwrap_or_default();
        by_role.entry(role.as_str()).or_default().push(name);
        for one in can {
            by_capability.entry(one).or_default().push(name);
        }
    }
    let all = json!({
        "coordinator": spec.team.coordinator, "members": names, "by_role": by_role, "by_capability": by_capability
    });
    all.as_object().cloned().unwrap_or_default()
}

/// The values of all parameters, or which one is wrong and why.
pub fn settle(
    parameters: &BTreeMap<String, Parameter>,
    with: &BTreeMap<String, Value>,
    team: &Map<String, Value>,
) -> Result<BTreeMap<String, Value>, String> {
    let mut values = BTreeMap::new();
    let mut known = team.clone();
    let mut open: Vec<(&String, &Parameter)> = parameters.iter().collect();
    // A default may name other parameters: those that can be settled come first.
    loop {
        let before = open.len();
        let mut refused = None;
        for (name, parameter) in std::mem::take(&mut open) {
            let Some(given) = with.get(name).or(parameter.default.as_ref()) else {
                return Err(format!("the pattern needs `{name}` ({}); set it under `with`", parameter.description));
            };
            match value(parameter, given, &known) {
                Ok(value) => {
                    known.insert(name.clone(), value.clone());
                    values.insert(name.clone(), value);
                }
                Err(reason) => {
                    refused.get_or_insert(format!("`{name}`: {reason}"));
                    open.push((name, parameter));
                }
            }
        }
        match refused {
            None => break,
            Some(reason) if open.len() == before => return Err(reason),
            Some(_) => {}
        }
    }
    if let Some(unknown) = with.keys().find(|name| !parameters.contains_key(*name)) {
        return Err(format!("the pattern has no parameter `{unknown}`"));
    }
    Ok(values)
}

/// One value. Text of agents and lists is an expression, unless it is the name of somebody in the team.
fn value(parameter: &Parameter, given: &Value, team: &Map<String, Value>) -> Result<Value, String> {
    let is_member = |name: &str| {
        team.get("coordinator").is_some_and(|coordinator| coordinator == name)
            || team.get("members").and_then(Value::as_array).is_some_and(|all| all.iter().any(|one| one == name))
    };
    let told = |text: &str| template::evaluate(text, team);
    let value = match (parameter.r#type, given) {
        (ParameterType::Agent, Value::String(text)) if !is_member(text) => told(text)?,
        (ParameterType::Agents, Value::String(text)) if is_member(text) => json!([text]),
        (ParameterType::Agents | ParameterType::List, Value::String(text)) => told(text)?,
        _ => given.clone(),
    };
    let is_name = |value: &Value| value.as_str().is_some_and(is_member);
    let is_right = match parameter.r#type {
        ParameterType::Text => value.is_string(),
        ParameterType::Agent => is_name(&value),
        ParameterType::Agents => value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_name)),
        ParameterType::Integer => value.is_i64() || value.is_u64(),
        ParameterType::Number => value.is_number(),
        ParameterType::Flag => value.is_boolean(),
        ParameterType::List => value.is_array(),
        ParameterType::Schema => value.is_object(),
    };
    if !is_right {
        let wanted = match parameter.r#type {
            ParameterType::Text => "a text",
            ParameterType::Agent => "the name of a member or the coordinator",
            ParameterType::Agents => "a list of names of members, not empty",
            ParameterType::Integer => "a whole number",
            ParameterType::Number => "a number",
            ParameterType::Flag => "true or false",
            ParameterType::List => "a list",
            ParameterType::Schema => "a JSON Schema",
        };
        return Err(format!("{wanted} is expected, not {value}"));
    }
    if let Some(text) = value.as_str()
        && !parameter.options.is_empty()
        && !parameter.options.iter().any(|option| option == text)
    {
        return Err(format!("one of `{}` is expected, not `{text}`", parameter.options.join("`, `")));
    }
    let number = value.as_f64();
    if let (Some(number), Some(min)) = (number, parameter.min)
        && number < min
    {
        return Err(format!("{value} is less than {min}"));
    }
    if let (Some(number), Some(max)) = (number, parameter.max)
        && number > max
    {
        return Err(format!("{value} is more than {max}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(parameter: Value, with: Value) -> Result<Value, String> {
        let team = json!({"coordinator": "lead", "members": ["a", "b"], "by_role": {"reviewer": []}});
        let parameters = [("x".to_owned(), serde_json::from_value(parameter).expect("a parameter"))].into();
        let with = with.as_object().expect("an object").clone().into_iter().collect();
        settle(&parameters, &with, team.as_object().expect("an object")).map(|mut all| all.remove("x").expect("x"))
    }

    #[test]
    fn values_are_names_expressions_or_data() {
        assert_eq!(settled(json!({"type": "agent"}), json!({"x": "a"})), Ok("a".into()));
        assert_eq!(settled(json!({"type": "agent", "default": "coordinator"}), json!({})), Ok("lead".into()));
        assert_eq!(settled(json!({"type": "agents", "default": "members"}), json!({})), Ok(json!(["a", "b"])));
        assert_eq!(settled(json!({"type": "agents"}), json!({"x": "b"})), Ok(json!(["b"])));
        assert_eq!(settled(json!({"type": "integer", "max": 5}), json!({"x": 3})), Ok(3.into()));
        let wrong = [
            (json!({"type": "integer", "max": 5}), json!({"x": 6}), "`x`: 6 is more than 5"),
            (json!({"type": "agent"}), json!({"x": "zoe"}), "`x`: `zoe` names nothing that exists"),
            (
                json!({"type": "agents", "default": "by_role.reviewer"}),
                json!({}),
                "`x`: a list of names of members, not empty is expected, not []",
            ),
            (
                json!({"type": "text", "description": "why"}),
                json!({}),
                "the pattern needs `x` (why); set it under `with`",
            ),
            (json!({"type": "text", "default": ""}), json!({"y": 1}), "the pattern has no parameter `y`"),
            (
                json!({"type": "text", "options": ["in turn", "chosen"]}),
                json!({"x": "choosen"}),
                "`x`: one of `in turn`, `chosen` is expected, not `choosen`",
            ),
        ];
        for (parameter, with, expected) in wrong {
            assert_eq!(settled(parameter, with), Err(expected.to_owned()));
        }
    }
}
