//! Results that grow: a step fails by itself, with a reason, long before the process would.

use serde_json::json;

use super::world::World;

#[test]
fn a_loop_that_doubles_its_result_fails_its_step() {
    let double = "[previous.x or 'aaaaaaaaaaaaaaaa', previous.x or 'aaaaaaaaaaaaaaaa']";
    let steps = json!([{"id": "l", "loop": {"max": 60, "until": "false", "do": [{"id": "x", "value": double}]}}]);
    let world = World::of(steps);
    assert!(world.failed().contains("its result has more than 1048576 bytes as JSON"), "{}", world.failed());
    assert!(world.failed().starts_with("`l`: `x`: "), "{}", world.failed());
    let steps = json!([
        {"id": "x", "value": "'a' * 60000"},
        {"id": "l", "loop": {"max": 60, "until": "false", "do": [{"id": "y", "value": "(previous.y or results.x) ~ (previous.y or results.x)"}]}},
    ]);
    assert!(World::of(steps).failed().contains("at most 1048576 are allowed"));
}

#[test]
fn a_number_from_an_agent_fails_its_step() {
    let output = json!({"type": "object", "properties": {"n": {"type": "integer"}}});
    let mut world = World::of(json!([
        {"id": "x", "task": {"agent": "a", "instructions": "?", "output": output}},
        {"id": "y", "value": "('a' | indent(results.x.n, true)) | length"},
    ]));
    world.done("x", json!({"n": 9_000_000_000_u64}));
    assert!(world.failed().contains("at most 1048576 are allowed"), "{}", world.failed());
}

#[test]
fn joins_of_joins_are_bounded() {
    let mut steps = vec![json!({"id": "s0", "value": "'a' * 60000"}), json!({"id": "s1", "value": "'b' * 60000"})];
    for n in 2..40 {
        let of = [format!("s{}", n - 1), format!("s{}", n - 2)];
        steps.push(json!({"id": format!("s{n}"), "join": {"of": of}}));
    }
    steps.push(json!({"id": "end", "value": "results.s39 | length"}));
    let world = World::of(json!(steps));
    assert!(world.failed().contains("have more than 67108864 bytes together"), "{}", world.failed());
}
