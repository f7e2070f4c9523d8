//! `planned_team` is `coordinator_worker` in steps: played beside it, the same agents are asked for the same things, and the same comes of it.
//!
//! Who says what is drawn from a seed and from what is asked, so that it does not depend on the order in which two patterns ask. A failure
//! names the seed; `CONVOKE_SEED=N` runs that seed alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use convoke_api::library;
use convoke_domain::flow::machine::TaskEnd;
use convoke_domain::flow::made::Draw;
use convoke_domain::flow::rehearsal::{Rehearsal, RunEnd};
use convoke_domain::graph::Edge;
use convoke_domain::pattern::{self, Ending, Move, NewTask, RunView, Stage, TaskView};
use convoke_domain::spec::RunSpec;
use convoke_domain::team::Team;
use serde_json::{Value, json};

/// Runs that are compared.
const RUNS: u64 = 1_000;
/// Tasks that end in one run.
const TURNS_MAX: usize = 400;
const MEMBERS: [&str; 3] = ["logs", "cost", "ops"];
const TASK: &str = "Why is it down?";

/// What somebody is asked for: the stage, its round, the key.
type Asked = (&'static str, u32, String);

/// What came of a run, and who was asked for what.
#[derive(Debug, PartialEq)]
struct Played {
    end: RunEnd,
    handed: Option<String>,
    asked: BTreeMap<Asked, String>,
}

/// What a team sets, in the words of each pattern.
struct Ways {
    rounds: u32,
    checks: u32,
    asks_person: bool,
    is_fixed: bool,
}

impl Ways {
    fn drawn(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        Self {
            rounds: 1 + draw.below(3) as u32,
            checks: draw.below(4) as u32,
            asks_person: draw.chance(50),
            is_fixed: draw.chance(25),
        }
    }

    /// Sub-tasks that are there before the run.
    fn fixed(&self) -> Value {
        let parts = json!([
            {"key": "first", "title": "First", "assignee": "logs", "instructions": "Look."},
            {"key": "second", "title": "Second", "needs": ["can-ops"], "depends_on": ["first"]},
        ]);
        if self.is_fixed { parts } else { json!([]) }
    }

    fn team(&self, of_steps: bool) -> Team {
        let policy = if self.asks_person { "on_disagreement" } else { "never" };
        let mut team = json!({
            "name": "t", "coordinator": "lead", "members": MEMBERS.map(|name| json!({"profile": name})),
            "rules": {"escalation_policy": policy},
        });
        if of_steps {
            let dissent = if self.asks_person { "escalate" } else { "go_on" };
            team["with"] =
                json!({"rounds": self.rounds, "checks": self.checks, "dissent": dissent, "parts": self.fixed()});
            let mut team: Team = serde_json::from_value(team).expect("a team");
            let found = library::patterns().iter().find(|one| one.name == "planned_team").expect("the pattern");
            team.flow = Some(found.flow());
            return team;
        }
        team["rules"]["max_rounds"] = self.rounds.into();
        team["rules"]["validation_rounds"] = self.checks.into();
        if self.is_fixed {
            (team["rules"]["planning"], team["tasks"]) = ("fixed".into(), self.fixed());
        }
        serde_json::from_value(team).expect("a team")
    }
}

/// What is said to whoever is asked for this; nothing of it depends on the pattern.
fn said(seed: u64, ways: &Ways, asked: &Asked) -> Option<String> {
    let (stage, round, key) = asked;
    let mixed = format!("{stage}/{round}/{key}")
        .bytes()
        .fold(seed, |sum, byte| sum.wrapping_mul(0x0100_0000_01B3).wrapping_add(u64::from(byte)));
    let mut draw = Draw::new(mixed);
    if draw.chance(if *stage == "work" { 20 } else { 4 }) {
        return None;
    }
    let mut parts = |least: usize| {
        let many = least + draw.below(3);
        let part = |place: usize| {
            let on: &[&str] = if place == 1 { &["p0"] } else { &[] };
            let who = MEMBERS[draw.below(MEMBERS.len())];
            json!({"key": format!("p{place}"), "title": "t", "instructions": "i", "assignee": who, "depends_on": on, "expected_output": ""})
        };
        (0..many).map(part).collect::<Vec<_>>()
    };
    Some(match *stage {
        "plan" => json!({"tasks": parts(1)}).to_string(),
        // Where more may be asked for, the answer has a form.
        "synthesis" if *round < ways.rounds => {
            json!({"answer": format!("answer {round}"), "follow_up": parts(0)}).to_string()
        }
        "synthesis" | "revision" => format!("answer {round} {stage}"),
        "validation" => {
            let verdict = if draw.chance(25) { "disagree" } else { "agree" };
            json!({"verdict": verdict, "comment": "c"}).to_string()
        }
        _ => format!("{key} found"),
    })
}

/// Plays `coordinator_worker`.
fn reduced(seed: u64, ways: &Ways) -> Played {
    let team = ways.team(false);
    let members: Vec<(String, Vec<String>)> =
        MEMBERS.iter().map(|name| ((*name).to_owned(), vec![format!("can-{name}")])).collect();
    let mut made: Vec<NewTask> = Vec::new();
    let mut tasks: Vec<TaskView> = Vec::new();
    let mut asked = BTreeMap::new();
    for _ in 0..TURNS_MAX {
        for one in pattern::next(&RunView { team: &team, members: &members, task: TASK, tasks: &tasks }) {
            let (end, handed) = match one {
                Move::Create(new) => {
                    for task in new {
                        let view = TaskView {
                            key: task.key.clone(),
                            stage: task.stage,
                            round: task.round,
                            agent: task.agent.clone(),
                            ending: None,
                        };
                        made.push(task);
                        tasks.push(view);
                    }
                    continue;
                }
                Move::Complete(output) => (RunEnd::Completed(output), None),
                Move::Fail(..) => (RunEnd::Failed(String::new()), None),
                Move::Escalate { output, .. } => (RunEnd::Escalated(String::new()), output),
                Move::Enter(_) | Move::Note(_) | Move::Cancel(_) => continue,
            };
            return Played { end, handed, asked };
        }
        let judged = tasks.iter().filter(|task| task.stage == Stage::Validation).map(|task| task.round).max();
        let place = tasks.iter().position(|task| task.ending.is_none()).expect("something is open");
        // In the order in which they were made, each dependency has ended before what depends on it.
        let is_lost = made[place].after.iter().any(|(on, edge)| {
            let is_it =
                |task: &&TaskView| (task.stage.as_str(), task.round, &task.key) == (on.stage, on.round, &on.key);
            let end = tasks.iter().find(is_it).and_then(|task| task.ending.as_ref());
            *edge == Edge::Hard && !matches!(end, Some(Ending::Completed(_)))
        });
        let task = &tasks[place];
        let what = match (task.stage, judged) {
            // What it was before anybody judged it, and what was made of their objections.
            (Stage::Synthesis, Some(round)) => ("revision", round, String::new()),
            (Stage::Plan | Stage::Synthesis, _) => (task.stage.as_str(), task.round, String::new()),
            _ => (task.stage.as_str(), task.round, task.key.clone()),
        };
        let said = if is_lost { None } else { said(seed, ways, &what) };
        asked.insert(what, task.agent.clone());
        tasks[place].ending = Some(said.map_or(Ending::Failed("it broke".into()), Ending::Completed));
    }
    panic!("seed {seed}: it does not end: {tasks:?}");
}

/// What a task of `planned_team` is for, by its path.
fn asked_at(at: &str) -> Asked {
    let parts: Vec<&str> = at.split('/').collect();
    let round = || parts[1].parse().expect("a round");
    match parts.as_slice() {
        ["work", "plan"] => ("plan", 1, String::new()),
        ["work", key] => ("work", 1, (*key).to_owned()),
        ["answers", _, "more", key] => ("work", round(), (*key).to_owned()),
        ["answers", _, "draft" | "last"] => ("synthesis", round(), String::new()),
        ["judged", _, "verdicts", name] => ("validation", round(), (*name).to_owned()),
        ["judged", _, "revision"] => ("revision", round(), String::new()),
        _ => panic!("what is `{at}` for?"),
    }
}

/// Plays `planned_team`; what is open ends in any order.
fn stepped(seed: u64, ways: &Ways) -> Played {
    let profile = |name: &str| {
        let value = json!({"name": name, "prompt": "x", "capabilities": [format!("can-{name}")]});
        (name.to_owned(), serde_json::from_value(value).expect("a profile"))
    };
    let profiles = MEMBERS.into_iter().chain(["lead"]).map(profile).collect();
    let mut spec = RunSpec::new(ways.team(true), profiles);
    spec.settle_flow().expect("a flow that can be used");
    let mut run = Rehearsal::begin(Arc::new(spec), TASK);
    let mut order = Draw::new(!seed);
    for _ in 0..TURNS_MAX {
        if let Some(end) = run.end.clone() {
            let asked = run.tasks().iter().map(|(at, task)| (asked_at(at), task.new.agent.clone())).collect();
            let end = match end {
                RunEnd::Completed(text) => RunEnd::Completed(text),
                RunEnd::Failed(_) => RunEnd::Failed(String::new()),
                RunEnd::Escalated(_) => RunEnd::Escalated(String::new()),
            };
            return Played { end, handed: run.handed, asked };
        }
        let open = run.open();
        let at = &open[order.below(open.len())];
        let end = said(seed, ways, &asked_at(at)).map_or(TaskEnd::Failed("it broke".into()), TaskEnd::Completed);
        run.finish(at, end);
    }
    panic!("seed {seed}: it does not end: {:?}", run.left());
}

#[test]
fn the_steps_do_what_the_program_does() {
    let only = std::env::var("CONVOKE_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let mut ends = BTreeSet::new();
    for seed in only.map_or(0..RUNS, |seed| seed..seed + 1) {
        let ways = Ways::drawn(seed);
        let steps = stepped(seed, &ways);
        assert_eq!(steps, reduced(seed, &ways), "seed {seed}");
        ends.insert((format!("{:?}", steps.end).split('(').next().map(str::to_owned), steps.handed.is_some()));
    }
    let ends: Vec<_> = ends.iter().map(|(end, handed)| (end.as_deref().unwrap_or_default(), *handed)).collect();
    assert!(only.is_some() || ends == [("Completed", false), ("Escalated", true), ("Failed", false)], "{ends:?}");
}
