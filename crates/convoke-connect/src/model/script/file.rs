//! The YAML of a script: its shape, its checks, and where in the file each text stands.

use std::collections::BTreeMap;
use std::fmt;

use convoke_domain::price::Price;
use convoke_domain::transcript::Usage;
use convoke_port::model::Origin;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::Spanned;

use super::ScriptText;
use super::template;

/// A script that cannot be used: where and why.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct ScriptError {
    /// The file, or `script/NAME`.
    pub file: String,
    /// Line, from 1; 0 where it is not known.
    pub line: u64,
    /// Column, from 1; 0 where it is not known.
    pub column: u64,
    /// What is wrong.
    pub reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    #[expect(dead_code, reason = "for readers of the file")]
    description: Option<String>,
    #[serde(default)]
    pub(super) latency_ms: Option<Latency>,
    #[serde(default)]
    pub(super) price: Option<Price>,
    pub(super) agents: BTreeMap<String, Vec<Spanned<Entry>>>,
    /// Number of each agent's first entry, so that every entry has a number of its own.
    #[serde(skip)]
    firsts: BTreeMap<String, usize>,
}

/// What to reply, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    #[serde(default)]
    pub(super) when: When,
    #[serde(default)]
    pub(super) text: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) json: Option<Spanned<Node>>,
    #[serde(default)]
    pub(super) tools: Vec<ToolLine>,
    #[serde(default)]
    pub(super) latency_ms: Option<Latency>,
    #[serde(default)]
    pub(super) fault: Option<ScriptFault>,
    #[serde(default)]
    pub(super) times: Option<u32>,
    #[serde(default)]
    pub(super) usage: Option<Usage>,
    /// Which variables its templates name, so that only those are made.
    #[serde(skip)]
    pub(super) needs: Needs,
}

/// A call the script makes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolLine {
    #[serde(default)]
    pub(super) label: Option<String>,
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) input: Option<Spanned<Node>>,
}

/// What a call must be like for an entry to match; all that is given counts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct When {
    stage: Option<String>,
    task_key: Option<String>,
    round: Option<u32>,
    turn: Option<u32>,
    attempt: Option<u32>,
}

impl When {
    fn fits(&self, origin: &Origin) -> bool {
        self.stage.as_ref().is_none_or(|stage| *stage == origin.stage)
            && self.task_key.as_ref().is_none_or(|key| is_like(key, &origin.task_key))
            && self.round.is_none_or(|round| round == origin.round)
            && self.turn.is_none_or(|turn| turn == origin.turn)
            && self.attempt.is_none_or(|attempt| attempt == origin.attempt)
    }
}

/// True if `text` is `pattern`, in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut left) = text.strip_prefix(first) else { return false };
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    true
}

/// Milliseconds a reply takes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "latency_ms is a number of milliseconds or {min: …, max: …}")]
pub(super) enum Latency {
    Fixed(u64),
    Between { min: u64, max: u64 },
}

/// Faults a script can play: those of the port by their names, and two that are made up of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ScriptFault {
    Auth,
    RateLimited,
    Overloaded,
    Timeout,
    Connect,
    Cut,
    BadRequest,
    ContextTooLong,
    NoSuchModel,
    NoCredit,
    /// A reply that makes no sense.
    #[serde(alias = "bad_reply")]
    Malformed,
    /// Never answers, until the call times out or is cancelled.
    Hang,
}

/// The variables that cost something to make.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) results: bool,
    pub(super) context: bool,
    pub(super) prompt: bool,
    pub(super) seen: bool,
}

/// YAML data whose every part knows where it stands.
#[derive(Debug)]
pub(super) enum Node {
    Plain(Value),
    Text(String),
    List(Vec<Spanned<Node>>),
    Map(Vec<(String, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML data")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }
    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Text(value.to_owned()))
    }
    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }
    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = from.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = from.next_entry()? {
            map.push(pair);
        }
        Ok(Node::Map(map))
    }
}

impl File {
    pub(super) fn parse(text: &ScriptText) -> Result<Self, ScriptError> {
        let mut file: Self = serde_saphyr::from_str(&text.yaml).map_err(|error| {
            let at = error.location().map_or((0, 0), |at| (at.line(), at.column()));
            // Without the location and the excerpt, which follow on lines of their own.
            let reason = error.without_snippet().to_string();
            let reason = reason.lines().next().unwrap_or_default().to_owned();
            ScriptError { file: text.file.clone(), line: at.0, column: at.1, reason }
        })?;
        let mut count = 0;
        for (agent, entries) in &mut file.agents {
            file.firsts.insert(agent.clone(), count);
            count += entries.len();
            for entry in entries {
                check(text, entry)?;
                entry.value.needs = needs(&entry.value);
            }
        }
        Ok(file)
    }

    /// The first entry that fits, of the agent's own and then of `*`, with the numbers of those behind it.
    pub(super) fn fitting<'a>(&'a self, origin: &'a Origin) -> impl Iterator<Item = (usize, &'a Spanned<Entry>)> {
        let lists = [origin.agent.as_str(), "*"].into_iter().filter_map(|agent| self.agents.get_key_value(agent));
        lists
            .flat_map(|(agent, entries)| {
                let first = self.firsts[agent];
                entries.iter().enumerate().map(move |(at, entry)| (first + at, entry))
            })
            .filter(|(_, entry)| entry.value.when.fits(origin))
    }
}

fn check(text: &ScriptText, entry: &Spanned<Entry>) -> Result<(), ScriptError> {
    let at = &entry.value;
    let refuse = |reason: &str| Err(error_at(text, entry.referenced, reason));
    if at.text.is_some() && at.json.is_some() {
        return refuse("an entry has text or json, not both");
    }
    if at.text.is_none() && at.json.is_none() && at.tools.is_empty() && at.fault.is_none() {
        return refuse("an entry needs one of text, json, tools or fault");
    }
    if at.times.is_some() && at.fault.is_none() {
        return refuse("times says how often a fault comes: add fault, or take times away");
    }
    if let Some(Latency::Between { min, max }) = at.latency_ms
        && min > max
    {
        return refuse("latency_ms: min is greater than max");
    }
    let mut labels: Vec<_> = at.tools.iter().map(ToolLine::label).collect();
    labels.sort_unstable();
    if let Some(twice) = labels.windows(2).find(|pair| pair[0] == pair[1]) {
        return refuse(&format!("two tools of one entry are labelled {}: give each its own label", twice[0]));
    }
    template::check(text, at)
}

impl ToolLine {
    pub(super) fn label(&self) -> &str {
        self.label.as_deref().unwrap_or(&self.name.value)
    }
}

/// An error at a place of the script's file.
pub(super) fn error_at(text: &ScriptText, at: serde_saphyr::Location, reason: &str) -> ScriptError {
    ScriptError { file: text.file.clone(), line: at.line(), column: at.column(), reason: reason.to_owned() }
}

fn needs(entry: &Entry) -> Needs {
    let mut needs = Needs::default();
    template::each(entry, &mut |text| {
        needs.results |= text.value.contains("results");
        needs.context |= text.value.contains("context");
        needs.prompt |= text.value.contains("prompt");
        needs.seen |= text.value.contains("seen");
    });
    needs
}

/// A text of the script and where it stands.
pub(super) struct Placed<'a> {
    pub(super) value: &'a str,
    pub(super) at: serde_saphyr::Location,
}

/// All texts of `node`, outermost first.
pub(super) fn texts<'a>(node: &'a Spanned<Node>, each: &mut dyn FnMut(Placed<'a>)) {
    match &node.value {
        Node::Plain(_) => {}
        Node::Text(value) => each(Placed { value, at: node.referenced }),
        Node::List(list) => list.iter().for_each(|item| texts(item, each)),
        Node::Map(map) => map.iter().for_each(|(_, item)| texts(item, each)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [
            ("a/b", "a/b"),
            ("a/*", "a/b/c"),
            ("*/work", "desk/rounds/2/work"),
            ("r/*/p/*", "r/1/p/x"),
            ("*", ""),
            ("a*a", "aa"),
        ] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("a/*", "b/a/c"), ("*/work", "work"), ("r/*/p/*", "r/1/q/x"), ("a*a", "a"), ("a/b", "a/b/c")]
        {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }
}
