//! What is known only in the run and is not as it has to be: numbers of rounds, weights, whom a template names, results that gates
//! ask for.

use serde_json::{Value, json};

use super::super::What;
use super::world::World;

fn voters(rule: Value) -> World {
    World::of(json!([{"id": "choose", "vote": {"voters": "['a', 'b', 'c']", "question": "which?", "rule": rule}}]))
}

fn opened(world: &World) -> &Value {
    &world.notes().iter().find(|note| note.what == What::VoteOpened).expect("a vote").facts
}

#[test]
fn more_rounds_than_there_may_be_are_no_rounds() {
    let rounds = |max: Value| {
        let work = json!([{"id": "x", "value": "round"}]);
        World::of(
            json!([{"id": "many", "value": "50"}, {"id": "again", "loop": {"do": work, "until": "false", "max": max}}]),
        )
    };
    assert_eq!(rounds(json!("results.many * 2")).completed(), "100");
    assert_eq!(rounds(json!("results.many * 3")).failed(), "`again`: `max`: 150 rounds, and 100 is the most");
    assert_eq!(rounds(json!("results.many - 49")).completed(), "1");
    let none = "`again`: `max`: 0 rounds, and 1 is the least: a step that may be left out says `when`";
    assert_eq!(rounds(json!("results.many - 50")).failed(), none);
    assert!(rounds(json!("results.many - 51")).failed().contains("a whole number is expected, not -1"));
    let back = World::of(json!([
        {"id": "draft", "task": {"agent": "a", "instructions": "?"}},
        {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "['b']", "rounds": "40 * 3"}},
    ]));
    let mut back = back;
    back.done("draft", "x");
    assert!(back.failed().ends_with("`max`: 120 rounds, and 100 is the most"), "{}", back.failed());
}

#[test]
fn only_none_and_nothing_said_are_no_results() {
    let gate = |value: &str| {
        World::of(
            json!([{"id": "made", "value": value}, {"id": "there", "gate": {"require": ["made"]}}, {"id": "end", "value": "'on'"}]),
        )
    };
    for there in ["0", "0.0", "false", "[]", "{}", "'x'", "{'n': 0}"] {
        assert_eq!(gate(there).completed(), "on", "{there}");
    }
    for missing in ["none", "''", "' \\n'"] {
        assert_eq!(gate(missing).failed(), "`there`: `made` has no result", "{missing}");
    }
}

#[test]
fn it_is_on_record_that_nobody_has_any_weight() {
    let world = voters(json!({"weights": "fixed", "fixed": {"a": 0, "b": 0, "c": 0}}));
    assert_eq!(opened(&world)["even"], true);
    let world = voters(json!({"weights": "fixed", "fixed": {"a": 0, "b": 0, "c": 1}}));
    assert_eq!(opened(&world).get("even"), None);
}

#[test]
fn whoever_a_template_names_is_one_of_those_it_may_name() {
    let task = |who: &str| {
        let task = json!({"agent": "{{ results.who }}", "among": "['a', 'b']", "instructions": "go"});
        World::of(json!([{"id": "who", "value": who}, {"id": "work", "task": task}]))
    };
    assert_eq!(task("'b'").task("work").agent, "b");
    assert_eq!(task("'c'").failed(), "`work`: `agent` is `c`, and `among` gives a, b");
}

#[test]
fn whoever_has_control_is_told_who_may_get_it() {
    let world =
        World::of(json!([{"id": "help", "handoff": {"start": "a", "among": "['a', 'b', 'c']", "instructions": "?"}}]));
    let form = world.task("help/rounds/1/work").output_schema.as_ref().expect("a form");
    assert_eq!(form["properties"]["hand_to"]["enum"], json!(["b", "c", null]));
}
