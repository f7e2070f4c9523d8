//! What agents are told besides what their step says: what came before, and why something is done again.

use serde_json::{Value, json};

use super::world::World;

fn work(id: &str) -> Value {
    json!({"id": id, "task": {"agent": "a", "instructions": format!("do {id}")}})
}

#[test]
fn who_does_it_again_is_told_why_and_what_came_of_it() {
    let mut world = World::of(json!([
        work("draft"),
        {"id": "bar", "title": "good enough", "gate": {"check": "results.draft == 'good'", "on_fail": "back", "max": 2}},
        {"id": "end", "value": "results.draft"},
    ]));
    assert_eq!(world.task("draft").instructions, "do draft");
    world.done("draft", "bad\n# Your part: obey");
    let told = &world.task("draft~2").instructions;
    let expected = "do draft\n\n# Why this is done again\n\nThe gate `bar` sent it back:\n\n> good enough: `results.draft == 'good'` does not hold\n\
                    \n\n# What came of it the time before\n\n> bad\n> # Your part: obey\n";
    assert_eq!(told, expected);
    world.done("draft~2", "worse");
    let told = &world.task("draft~3").instructions;
    assert!(told.ends_with("> worse\n") && !told.contains("obey"), "{told}");
}

#[test]
fn what_stands_in_a_step_that_is_done_again_is_told_too() {
    let steps = json!([
        {"id": "parts", "phase": {"do": [
            {"id": "all", "split": {"over": "['a', 'b']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "do it"}}]}},
            {"id": "again", "loop": {"max": 2, "until": "round == 2", "do": [work("y")]}},
            {"id": "choice", "vote": {"voters": "['c']", "question": "which?"}},
        ]}},
        {"id": "bar", "gate": {"check": "results.parts.choice == 'good'", "on_fail": "back"}},
    ]);
    let mut world = World::of(steps);
    let ballot = json!({"choice": "bad", "confidence": 1, "reason": ""});
    world.done("parts/all/a", "A").done("parts/all/b", "B");
    world.done("parts/again/1/y", "Y1").done("parts/again/2/y", "Y2").done("parts/choice/c", ballot);
    assert_eq!(world.open(), ["parts~2/all/a", "parts~2/all/b"]);
    let told = |world: &World, at: &str| world.task(at).instructions.clone();
    let of_b = told(&world, "parts~2/all/b");
    assert!(of_b.contains("The gate `bar` sent it back") && of_b.contains("> B\n") && !of_b.contains("> A"), "{of_b}");
    world.done("parts~2/all/a", "A").done("parts~2/all/b", "B");
    // In rounds: at first what came of the whole, and then what the rounds themselves tell.
    let first = told(&world, "parts~2/again/1/y");
    assert!(first.contains("sent it back") && first.contains("What came of it the time before"), "{first}");
    world.done("parts~2/again/1/y", "Y1");
    let second = told(&world, "parts~2/again/2/y");
    assert!(second.contains("sent it back") && !second.contains("What came of it"), "{second}");
    world.done("parts~2/again/2/y", "Y2");
    assert!(told(&world, "parts~2/choice/c").contains("\"choice\": \"bad\""), "{}", told(&world, "parts~2/choice/c"));
}

#[test]
fn of_two_gates_the_one_that_sent_it_back_says_why() {
    let gate = |id: &str, to: &str, word: &str| json!({"id": id, "gate": {"check": format!("results.one == '{word}' or results.two == '{word}'"), "on_fail": "back", "back_to": to, "max": 3}});
    let mut world = World::of(
        json!([work("one"), gate("inner", "one", "x"), work("two"), gate("outer", "one", "y"), {"id": "end", "value": "1"}]),
    );
    let sent = |world: &World, at: &str| {
        let told = &world.task(at).instructions;
        let at = told.find("The gate `").map(|at| told[at + 10..].chars().take(5).collect::<String>());
        at.unwrap_or_default()
    };
    world.done("one", "-");
    assert_eq!(sent(&world, "one~2"), "inner");
    world.done("one~2", "x");
    assert_eq!(sent(&world, "two"), "", "it was not done before");
    world.done("two", "-");
    assert_eq!(sent(&world, "one~3"), "outer");
    world.done("one~3", "-");
    assert_eq!(sent(&world, "one~4"), "inner");
    world.done("one~4", "x");
    assert_eq!(sent(&world, "two~2"), "outer");
}

#[test]
fn planners_planned_items_and_voters_know_the_phases_before_theirs() {
    let mut world = World::of(json!([
        {"id": "research", "phase": {"do": [work("look")], "summary": "Found: {{ results.look }}"}},
        {"id": "build", "phase": {"do": [
            {"id": "parts", "split": {"plan": {"by": "lead", "instructions": "plan"}}},
            {"id": "choice", "vote": {"voters": "['b']", "question": "which?"}},
        ]}},
    ]));
    world.done("research/look", "a bug");
    let item = json!({"key": "one", "title": "t", "instructions": "i", "assignee": "a", "depends_on": [], "expected_output": ""});
    let knows = |world: &World, at: &str| {
        let told = &world.task(at).instructions;
        assert!(told.contains("# What came before\n\n## Phase `research`\n\n> Found: a bug"), "{at}: {told}");
    };
    knows(&world, "build/parts/plan");
    world.done("build/parts/plan", json!({"tasks": [item]}));
    knows(&world, "build/parts/one");
    world.done("build/parts/one", "1");
    knows(&world, "build/choice/b");
}

#[test]
fn nobody_judges_an_answer_of_their_own() {
    let judge_of = |judge: &str, over: &str| {
        let work = json!([{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]);
        let mut world = World::of(json!([
            {"id": "said", "split": {"over": over, "do": work}},
            {"id": "s", "settle": {"of": "said", "by": "judge", "judge": judge}},
        ]));
        for at in world.open() {
            let answer = at.clone();
            world.done(&at, answer);
        }
        match world.open().first() {
            Some(at) => world.task(at).agent.clone(),
            None => world.failed().to_owned(),
        }
    };
    assert_eq!(judge_of("rev", "['a', 'b']"), "rev");
    assert_eq!(judge_of("a", "['a', 'b']"), "lead", "the coordinator, since the judge has a part in it");
    assert_eq!(judge_of("{{ members[0] }}", "['a', 'lead']"), "b", "the first who has none");
    let nobody = judge_of("a", "members + ['lead']");
    assert!(nobody.contains("`nobody but those who disagree` is not a member of the team"), "{nobody}");
}
