//! What the texts of steps stand for in a team or a run, where that is known before anything has happened.
//!
//! Rule: a text is replaced by its value only if every name in it is one of the team's or of the pattern's parameters; else it
//! is shown as the pattern has it, and the parameters it names are told beside the diagram. Start at [`Words::expression`].

use std::cell::RefCell;
use std::collections::BTreeSet;

use convoke_domain::flow::{Conflict, Count, parameter, template};
use convoke_domain::spec::RunSpec;
use serde_json::{Map, Value};

use super::short;
use crate::quote::one_line;

/// The most characters of a value that is told beside the diagram.
const VALUE: usize = 80;
/// Words of expressions that are no names.
const GRAMMAR: [&str; 10] = ["if", "else", "and", "or", "not", "in", "is", "none", "true", "false"];

/// The values of names; none of a pattern without a team.
#[derive(Debug, Default)]
pub(super) struct Words {
    known: Map<String, Value>,
    parameters: BTreeSet<String>,
    /// How the team settles disagreement where a step does not say.
    conflict: Option<Conflict>,
    /// Parameters that texts name which could not be replaced.
    named: RefCell<BTreeSet<String>>,
}

impl Words {
    /// Those of a team, or of a run that has settled them.
    pub(super) fn of(spec: &RunSpec) -> Self {
        let Some(flow) = &spec.team.flow else { return Self::default() };
        let mut known = parameter::team_variables(spec);
        let settled = match spec.parameters.is_empty() {
            true => parameter::settle(&flow.parameters, &spec.team.with, &known).unwrap_or_default(),
            false => spec.parameters.clone(),
        };
        let parameters = settled.keys().cloned().collect();
        known.extend(settled);
        Self { known, parameters, conflict: Some(spec.team.rules.conflict), named: RefCell::default() }
    }

    /// How the team settles disagreement.
    pub(super) const fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// An expression: its value if that is names or a number, else itself.
    pub(super) fn expression(&self, text: &str) -> String {
        self.value(text).as_ref().and_then(told).unwrap_or_else(|| self.as_it_is(text))
    }

    /// A template that is one value; text as it is.
    pub(super) fn name(&self, template: &str) -> String {
        let inner = template.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        match inner.filter(|inner| !inner.contains("{{")) {
            Some(inner) => self.expression(inner.trim()),
            None => template.to_owned(),
        }
    }

    pub(super) fn number(&self, count: &Count) -> String {
        match count {
            Count::Number(number) => number.to_string(),
            Count::Expression(text) => self.expression(text),
        }
    }

    /// Whether a condition holds, where that is known beforehand.
    pub(super) fn holds(&self, condition: &str) -> Option<bool> {
        self.value(condition).as_ref().map(template::is_true)
    }

    /// A text that stays as it is.
    pub(super) fn as_it_is(&self, text: &str) -> String {
        let shown = one_line(text, VALUE);
        let named = names(&shown).into_iter().filter(|name| self.parameters.contains(*name));
        self.named.borrow_mut().extend(named.map(str::to_owned));
        shown
    }

    /// The parameters that texts of the diagram name, with their values.
    pub(super) fn notes(&self) -> Vec<String> {
        let note = |name: &String| {
            let value = self.known.get(name)?;
            let value = told(value).unwrap_or_else(|| value.to_string());
            Some(one_line(&format!("{name}: {value}"), VALUE))
        };
        self.named.borrow().iter().filter_map(note).collect()
    }

    fn value(&self, text: &str) -> Option<Value> {
        let is_known = names(text).into_iter().all(|name| self.known.contains_key(name));
        (!self.known.is_empty() && is_known).then(|| template::evaluate(text, &self.known).ok()).flatten()
    }
}

/// A value in a word, or several.
fn told(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Array(list) if !list.is_empty() => {
            let words: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
            words.map(|words| words.join(", "))
        }
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The names that an expression begins with: no attributes, filters, functions, arguments or words of the language.
fn names(text: &str) -> Vec<&str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut found, mut at, mut before) = (Vec::new(), 0, String::new());
    while let Some(first) = text[at..].chars().next() {
        if matches!(first, '"' | '\'') {
            let rest = &text[at + 1..];
            at += rest.find(first).map_or(rest.len(), |end| end + 1) + 1;
            before = "text".to_owned();
        } else if is_word(first) {
            let end = text[at..].find(|c| !is_word(c)).map_or(text.len(), |end| at + end);
            let (word, rest) = (&text[at..end], text[end..].trim_start());
            let is_argument = rest.starts_with('=') && !rest.starts_with("==");
            let is_name = !first.is_ascii_digit() && !GRAMMAR.contains(&word) && !rest.starts_with('(');
            if is_name && !is_argument && !matches!(before.as_str(), "." | "|" | "is") {
                found.push(word);
            }
            at = end;
            before = word.to_owned();
        } else {
            at += first.len_utf8();
            if !first.is_whitespace() {
                before = first.to_string();
            }
        }
    }
    found
}

/// Parts of a list on as many lines as it takes, three at most.
pub(super) fn lines(text: &str) -> Vec<String> {
    const LINES: usize = 3;
    let mut lines: Vec<String> = vec![String::new()];
    for part in one_line(text, super::LINE * (LINES + 1)).split_inclusive(", ") {
        let last = lines.last_mut().expect("there is a line");
        if !last.is_empty() && last.chars().count() + part.trim_end().chars().count() > super::LINE {
            lines.push(String::new());
        }
        lines.last_mut().expect("there is a line").push_str(part);
    }
    if lines.len() > LINES {
        lines.truncate(LINES);
        lines[LINES - 1].push('…');
    }
    lines.iter().map(|line| short(line)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_told_from_attributes_filters_texts_and_arguments() {
        for (text, expected) in [
            ("stages | length", vec!["stages"]),
            ("round >= stages | length", vec!["round", "stages"]),
            ("results.check | verdict(\"all\") == bar", vec!["results", "bar"]),
            ("([judge] + agents) | without(candidate.agent)", vec!["judge", "agents", "candidate"]),
            ("x | map(attribute='rounds') | list", vec!["x"]),
            ("a if b is none else range(3)", vec!["a", "b"]),
            ("'it''s' + x[1]", vec!["x"]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
    }

    fn words() -> Words {
        let team = json!({
            "name": "t", "coordinator": "lead", "members": [{"profile": "a"}, {"profile": "b"}],
            "with": {"k": 2, "who": "b"},
            "flow": {"steps": [], "parameters": {
                "k": {"type": "integer"}, "who": {"type": "agent"}, "among": {"type": "agents", "default": "members"}}}
        });
        Words::of(&RunSpec::new(serde_json::from_value(team).expect("a team"), Default::default()))
    }

    #[test]
    fn what_is_known_is_told_and_what_is_not_is_shown_with_its_parameters() {
        let words = words();
        assert_eq!(words.expression("among"), "a, b");
        assert_eq!(words.expression("among | without(who)"), "a");
        assert_eq!(words.number(&Count::Expression("k + 1".into())), "3");
        assert_eq!(words.name("{{ who }}"), "b");
        assert_eq!(words.name("{{ coordinator }}"), "lead");
        assert_eq!((words.holds("k == 2"), words.holds("k == round")), (Some(true), None));
        assert_eq!(words.notes(), Vec::<String>::new());
        assert_eq!(words.expression("round >= k"), "round >= k");
        assert_eq!(words.expression("among[round - 1]"), "among[round - 1]");
        assert_eq!(words.notes(), ["among: a, b", "k: 2"]);
    }

    #[test]
    fn a_pattern_without_a_team_is_shown_as_it_is() {
        let words = Words::default();
        assert_eq!((words.expression("among"), words.name("{{ who }}")), ("among".to_owned(), "who".to_owned()));
        assert_eq!((words.expression("1 + 1"), words.holds("true")), ("1 + 1".to_owned(), None));
        assert_eq!(words.notes(), Vec::<String>::new());
    }

    #[test]
    fn a_list_takes_three_lines_at_most() {
        assert_eq!(lines("among a, b"), ["among a, b"]);
        let many: Vec<String> = (0..40).map(|n| format!("specialist-{n}")).collect();
        let told = lines(&many.join(", "));
        assert!(told.len() == 3 && told[2].ends_with('…'), "{told:?}");
        assert!(told.iter().all(|line| line.chars().count() <= super::super::LINE), "{told:?}");
    }
}
