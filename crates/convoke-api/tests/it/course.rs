//! What single patterns of the library promise, played step by step without an engine.

use std::collections::BTreeSet;
use std::sync::Arc;

use convoke_api::library;
use convoke_domain::flow::machine::TaskEnd;
use convoke_domain::flow::rehearsal::{Rehearsal, RunEnd};
use convoke_domain::spec::RunSpec;
use serde_json::{Value, json};

/// A run of a pattern by a team of `a` to `e`.
fn begin(pattern: &str, with: Value, rules: Value) -> Rehearsal {
    let names = ["a", "b", "c", "d", "e"];
    let found = library::patterns().iter().find(|one| one.name == pattern).expect("a pattern");
    let team = json!({
        "name": "t", "coordinator": "lead", "with": with, "rules": rules,
        "members": names.map(|name| json!({"profile": name})),
    });
    let mut team: convoke_domain::team::Team = serde_json::from_value(team).expect("a team");
    team.flow = Some(found.flow());
    let profile = |name: &str| {
        (name.to_owned(), serde_json::from_value(json!({"name": name, "prompt": "x"})).expect("a profile"))
    };
    let mut spec = RunSpec::new(team, names.into_iter().chain(["lead"]).map(profile).collect());
    spec.settle_flow().expect("a flow that can be used");
    Rehearsal::begin(Arc::new(spec), "the task")
}

fn end(run: &mut Rehearsal, at: &str, said: Option<Value>) {
    run.finish(at, said.map_or(TaskEnd::Failed("it broke".into()), |said| TaskEnd::Completed(said.to_string())));
}

#[test]
fn everybody_speaks_where_nobody_is_named() {
    let mut run = begin("peer_to_peer", json!({"speaker": "chosen", "turns": 30}), json!({}));
    let mut spoke = Vec::new();
    while let [turn] = run.open().as_slice() {
        let agent = run.tasks()[turn].new.agent.clone();
        if agent == "lead" {
            break;
        }
        // The third to speak names the first once; all others name nobody. All are done the second time.
        let next = if spoke.len() == 2 { json!("a") } else { Value::Null };
        let done = spoke.contains(&agent);
        end(&mut run, turn, Some(json!({"said": "x", "done": done, "next": next})));
        spoke.push(agent);
    }
    assert_eq!(spoke[..4], ["a", "b", "c", "a"], "{spoke:?}");
    assert_eq!(spoke.iter().collect::<BTreeSet<_>>().len(), 5, "{spoke:?}");
    assert!(spoke.len() < 15, "it ends when all are content, not at the limit: {spoke:?}");
}

#[test]
fn more_than_all_of_them_are_all_of_them() {
    let mut run = begin("peer_to_peer", json!({"quiet": 40, "turns": 30}), json!({}));
    let mut turns = 0;
    while let [turn] = run.open().as_slice() {
        if run.tasks()[turn].new.agent == "lead" {
            break;
        }
        turns += 1;
        let turn = turn.clone();
        end(&mut run, &turn, Some(json!({"said": "x", "done": true, "next": null})));
    }
    assert_eq!(turns, 5, "all five have nothing to add");
}

/// Plays one round of `consensus` in which the members hold these positions, and gives what counts, or why nothing does.
fn consensus(threshold: f64, conflict: &str, positions: [Option<&str>; 5]) -> String {
    let with = json!({"threshold": threshold, "rounds": 1});
    let mut run = begin("consensus", with, json!({"conflict": conflict}));
    for at in run.open() {
        let held = positions[run.tasks()[&at].new.agent.as_bytes()[0] as usize - usize::from(b'a')];
        let said = |held: &str| json!({"position": held, "reason": "r", "evidence": [], "confidence": 0.9});
        end(&mut run, &at, held.map(said));
    }
    match (&run.end, run.open().as_slice()) {
        (Some(RunEnd::Escalated(reason)), _) => reason.clone(),
        (None, [last]) => run.tasks()[last].new.instructions.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_consensus_that_was_reached_counts() {
    let reached = consensus(0.6, "escalate", [Some("p"), Some("P."), Some("**p**"), Some("q"), Some("q")]);
    assert!(reached.contains("\"settled_by\": \"agreement\"") && reached.contains("60 %"), "{reached}");
    let missed = consensus(0.6, "escalate", [Some("p"), Some("p"), Some("q"), Some("q"), Some("r")]);
    assert!(missed.ends_with("the members disagree"), "{missed}");
}

#[test]
fn who_fails_holds_no_position() {
    let alone = consensus(0.6, "escalate", [Some("p"), Some("p"), None, None, None]);
    assert!(alone.ends_with("the members disagree"), "two of five are no consensus: {alone}");
    let enough = consensus(0.6, "escalate", [Some("p"), Some("p"), Some("p"), None, None]);
    assert!(enough.contains("\"settled_by\": \"agreement\""), "{enough}");
}
