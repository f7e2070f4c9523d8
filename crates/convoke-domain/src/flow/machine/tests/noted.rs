//! What is written down of a run: every turn of its coordination, by the kind of the note and what it says.

use serde_json::{Value, json};

use super::super::What;
use super::world::World;

fn work(id: &str) -> Value {
    json!({"id": id, "task": {"agent": "a", "instructions": "?"}})
}

/// What the notes of this kind say of a path.
fn said(world: &World, what: What, at: &str) -> Vec<Value> {
    let notes = world.notes().iter().filter(|note| note.what == what && note.path == at);
    notes.map(|note| note.facts.clone()).collect()
}

#[test]
fn a_split_says_that_it_is_waited_for_and_what_came_of_it() {
    for over in ["[]", "['a']", "['a', 'b']"] {
        let only = json!([{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]);
        let mut world = World::of(json!([{"id": "all", "split": {"over": over, "do": only}}]));
        for at in world.open() {
            world.done(&at, "x");
        }
        let many = over.matches(char::is_alphabetic).count();
        let created = [json!({"items": many, "wait": "all", "count": 1})];
        assert_eq!(said(&world, What::SyncCreated, "all"), created, "{over}");
        let ready = [json!({"items": many, "completed": many, "failed": 0, "met": true})];
        assert_eq!(said(&world, What::SyncReady, "all"), ready, "{over}");
        assert_eq!(said(&world, What::SplitCreated, "all").len(), 1);
    }
    let only = json!([{"id": "x", "when": "item == 2", "value": "item"}]);
    let world = World::of(json!([{"id": "all", "split": {"over": "[1, 2]", "do": only}}]));
    let ready = [json!({"items": 2, "completed": 1, "failed": 0, "left_out": 1, "met": true})];
    assert_eq!(said(&world, What::SyncReady, "all"), ready);
    assert_eq!(said(&world, What::StepSkipped, "all/1"), [json!({"when": "item == 2"})]);
}

#[test]
fn syncs_joins_rounds_branches_and_reviews_are_written_down() {
    let mut world = World::of(json!([
        {"id": "a1", "after": [], "task": {"agent": "a", "instructions": "?"}},
        {"id": "b1", "after": [], "task": {"agent": "b", "instructions": "?"}},
        {"id": "enough", "sync": {"of": ["a1", "b1"], "wait": "any"}},
        {"id": "both", "join": {"of": ["a1", "b1"]}},
        {"id": "again", "loop": {"max": 2, "until": "round == 2", "do": [{"id": "x", "value": "1"}]}},
        {"id": "way", "branch": {"cases": [{"when": "false", "do": [work("y")]}, {"when": "true", "do": [{"id": "z", "value": "1"}]}]}},
        {"id": "check", "review": {"of": "a1", "author": "a", "reviewers": "['b']"}},
        {"id": "never", "when": "1 == 2", "value": "1"},
        {"id": "choice", "vote": {"voters": "['c']", "question": "?", "rule": {"options": ["x"], "capability": "law"}}},
    ]));
    world.done("a1", "A").done("check/rounds/1/verdicts/b", json!({"verdict": "accept", "comments": ""}));
    world.done("choice/c", json!({"choice": "x", "confidence": 1, "reason": ""}));
    world.completed();
    let of = json!(["a1", "b1"]);
    assert_eq!(said(&world, What::SyncCreated, "enough"), [json!({"of": of, "wait": "any", "count": null})]);
    let ready = json!({"of": of, "completed": 1, "failed": 0, "met": true});
    assert_eq!(said(&world, What::SyncReady, "enough"), [ready]);
    assert_eq!(said(&world, What::JoinCreated, "both"), [json!({"of": of})]);
    let rounds = [json!({"round": 1, "max": 2}), json!({"round": 2, "max": 2})];
    assert_eq!(said(&world, What::RoundStarted, "again"), rounds);
    assert_eq!(said(&world, What::BranchTaken, "way"), [json!({"case": 2})]);
    let ended = json!({"author": "a", "verdict": "accept", "rounds": 1, "capability": ""});
    assert_eq!(said(&world, What::ReviewEnded, "check"), [ended]);
    assert_eq!(said(&world, What::StepSkipped, "never"), [json!({"when": "1 == 2"})]);
    assert_eq!(said(&world, What::VoteOpened, "choice").len(), 1);
    assert_eq!(said(&world, What::VoteCounted, "choice")[0]["capability"], "law");
}

#[test]
fn what_goes_on_without_a_step_says_why() {
    let mut world = World::of(json!([
        {"id": "x", "task": {"agent": "a", "instructions": "?"}, "on_failure": "continue"},
        {"id": "all", "split": {"over": "['a']", "do": [{"id": "y", "task": {"agent": "a", "instructions": "?"}, "on_failure": "continue", "default": 7}]}},
    ]));
    world.lost("x").lost("all/a");
    assert_eq!(said(&world, What::StepSkipped, "x"), [json!({"reason": "broken"})]);
    assert_eq!(said(&world, What::StepSkipped, "all/a"), [json!({"reason": "broken"})]);
    let share = json!([{"key": "a", "agent": "a", "ok": true, "value": 7, "error": "broken"}]);
    assert_eq!(serde_json::from_str::<Value>(world.completed()).unwrap(), share);
}

#[test]
fn a_vote_is_written_down_whatever_comes_of_it() {
    let vote = |rule: Value, more: Value| {
        let mut step =
            json!({"id": "v", "vote": {"voters": "['a', 'b']", "question": "?", "rule": rule, "ballots_within_s": 60}});
        step.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        World::of(json!([step]))
    };
    let ballot = |choice: Value| json!({"choice": choice, "confidence": 1, "reason": ""});
    let tied = |world: &mut World| {
        world.done("v/a", ballot("x".into())).done("v/b", ballot("y".into()));
    };
    let rule = |tie: &str| json!({"options": ["x", "y"], "tie": tie, "early_stop": false});
    let counted = |world: &World| {
        let counted = said(world, What::VoteCounted, "v");
        let last = counted.last().expect("the vote is counted");
        assert_eq!(last["choice"], Value::Null, "{last}");
        assert_eq!((counted.len(), last["ballots"].as_array().map(Vec::len)), (1, Some(2)), "{last}");
        (last["outcome"]["is"].clone(), last["round"].clone())
    };

    let mut world = vote(rule("escalate"), json!({}));
    tied(&mut world);
    assert_eq!(counted(&world), (json!("tied"), json!(1)));

    let mut world = vote(rule("coordinator"), json!({}));
    tied(&mut world);
    world.lost("v/casting");
    assert_eq!(counted(&world), (json!("tied"), json!(1)));

    let mut world = vote(rule("coordinator"), json!({}));
    tied(&mut world);
    world.done("v/casting", ballot(Value::Null));
    counted(&world);

    let mut world = vote(rule("coordinator"), json!({}));
    tied(&mut world);
    world.time_is_up("v");
    counted(&world);

    let mut world = vote(rule("revote"), json!({}));
    world.done("v/a", ballot("x".into())).time_is_up("v");
    assert_eq!(said(&world, What::VoteCounted, "v")[0]["round"], 1, "the round there was");

    let mut world = vote(rule("fail"), json!({"timeout_s": 30}));
    world.done("v/a", ballot("x".into())).time_is_up("v");
    let counted = said(&world, What::VoteCounted, "v");
    assert_eq!(counted[0]["outstanding"], json!(["b"]), "{}", counted[0]);
}

#[test]
fn items_that_end_at_once_make_room_for_others() {
    let only = json!([{"id": "x", "when": "item != 3", "value": "item * 2"}]);
    let world = World::of(json!([
        {"id": "all", "split": {"over": "range(200) | list", "width": 2, "do": only}},
        {"id": "end", "value": "results.all | values | length"},
    ]));
    assert_eq!(world.completed(), "199");
    let broken = json!([{"id": "x", "value": "nowhere"}]);
    let world = World::of(json!([
        {"id": "all", "split": {"over": "range(200) | list", "do": broken, "sync": {"least": 0}}},
        {"id": "end", "value": "results.all[7].error"},
    ]));
    assert!(world.completed().contains("names nothing"), "{}", world.completed());
    // Items that are planned may wait for one another, so they all begin.
    let mut world = World::of(json!([{"id": "all", "split": {"plan": {"by": "lead"}, "width": 1}}]));
    let item = |key: &str, on: &[&str]| json!({"key": key, "title": "", "instructions": "?", "assignee": "a", "depends_on": on, "expected_output": ""});
    world.done("all/plan", json!({"tasks": [item("one", &["two"]), item("two", &[])]}));
    world.done("all/two", "2").done("all/one", "1");
    world.completed();
}
