//! A ballot, and how it is read from what a voter said: JSON as the schema asks for, or plain text.
//!
//! Rule: nothing is guessed. An answer in which no choice can be read is an abstention, and so is none at all.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Canonical, VoteRule, canonical_json};
use crate::material::head_of;

/// Bytes of a reason that are kept.
const MAX_REASON: usize = 4 * 1024;
/// Bytes of a choice that are kept as it was said.
const MAX_SAID: usize = 2 * 1024;
/// What introduces a choice in plain text.
const HEADS: &[&str] = &["final answer", "answer", "choice", "vote", "my vote", "my choice", "decision"];
/// Words of those who do not choose, where no option is called so.
const ABSTAINS: &[&str] = &["", "abstain", "abstention", "i abstain", "no vote", "none", "null", "n/a"];

/// One voter's vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ballot {
    /// Who votes.
    pub voter: String,
    /// The choice as it was said.
    pub choice: String,
    /// By which it is compared: the option as the rule writes it, or the one form of an open answer.
    pub canonical: String,
    /// How sure the voter is, from 0 to 1, if it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// It chose nothing, or nothing that can be read.
    #[serde(default)]
    pub abstains: bool,
}

impl Ballot {
    /// A ballot for a choice; an abstention if the rule does not know it.
    pub fn cast(rule: &VoteRule, voter: &str, choice: &str) -> Self {
        let said = head_of(choice.trim(), MAX_SAID).to_owned();
        match rule.choice(choice) {
            Some(form) if !is_abstention(rule, &said) => Self {
                voter: voter.to_owned(),
                choice: said,
                canonical: form,
                confidence: None,
                reason: String::new(),
                abstains: false,
            },
            _ => Self { choice: said, ..Self::abstain(voter, "") },
        }
    }

    /// A ballot that chooses nothing, because the voter said so, failed, or cannot be understood.
    pub fn abstain(voter: &str, reason: &str) -> Self {
        Self {
            voter: voter.to_owned(),
            choice: String::new(),
            canonical: String::new(),
            confidence: None,
            reason: head_of(reason.trim(), MAX_REASON).to_owned(),
            abstains: true,
        }
    }

    /// Reads an answer: JSON that fits [`super::schema`], with or without a fence or words around it, or plain text.
    pub fn read(rule: &VoteRule, voter: &str, answer: &str) -> Self {
        match object(answer) {
            Some(value) => Self::of_value(rule, voter, &value),
            None => Self::of_text(rule, voter, answer),
        }
    }

    /// Reads a result that is JSON already, as tasks keep it.
    pub fn of_value(rule: &VoteRule, voter: &str, value: &Value) -> Self {
        let Value::Object(fields) = value else {
            return said(rule, value).map_or_else(
                || Self::abstain(voter, ""),
                |text| {
                    if value.is_string() { Self::read_text(rule, voter, &text) } else { Self::cast(rule, voter, &text) }
                },
            );
        };
        let reason = fields.get("reason").and_then(Value::as_str).unwrap_or_default();
        let choice = match fields.get("choice") {
            Some(choice) => said(rule, choice),
            None if rule.canonical == Canonical::Json && rule.options.is_empty() => Some(canonical_json(value)),
            None => None,
        };
        let Some(choice) = choice else { return Self::abstain(voter, reason) };
        Self {
            confidence: fields.get("confidence").and_then(Value::as_f64).and_then(part_of_one),
            reason: head_of(reason.trim(), MAX_REASON).to_owned(),
            ..Self::cast(rule, voter, &choice)
        }
    }

    /// A text that may hold JSON after all.
    fn read_text(rule: &VoteRule, voter: &str, text: &str) -> Self {
        match object(text) {
            Some(value) => Self::of_value(rule, voter, &value),
            None => Self::of_text(rule, voter, text),
        }
    }

    /// Plain text: the whole of it, or its line that says `Answer: …`, or its first or last line if that names an option.
    fn of_text(rule: &VoteRule, voter: &str, text: &str) -> Self {
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let announced = lines.iter().rev().find_map(|line| announced(line));
        let whole = Self::cast(rule, voter, announced.unwrap_or(text));
        if !whole.abstains || rule.options.is_empty() {
            return whole;
        }
        let ends = [announced, lines.last().copied(), lines.first().copied()];
        let found =
            ends.into_iter().flatten().map(|line| Self::of_line(rule, voter, line)).find(|ballot| !ballot.abstains);
        found.map_or_else(
            || Self::abstain(voter, text),
            |ballot| Self { reason: head_of(text.trim(), MAX_REASON).to_owned(), ..ballot },
        )
    }

    /// A line that is an option, or begins with one and goes on behind a mark: `Roll back: it is the safer way`.
    fn of_line(rule: &VoteRule, voter: &str, line: &str) -> Self {
        let whole = Self::cast(rule, voter, line);
        if !whole.abstains {
            return whole;
        }
        let marks = line.char_indices().filter(|(_, c)| matches!(c, ':' | ',' | ';' | '.' | '–' | '—' | '('));
        let heads = marks.map(|(at, _)| Self::cast(rule, voter, &line[..at]));
        heads.into_iter().find(|ballot| !ballot.abstains).unwrap_or(whole)
    }
}

/// True for words of somebody who does not choose.
pub fn says_abstention(rule: &VoteRule, said: &str) -> bool {
    !said.trim().is_empty() && is_abstention(rule, said)
}

/// As much of a text as a reason may have.
pub fn reason_of(said: &str) -> &str {
    head_of(said.trim(), MAX_REASON)
}

fn is_abstention(rule: &VoteRule, said: &str) -> bool {
    let plain = said.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation()).to_lowercase();
    ABSTAINS.contains(&plain.as_str()) && (rule.options.is_empty() || rule.choice(said).is_none())
}

/// What follows `Answer:` on a line.
fn announced(line: &str) -> Option<&str> {
    let (head, rest) = line.split_once(':')?;
    let head = head.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation()).to_lowercase();
    let rest = rest.trim().trim_matches('*').trim();
    (HEADS.contains(&head.as_str()) && !rest.is_empty()).then_some(rest)
}

/// The object in an answer: all of it, inside a fence, or from its first brace to its last.
fn object(answer: &str) -> Option<Value> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
    let text = answer.trim();
    let inside =
        || text.find('{').zip(text.rfind('}')).filter(|(from, to)| from < to).map(|(from, to)| &text[from..=to]);
    parse(text).or_else(|| inside().and_then(parse))
}

/// A choice as text; none for one that says nothing.
fn said(rule: &VoteRule, choice: &Value) -> Option<String> {
    match choice {
        Value::Null => None,
        Value::String(text) if rule.canonical == Canonical::Json && rule.options.is_empty() => {
            Some(if serde_json::from_str::<Value>(text).is_ok() { text.clone() } else { canonical_json(choice) })
        }
        Value::String(text) => Some(text.clone()),
        other => Some(canonical_json(other)),
    }
}

/// Confidence as a part of one; `85` is taken for percent.
fn part_of_one(found: f64) -> Option<f64> {
    match found {
        found if (0.0..=1.0).contains(&found) => Some(found),
        found if (1.0..=100.0).contains(&found) => Some(found / 100.0),
        _ => None,
    }
}
