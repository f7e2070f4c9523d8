//! Merging what several agents found into one result, with who said what and where they disagree.
//!
//! Rule: nothing is lost in silence. What the result leaves out is a disagreement with everyone's position, and what it
//! takes names those it comes from. Values are compared in one form ([`crate::vote::canonical`]), taken as they were said.
//! A model's synthesis is no merge: that is a task. Start at [`MergeRule`] and [`merge`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::vote::{Canonical, canonical, canonical_json};

mod lists;
mod say;
#[cfg(test)]
mod tests;

pub use say::according_to;

/// Disagreements that are listed; how many more there are is counted.
pub const MAX_DISAGREEMENTS: usize = 200;
/// Levels of an object that are merged field by field; what lies deeper is one value.
pub const MAX_DEPTH: usize = 16;

/// How results become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// All items of all lists, all fields of all objects, each once; of fields that differ, what most say.
    #[default]
    Union,
    /// What all have in common.
    Intersection,
    /// Everything as it is, side by side: texts under the names of their agents, lists one after another.
    Combine,
    /// What more than half of the agents say that have a result.
    Majority,
    /// What has most weight behind it; of lists, items with more than half of the weight.
    Weighted,
    /// The one result with the best score.
    BestOf,
}

/// How results are merged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MergeRule {
    /// How results become one.
    pub how: How,
    /// The field by which items of lists that are objects are the same thing, such as `id`; the whole item if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// How texts and numbers are compared.
    pub canonical: Canonical,
}

/// One agent's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Contribution {
    /// Whose it is.
    pub agent: String,
    /// What it weighs; counts for `weighted`, and breaks ties for `best_of`.
    pub weight: f64,
    /// The result; `null` if the agent has none.
    pub value: Value,
    /// How good it is, for `best_of`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// A value and who stands behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// What they say; `null` if they leave it out.
    pub value: Value,
    /// Who says it.
    pub agents: Vec<String>,
}

/// Where results differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Disagreement {
    /// Where, as a JSON pointer into the result; empty for the whole.
    pub path: String,
    /// What was said, the one that was taken first.
    pub positions: Vec<Position>,
    /// One of them is in the result.
    pub settled: bool,
}

/// What comes of a merge.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Merged {
    /// The result; `null` if there was nothing to merge or nothing in common.
    pub value: Value,
    /// Where results differ.
    pub disagreements: Vec<Disagreement>,
    /// Disagreements beyond those that are listed.
    pub more_disagreements: usize,
    /// Agents of whose results there is something in the result, in the order of the contributions.
    pub from: Vec<String>,
    /// Who said each part of the result: by JSON pointer, the parts that were taken as a whole.
    pub said_by: BTreeMap<String, Vec<String>>,
    /// Agents without a result.
    pub missing: Vec<String>,
}

/// Merges results.
pub fn merge(rule: &MergeRule, inputs: &[Contribution]) -> Merged {
    let (given, missing): (Vec<_>, Vec<_>) = inputs.iter().partition(|input| !input.value.is_null());
    let mut desk = Desk { rule, all: given.len(), out: Merged::default() };
    desk.out.missing = missing.iter().map(|input| input.agent.clone()).collect();
    let voices: Vec<Voice<'_>> = given.iter().map(|input| Voice { by: input, value: &input.value }).collect();
    desk.out.value = match rule.how {
        How::Combine => desk.combine(&voices),
        How::BestOf => desk.best(&voices),
        _ => desk.part("", &voices, 0).unwrap_or(Value::Null),
    };
    let mut out = desk.out;
    let is_in = |agent: &String| out.said_by.values().any(|agents| agents.contains(agent));
    out.from = given.iter().map(|input| input.agent.clone()).filter(is_in).collect();
    out
}

/// What one agent says of one part.
#[derive(Clone, Copy)]
struct Voice<'a> {
    by: &'a Contribution,
    value: &'a Value,
}

/// Voices that say the same.
struct Group<'a> {
    voices: Vec<Voice<'a>>,
}

impl<'a> Group<'a> {
    fn agents(&self) -> Vec<String> {
        self.voices.iter().map(|voice| voice.by.agent.clone()).collect()
    }

    fn weight(&self) -> f64 {
        self.voices.iter().map(|voice| voice.by.weight.max(0.0)).sum()
    }

    fn value(&self) -> &'a Value {
        self.voices[0].value
    }
}

/// A merge under way.
struct Desk<'a> {
    rule: &'a MergeRule,
    /// How many results there are.
    all: usize,
    out: Merged,
}

impl<'a> Desk<'a> {
    /// One part of the result; none if it is left out.
    fn part(&mut self, path: &str, voices: &[Voice<'a>], depth: usize) -> Option<Value> {
        let all = |is: fn(&Value) -> bool| !voices.is_empty() && voices.iter().all(|voice| is(voice.value));
        if depth < MAX_DEPTH && all(Value::is_object) {
            return Some(self.fields(path, voices, depth));
        }
        // The union of values that are no lists is the list of them, unless all say the same or a field has to stay what it is.
        let is_listed = |desk: &Self| desk.rule.how == How::Union && path.is_empty() && desk.groups(voices).len() > 1;
        if all(Value::is_array) || is_listed(self) {
            return Some(self.items(path, voices));
        }
        self.whole(path, voices)
    }

    /// Objects, field by field.
    fn fields(&mut self, path: &str, voices: &[Voice<'a>], depth: usize) -> Value {
        let mut names: Vec<&'a String> = Vec::new();
        for voice in voices {
            let fields = voice.value.as_object().into_iter().flat_map(|fields| fields.keys());
            fields.for_each(|name| {
                if !names.contains(&name) {
                    names.push(name)
                }
            });
        }
        let mut merged = serde_json::Map::new();
        for name in names {
            let path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
            let having =
                |voice: &Voice<'a>| Some(Voice { value: voice.value.get(name).filter(|v| !v.is_null())?, ..*voice });
            let having: Vec<_> = voices.iter().filter_map(having).collect();
            if having.is_empty() {
                merged.insert(name.clone(), Value::Null);
                continue;
            }
            if !self.has_enough(&having) {
                let groups = vec![Group { voices: having }];
                self.disagree(&path, &groups, false);
                continue;
            }
            if let Some(value) = self.part(&path, &having, depth + 1) {
                merged.insert(name.clone(), value);
            }
        }
        Value::Object(merged)
    }

    /// True if those who have something are enough for it to be in the result, whatever they say of it.
    fn has_enough(&self, having: &[Voice<'a>]) -> bool {
        match self.rule.how {
            How::Intersection => having.len() == self.all,
            How::Majority => 2 * having.len() > self.all,
            _ => true,
        }
    }

    /// Values that cannot be taken apart: texts, numbers, or values of different kinds.
    fn whole(&mut self, path: &str, voices: &[Voice<'a>]) -> Option<Value> {
        let mut groups = self.groups(voices);
        let taken = self.taken(&groups);
        if groups.len() > 1 {
            if let Some(at) = taken {
                let first = groups.remove(at);
                groups.insert(0, first);
            }
            self.disagree(path, &groups, taken.is_some());
        }
        taken?;
        self.out.said_by.insert(path.to_owned(), groups[0].agents());
        Some(groups[0].value().clone())
    }

    /// Which of several values is taken, if any.
    fn taken(&self, groups: &[Group<'a>]) -> Option<usize> {
        let heads = |group: &Group<'a>| group.voices.len();
        match self.rule.how {
            How::Intersection => (groups.len() == 1 && heads(&groups[0]) == self.all).then_some(0),
            How::Majority => groups.iter().position(|group| 2 * heads(group) > self.all),
            // Of those that are level the first said is taken.
            How::Union => heaviest(groups, |group| group.voices.len() as f64),
            // Where nobody has any weight, all weigh the same.
            _ if groups.iter().all(|group| group.weight() <= 0.0) => heaviest(groups, |group| heads(group) as f64),
            How::Weighted | How::Combine | How::BestOf => heaviest(groups, Group::weight),
        }
    }

    fn groups(&self, voices: &[Voice<'a>]) -> Vec<Group<'a>> {
        let mut forms: Vec<(String, Group<'a>)> = Vec::new();
        for voice in voices {
            let form = self.form(voice.value);
            match forms.iter_mut().find(|(known, _)| *known == form) {
                Some((_, group)) => group.voices.push(*voice),
                None => forms.push((form, Group { voices: vec![*voice] })),
            }
        }
        forms.into_iter().map(|(_, group)| group).collect()
    }

    /// By which values are compared.
    fn form(&self, value: &Value) -> String {
        match value {
            Value::String(text) => canonical(self.rule.canonical, text),
            other => canonical_json(other),
        }
    }

    fn disagree(&mut self, path: &str, groups: &[Group<'a>], settled: bool) {
        if self.out.disagreements.len() >= MAX_DISAGREEMENTS {
            self.out.more_disagreements += 1;
            return;
        }
        let position = |group: &Group<'a>| Position { value: group.value().clone(), agents: group.agents() };
        let positions = groups.iter().map(position).collect();
        self.out.disagreements.push(Disagreement { path: path.to_owned(), positions, settled });
    }

    /// The result with the best score; then with the most weight; then the first.
    fn best(&mut self, voices: &[Voice<'a>]) -> Value {
        let key = |voice: &Voice<'a>| (voice.by.score.unwrap_or(f64::NEG_INFINITY), voice.by.weight);
        let better = |a: &Voice<'a>, b: &Voice<'a>| {
            let (a, b) = (key(a), key(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
        };
        let Some(best) = voices.iter().rev().max_by(|a, b| better(a, b)).copied() else { return Value::Null };
        let mut groups = self.groups(voices);
        if let Some(at) =
            groups.iter().position(|group| group.voices.iter().any(|voice| voice.by.agent == best.by.agent))
        {
            let first = groups.remove(at);
            self.out.said_by.insert(String::new(), first.agents());
            groups.insert(0, first);
        }
        if groups.len() > 1 {
            self.disagree("", &groups, true);
        }
        best.value.clone()
    }
}

/// The place of the group with most of something; the first of those that are level.
fn heaviest<'a>(groups: &[Group<'a>], of: impl Fn(&Group<'a>) -> f64) -> Option<usize> {
    (0..groups.len()).rev().max_by(|a, b| of(&groups[*a]).total_cmp(&of(&groups[*b])))
}
