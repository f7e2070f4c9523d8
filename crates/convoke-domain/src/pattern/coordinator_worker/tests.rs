//! Tables of situations and moves, and the proof by test that every run ends.

use proptest::prelude::*;
use serde_json::json;

use super::*;
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
    let Some(Move::Create(tasks)) = found.get(1) else { panic!("tasks: {found:?}") };
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
        moves(&team(json!({})), &none),
        [Move::Fail("all_members_failed", "logs (logs): timeout; cost (cost): timeout".into())]
    );
    let found = moves(&team(json!({"escalation_policy": "on_failure"})), &half);
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
    assert_eq!(moves(&rules, &tasks), [Move::Complete("the answer".into())]);
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
    assert_eq!(moves(&rules, &tasks), [Move::Escalate { reason, output: Some("second".into()) }]);
    let lenient = team(json!({"validation_rounds": 2, "escalation_policy": "never"}));
    assert_eq!(moves(&lenient, &tasks), [Move::Complete("second".into())]);
}

/// Something an agent might say in any stage, sensible or not.
fn reply() -> impl Strategy<Value = Ending> {
    prop_oneof![
        Just(completed(PLAN)),
        Just(completed(r#"{"answer":"a","follow_up":[{"key":"m","assignee":"logs"}]}"#)),
        Just(completed(r#"{"verdict":"disagree","comment":"no"}"#)),
        Just(completed(r#"{"verdict":"agree"}"#)),
        Just(completed("text")),
        Just(Ending::Failed("x".into())),
        Just(Ending::Cancelled),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_run_ends_within_its_limits(
        replies in proptest::collection::vec((reply(), 0_usize..8), 200),
        planning in prop_oneof![Just("plan"), Just("brief"), Just("same_task")],
        max_rounds in 1_u32..4, validation_rounds in 0_u32..4, wait_for_all: bool, parallel_execution: bool,
        escalation_policy in prop_oneof![Just("on_disagreement"), Just("on_failure"), Just("never")],
    ) {
        let team = team(json!({
            "planning": planning, "max_rounds": max_rounds, "validation_rounds": validation_rounds, "wait_for_all": wait_for_all,
            "parallel_execution": parallel_execution, "escalation_policy": escalation_policy,
        }));
        let mut tasks: Vec<TaskView> = Vec::new();
        let mut replies = replies.into_iter();
        let ended = loop {
            let found = moves(&team, &tasks);
            for step in &found {
                match step {
                    Move::Create(new) => tasks.extend(new.iter().map(|task| TaskView {
                        key: task.key.clone(), stage: task.stage, round: task.round, agent: task.agent.clone(), ending: None,
                    })),
                    Move::Cancel(refs) => tasks
                        .iter_mut()
                        .filter(|task| refs.contains(&task_ref(task.stage, task.round, &task.key)))
                        .for_each(|task| task.ending = Some(Ending::Cancelled)),
                    Move::Enter(_) => {}
                    Move::Complete(_) | Move::Fail(..) | Move::Escalate { .. } => {}
                }
            }
            if found.iter().any(|step| matches!(step, Move::Complete(_) | Move::Fail(..) | Move::Escalate { .. })) {
                break true;
            }
            let open: Vec<usize> = tasks.iter().enumerate().filter(|(_, task)| task.ending.is_none()).map(|(place, _)| place).collect();
            let (Some((ending, pick)), false) = (replies.next(), open.is_empty()) else { break false };
            tasks[open[pick % open.len()]].ending = Some(ending);
        };
        prop_assert!(ended, "the run hangs: {tasks:?}");
        let mut names: Vec<_> = tasks.iter().map(|task| (task.stage, task.round, task.key.clone())).collect();
        let count = names.len();
        names.sort_by_key(|(stage, round, key)| (stage.as_str(), *round, key.clone()));
        names.dedup();
        prop_assert_eq!(names.len(), count, "two tasks have the same name");
    }
}
