//! Tables of situations and moves, and the proof by test that every run ends.

use serde_json::json;

use super::*;
use crate::flow::machine::What;
use crate::team::Team;

fn team(rules: Value) -> Team {
    let members = json!([{"profile": "logs"}, {"profile": "cost", "optional": true}]);
    serde_json::from_value(json!({"name": "t", "coordinator": "lead", "members": members, "rules": rules}))
        .expect("a team")
}

fn members() -> Vec<(String, Vec<String>)> {
    vec![("logs".into(), vec!["logs".into()]), ("cost".into(), vec!["billing".into()])]
}

fn done(stage: Stage, round: u32, key: &str, ending: Ending) -> TaskView {
    let agent = if key == COORDINATOR_KEY { "lead" } else { key };
    TaskView { key: key.into(), stage, round, agent: agent.into(), ending: Some(ending) }
}

fn moves(team: &Team, tasks: &[TaskView]) -> Vec<Move> {
    next(&RunView { team, members: &members(), task: "Why is it down?", tasks })
}

/// The moves without what is only written down.
fn decided(team: &Team, tasks: &[TaskView]) -> Vec<Move> {
    moves(team, tasks).into_iter().filter(|step| !matches!(step, Move::Note(_))).collect()
}

/// What is written down: of what kind, where, and its facts.
fn told(team: &Team, tasks: &[TaskView]) -> Vec<(What, String, Value)> {
    let notes =
        moves(team, tasks).into_iter().filter_map(|step| if let Move::Note(note) = step { Some(note) } else { None });
    notes.map(|note| (note.what, note.path, note.facts)).collect()
}

fn created(moves: &[Move]) -> Vec<(String, String)> {
    let lists = moves.iter().filter_map(|step| if let Move::Create(tasks) = step { Some(tasks) } else { None });
    lists.flatten().map(|task| (task.stage.as_str().to_owned(), task.key.clone())).collect()
}

const PLAN: &str =
    r#"{"tasks":[{"key":"logs","assignee":"logs"},{"key":"cost","needs":["billing"],"depends_on":["logs"]}]}"#;

fn completed(text: &str) -> Ending {
    Ending::Completed(text.into())
}

#[test]
fn planning_costs_one_call_or_none() {
    for (planning, first) in [("plan", "plan"), ("brief", "plan"), ("same_task", "work")] {
        let made = created(&moves(&team(json!({"planning": planning})), &[]));
        assert_eq!(made[0].0, first, "{planning}");
    }
}

#[test]
fn a_plan_becomes_tasks_with_their_edges() {
    let found = moves(&team(json!({})), &[done(Stage::Plan, 1, COORDINATOR_KEY, completed(PLAN))]);
    let Some(Move::Create(tasks)) = found.last() else { panic!("tasks: {found:?}") };
    assert_eq!(tasks[1].agent, "cost");
    assert_eq!(tasks[1].after, [(task_ref(Stage::Work, 1, "logs"), Edge::Hard)]);
}

#[test]
fn an_unusable_plan_says_why() {
    for (plan, reason) in [
        (r#"{"tasks":[]}"#, "the plan has no sub-tasks"),
        (
            r#"{"tasks":[{"key":"a","assignee":"ghost"}]}"#,
            "sub-task `a` is given to `ghost`, who is not a member; the members are logs, cost",
        ),
        (
            r#"{"tasks":[{"key":"a","assignee":"logs","depends_on":["b"]},{"key":"b","assignee":"cost","depends_on":["a"]}]}"#,
            "the sub-tasks depend on each other in a circle: a -> b -> a",
        ),
        (r#"{"tasks":[{"key":"a","assignee":"logs"},{"key":"a","assignee":"cost"}]}"#, "the key `a` is used twice"),
        (
            r#"{"tasks":[{"key":"a","needs":["flying"]}]}"#,
            "no member is capable of all that sub-task `a` needs: flying",
        ),
        (
            r#"{"tasks":[{"key":"a","assignee":"logs","depends_on":["z"]}]}"#,
            "sub-task `a` depends on `z`, which is not in the plan",
        ),
    ] {
        let found = moves(&team(json!({})), &[done(Stage::Plan, 1, COORDINATOR_KEY, completed(plan))]);
        assert_eq!(found, [Move::Fail("unusable_plan", reason.into())]);
    }
}

#[test]
fn partial_results_are_put_together_and_none_are_not() {
    let plan = done(Stage::Plan, 1, COORDINATOR_KEY, completed(PLAN));
    let failed = |key| done(Stage::Work, 1, key, Ending::Failed("timeout".into()));
    let half = [plan.clone(), done(Stage::Work, 1, "logs", completed("found")), failed("cost")];
    assert_eq!(created(&moves(&team(json!({})), &half)), [("synthesis".to_owned(), COORDINATOR_KEY.to_owned())]);
    let none = [plan, failed("logs"), failed("cost")];
    assert_eq!(
        decided(&team(json!({})), &none),
        [Move::Fail("all_members_failed", "logs (logs): timeout; cost (cost): timeout".into())]
    );
    let found = decided(&team(json!({"escalation_policy": "on_failure"})), &half);
    assert_eq!(found, [Move::Escalate { reason: "cost (cost): timeout".into(), output: None }]);
}

#[test]
fn optional_members_are_called_off_where_the_team_does_not_wait() {
    let work = [
        done(Stage::Work, 1, "logs", completed("x")),
        TaskView { ending: None, ..done(Stage::Work, 1, "cost", Ending::Cancelled) },
    ];
    assert_eq!(moves(&team(json!({})), &work), []);
    let found = moves(&team(json!({"wait_for_all": false})), &work);
    assert_eq!(found[0], Move::Cancel(vec![task_ref(Stage::Work, 1, "cost")]));
    assert_eq!(created(&found).len(), 1);
}

#[test]
fn the_coordinator_may_ask_for_one_more_round() {
    let synthesis = r#"{"answer":"not yet","follow_up":[{"key":"more","assignee":"logs"}]}"#;
    let mut tasks = vec![
        done(Stage::Work, 1, "logs", completed("x")),
        done(Stage::Synthesis, 1, COORDINATOR_KEY, completed(synthesis)),
    ];
    let rules = team(json!({"max_rounds": 2}));
    assert_eq!(created(&moves(&rules, &tasks)), [("work".to_owned(), "more".to_owned())]);
    tasks.push(done(Stage::Work, 2, "more", completed("y")));
    assert_eq!(created(&moves(&rules, &tasks)), [("synthesis".to_owned(), COORDINATOR_KEY.to_owned())]);
    tasks.push(done(Stage::Synthesis, 2, COORDINATOR_KEY, completed("the answer")));
    assert_eq!(decided(&rules, &tasks), [Move::Complete("the answer".into())]);
}

#[test]
fn objections_lead_to_another_synthesis_then_to_a_person() {
    let agree = r#"{"verdict":"agree","comment":"fine"}"#;
    let object = r#"{"verdict":"disagree","comment":"too dear"}"#;
    let rules = team(json!({"validation_rounds": 2}));
    let mut tasks = vec![
        done(Stage::Work, 1, "logs", completed("x")),
        done(Stage::Work, 1, "cost", completed("y")),
        done(Stage::Synthesis, 1, COORDINATOR_KEY, completed("first")),
    ];
    assert_eq!(created(&moves(&rules, &tasks)).len(), 2);
    tasks.push(done(Stage::Validation, 1, "logs", completed(agree)));
    tasks.push(done(Stage::Validation, 1, "cost", completed(object)));
    assert_eq!(created(&moves(&rules, &tasks)), [("synthesis".to_owned(), COORDINATOR_KEY.to_owned())]);
    tasks.push(done(Stage::Synthesis, 2, COORDINATOR_KEY, completed("second")));
    tasks.push(done(Stage::Validation, 2, "logs", completed(agree)));
    tasks.push(done(Stage::Validation, 2, "cost", completed(object)));
    let reason = "members disagree with the result: cost: too dear".to_owned();
    assert_eq!(decided(&rules, &tasks), [Move::Escalate { reason, output: Some("second".into()) }]);
    let lenient = team(json!({"validation_rounds": 2, "escalation_policy": "never"}));
    assert_eq!(decided(&lenient, &tasks), [Move::Complete("second".into())]);
}

#[test]
fn the_coordination_of_a_run_is_told_from_its_tasks() {
    let tell = |what, path: &str, facts: Value| (what, path.to_owned(), facts);
    let rules = team(json!({"max_rounds": 2, "validation_rounds": 2}));
    let mut tasks = vec![done(Stage::Plan, 1, COORDINATOR_KEY, completed(PLAN))];
    let round = |n: u32| tell(What::RoundStarted, "work", json!({"round": n, "max": 2}));
    let begins = [
        round(1),
        tell(What::SplitCreated, "work/1", json!({"items": 2, "width": 2, "wait": "all"})),
        tell(What::SyncCreated, "work/1", json!({"items": 2, "wait": "all", "count": 2})),
    ];
    assert_eq!(told(&rules, &tasks), begins);
    tasks.push(done(Stage::Work, 1, "logs", completed("x")));
    tasks.push(done(Stage::Work, 1, "cost", Ending::Failed("timeout".into())));
    let ended = [
        tell(What::SyncReady, "work/1", json!({"items": 2, "completed": 1, "failed": 1, "met": true})),
        tell(What::JoinCreated, "synthesis/1", json!({"of": ["work/1"]})),
    ];
    assert_eq!(told(&rules, &tasks), ended);
    let more = r#"{"answer":"not yet","follow_up":[{"key":"more","assignee":"logs"}]}"#;
    tasks.push(done(Stage::Synthesis, 1, COORDINATOR_KEY, completed(more)));
    let merged = |n: u32| {
        tell(
            What::MergeCompleted,
            &format!("synthesis/{n}"),
            json!({"how": "synthesis", "from": ["logs"], "missing": ["cost"]}),
        )
    };
    let again = [
        merged(1),
        round(2),
        tell(What::SplitCreated, "work/2", json!({"items": 1, "width": 1, "wait": "all"})),
        tell(What::SyncCreated, "work/2", json!({"items": 1, "wait": "all", "count": 1})),
    ];
    assert_eq!(told(&rules, &tasks), again);
    tasks.push(TaskView { agent: "logs".into(), ..done(Stage::Work, 2, "more", completed("y")) });
    assert_eq!(told(&rules, &tasks)[1].2, json!({"of": ["work/1", "synthesis/1", "work/2"]}));
    tasks.push(done(Stage::Synthesis, 2, COORDINATOR_KEY, completed("the answer")));
    assert_eq!(told(&rules, &tasks), [merged(2)]);
    let judge = |round, who: &str, said: &str| done(Stage::Validation, round, who, completed(said));
    tasks.push(judge(1, "logs", r#"{"verdict":"disagree","comment":"no"}"#));
    tasks.push(judge(1, "cost", "prose"));
    let review = |round: u32, verdict: Option<&str>, dissent: &[&str], silent: &[&str]| {
        let facts =
            json!({"author": "lead", "verdict": verdict, "rounds": round, "dissent": dissent, "silent": silent});
        tell(What::ReviewEnded, &format!("validation/{round}"), facts)
    };
    let found = told(&rules, &tasks);
    assert_eq!(found[0], review(1, Some("revise"), &["logs"], &["cost"]));
    assert_eq!(found[1].2, json!({"of": ["work/1", "work/2", "synthesis/2", "validation/1"]}));
    tasks.push(done(Stage::Synthesis, 3, COORDINATOR_KEY, completed("the better answer")));
    tasks.push(judge(2, "logs", r#"{"verdict":"agree"}"#));
    assert_eq!(told(&rules, &tasks), [review(2, Some("accept"), &[], &[])]);
    let silent = TaskView { ending: Some(Ending::Cancelled), ..tasks.pop().expect("a judgement") };
    tasks.push(silent);
    assert_eq!(told(&rules, &tasks), [review(2, None, &[], &["logs"])], "nobody said anything");
}

#[test]
fn what_is_waited_for_and_whether_it_sufficed_is_told() {
    let facts = |team: &Team, tasks: &[TaskView], what| {
        told(team, tasks).into_iter().find(|told| told.0 == what).map(|told| told.2).expect("a note")
    };
    let chain = team(json!({"planning": "same_task", "parallel_execution": false, "wait_for_all": false}));
    assert_eq!(facts(&chain, &[], What::SplitCreated), json!({"items": 2, "width": 1, "wait": "count"}));
    assert_eq!(facts(&chain, &[], What::SyncCreated), json!({"items": 2, "wait": "count", "count": 1}));
    let work = |logs: Ending, cost: Option<Ending>| {
        let cost = TaskView { ending: cost, ..done(Stage::Work, 1, "cost", Ending::Cancelled) };
        [done(Stage::Work, 1, "logs", logs), cost]
    };
    let failed = || Ending::Failed("x".into());
    let ready = |completed: u32, failed: u32, met: bool| json!({"items": 2, "completed": completed, "failed": failed, "met": met});
    for (rules, tasks, expected) in [
        (json!({"wait_for_all": false}), work(completed("x"), None), ready(1, 0, true)),
        (json!({}), work(failed(), Some(failed())), ready(0, 2, false)),
        (json!({"escalation_policy": "on_failure"}), work(completed("x"), Some(failed())), ready(1, 1, false)),
    ] {
        assert_eq!(facts(&team(rules.clone()), &tasks, What::SyncReady), expected, "{rules}");
    }
}

/// Something an agent might say in any stage, sensible or not.
fn reply(chance: &mut Chance) -> Ending {
    match chance.below(7) {
        0 => completed(PLAN),
        1 => completed(r#"{"answer":"a","follow_up":[{"key":"m","assignee":"logs"}]}"#),
        2 => completed(r#"{"verdict":"disagree","comment":"no"}"#),
        3 => completed(r#"{"verdict":"agree"}"#),
        4 => completed("text"),
        5 => Ending::Failed("x".into()),
        _ => Ending::Cancelled,
    }
}

/// Chances that all come from one seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        crate::flow::made::split_mix(&mut self.0) % bound
    }
}

fn random_team(chance: &mut Chance) -> Team {
    let pick = |chance: &mut Chance, names: &[&str]| names[chance.below(names.len() as u64) as usize].to_owned();
    team(json!({
        "planning": pick(chance, &["plan", "brief", "same_task"]),
        "escalation_policy": pick(chance, &["on_disagreement", "on_failure", "never"]),
        "max_rounds": 1 + chance.below(3), "validation_rounds": chance.below(4),
        "wait_for_all": chance.below(2) == 0, "parallel_execution": chance.below(2) == 0,
    }))
}

/// Carries out what a pattern decides; true if it ends the run.
fn carry_out(found: &[Move], tasks: &mut Vec<TaskView>) -> bool {
    for step in found {
        match step {
            Move::Create(new) => tasks.extend(new.iter().map(|task| TaskView {
                key: task.key.clone(),
                stage: task.stage,
                round: task.round,
                agent: task.agent.clone(),
                ending: None,
            })),
            Move::Cancel(refs) => tasks
                .iter_mut()
                .filter(|task| refs.contains(&task_ref(task.stage, task.round, &task.key)))
                .for_each(|task| task.ending = Some(Ending::Cancelled)),
            Move::Enter(_) | Move::Note(_) => {}
            Move::Complete(_) | Move::Fail(..) | Move::Escalate { .. } => return true,
        }
    }
    false
}

/// Ends any open task in any way, again and again, until the run has ended.
fn play(seed: u64) {
    let mut chance = Chance(seed);
    let team = random_team(&mut chance);
    let mut tasks: Vec<TaskView> = Vec::new();
    for _ in 0..200 {
        if carry_out(&moves(&team, &tasks), &mut tasks) {
            let mut names: Vec<_> = tasks.iter().map(|task| (task.stage.as_str(), task.round, &task.key)).collect();
            names.sort();
            assert!(
                names.windows(2).all(|pair| pair[0] != pair[1]),
                "seed {seed}: two tasks have the same name: {names:?}"
            );
            return;
        }
        let open: Vec<_> = tasks.iter_mut().filter(|task| task.ending.is_none()).collect();
        assert!(!open.is_empty(), "seed {seed}: the run hangs");
        let place = chance.below(open.len() as u64) as usize;
        let ending = reply(&mut chance);
        open.into_iter().nth(place).expect("within bounds").ending = Some(ending);
    }
    panic!("seed {seed}: the run does not end: {tasks:?}");
}

#[test]
fn every_run_ends_within_its_limits() {
    (0..10_000).for_each(play);
}
