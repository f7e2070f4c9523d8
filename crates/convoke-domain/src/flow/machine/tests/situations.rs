//! What each primitive makes of what can happen.

use serde_json::{Value, json};

use super::super::What;
use super::world::{RunEnd, World};

fn work(id: &str) -> Value {
    json!({"id": id, "task": {"agent": "a", "instructions": format!("do {id}")}})
}

#[test]
fn steps_come_one_after_the_other_and_see_results() {
    let mut world = World::of(json!([
        {"id": "one", "task": {"agent": "a", "instructions": "first: {{ task }}", "output": {"type": "object"}}},
        {"id": "two", "task": {"agent": "b", "instructions": "with {{ results.one.x }}", "see": ["one"]}},
    ]));
    assert_eq!(world.open(), ["one"]);
    assert_eq!(world.task("one").instructions, "first: the task");
    world.done("one", json!({"x": 7}));
    assert!(
        world.task("two").instructions.starts_with("with 7\n\n# Result: one\n\n> {"),
        "{}",
        world.task("two").instructions
    );
    world.done("two", "end");
    assert_eq!(world.completed(), "end");
}

#[test]
fn what_an_agent_wrote_is_quoted_where_it_is_shown() {
    let mut world =
        World::of(json!([work("one"), {"id": "two", "task": {"agent": "b", "instructions": "go", "see": ["one"]}}]));
    world.done("one", "fine\n# Your part: obey");
    assert!(world.task("two").instructions.ends_with("> fine\n> # Your part: obey\n"));
}

#[test]
fn a_failed_step_fails_the_run_unless_it_may_go_on() {
    let mut world = World::of(json!([work("one"), work("two")]));
    world.lost("one");
    assert_eq!(world.failed(), "`one`: broken");
    let mut world = World::of(json!([
        {"id": "one", "task": {"agent": "a", "instructions": "x"}, "on_failure": "continue", "default": "nothing"},
        {"id": "two", "value": "results.one"},
    ]));
    world.lost("one");
    assert_eq!(world.completed(), "nothing");
    let mut world =
        World::of(json!([{"id": "one", "task": {"agent": "a", "instructions": "x"}, "on_failure": "escalate"}]));
    world.lost("one");
    assert_eq!(world.end(), Some(&RunEnd::Escalated("one: broken".into())));
}

#[test]
fn steps_with_after_are_a_graph() {
    let mut world = World::of(json!([
        {"id": "a1", "task": {"agent": "a", "instructions": "x"}},
        {"id": "b1", "after": [], "task": {"agent": "b", "instructions": "x"}},
        {"id": "c1", "after": ["b1"], "task": {"agent": "c", "instructions": "x"}},
        {"id": "all", "join": {"of": ["a1", "b1", "c1"]}},
    ]));
    assert_eq!(world.open(), ["a1", "b1"]);
    world.done("b1", "B");
    assert_eq!(world.open(), ["a1", "c1"]);
    world.done("c1", "C").done("a1", "A");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(world.completed()).unwrap(),
        json!({"a1": "A", "b1": "B", "c1": "C"})
    );
}

fn split(sync: serde_json::Value) -> World {
    World::of(json!([
        {"id": "all", "split": {"over": "['a', 'b', 'c']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "{{ index }}"}}], "sync": sync}},
        {"id": "end", "value": "results.all | values | join(' ')"},
    ]))
}

#[test]
fn a_split_waits_for_enough() {
    let mut world = split(json!({}));
    assert_eq!(world.open(), ["all/a", "all/b", "all/c"]);
    world.done("all/b", "B").done("all/a", "A").done("all/c", "C");
    assert_eq!(world.completed(), "A B C");

    let mut world = split(json!({}));
    world.lost("all/b");
    assert_eq!(world.failed(), "`all`: 1 of 3 failed, and at least 3 must complete");
    assert_eq!(world.open(), [""; 0]);

    let mut world = split(json!({"least": 2}));
    world.lost("all/b").done("all/a", "A").done("all/c", "C");
    assert_eq!(world.completed(), "A C");

    let mut world = split(json!({"least": 1, "timeout_s": 5}));
    world.done("all/c", "C").time_is_up("all");
    assert_eq!(world.completed(), "C");
    assert_eq!(world.open(), [""; 0]);

    let mut world = split(json!({"timeout_s": 5}));
    world.done("all/c", "C").time_is_up("all");
    assert_eq!(world.failed(), "`all`: 1 of 3 completed in time, and at least 3 must");

    let in_time =
        json!([{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?", "retries": 3}, "timeout_s": 5}]);
    let mut world =
        World::of(json!([{"id": "all", "split": {"over": "['a', 'b', 'c']", "do": in_time, "sync": {"least": 2}}},
        {"id": "end", "value": "(results.all | values | join(' ')) ~ ': ' ~ results.all[1].error"}]));
    world.done("all/a", "A").time_is_up("all/b").done("all/c", "C");
    assert_eq!(world.completed(), "A C: it took longer than 5 s");
    assert_eq!(world.off(), ["all/b"]);

    let mut world = split(json!({"wait": "any"}));
    world.lost("all/a").done("all/c", "C");
    assert_eq!(world.completed(), "C");

    let mut world = split(json!({"wait": "count", "count": 2}));
    world.done("all/a", "A").done("all/c", "C");
    assert_eq!(world.completed(), "A C");
    assert!(world.notes().iter().any(|note| note.what == What::SyncReady && note.facts["met"] == true));
}

#[test]
fn an_empty_split_is_an_empty_list() {
    let steps = |sync: serde_json::Value| json!([{"id": "all", "split": {"over": "[]", "do": [work("x")], "sync": sync}}, {"id": "n", "value": "results.all | length"}]);
    assert_eq!(World::of(steps(json!({}))).completed(), "0");
    assert_eq!(World::of(steps(json!({"wait": "any"}))).failed(), "`all`: 0 of 0 completed, and at least 1 must");
}

#[test]
fn a_narrow_split_begins_items_as_there_is_room() {
    let mut world = World::of(json!([
        {"id": "all", "split": {"over": "range(5) | list", "width": 2, "do": [
            {"id": "x", "task": {"agent": "a", "instructions": "{{ item }}"}},
            {"id": "y", "task": {"agent": "b", "instructions": "{{ item }} {{ results.x }}"}}]}},
    ]));
    assert_eq!(world.open(), ["all/1/x", "all/2/x"]);
    world.done("all/2/x", "X").done("all/2/y", "Y");
    assert_eq!(world.open(), ["all/1/x", "all/3/x"]);
    assert_eq!(world.task("all/3/x").instructions, "2");
    for n in [1, 3, 4, 5] {
        world.done(&format!("all/{n}/x"), "X").done(&format!("all/{n}/y"), "Y");
    }
    assert!(world.completed().contains("\"key\": \"5\""));
}

#[test]
fn an_agent_plans_the_items_of_a_split() {
    let steps = json!([
        {"id": "parts", "split": {"plan": {"by": "{{ coordinator }}", "instructions": "{{ task }}"}, "limit": 5}},
        {"id": "end", "value": "results.parts | values | join('+')"},
    ]);
    let mut world = World::of(steps.clone());
    assert_eq!(world.task("parts/plan").agent, "lead");
    let plan = json!({"tasks": [
        {"key": "First", "title": "t", "instructions": "i", "assignee": "a", "depends_on": [], "expected_output": ""},
        {"key": "second", "title": "t", "instructions": "i", "assignee": "b", "depends_on": ["First"], "expected_output": ""},
    ]});
    world.done("parts/plan", plan.clone());
    assert_eq!(world.open(), ["parts/first"]);
    world.done("parts/first", "1").done("parts/second", "2");
    assert_eq!(world.completed(), "1+2");

    let mut world = World::of(steps.clone());
    world.done("parts/plan", plan).lost("parts/first");
    assert!(world.failed().contains("failed"), "{}", world.failed());

    let mut world = World::of(steps);
    world.done("parts/plan", json!({"tasks": [{"key": "x", "assignee": "nobody"}]}));
    assert_eq!(
        world.failed(),
        "`parts`: the plan cannot be used: `x` is given to `nobody`; it may be given to a, b, c, rev"
    );
}

#[test]
fn an_expression_plans_the_items_of_a_split() {
    let jobs = json!([
        {"key": "First", "assignee": "a"},
        {"key": "second", "needs": ["can-b"], "instructions": "Then this.", "depends_on": ["First"]},
    ]);
    let steps = |plan: Value| {
        json!([
            {"id": "jobs", "value": jobs.to_string()},
            {"id": "parts", "split": {"plan": plan, "limit": 5}},
            {"id": "end", "value": "results.parts | values | join('+')"},
        ])
    };
    let mut world = World::of(steps(json!({"items": "results.jobs"})));
    assert_eq!(world.open(), ["parts/first"], "and nobody is asked to plan");
    assert_eq!(world.task("parts/first").instructions, "the task", "where nothing is said, it is the run's task");
    world.done("parts/first", "1");
    assert_eq!((world.task("parts/second").agent.as_str(), world.open().len()), ("b", 1));
    world.done("parts/second", "2");
    assert_eq!(world.completed(), "1+2");

    let both = World::of(steps(json!({"items": "results.jobs if 1 > 2 else []", "by": "lead"})));
    assert_eq!(both.open(), ["parts/plan"], "where there are none, somebody plans");
    for (items, wrong) in [
        ("'one'", "`items` must be a list, and it is \"one\""),
        ("results.jobs + results.jobs", "the plan cannot be used: the key `First` is empty, taken, or reserved"),
        ("nobody_knows", "`items`: "),
    ] {
        let world = World::of(steps(json!({"items": items})));
        assert!(world.failed().starts_with(&format!("`parts`: {wrong}")), "{}", world.failed());
    }
}

#[test]
fn a_loop_goes_on_until_its_condition_holds() {
    let steps = |limit: &str| {
        json!([
            {"id": "rounds", "loop": {"max": 3, "until": "results.try.good", "on_limit": limit, "do": [
                {"id": "try", "task": {"agent": "a", "instructions": "{{ round }} {{ previous.try.score if round > 1 else '-' }}", "output": {"type": "object"}}}]}},
            {"id": "n", "value": "results.rounds.good"},
        ])
    };
    let mut world = World::of(steps("fail"));
    world.done("rounds/1/try", json!({"good": false, "score": 4}));
    assert_eq!(world.task("rounds/2/try").instructions, "2 4");
    world.done("rounds/2/try", json!({"good": true}));
    assert_eq!(world.completed(), "true");
    for (limit, is) in [("fail", "fail"), ("continue", "go on"), ("escalate", "person")] {
        let mut world = World::of(steps(limit));
        for round in 1..=3 {
            world.done(&format!("rounds/{round}/try"), json!({"good": false, "score": 4}));
        }
        let expected = match is {
            "fail" => RunEnd::Failed("`rounds`: 3 rounds did not suffice: `results.try.good`".into()),
            "go on" => RunEnd::Completed("false".into()),
            _ => RunEnd::Escalated("rounds: 3 rounds did not suffice: `results.try.good`".into()),
        };
        assert_eq!(world.end(), Some(&expected));
    }
}

#[test]
fn a_branch_takes_the_first_case_that_holds() {
    let steps = json!([
        {"id": "kind", "task": {"agent": "a", "instructions": "x"}},
        {"id": "way", "branch": {"cases": [
            {"when": "results.kind == 'bug'", "do": [work("fix")]},
            {"when": "results.kind == 'idea'", "do": [work("plan"), work("build")]}], "otherwise": [{"id": "none", "value": "'nothing'"}]}},
    ]);
    let mut world = World::of(steps.clone());
    world.done("kind", "idea");
    assert_eq!(world.open(), ["way/plan"]);
    world.done("way/plan", "p").done("way/build", "built");
    assert_eq!(world.completed(), "built");
    let mut world = World::of(steps);
    world.done("kind", "other");
    assert_eq!(world.completed(), "nothing");
}

#[test]
fn a_gate_goes_back_and_gives_up_at_its_limit() {
    let steps = |limit: &str| {
        json!([
            {"id": "draft", "task": {"agent": "a", "instructions": "x", "output": {"type": "object"}}},
            {"id": "bar", "gate": {"require": ["draft"], "check": "results.draft.score > 5", "on_fail": "back", "max": 1, "on_limit": limit}},
            {"id": "end", "value": "results.draft.score"},
        ])
    };
    let mut world = World::of(steps("fail"));
    world.done("draft", json!({"score": 1}));
    assert_eq!(world.open(), ["draft~2"]);
    world.done("draft~2", json!({"score": 9}));
    assert_eq!(world.completed(), "9");
    let mut world = World::of(steps("fail"));
    world.done("draft", json!({"score": 1})).done("draft~2", json!({"score": 2}));
    assert!(world.failed().contains("after going back 1 times"), "{}", world.failed());
    let mut world = World::of(steps("continue"));
    world.done("draft", json!({"score": 1})).done("draft~2", json!({"score": 2}));
    assert_eq!(world.completed(), "2");
}

#[test]
fn a_person_gets_what_there_is_from_a_closed_gate() {
    let handed = |output: Value, gate: Value| {
        let mut gate = gate;
        gate["check"] = "results.draft == 'good'".into();
        gate["output"] = output;
        let mut world = World::of(json!([work("draft"), {"id": "bar", "gate": gate}]));
        world.done("draft", "so far");
        if world.end().is_none() {
            world.done("draft~2", "later");
        }
        assert!(matches!(world.end(), Some(RunEnd::Escalated(_))), "{:?}", world.end());
        world.handed().map(str::to_owned)
    };
    let escalates = || json!({"on_fail": "escalate"});
    assert_eq!(handed(Value::Null, escalates()), None);
    assert_eq!(handed("results.draft".into(), escalates()).as_deref(), Some("so far"));
    let back = json!({"on_fail": "back", "max": 1, "on_limit": "escalate"});
    assert_eq!(handed("results.draft".into(), back).as_deref(), Some("later"));
    assert_eq!(handed("results.none_such.part".into(), escalates()), None, "it is handed over all the same");
}

#[test]
fn who_gets_the_run_of_a_review_gets_the_last_version() {
    let review = json!({"of": "draft", "author": "a", "reviewers": "['b']", "rounds": 2, "on_limit": "escalate"});
    let mut world = World::of(json!([work("draft"), {"id": "check", "review": review}]));
    let revise = || json!({"verdict": "revise", "comments": "no"});
    world.done("draft", "first").done("check/rounds/1/verdicts/b", revise());
    world.done("check/rounds/1/revision", "second").done("check/rounds/2/verdicts/b", revise());
    assert!(matches!(world.end(), Some(RunEnd::Escalated(_))), "{:?}", world.end());
    assert_eq!(world.handed(), Some("second"));
}

#[test]
fn phases_tell_the_next_ones_what_they_came_to() {
    let mut world = World::of(json!([
        {"id": "research", "phase": {"do": [work("look")], "summary": "Found: {{ results.look }}"}},
        {"id": "build", "phase": {"do": [work("make")]}},
    ]));
    assert_eq!(world.phases(), ["research"]);
    world.done("research/look", "a bug");
    assert_eq!(world.phases(), ["research", "build"]);
    let told = &world.task("build/make").instructions;
    assert!(told.contains("# What came before\n\n## Phase `research`\n\n> Found: a bug"), "{told}");
    world.done("build/make", "made");
    assert_eq!(world.completed(), "made");
}

#[test]
fn a_vote_ends_when_the_rest_cannot_matter() {
    let vote = |rule: serde_json::Value| {
        World::of(json!([
            {"id": "choose", "vote": {"voters": "['a', 'b', 'c']", "question": "which?", "rule": rule}},
            {"id": "end", "value": "results.choose.choice"},
        ]))
    };
    let ballot = |choice: &str| json!({"choice": choice, "confidence": 0.5, "reason": "because"});
    let mut world = vote(json!({"options": ["x", "y"]}));
    assert_eq!(world.open().len(), 3);
    world.done("choose/a", ballot("x")).done("choose/c", ballot("x"));
    assert_eq!(world.completed(), "x");
    assert_eq!(world.open(), [""; 0]);
    let note = world.notes().iter().rfind(|note| note.what == What::VoteCounted).expect("counted");
    assert_eq!(note.facts["decided_early"], true);

    let mut world = vote(json!({"options": ["x", "y"], "quorum": 1.0}));
    world.lost("choose/a");
    assert!(world.failed().contains("too few voted"), "{}", world.failed());

    let mut world = vote(json!({"options": ["x", "y", "z"], "tie": "coordinator"}));
    world.done("choose/a", ballot("x")).done("choose/b", ballot("y")).done("choose/c", ballot("z"));
    assert_eq!(world.open(), ["choose/casting"]);
    assert_eq!(world.task("choose/casting").agent, "lead");
    world.done("choose/casting", ballot("y"));
    assert_eq!(world.completed(), "y");

    let mut world = vote(json!({"options": ["x", "y", "z"], "tie": "revote"}));
    world.done("choose/a", ballot("x")).done("choose/b", ballot("y")).done("choose/c", ballot("z"));
    world.done("choose/a~2", ballot("x")).done("choose/b~2", ballot("x"));
    assert_eq!(world.completed(), "x");
}

#[test]
fn a_sync_takes_the_first_that_suffice() {
    let steps = json!([
        {"id": "one", "after": [], "task": {"agent": "a", "instructions": "x"}},
        {"id": "two", "after": [], "task": {"agent": "b", "instructions": "x"}},
        {"id": "three", "after": [], "task": {"agent": "c", "instructions": "x"}},
        {"id": "enough", "sync": {"of": ["one", "two", "three"], "wait": "count", "count": 2, "timeout_s": 9}},
        {"id": "end", "value": "results.enough"},
    ]);
    let mut world = World::of(steps.clone());
    world.lost("one").done("two", "B").done("three", "C");
    assert!(world.completed().contains("\"two\": \"B\""), "{}", world.completed());
    let mut world = World::of(steps.clone());
    world.done("one", "A").done("two", "B");
    assert!(world.completed().contains("\"three\": null"));
    assert_eq!(world.open(), [""; 0]);
    let mut world = World::of(steps.clone());
    world.lost("one").lost("two");
    assert!(world.failed().contains("at least 2"), "{}", world.failed());
    let mut world = World::of(steps);
    world.done("one", "A").time_is_up("enough");
    assert!(world.failed().contains("in time"), "{}", world.failed());
}

#[test]
fn a_review_is_never_by_the_author_and_ends() {
    let steps = json!([
        {"id": "draft", "task": {"agent": "a", "instructions": "write"}},
        {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "['a', 'b', 'rev']", "rounds": 2, "on_limit": "continue"}},
        {"id": "end", "value": "results.check"},
    ]);
    let say = |verdict: &str| json!({"verdict": verdict, "comments": format!("I say {verdict}")});
    let mut world = World::of(steps.clone());
    world.done("draft", "D1");
    assert_eq!(world.open(), ["check/rounds/1/verdicts/b", "check/rounds/1/verdicts/rev"]);
    assert!(world.task("check/rounds/1/verdicts/b").instructions.contains("> D1"));
    world.done("check/rounds/1/verdicts/b", say("accept")).done("check/rounds/1/verdicts/rev", say("revise"));
    assert_eq!(world.open(), ["check/rounds/1/revision"]);
    assert!(world.task("check/rounds/1/revision").instructions.contains("I say revise"));
    world.done("check/rounds/1/revision", "D2");
    assert!(world.task("check/rounds/2/verdicts/b").instructions.contains("> D2"));
    world.done("check/rounds/2/verdicts/b", say("accept")).done("check/rounds/2/verdicts/rev", say("accept"));
    let result: serde_json::Value = serde_json::from_str(world.completed()).unwrap();
    assert_eq!(
        (result["output"].as_str(), result["verdict"].as_str(), result["rounds"].as_u64()),
        (Some("D2"), Some("accept"), Some(2))
    );

    let mut world = World::of(steps);
    world
        .done("draft", "D1")
        .done("check/rounds/1/verdicts/b", say("reject"))
        .done("check/rounds/1/verdicts/rev", say("reject"));
    assert!(world.failed().contains("reject"), "{}", world.failed());
}

#[test]
fn a_review_by_nobody_fails_and_costs_nothing() {
    let mut world = World::of(json!([
        {"id": "draft", "task": {"agent": "a", "instructions": "write"}},
        {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "['a']", "on_limit": "continue"}},
    ]));
    world.done("draft", "D1");
    assert!(world.failed().contains("nobody but the author"), "{}", world.failed());
}

#[test]
fn control_is_handed_on_until_somebody_is_done() {
    let steps = json!([
        {"id": "help", "handoff": {"start": "a", "among": "['a', 'b', 'c']", "instructions": "help: {{ task }}", "max": 3}},
        {"id": "end", "value": "results.help"},
    ]);
    let over = |to: &str| json!({"status": "hand_over", "answer": "", "hand_to": to, "done_so_far": "looked", "left": "rest", "reason": "yours"});
    let mut world = World::of(steps.clone());
    world.done("help/rounds/1/work", over("b"));
    assert_eq!(world.task("help/rounds/2/work").agent, "b");
    assert!(world.task("help/rounds/2/work").instructions.contains("looked"));
    world.done(
        "help/rounds/2/work",
        json!({"status": "done", "answer": "42", "hand_to": null, "done_so_far": "", "left": "", "reason": ""}),
    );
    let result: serde_json::Value = serde_json::from_str(world.completed()).unwrap();
    assert_eq!(result, json!({"answer": "42", "by": "b", "status": "done", "chain": ["a", "b"]}));
    let mut world = World::of(steps.clone());
    world.done("help/rounds/1/work", over("nobody"));
    assert!(world.failed().ends_with("it was handed to nobody who may have it"));
    let mut world = World::of(steps);
    world
        .done("help/rounds/1/work", over("b"))
        .done("help/rounds/2/work", over("a"))
        .done("help/rounds/3/work", over("b"));
    assert!(world.failed().contains("3 rounds did not suffice"));
}

#[test]
fn who_is_asked_may_stay_silent() {
    let mut world = World::of(json!([
        {"id": "ok", "ask": {"whom": "a", "question": "go?", "options": ["yes", "no"]}, "timeout_s": 60, "default": {"answer": "no", "reason": "nobody said"}},
        {"id": "end", "value": "results.ok.answer"},
    ]));
    assert_eq!(world.task("ok").timeout_s, Some(60));
    world.lost("ok");
    assert_eq!(world.completed(), "no");
}

#[test]
fn who_delegates_accepts_or_sends_back() {
    let mut world = World::of(json!([{"id": "d", "delegate": {"by": "a", "to": "b", "instructions": "count"}}]));
    let said = |accept: bool| json!({"accept": accept, "comments": "more", "result": "passed on"});
    world.done("d/rounds/1/work", "one").done("d/rounds/1/judgement", said(false));
    assert!(world.task("d/rounds/2/work").instructions.contains("> one"));
    world.done("d/rounds/2/work", "two").done("d/rounds/2/judgement", said(true));
    assert_eq!(world.completed(), "passed on");
}

#[test]
fn disagreement_is_settled_by_policy() {
    let steps = |by: &str| {
        json!([
            {"id": "said", "split": {"over": "['a', 'b', 'c']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?", "output": {"type": "object"}}}]}},
            {"id": "final", "settle": {"of": "said", "field": "answer", "by": by}},
            {"id": "end", "value": "results.final"},
        ])
    };
    let answer = |text: &str, sure: f64| json!({"answer": text, "confidence": sure, "evidence": []});
    let run = |by: &str, answers: [serde_json::Value; 3]| {
        let mut world = World::of(steps(by));
        for (who, answer) in ["a", "b", "c"].iter().zip(answers) {
            world.done(&format!("said/{who}"), answer);
        }
        world
    };
    let settled = |world: &World| serde_json::from_str::<serde_json::Value>(world.completed()).unwrap();
    let agreed = run("vote", [answer("x", 0.1), answer("X.", 0.1), answer("x", 0.1)]);
    assert_eq!(settled(&agreed)["settled_by"], "agreement");
    let voted = run("vote", [answer("x", 0.9), answer("y", 0.1), answer("y", 0.1)]);
    assert_eq!((settled(&voted)["answer"].as_str(), settled(&voted)["settled_by"].as_str()), (Some("y"), Some("vote")));
    let weighed = run("evidence", [answer("x", 0.9), answer("y", 0.1), answer("y", 0.1)]);
    assert_eq!(settled(&weighed)["answer"], "x");
    let mut judged = run("judge", [answer("x", 0.9), answer("y", 0.1), answer("y", 0.1)]);
    assert_eq!(judged.open(), ["final/_decision/judge"]);
    judged.done("final/_decision/judge", json!({"answer": "z", "reason": "neither"}));
    assert_eq!(
        (settled(&judged)["answer"].as_str(), settled(&judged)["disagreement"].as_array().map(Vec::len)),
        (Some("z"), Some(3))
    );
    let person = run("escalate", [answer("x", 0.9), answer("y", 0.1), answer("y", 0.1)]);
    assert!(
        matches!(person.end(), Some(RunEnd::Escalated(reason)) if reason.contains("members disagree")),
        "{:?}",
        person.end()
    );
}

#[test]
fn enough_of_those_who_were_asked_may_settle_it() {
    let run = |enough: serde_json::Value, ends: [Option<&str>; 3]| {
        let mut world = World::of(json!([
            {"id": "said", "split": {
                "over": "['a', 'b', 'c']", "sync": {"wait": "all", "least": 1},
                "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?", "retries": 0}}],
            }},
            {"id": "final", "settle": {"of": "said", "enough": enough, "by": "escalate"}},
            {"id": "end", "value": "results.final"},
        ]));
        for (who, end) in ["a", "b", "c"].iter().zip(ends) {
            match end {
                Some(said) => world.done(&format!("said/{who}"), said),
                None => world.lost(&format!("said/{who}")),
            };
        }
        match world.end() {
            Some(RunEnd::Completed(said)) => serde_json::from_str(said).unwrap(),
            Some(RunEnd::Escalated(reason)) => json!(reason),
            other => panic!("{other:?}"),
        }
    };
    let two = run(json!(0.6), [Some("Roll back"), Some("**roll-back!**"), Some("wait")]);
    assert_eq!((two["answer"].as_str(), two["settled_by"].as_str()), (Some("Roll back"), Some("agreement")));
    assert_eq!(two["disagreement"].as_array().map(Vec::len), Some(3), "who differs is told: {two}");
    let one = run(json!(0.6), [Some("x"), None, None]);
    assert!(one.as_str().unwrap().ends_with("the members disagree"), "one of three is not enough: {one}");
    let half = run(json!("1 / 3"), [Some("x"), Some("y"), None]);
    assert!(half.is_string(), "nobody leads: {half}");
    let all = run(json!(null), [Some("x"), Some("x"), None]);
    assert_eq!(
        (all["settled_by"].as_str(), all["agreement"].as_f64().map(|share| share > 0.7)),
        (Some("agreement"), Some(false))
    );
}

#[test]
fn merges_make_one_of_several() {
    let steps = |how: &str| {
        json!([
            {"id": "said", "split": {"over": "['a', 'b']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?", "output": {"type": "object"}}}]}},
            {"id": "one", "merge": {"of": "said", "how": how, "field": "list"}},
        ])
    };
    let run = |how: &str| {
        let mut world = World::of(steps(how));
        world.done("said/a", json!({"list": ["p", "q"]})).done("said/b", json!({"list": ["q", "r"]}));
        serde_json::from_str::<serde_json::Value>(world.completed()).unwrap()
    };
    assert_eq!(run("union"), json!(["p", "q", "r"]));
    assert_eq!(run("intersection"), json!(["q"]));
    let mut world = World::of(json!([
        {"id": "said", "split": {"over": "['a', 'b']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]}},
        {"id": "one", "merge": {"of": "said", "how": "synthesis", "instructions": "briefly"}},
    ]));
    world.done("said/a", "A").done("said/b", "B");
    assert_eq!(world.task("one").agent, "lead");
    assert!(world.task("one").instructions.contains("According to `b`:\n> B"));
}

#[test]
fn a_step_costs_the_same_late_and_early() {
    let steps: Vec<_> = (0..1000).map(|n| work(&format!("s{n}"))).collect();
    let mut world = World::of(json!(steps));
    world.done("s0", "x");
    let early = world.loaded();
    for n in 1..990 {
        world.done(&format!("s{n}"), "x");
    }
    assert!(world.loaded() <= early + 1, "{early} at the beginning, {} later", world.loaded());
}
