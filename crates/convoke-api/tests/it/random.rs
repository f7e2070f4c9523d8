//! Random runs of every pattern of the library: tasks end in any order, well or badly, in time or not, with answers that fit what was
//! asked for and say anything. Each run ends within its limits and leaves nothing over, and ends the same after any crash.
//!
//! A failure names the pattern and the seed; `CONVOKE_SEED=N` runs that seed alone, `CONVOKE_RUNS=100` so many of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoke_api::library;
use convoke_domain::flow::Flow;
use convoke_domain::flow::machine::TaskEnd;
use convoke_domain::flow::made::{Chooser, Draw, answer};
use convoke_domain::flow::rehearsal::{Rehearsal, RunEnd};
use convoke_domain::spec::RunSpec;
use convoke_domain::team::Team;
use serde_json::{Value, json};

/// Runs of a pattern, unless `CONVOKE_RUNS` says otherwise.
const RUNS: u64 = 10_000;
/// Runs of a team, whose pattern was played already.
const TEAM_RUNS: u64 = 1_000;
/// Of so many, one is played again with crashes.
const PER_CRASH: u64 = 10;
/// Tasks that no run of the library's patterns may go beyond with these plans.
const TASKS_MAX: usize = 2_000;
/// Things that happen in one run.
const EVENTS_MAX: usize = 10_000;
/// The most items of a plan that is drawn, unless it is too long on purpose.
const ITEMS_MAX: usize = 4;

/// What is drawn while a run is played.
struct Chance<'a> {
    draw: Draw,
    members: &'a [String],
}

impl Chooser for Chance<'_> {
    fn pick(&mut self, _: &str, many: usize) -> usize {
        self.draw.below(many)
    }

    fn length(&mut self, _: &str, least: usize, most: usize) -> usize {
        match self.draw.below(40) {
            0 => most.min(40) + 1,
            1 => 0,
            _ => least + self.draw.below(most.min(ITEMS_MAX).saturating_sub(least) + 1),
        }
    }

    fn text(&mut self, at: &str) -> String {
        if matches!(at, "hand_to" | "next") && self.draw.chance(80) {
            return self.members[self.draw.below(self.members.len())].clone();
        }
        match self.draw.below(8) {
            0..=3 => ["x", "y", "42", ""][self.draw.below(4)].to_owned(),
            4..=6 => self.members[self.draw.below(self.members.len())].clone(),
            _ => format!("{{{{ {} }}}} # {}", self.draw.below(1_000), self.draw.below(1_000)),
        }
    }
}

/// How a run came out: its end, its tasks, the time.
#[derive(Debug, PartialEq)]
struct Played {
    end: Option<RunEnd>,
    tasks: Vec<(String, Option<TaskEnd>, bool)>,
    now: i64,
    cancelled: bool,
}

/// Plays a run; with `crashes`, what is not stored is lost now and then.
fn play(spec: &Arc<RunSpec>, members: &[String], seed: u64, crashes: bool) -> Played {
    let mut chance = Chance { draw: Draw::new(seed), members };
    let mut crash = Draw::new(!seed);
    // Some runs go well, some badly; some are fast, some out of time.
    let failures = [0, 2, 10, 40][chance.draw.below(4)];
    let longest = [1, 60, 3_600, 400_000][chance.draw.below(4)];
    let called_off_at = chance.draw.chance(3).then(|| chance.draw.below(20));
    let mut run = Rehearsal::begin(Arc::clone(spec), "the task");
    let mut busy: BTreeMap<String, i64> = BTreeMap::new();
    for event in 0.. {
        assert!(event < EVENTS_MAX, "it goes on for ever");
        assert!(run.tasks().len() <= TASKS_MAX, "it makes {} tasks", run.tasks().len());
        if crashes && crash.chance(30) {
            run = run.restored();
        }
        if run.end.is_some() || called_off_at == Some(event) {
            break;
        }
        let open = run.open();
        busy.retain(|at, _| open.contains(at));
        for at in open {
            let until = run.now + (1 + chance.draw.below(longest) as i64) * 1_000_000;
            busy.entry(at).or_insert(until);
        }
        let task = busy.iter().min_by_key(|(_, until)| **until).map(|(at, until)| (*until, at.clone()));
        let due = run.due().into_iter().min();
        match (task, due) {
            (None, None) => panic!("it stands still; left are {:?}", run.left()),
            (None, Some((_, at))) => run.time_is_up(&at),
            (Some((until, _)), Some((due, at))) if due < until => run.time_is_up(&at),
            (Some((until, at)), _) => {
                run.now = until;
                busy.remove(&at);
                let end = match chance.draw.below(100) {
                    number if number < failures => TaskEnd::Failed("it broke".into()),
                    number if number < failures + failures / 4 => TaskEnd::Failed("it was called off".into()),
                    _ => TaskEnd::Completed(answer(run.tasks()[&at].new.output_schema.as_ref(), &mut chance)),
                };
                run.finish(&at, end);
            }
        }
    }
    if matches!(run.end, Some(RunEnd::Completed(_) | RunEnd::Failed(_))) {
        assert_eq!(run.left(), [""; 0], "tasks are left over after {:?}", run.end);
        assert_eq!(run.due(), [], "something still has a time after {:?}", run.end);
    }
    let tasks = run.tasks().iter().map(|(at, task)| (at.clone(), task.end.clone(), task.off)).collect();
    Played { cancelled: run.end.is_none(), end: run.end, tasks, now: run.now }
}

/// Plays all runs of these specs, in turn, and says how they came out.
fn play_all(name: &str, specs: &[Arc<RunSpec>]) {
    let set = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let usual = if library::patterns().iter().any(|pattern| pattern.name == name) { RUNS } else { TEAM_RUNS };
    let (only, runs) = (set("CONVOKE_SEED"), set("CONVOKE_RUNS").unwrap_or(usual));
    let mut ends = [0_u64; 4];
    let mut most = 0;
    let began = std::time::Instant::now();
    for seed in only.map_or(0..runs, |seed| seed..seed + 1) {
        let spec = &specs[seed as usize % specs.len()];
        let mut members: Vec<String> = spec.members().into_iter().map(|(name, _)| name).collect();
        members.push(spec.team.coordinator.clone());
        let _shown = Shown(name, seed);
        let played = play(spec, &members, seed, false);
        if seed % PER_CRASH == 0 || only.is_some() {
            assert_eq!(play(spec, &members, seed, true), played, "a crash changes how it ends");
        }
        most = most.max(played.tasks.len());
        ends[match &played.end {
            Some(RunEnd::Completed(_)) => 0,
            Some(RunEnd::Failed(_)) => 1,
            Some(RunEnd::Escalated(_)) => 2,
            None => 3,
        }] += 1;
    }
    let [completed, failed, escalated, cancelled] = ends;
    println!(
        "{name}: seeds 0 to {runs}: {completed} completed, {failed} failed, {escalated} escalated, {cancelled} cancelled; at most {most} \
         tasks; {:?}",
        began.elapsed()
    );
    assert!(only.is_some() || completed > runs / 50, "{name}: too few complete for the runs to say much: {completed}");
}

/// Names the pattern and the seed where a run panics.
struct Shown<'a>(&'a str, u64);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: seed {}", self.0, self.1);
        }
    }
}

/// A team of these members with a pattern.
fn spec(flow: &Flow, members: &[&str], (with, rules): (&Value, Value)) -> Arc<RunSpec> {
    let profile = |name: &&str| {
        let role = if name.starts_with("rev") { "reviewer" } else { "specialist" };
        let value = json!({"name": name, "prompt": "x", "role": role, "capabilities": [format!("can-{name}")]});
        ((*name).to_owned(), serde_json::from_value(value).expect("a profile"))
    };
    let members_json: Vec<Value> = members.iter().map(|name| json!({"profile": name})).collect();
    let team = json!({"name": "t", "coordinator": "lead", "members": members_json, "with": with, "rules": rules});
    let mut team: Team = serde_json::from_value(team).expect("a team");
    team.flow = Some(flow.clone());
    settled(team, members.iter().chain(&["lead"]).map(profile).collect())
}

fn settled(team: Team, profiles: BTreeMap<String, convoke_domain::profile::Profile>) -> Arc<RunSpec> {
    let mut spec = RunSpec::new(team, profiles);
    spec.settle_flow().expect("a flow that can be used");
    Arc::new(spec)
}

/// What teams may set, so that every way through the pattern is taken.
fn ways(pattern: &str) -> Vec<Value> {
    match pattern {
        "consensus" => vec![json!({}), json!({"options": ["x", "y"], "threshold": 0.6, "rounds": 2})],
        "debate" => vec![json!({}), json!({"sides": ["for", "against", "neither", "both"], "rounds": 3})],
        "ensemble" => vec![json!({}), json!({"how": "best", "k": 5}), json!({"how": "synthesis", "k": 2})],
        "hierarchical" => {
            vec![json!({"departments": [{"lead": "a", "members": ["b", "c"]}, {"lead": "rev", "members": ["rev"]}]})]
        }
        "majority_vote" | "weighted_vote" => vec![json!({}), json!({"options": ["x", "y", "42"]})],
        "peer_to_peer" => vec![json!({"turns": 6}), json!({"speaker": "chosen", "turns": 8, "quiet": 2})],
        "planned_team" => vec![
            json!({"rounds": 3, "checks": 2}),
            json!({"checks": 1, "dissent": "go_on", "parts": [{"key": "one", "assignee": "a"}, {"key": "two", "assignee": "rev", "depends_on": ["one"]}]}),
        ],
        "sequential" => vec![json!({}), json!({"see_all": true, "jobs": ["one", "two", "three", "four"]})],
        _ => vec![json!({})],
    }
}

fn pattern(name: &str) {
    let found = library::patterns().iter().find(|pattern| pattern.name == name).expect("a pattern of the library");
    let flow = found.flow();
    let policies = ["never", "on_failure", "on_disagreement"];
    let conflicts = ["vote", "evidence", "judge", "escalate"];
    let rules = (0..4).map(|place| json!({"escalation_policy": policies[place % 3], "conflict": conflicts[place]}));
    let teams: [&[&str]; 2] = [&["a", "b", "c", "rev"], &["a", "rev"]];
    let mut specs = Vec::new();
    for (place, rules) in rules.enumerate() {
        let members = if name == "hierarchical" { teams[0] } else { teams[usize::from(place == 3)] };
        specs.extend(ways(name).iter().map(|with| spec(&flow, members, (with, rules.clone()))));
    }
    play_all(name, &specs);
}

macro_rules! patterns {
    ($($name:ident),+) => {
        $(#[test] fn $name() { pattern(stringify!($name)); })+

        #[test]
        fn every_pattern_is_played() {
            let mut played = vec![$(stringify!($name)),+];
            played.sort_unstable();
            let names: Vec<&str> = library::patterns().iter().map(|pattern| pattern.name.as_str()).collect();
            assert_eq!(names, played);
        }
    };
}

patterns!(
    consensus,
    debate,
    ensemble,
    handoff,
    hierarchical,
    majority_vote,
    parallel,
    parallel_implementation,
    peer_review,
    peer_to_peer,
    planned_team,
    review_feedback_loop,
    sequential,
    weighted_vote
);

#[test]
fn teams() {
    let bundle = library::bundle();
    let teams: Vec<&Team> = bundle.teams.iter().filter(|team| team.flow.is_some()).collect();
    assert!(!teams.is_empty());
    for team in teams {
        let names = team.members.iter().map(|member| &member.profile).chain([&team.coordinator]);
        let profile = |name: &String| bundle.profiles.iter().find(|profile| profile.name == *name).expect("a profile");
        let profiles = names.map(|name| (name.clone(), profile(name).clone())).collect();
        play_all(&team.name, &[settled(team.clone(), profiles)]);
    }
}
