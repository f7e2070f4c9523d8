//! What a run will take, before it starts: tasks, calls, tokens and money, found by rehearsing it many times without a model.
//!
//! Rule: no figure here is a promise. The least and the most are those of all rehearsals, the typical one is their middle; what a
//! call takes is estimated from prompts and limits, as docs/guide/plan.md says. Start at [`forecast`].

mod beyond;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::flow::expand::HAND_TO;
use crate::flow::machine::{TaskEnd, What};
use crate::flow::made::{Chooser, Draw, answer};
use crate::flow::rehearsal::{Rehearsal, RunEnd};
use crate::money::Money;
use crate::pattern::{self, Ending, Move, NewTask, RunView, TaskView};
use crate::price::Price;
use crate::profile::{AgentKind, Profile};
use crate::spec::RunSpec;
use crate::transcript::Usage;

pub use beyond::{Beyond, beyond};

/// Rehearsals in which everybody answers the same way throughout: they find the extremes.
const STUBBORN: u64 = 64;
/// Rehearsals in which answers are drawn anew each time: they find the middle.
const MIXED: u64 = 32;
/// Tasks at which a rehearsal is broken off.
const TASKS_MAX: usize = 2_000;
/// The most items of a plan that is rehearsed.
const ITEMS_MAX: usize = 50;
/// Turns in which something ends, in one rehearsal.
const TURNS_MAX: usize = 5_000;
/// Bytes that are told to every agent besides its prompt and its task: team, manner, tools.
const AROUND: u64 = 2_000;
/// Bytes of prose in one token, in the middle.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a tool's result adds to the calls behind it: in the middle, and at most.
const RESULT_TOKENS: [u64; 2] = [1_000, 4_000];
/// Calls of an agent with tools for one task, in the middle.
const USUAL_CALLS: u64 = 4;

/// What an agent's calls cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Its model's price; none where it costs nothing or is not known.
    pub price: Option<Price>,
    /// The longest answer of one call.
    pub max_output_tokens: u32,
}

/// What something takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Tasks.
    pub tasks: u64,
    /// Model calls.
    pub calls: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// Dollars.
    pub cost_usd: Money,
}

/// The least, the middle, the most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Range<T> {
    /// The least of all rehearsals that came to an end with a result.
    pub least: T,
    /// The middle of those in which answers were drawn.
    pub typical: T,
    /// The most of all rehearsals.
    pub most: T,
}

/// What one agent will do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Share {
    /// The agent.
    pub agent: String,
    /// How it is driven.
    pub agent_kind: AgentKind,
    /// Its first model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Its tasks.
    pub tasks: Range<u64>,
    /// Tools for which it has to ask a person.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub asks: Vec<String>,
}

/// What a run will take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forecast {
    /// How often it was rehearsed.
    pub rehearsals: u64,
    /// In how many of them it came to a result.
    pub completed: u64,
    /// Tasks, calls, tokens, dollars.
    pub takes: Range<Sum>,
    /// Tasks at the same time.
    pub width: Range<u64>,
    /// Rounds of its longest loop; 0 where nothing is repeated.
    pub rounds: Range<u64>,
    /// Who does what.
    pub agents: Vec<Share>,
    /// What agents may do of their own accord, which is in none of these figures.
    pub not_counted: Vec<Beyond>,
    /// The most that one call is held to cost: a budget that is smaller admits none.
    pub dearest_call_usd: Money,
    /// A rehearsal was broken off: the most is more than is said.
    pub broken_off: bool,
}

/// One rehearsal.
#[derive(Debug, Default)]
struct Rehearsed {
    agents: BTreeMap<String, u64>,
    takes: [Sum; 3],
    dearest: Money,
    width: u64,
    rounds: u64,
    completed: bool,
    broken_off: bool,
}

/// Rehearses a run and says what it takes. `rates` are by agent.
pub fn forecast(spec: &Arc<RunSpec>, task: &str, rates: &BTreeMap<String, Rate>) -> Forecast {
    let play = |seed: u64| {
        let mood = Mood { seed: (seed < STUBBORN).then_some(seed), draw: Draw::new(seed), said: 0, names: names(spec) };
        if spec.flow.is_some() { flow(spec, task, rates, mood) } else { reducer(spec, task, rates, mood) }
    };
    let all: Vec<Rehearsed> = (0..STUBBORN + MIXED).map(play).collect();
    let completed = all.iter().filter(|one| one.completed).count() as u64;
    let well: Vec<&Rehearsed> = all.iter().filter(|one| one.completed || completed == 0).collect();
    let mut middle: Vec<&Rehearsed> =
        all.iter().skip(STUBBORN as usize).filter(|one| one.completed || completed == 0).collect();
    middle.sort_by_key(|one| (one.takes[1].calls, one.takes[1].tasks));
    let typical = middle.get(middle.len() / 2).or(well.first()).copied();
    let range = |of: &dyn Fn(&Rehearsed) -> u64| Range {
        least: well.iter().map(|one| of(one)).min().unwrap_or(0),
        typical: typical.map_or(0, of),
        most: all.iter().map(of).max().unwrap_or(0),
    };
    let least = well.iter().map(|one| one.takes[0]).min_by_key(|sum| (sum.cost_usd, sum.calls, sum.tasks));
    let most = all.iter().map(|one| one.takes[2]);
    let takes = Range {
        least: least.unwrap_or_default(),
        typical: typical.map(|one| one.takes[1]).unwrap_or_default(),
        most: most.reduce(largest).unwrap_or_default(),
    };
    let share = |name: &String| {
        let profile = spec.profiles.get(name)?;
        let tasks = range(&|one| one.agents.get(name).copied().unwrap_or(0));
        let model = spec.models.get(name).and_then(|models| models.first().cloned());
        let (agent, asks) = (name.clone(), profile.ask.clone());
        (tasks.most > 0).then_some(Share { agent, agent_kind: profile.agent_kind, model, tasks, asks })
    };
    let agents: Vec<Share> = names(spec).iter().filter_map(share).collect();
    Forecast {
        rehearsals: STUBBORN + MIXED,
        completed,
        takes,
        width: range(&|one| one.width),
        rounds: range(&|one| one.rounds),
        not_counted: beyond(spec, agents.iter().map(|share| share.agent.as_str())),
        agents,
        dearest_call_usd: well.iter().map(|one| one.dearest).min().unwrap_or_default(),
        broken_off: all.iter().any(|one| one.broken_off),
    }
}

fn largest(a: Sum, b: Sum) -> Sum {
    Sum {
        tasks: a.tasks.max(b.tasks),
        calls: a.calls.max(b.calls),
        tokens: a.tokens.max(b.tokens),
        cost_usd: a.cost_usd.max(b.cost_usd),
    }
}

/// The coordinator and the members.
fn names(spec: &RunSpec) -> Vec<String> {
    let mut names = vec![spec.team.coordinator.clone()];
    names.extend(spec.members().into_iter().map(|(name, _)| name).filter(|name| *name != spec.team.coordinator));
    names
}

fn flow(spec: &Arc<RunSpec>, task: &str, rates: &BTreeMap<String, Rate>, mut mood: Mood) -> Rehearsed {
    let mut run = Rehearsal::begin(Arc::clone(spec), task);
    let mut out = Rehearsed::default();
    for _ in 0..TURNS_MAX {
        let open = run.open();
        out.broken_off |= run.tasks().len() > TASKS_MAX;
        if open.is_empty() || out.broken_off {
            break;
        }
        out.width = out.width.max(open.len() as u64);
        for at in open {
            let Some(found) = run.tasks().get(&at).filter(|found| found.end.is_none() && !found.off) else { continue };
            if run.end.is_some() {
                break;
            }
            let new = found.new.clone();
            out.count(spec, task, rates, &new);
            run.finish(&at, TaskEnd::Completed(answer(new.output_schema.as_ref(), &mut mood)));
        }
    }
    let rounds = run.notes.iter().filter(|note| note.what == What::RoundStarted);
    out.rounds = rounds.filter_map(|note| note.facts["round"].as_u64()).max().unwrap_or(0);
    out.completed = matches!(run.end, Some(RunEnd::Completed(_)));
    out
}

/// A coordinator and workers, who follow no flow.
fn reducer(spec: &RunSpec, task: &str, rates: &BTreeMap<String, Rate>, mut mood: Mood) -> Rehearsed {
    let members = spec.members();
    let mut tasks: Vec<(NewTask, TaskView)> = Vec::new();
    let mut out = Rehearsed::default();
    for _ in 0..TURNS_MAX {
        let views: Vec<TaskView> = tasks.iter().map(|(_, view)| view.clone()).collect();
        for one in pattern::next(&RunView { team: &spec.team, members: &members, task, tasks: &views }) {
            match one {
                Move::Create(new) => tasks.extend(new.into_iter().map(|new| {
                    let (key, stage, round, agent) = (new.key.clone(), new.stage, new.round, new.agent.clone());
                    (new, TaskView { key, stage, round, agent, ending: None })
                })),
                Move::Cancel(off) => {
                    for (_, view) in tasks.iter_mut().filter(|(_, view)| view.ending.is_none()) {
                        let is_off = |one: &pattern::TaskRef| {
                            (one.stage, one.round, &one.key) == (view.stage.as_str(), view.round, &view.key)
                        };
                        if off.iter().any(is_off) {
                            view.ending = Some(Ending::Cancelled);
                        }
                    }
                }
                Move::Complete(_) => out.completed = true,
                Move::Enter(_) | Move::Note(_) | Move::Fail(..) | Move::Escalate { .. } => {}
            }
        }
        let has_ended = |on: &pattern::TaskRef| {
            tasks.iter().any(|(_, view)| {
                (on.stage, on.round, &on.key) == (view.stage.as_str(), view.round, &view.key) && view.ending.is_some()
            })
        };
        let is_open =
            |(new, view): &(NewTask, TaskView)| view.ending.is_none() && new.after.iter().all(|(on, _)| has_ended(on));
        let open: Vec<usize> = (0..tasks.len()).filter(|place| is_open(&tasks[*place])).collect();
        if open.is_empty() {
            break;
        }
        out.width = out.width.max(open.len() as u64);
        for place in open {
            let (new, view) = &mut tasks[place];
            out.count(spec, task, rates, new);
            view.ending = Some(Ending::Completed(answer(new.output_schema.as_ref(), &mut mood)));
        }
    }
    out.rounds = tasks.iter().map(|(new, _)| u64::from(new.round)).max().filter(|round| *round > 1).unwrap_or(0);
    out
}

impl Rehearsed {
    fn count(&mut self, spec: &RunSpec, task: &str, rates: &BTreeMap<String, Rate>, new: &NewTask) {
        *self.agents.entry(new.agent.clone()).or_default() += 1;
        for sum in &mut self.takes {
            sum.tasks += 1;
        }
        let Some(profile) = spec.profiles.get(&new.agent).filter(|profile| profile.agent_kind == AgentKind::Llm) else {
            return;
        };
        let rate = rates.get(&new.agent).copied();
        let longest = u64::from(rate.map_or(profile.model_settings.max_output_tokens, |rate| rate.max_output_tokens));
        let schema = new.output_schema.as_ref().map_or(0, |schema| schema.to_string().len());
        let bytes = (profile.prompt.len() + task.len() + new.instructions.len() + schema) as u64 + AROUND;
        let price = rate.and_then(|rate| rate.price).unwrap_or(Price::FREE);
        let bound = price.at_most(bytes / 2 + 400, longest);
        self.dearest = self.dearest.max(bound);
        let outputs = [longest / 20, longest / 5, longest].map(|tokens| tokens.max(1));
        for (place, sum) in self.takes.iter_mut().enumerate() {
            let calls = calls(profile, new)[place];
            let added = outputs[place] + if place == 2 { RESULT_TOKENS[1] } else { RESULT_TOKENS[0] };
            let per_token = if place == 2 { 2 } else { BYTES_PER_TOKEN };
            // Each call sends what was said before it.
            let input = calls * (bytes / per_token) + added * (calls * calls.saturating_sub(1) / 2);
            let usage = Usage { input_tokens: input, output_tokens: calls * outputs[place], ..Usage::default() };
            sum.calls += calls;
            sum.tokens += usage.total();
            sum.cost_usd += price.of(usage);
        }
    }
}

/// Calls for one task: the least, the usual, the most.
fn calls(profile: &Profile, new: &NewTask) -> [u64; 3] {
    let most = u64::from(profile.max_turns.max(1));
    match (profile.tools.is_empty(), &new.output_schema) {
        (true, None) => [1, 1, 1],
        (true, Some(_)) => [1, 1, most.min(2)],
        (false, _) => [1, USUAL_CALLS.min(most), most],
    }
}

/// How those who answer are disposed: always the same way, by a seed, or anew each time.
struct Mood {
    seed: Option<u64>,
    draw: Draw,
    said: usize,
    names: Vec<String>,
}

impl Mood {
    fn choose(&mut self, at: &str, many: usize) -> usize {
        match self.seed {
            Some(seed) => {
                let mixed = at.bytes().fold(seed + 1, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
                Draw::new(mixed).below(many)
            }
            None => self.draw.below(many),
        }
    }
}

impl Chooser for Mood {
    fn pick(&mut self, at: &str, many: usize) -> usize {
        // Whom a plan gives its parts to is spread over all who may have one.
        if at.ends_with("assignee") {
            self.said += 1;
            return self.said % many.max(1);
        }
        // Control is handed to somebody: the last that can be said is nobody.
        if at == HAND_TO && many > 1 {
            return self.choose(at, many - 1);
        }
        self.choose(at, many)
    }

    fn length(&mut self, at: &str, least: usize, most: usize) -> usize {
        let each = self.names.len().saturating_sub(1).clamp(least, most.max(least));
        let choices = [least, each, most.min(ITEMS_MAX).max(least)];
        let many = if self.seed.is_some() { 3 } else { 2 };
        choices[if self.seed.is_none() && least > 0 { 1 } else { self.choose(at, many) }]
    }

    fn text(&mut self, at: &str) -> String {
        self.said += 1;
        match self.choose(at, 3) {
            0 => "the same".into(),
            1 => format!("something else {}", self.said),
            _ => self.names[self.said % self.names.len()].clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(pattern: Option<Value>) -> Arc<RunSpec> {
        let profile = |name: &str| {
            let value = json!({"name": name, "prompt": "x".repeat(400), "tools": if name == "b" { vec!["read_file"] } else { vec![] }, "ask": if name == "b" { vec!["read_file"] } else { vec![] }});
            (name.to_owned(), serde_json::from_value(value).expect("a profile"))
        };
        let mut team: crate::team::Team = serde_json::from_value(
            json!({"name": "t", "coordinator": "lead", "members": [{"profile": "a"}, {"profile": "b"}]}),
        )
        .expect("a team");
        team.flow = pattern.map(|flow| serde_json::from_value(flow).expect("a flow"));
        let mut spec = RunSpec::new(team, ["lead", "a", "b"].map(profile).into());
        spec.settle_flow().expect("a flow");
        Arc::new(spec)
    }

    fn rates() -> BTreeMap<String, Rate> {
        let price = Price { input: 1.0, output: 2.0, cache_read: None, cache_write: None };
        ["lead", "a", "b"].map(|name| (name.to_owned(), Rate { price: Some(price), max_output_tokens: 1_000 })).into()
    }

    #[test]
    fn a_fixed_flow_takes_what_it_says() {
        let step = |id: &str, agent: &str| json!({"id": id, "task": {"agent": agent, "instructions": "do"}});
        let found = forecast(&spec(Some(json!({"steps": [step("one", "a"), step("two", "b")]}))), "T", &rates());
        let takes = found.takes;
        assert_eq!((takes.least.tasks, takes.typical.tasks, takes.most.tasks), (2, 2, 2));
        // `a` has no tools: one call. `b` has: one, four, or as many as it may have turns.
        assert_eq!((takes.least.calls, takes.typical.calls, takes.most.calls), (2, 5, 11));
        assert!(takes.least.cost_usd < takes.typical.cost_usd && takes.typical.cost_usd < takes.most.cost_usd);
        assert_eq!((found.width.most, found.rounds.most, found.completed), (1, 0, found.rehearsals));
        assert_eq!(
            found.agents.iter().map(|one| (one.agent.as_str(), one.asks.len())).collect::<Vec<_>>(),
            [("a", 0), ("b", 1)]
        );
        assert_eq!(found, forecast(&spec(Some(json!({"steps": [step("one", "a"), step("two", "b")]}))), "T", &rates()));
    }

    #[test]
    fn rounds_and_width_are_found() {
        let review = json!({"steps": [
            {"id": "draft", "task": {"agent": "a", "instructions": "write"}},
            {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "['b', 'lead']", "rounds": 3, "on_reject": "continue"}},
        ]});
        let found = forecast(&spec(Some(review)), "T", &rates());
        // A draft and two reviews; at most three rounds of them with two revisions.
        assert_eq!((found.takes.least.tasks, found.takes.most.tasks), (3, 9));
        assert_eq!((found.width.most, found.rounds.least, found.rounds.most), (2, 1, 3));
    }

    #[test]
    fn whoever_gets_control_makes_calls_of_its_own() {
        let help = json!({"steps": [{"id": "help", "handoff": {"start": "lead", "among": "['lead', 'a']", "instructions": "help", "max": 4}}]});
        let found = forecast(&spec(Some(help)), "T", &rates());
        assert_eq!((found.takes.least.tasks, found.takes.most.tasks, found.rounds.most), (1, 4, 4));
        assert!(found.takes.typical.tasks >= 2, "every second one hands over: {:?}", found.takes);
        let shares: Vec<_> = found.agents.iter().map(|one| (one.agent.as_str(), one.tasks.most)).collect();
        assert_eq!(shares, [("lead", 2), ("a", 2)]);
    }

    #[test]
    fn a_coordinator_and_workers_are_rehearsed_too() {
        let found = forecast(&spec(None), "T", &rates());
        assert!(found.takes.least.tasks >= 3 && found.takes.typical.tasks >= 4, "{found:?}");
        assert!(found.completed > 0 && found.width.most >= 2, "{found:?}");
    }
}
