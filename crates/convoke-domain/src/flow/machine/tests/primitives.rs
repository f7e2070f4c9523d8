//! What comes of each primitive in each situation, found by running the machine and printed as docs/reference/primitives.md.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::world::{RunEnd, World};

/// What happens: a task completes with a text, fails, or the time of a step is up.
#[derive(Clone, Copy)]
enum On<'a> {
    Done(&'a str, &'a str),
    /// A plan comes; its rule says what it is.
    Plan(&'a str, &'a str),
    Lost(&'a str),
    Late(&'a str),
}

use On::{Done, Late, Lost};

/// Drives a run, and says in words what happened and what came of it.
fn row(rule: &str, steps: &Value, happens: &[On<'_>]) -> String {
    let mut world = World::of(steps.clone());
    let mut words = Vec::new();
    for one in happens {
        let (Done(at, _) | On::Plan(at, _) | Lost(at) | Late(at)) = one;
        if !matches!(one, Late(_)) && !world.open().iter().any(|open| open == at) {
            words.push(format!("`{at}` is not asked any more"));
            continue;
        }
        match one {
            Done(at, text) => {
                world.done(at, *text);
                words.push(format!("`{at}`: {}", brief(text)));
            }
            On::Plan(at, text) => {
                world.done(at, *text);
                words.push("the plan comes".to_owned());
            }
            Lost(at) => {
                world.lost(at);
                words.push(format!("`{at}` fails"));
            }
            Late(at) => {
                world.time_is_up(at);
                words.push(format!("the time of `{at}` is up"));
            }
        }
    }
    let listed = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let mut outcome = match world.end() {
        Some(RunEnd::Completed(text)) => format!("goes on with {}", brief(text)),
        Some(RunEnd::Failed(reason)) => format!("**fails**: {}", cell(reason)),
        Some(RunEnd::Escalated(reason)) => format!("**a person**: {}", cell(reason)),
        None => format!("waits for {}", listed(world.open())),
    };
    let off = world.off();
    if !off.is_empty() {
        let _ = write!(outcome, "; called off: {}", listed(off));
    }
    let words = if words.is_empty() { "nothing yet".to_owned() } else { words.join("; ") };
    format!("| {rule} | {words} | {outcome} |\n")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// An answer in few words: of JSON, what decides.
fn brief(text: &str) -> String {
    let value: Value = serde_json::from_str(text).unwrap_or(Value::Null);
    let named =
        ["choice", "verdict", "hand_to", "accept", "status", "answer"].iter().find_map(|name| match &value[*name] {
            Value::Null => None,
            found => Some(format!("{name} {}", found.to_string().trim_matches('"'))),
        });
    let null = value.get("choice").is_some_and(Value::is_null).then(|| "abstains".to_owned());
    named.or(null).unwrap_or_else(|| if text.is_empty() { "nothing".to_owned() } else { cell(text) })
}

fn table(page: &mut String, (name, about): (&str, &str), rows: &[String]) {
    let _ = write!(
        page,
        "\n## {name}\n\n{about}\n\n| rule | what happens | what comes of it |\n|---|---|---|\n{}",
        rows.concat()
    );
}

fn said() -> Value {
    json!({"id": "end", "value": "results.said | values | join(', ')"})
}

fn split(over: &str, sync: &Value) -> Value {
    let work = json!([{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]);
    json!([{"id": "said", "split": {"over": over, "do": work, "sync": sync}}, said()])
}

fn splits(page: &mut String) {
    const THREE: &str = "['a', 'b', 'c']";
    let all = split(THREE, &json!({}));
    let part = split(THREE, &json!({"least": 2, "timeout_s": 60}));
    let any = split(THREE, &json!({"wait": "any"}));
    let two = split(THREE, &json!({"wait": "count", "count": 2}));
    let five = split(THREE, &json!({"wait": "count", "count": 5, "least": 3}));
    let (a, b, c) = (Done("said/a", "A"), Done("said/b", "B"), Done("said/c", "C"));
    let (no_a, no_b, no_c) = (Lost("said/a"), Lost("said/b"), Lost("said/c"));
    let rows = [
        row("all", &all, &[]),
        row("all", &all, &[a, b, c]),
        row("all", &all, &[c, a, b]),
        row("all", &all, &[a, no_b]),
        row("all", &all, &[no_a]),
        row("all, least 2", &part, &[a, b, no_c]),
        row("all, least 2", &part, &[no_a, no_b]),
        row("all, least 2, 60 s", &part, &[a, b, Late("said")]),
        row("all, least 2, 60 s", &part, &[a, Late("said")]),
        row("any", &any, &[b]),
        row("any", &any, &[no_a, no_b, c]),
        row("any", &any, &[no_a, no_b, no_c]),
        row("count 2", &two, &[a, c]),
        row("count 2", &two, &[no_a, b, c]),
        row("count 2", &two, &[no_a, no_b]),
        row("count 5, least 3", &five, &[a, b, c]),
        row("all, no items", &split("[]", &json!({})), &[]),
        row("any, no items", &split("[]", &json!({"wait": "any"})), &[]),
        row("all, one item", &split("['a']", &json!({})), &[a]),
        row("all, one item", &split("['a']", &json!({})), &[no_a]),
    ];
    table(
        page,
        ("split", "Items at the same time, here one for each of `a`, `b`, `c`; the rule is that of its `sync`."),
        &rows,
    );
}

/// Items one by one: left out, failed with a default, fixed, planned, few at once.
fn items(page: &mut String) {
    let one = |over: &str, step: Value, more: Value| {
        let mut only = json!({"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}});
        only.as_object_mut().expect("an object").extend(step.as_object().expect("an object").clone());
        let mut split = json!({"over": over, "do": [only]});
        split.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let end = "results.said | map(attribute='key') | join(', ') ~ ': ' ~ results.said | values | join(', ')";
        json!([{"id": "said", "split": split}, {"id": "end", "value": end}])
    };
    const THREE: &str = "['a', 'b', 'c']";
    let not_a = json!({"when": "item != 'a'"});
    let without_a = one(THREE, not_a.clone(), json!({}));
    let two_without_a = one(THREE, not_a, json!({"sync": {"wait": "count", "count": 2}}));
    let only_c = json!({"when": "item == 'c'"});
    let two_of_c = one(THREE, only_c.clone(), json!({"sync": {"wait": "count", "count": 2}}));
    let none = json!({"when": "item == 'x'"});
    let any = json!({"sync": {"wait": "any"}});
    let goes_on = one(THREE, json!({"on_failure": "continue", "default": "none"}), json!({}));
    let person = one(THREE, json!({"on_failure": "escalate"}), json!({"sync": {"least": 1}}));
    let narrow = one(THREE, json!({}), json!({"width": 1}));
    let (a, b, c) = (Done("said/a", "A"), Done("said/b", "B"), Done("said/c", "C"));
    let rows = [
        row("all; when: not `a`", &without_a, &[b, c]),
        row("all; when: not `a`", &without_a, &[b, Lost("said/c")]),
        row("count 2; when: not `a`", &two_without_a, &[b]),
        row("count 2; when: not `a`", &two_without_a, &[b, c]),
        row("count 2; when: only `c`", &two_of_c, &[]),
        row("width 1; when: only `c`", &one(THREE, only_c, json!({"width": 1})), &[c]),
        row("all; when: none of them", &one(THREE, none.clone(), json!({})), &[]),
        row("any; when: none of them", &one(THREE, none, any), &[]),
        row("on_failure: continue, default: none", &goes_on, &[a, Lost("said/b"), c]),
        row("on_failure: escalate, least 1", &person, &[a, Lost("said/b")]),
        row("width 1", &narrow, &[]),
        row("width 1", &narrow, &[a, Lost("said/b")]),
        row("width 1", &narrow, &[a, b, c]),
        row("limit 2", &one(THREE, json!({}), json!({"limit": 2})), &[]),
    ];
    let about = "The only step of an item may be left out (`when`), fail without its item failing, or wait for its turn. An item that is left \
                 out is none: it is not counted and not in the result, whose keys and values are shown here.";
    table(page, ("split: items", about), &rows);
}

fn branches_and_plans(page: &mut String) {
    let work = |id: &str| json!({"id": id, "task": {"agent": id, "instructions": "?"}});
    let fixed = |more: Value| {
        let mut split = json!({"branches": [work("a"), work("b")]});
        split.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([{"id": "said", "split": split}, said()])
    };
    let planned = |more: Value| {
        let mut split = json!({"plan": {"by": "lead", "among": "['a', 'b']"}, "limit": 3});
        split.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([{"id": "said", "split": split}, said()])
    };
    let item = |key: &str, who: &str, on: &[&str]| json!({"key": key, "title": key, "instructions": "?", "assignee": who, "depends_on": on, "expected_output": ""});
    let plan = |items: &[Value]| json!({"tasks": items}).to_string();
    let two = plan(&[item("one", "a", &[]), item("two", "b", &[])]);
    let chain = plan(&[item("one", "a", &[]), item("two", "b", &["one"])]);
    let circle = plan(&[item("one", "a", &["two"]), item("two", "b", &["one"])]);
    let stranger = plan(&[item("one", "zoe", &[])]);
    let many: Vec<Value> = ["one", "two", "three", "four"].iter().map(|key| item(key, "a", &[])).collect();
    let (many, empty) = (plan(&many), plan(&[]));
    let (one, other) = (Done("said/one", "1"), Done("said/two", "2"));
    let came = |plan| On::Plan("said/plan", plan);
    let least = planned(json!({"sync": {"least": 1, "timeout_s": 60}}));
    let steps = json!({"do": [{"id": "x", "task": {"agent": "{{ item.assignee }}", "instructions": "{{ item.instructions }}"}}]});
    let listed = json!({"plan": {"items": "[{'key': 'one', 'assignee': 'a'}, {'key': 'two', 'needs': ['can-b']}]"}});
    let rows = [
        row("branches", &fixed(json!({})), &[Done("said/b", "B"), Done("said/a", "A")]),
        row("branches, any", &fixed(json!({"sync": {"wait": "any"}})), &[Done("said/b", "B")]),
        row("plan", &planned(json!({})), &[]),
        row("plan", &planned(json!({})), &[Lost("said/plan")]),
        row("plan: two", &planned(json!({})), &[came(&two), other, one]),
        row("plan: two, and `two` waits for `one`", &planned(json!({})), &[came(&chain)]),
        row("plan: two, and `two` waits for `one`", &planned(json!({})), &[came(&chain), one, other]),
        row("the same, least 1", &least, &[came(&chain), Lost("said/one")]),
        row("plan: two, least 1, 60 s", &least, &[came(&two), one, Late("said")]),
        row("plan, 60 s", &least, &[Late("said")]),
        row("plan: two that wait for each other", &planned(json!({})), &[came(&circle)]),
        row("plan: for somebody else", &planned(json!({})), &[came(&stranger)]),
        row("plan: four, limit 3", &planned(json!({})), &[came(&many)]),
        row("plan: none", &planned(json!({})), &[came(&empty)]),
        row("plan: items", &planned(listed.clone()), &[other, one]),
        row("plan: items, none", &planned(json!({"plan": {"items": "none"}})), &[]),
        row("plan: items, none, by an agent then", &planned(json!({"plan": {"items": "[]", "by": "lead"}})), &[]),
        row("plan, with steps for each", &planned(steps.clone()), &[came(&two), one, other]),
        row("plan: two, and `two` waits for `one`; with steps for each", &planned(steps), &[came(&chain)]),
    ];
    let about = "Items that the pattern names (`branches`, here `a` and `b`), and items that are planned (`plan`) for `a` and `b`: by an agent, or by an expression (`items`).";
    table(page, ("split: branches and plans", about), &rows);
}

fn syncs(page: &mut String) {
    let steps = |sync: Value| {
        let work = |id: &str| json!({"id": id, "after": [], "task": {"agent": id, "instructions": "?"}});
        let end = "[results.a, results.b, results.c] | select | join(', ')";
        json!([work("a"), work("b"), work("c"), {"id": "enough", "sync": sync}, {"id": "end", "value": end}])
    };
    let of = json!(["a", "b", "c"]);
    let two = steps(json!({"of": of, "wait": "count", "count": 2, "timeout_s": 60}));
    let part = steps(json!({"of": of, "least": 1, "timeout_s": 60}));
    let all = steps(json!({"of": of}));
    let with_a = |steps: &Value, more: Value| {
        let mut steps = steps.clone();
        steps[0].as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        steps
    };
    let goes_on = json!({"on_failure": "continue", "default": "what else"});
    let rows = [
        row("count 2", &two, &[Done("a", "A")]),
        row("count 2", &two, &[Done("a", "A"), Done("c", "C")]),
        row("count 2", &two, &[Lost("a"), Lost("c")]),
        row("count 2, 60 s", &two, &[Done("a", "A"), Late("enough")]),
        row("all, least 1, 60 s", &part, &[Done("b", "B"), Late("enough")]),
        row("all, least 1", &part, &[Lost("a"), Lost("b"), Lost("c")]),
        row("any", &steps(json!({"of": of, "wait": "any"})), &[Done("b", "B")]),
        row("count 2; `a` has `when: false`", &with_a(&two, json!({"when": "false"})), &[Done("b", "B")]),
        row(
            "count 2; `a` has `when: false`",
            &with_a(&two, json!({"when": "false"})),
            &[Done("b", "B"), Done("c", "C")],
        ),
        row("count 2; `a` has `when: false`", &with_a(&two, json!({"when": "false"})), &[Lost("b")]),
        row("all; `a` has `when: false`", &with_a(&all, json!({"when": "false"})), &[Done("b", "B"), Done("c", "C")]),
        row("count 2; `a` has `on_failure: continue`", &with_a(&two, goes_on.clone()), &[Lost("a"), Done("b", "B")]),
        row("all; `a` has `on_failure: escalate`", &with_a(&all, json!({"on_failure": "escalate"})), &[Lost("a")]),
    ];
    table(page, ("sync", "Waits for the steps `a`, `b`, `c` beside it, which have begun at the same time."), &rows);
}

fn votes(page: &mut String) {
    let vote = |rule: Value| {
        json!([
            {"id": "v", "vote": {"voters": "['a', 'b', 'c']", "question": "which?", "rule": rule, "ballots_within_s": 60}},
            {"id": "end", "value": "results.v.choice"},
        ])
    };
    let of = |more: Value| {
        let mut rule = json!({"options": ["x", "y", "z"]});
        rule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        vote(rule)
    };
    const X: &str = r#"{"choice": "x", "confidence": 1, "reason": ""}"#;
    const Y: &str = r#"{"choice": "y", "confidence": 1, "reason": ""}"#;
    const Z: &str = r#"{"choice": "z", "confidence": 1, "reason": ""}"#;
    const NONE: &str = r#"{"choice": null, "confidence": 1, "reason": ""}"#;
    let tied = [Done("v/a", X), Done("v/b", Y), Done("v/c", Z)];
    let again = |rest: &[On<'static>]| [&tied[..], rest].concat();
    let rows = [
        row("plurality", &of(json!({})), &[Done("v/a", X), Done("v/b", X)]),
        row("no early stop", &of(json!({"early_stop": false})), &[Done("v/a", X), Done("v/b", X)]),
        row("plurality", &of(json!({})), &[Done("v/a", X), Done("v/b", Y), Done("v/c", X)]),
        row("quorum 0.5", &of(json!({})), &[Done("v/a", X), Lost("v/b"), Done("v/c", NONE)]),
        row("quorum 0.5", &of(json!({})), &[Done("v/a", X), Lost("v/b"), Done("v/c", X)]),
        row("quorum 1", &of(json!({"quorum": 1.0})), &[Lost("v/b")]),
        row("quorum 0", &of(json!({"quorum": 0.0})), &[Lost("v/a"), Lost("v/b"), Lost("v/c")]),
        row("60 s", &of(json!({"early_stop": false})), &[Done("v/a", X), Done("v/b", X), Late("v")]),
        row("60 s", &of(json!({})), &[Done("v/a", X), Late("v")]),
        row("unanimous", &of(json!({"majority": "unanimous"})), &[Done("v/a", X), Done("v/b", Y)]),
        row("tie: fail", &of(json!({})), &tied),
        row("tie: first", &of(json!({"tie": "first"})), &[Done("v/a", Z), Done("v/b", Y), Done("v/c", X)]),
        row("tie: escalate", &of(json!({"tie": "escalate"})), &tied),
        row("tie: coordinator", &of(json!({"tie": "coordinator"})), &tied),
        row("tie: coordinator", &of(json!({"tie": "coordinator"})), &again(&[Done("v/casting", Y)])),
        row("tie: coordinator", &of(json!({"tie": "coordinator"})), &again(&[Lost("v/casting")])),
        row("tie: coordinator", &of(json!({"tie": "coordinator"})), &again(&[Done("v/casting", NONE)])),
        row("tie: coordinator, 60 s", &of(json!({"tie": "coordinator"})), &again(&[Late("v")])),
        row("tie: revote", &of(json!({"tie": "revote"})), &again(&[Done("v/a~2", X), Done("v/b~2", X)])),
        row(
            "one voter",
            &json!([{"id": "v", "vote": {"voters": "['a']", "question": "?", "rule": {"options": ["x", "y"]}}}, {"id": "end", "value": "results.v.choice"}]),
            &[Done("v/a", Y)],
        ),
        row("no voters", &json!([{"id": "v", "vote": {"voters": "[]", "question": "?"}}]), &[]),
    ];
    let about = "`a`, `b` and `c` vote for `x`, `y` or `z`. [Voting](voting.md) has the tables of the counting itself.";
    table(page, ("vote", about), &rows);
}

fn loops(page: &mut String) {
    let work = json!([{"id": "x", "task": {"agent": "a", "instructions": "?"}}]);
    let steps = |limit: &str| json!([{"id": "again", "loop": {"do": work, "until": "results.x == 'good'", "max": 2, "on_limit": limit}}, {"id": "end", "value": "results.again"}]);
    let made = |max: &str, when: Option<&str>| {
        json!([
            {"id": "max", "value": max},
            {"id": "again", "when": when, "loop": {"do": work, "until": "results.x == 'good'", "max": "results.max", "on_limit": "continue"}},
            {"id": "end", "value": "results.again or 'no round'"}
        ])
    };
    let (computed, left_out) = (|max: &str| made(max, None), made("0", Some("results.max > 0")));
    let (bad, good) = (Done("again/1/x", "bad"), Done("again/1/x", "good"));
    let rows = [
        row("max 2", &steps("fail"), &[good]),
        row("max 2", &steps("fail"), &[bad]),
        row("max 2", &steps("fail"), &[bad, Done("again/2/x", "good")]),
        row("max 2, on_limit: continue", &steps("continue"), &[bad, Done("again/2/x", "bad")]),
        row("max 2, on_limit: fail", &steps("fail"), &[bad, Done("again/2/x", "bad")]),
        row("max 2, on_limit: escalate", &steps("escalate"), &[bad, Done("again/2/x", "bad")]),
        row("max 2", &steps("continue"), &[Lost("again/1/x")]),
        row("max computed, 1, on_limit: continue", &computed("1"), &[bad]),
        row("max computed, 0, on_limit: continue", &computed("0"), &[]),
        row("max computed, 101, on_limit: continue", &computed("101"), &[]),
        row("max computed, -1, on_limit: continue", &computed("-1"), &[]),
        row("max computed, 1.5, on_limit: continue", &computed("1.5"), &[]),
        row("max 0, left out by `when: max > 0`", &left_out, &[]),
    ];
    table(page, ("loop", "Rounds until the result of `x` is `good`."), &rows);
}

fn gates(page: &mut String) {
    let steps = |gate: Value| json!([{"id": "draft", "task": {"agent": "a", "instructions": "?"}}, {"id": "bar", "gate": gate}, {"id": "end", "value": "results.draft"}]);
    let check = |more: Value| {
        let mut gate = json!({"check": "results.draft == 'good'"});
        gate.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        steps(gate)
    };
    let back = |limit: &str| check(json!({"on_fail": "back", "max": 1, "on_limit": limit}));
    let (bad, again) = (Done("draft", "bad"), Done("draft~2", "bad"));
    let rows = [
        row("on_fail: fail", &check(json!({})), &[Done("draft", "good")]),
        row("on_fail: fail", &check(json!({})), &[bad]),
        row("on_fail: escalate", &check(json!({"on_fail": "escalate"})), &[bad]),
        row("on_fail: back, once", &back("fail"), &[bad]),
        row("on_fail: back, once", &back("fail"), &[bad, Done("draft~2", "good")]),
        row("on_fail: back, once; on_limit: fail", &back("fail"), &[bad, again]),
        row("on_fail: back, once; on_limit: continue", &back("continue"), &[bad, again]),
        row("on_fail: back, once; on_limit: escalate", &back("escalate"), &[bad, again]),
        row("require: draft", &steps(json!({"require": ["draft"]})), &[Done("draft", "")]),
        row("require: draft", &steps(json!({"require": ["draft"]})), &[Done("draft", "0")]),
    ];
    table(page, ("gate", "Lets `draft` through if its result is `good`."), &rows);
}

fn reviews(page: &mut String) {
    let steps = |more: Value| {
        let mut review = json!({"of": "draft", "author": "a", "reviewers": "['a', 'b', 'rev']", "rounds": 2});
        review.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([{"id": "draft", "task": {"agent": "a", "instructions": "?"}}, {"id": "r", "review": review}, {"id": "end", "value": "results.r.output ~ ': ' ~ results.r.verdict"}])
    };
    const YES: &str = r#"{"verdict": "accept", "comments": ""}"#;
    const MORE: &str = r#"{"verdict": "revise", "comments": ""}"#;
    const NO: &str = r#"{"verdict": "reject", "comments": ""}"#;
    let draft = Done("draft", "first");
    let (b, rev) = ("r/rounds/1/verdicts/b", "r/rounds/1/verdicts/rev");
    let second = Done("r/rounds/1/revision", "second");
    let (b2, rev2) = ("r/rounds/2/verdicts/b", "r/rounds/2/verdicts/rev");
    let stays = [draft, Done(b, YES), Done(rev, MORE), second, Done(b2, MORE), Done(rev2, MORE)];
    let rows = [
        row("accept: all", &steps(json!({})), &[draft]),
        row("accept: all", &steps(json!({})), &[draft, Done(b, YES), Done(rev, YES)]),
        row("accept: all", &steps(json!({})), &[draft, Done(b, YES), Done(rev, MORE)]),
        row("accept: any", &steps(json!({"accept": "any"})), &[draft, Done(b, YES), Done(rev, MORE)]),
        row(
            "accept: all",
            &steps(json!({})),
            &[draft, Done(b, YES), Done(rev, MORE), second, Done(b2, YES), Done(rev2, YES)],
        ),
        row("one reviewer fails", &steps(json!({})), &[draft, Lost(b), Done(rev, YES)]),
        row("all reviewers fail", &steps(json!({})), &[draft, Lost(b), Lost(rev)]),
        row("on_reject: fail", &steps(json!({})), &[draft, Done(b, NO), Done(rev, NO)]),
        row("on_reject: continue", &steps(json!({"on_reject": "continue"})), &[draft, Done(b, NO), Done(rev, NO)]),
        row("on_reject: escalate", &steps(json!({"on_reject": "escalate"})), &[draft, Done(b, NO), Done(rev, NO)]),
        row("2 rounds, on_limit: continue", &steps(json!({})), &stays),
        row("2 rounds, on_limit: fail", &steps(json!({"on_limit": "fail"})), &stays),
        row("nobody but the author", &steps(json!({"reviewers": "['a']"})), &[draft]),
    ];
    table(
        page,
        ("review", "`b` and `rev` review the `draft` of `a`; `a` is named as a reviewer too, and is left out."),
        &rows,
    );
}

fn handoffs(page: &mut String) {
    let steps = |limit: &str| {
        json!([
            {"id": "h", "handoff": {"start": "a", "among": "['a', 'b', 'c']", "instructions": "?", "max": 3, "on_limit": limit}},
            {"id": "end", "value": "results.h.by ~ ': ' ~ results.h.answer"},
        ])
    };
    let over = |to: &str| {
        json!({"status": "hand_over", "answer": "so far", "hand_to": to, "done_so_far": "", "left": "", "reason": ""})
            .to_string()
    };
    let done = json!({"status": "done", "answer": "42", "hand_to": null, "done_so_far": "", "left": "", "reason": ""})
        .to_string();
    let (a, b, zoe) = (over("a"), over("b"), over("zoe"));
    let at = ["h/rounds/1/work", "h/rounds/2/work", "h/rounds/3/work"];
    let rows = [
        row("3 in a row", &steps("fail"), &[Done(at[0], &done)]),
        row("3 in a row", &steps("fail"), &[Done(at[0], &b), Done(at[1], &done)]),
        row("3 in a row", &steps("fail"), &[Done(at[0], &b), Lost(at[1])]),
        row("nobody hands to a stranger", &steps("fail"), &[Done(at[0], &zoe)]),
        row("nobody hands to themselves", &steps("fail"), &[Done(at[0], &a)]),
        row("to and fro, on_limit: fail", &steps("fail"), &[Done(at[0], &b), Done(at[1], &a), Done(at[2], &b)]),
        row("to and fro, on_limit: continue", &steps("continue"), &[Done(at[0], &b), Done(at[1], &a), Done(at[2], &b)]),
        row("to and fro, on_limit: escalate", &steps("escalate"), &[Done(at[0], &b), Done(at[1], &a), Done(at[2], &b)]),
    ];
    table(page, ("handoff", "Control begins with `a` and goes among `a`, `b`, `c`, at most three times."), &rows);
}

fn others(page: &mut String) {
    let ask = json!([{"id": "ok", "ask": {"whom": "a", "question": "go?", "options": ["yes", "no"]}, "timeout_s": 60, "default": {"answer": "no", "reason": ""}}, {"id": "end", "value": "results.ok.answer"}]);
    let strict = json!([{"id": "ok", "ask": {"whom": "a", "question": "go?"}, "timeout_s": 60}]);
    let delegate = json!([{"id": "d", "delegate": {"by": "a", "to": "b", "instructions": "?", "retries": 1}}]);
    let judged = |accept: bool| json!({"accept": accept, "comments": "", "result": "passed on"}).to_string();
    let (yes, no) = (judged(true), judged(false));
    let (work, judgement) = ("d/rounds/1/work", "d/rounds/1/judgement");
    let (again, last) = ("d/rounds/2/work", "d/rounds/2/judgement");
    let own = json!([{"id": "d", "delegate": {"by": "a", "to": "{{ members[0] }}", "instructions": "?"}}]);
    let branch = |first: &str| {
        json!([
            {"id": "kind", "value": first},
            {"id": "way", "branch": {"cases": [{"when": "results.kind == 'x'", "do": [{"id": "one", "value": "'case 1'"}]}], "otherwise": [{"id": "other", "value": "'otherwise'"}]}},
            {"id": "end", "value": "results.way"},
        ])
    };
    let task = |policy: &str| json!([{"id": "t", "task": {"agent": "a", "instructions": "?"}, "on_failure": policy, "default": "what else"}, {"id": "end", "value": "results.t"}]);
    let merge = |how: &str| json!([{"id": "list", "value": "['x', 'y', 'x']"}, {"id": "m", "merge": {"of": "results.list", "how": how}}, {"id": "end", "value": "results.m | tojson"}]);
    let none = json!([{"id": "list", "value": "[]"}, {"id": "m", "merge": {"of": "results.list", "how": "majority"}}]);
    let join = json!([{"id": "a", "value": "1"}, {"id": "b", "value": "2"}, {"id": "j", "join": {"of": ["a", "b"]}}, {"id": "end", "value": "results.j | tojson"}]);
    let rows = [
        row("task, on_failure: fail", &task("fail"), &[Lost("t")]),
        row("task, on_failure: continue", &task("continue"), &[Lost("t")]),
        row("task, on_failure: escalate", &task("escalate"), &[Lost("t")]),
        row("ask, with a default", &ask, &[Done("ok", r#"{"answer": "yes", "reason": ""}"#)]),
        row("ask, with a default", &ask, &[Lost("ok")]),
        row("ask, with a default, timeout_s: 60", &ask, &[Late("ok")]),
        row("ask, without one", &strict, &[Lost("ok")]),
        row("ask, without one, timeout_s: 60", &strict, &[Late("ok")]),
        row("delegate, 1 retry", &delegate, &[Done(work, "one"), Done(judgement, &yes)]),
        row("delegate, 1 retry", &delegate, &[Done(work, "one"), Done(judgement, &no)]),
        row(
            "delegate, 1 retry",
            &delegate,
            &[Done(work, "one"), Done(judgement, &no), Done(again, "two"), Done(last, &no)],
        ),
        row("delegate, to oneself", &own, &[]),
        row("branch: `x`", &branch("'x'"), &[]),
        row("branch: `y`", &branch("'y'"), &[]),
        row("merge: union of x, y, x", &merge("union"), &[]),
        row("merge: majority of x, y, x", &merge("majority"), &[]),
        row("merge: majority of nothing", &none, &[]),
        row("join of a and b", &join, &[]),
    ];
    table(page, ("task, ask, delegate, branch, merge, join", "One step each, and what follows it."), &rows);
}

fn settles(page: &mut String) {
    let steps = |by: &str, more: Value| {
        let mut settle = json!({"of": "said", "field": "answer", "by": by});
        settle.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let output = json!({"type": "object"});
        let work = json!([{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?", "output": output}}]);
        let end = "results.s.answer ~ ', by ' ~ results.s.settled_by";
        json!([
            {"id": "said", "split": {"over": "['a', 'b', 'c']", "do": work, "sync": {"least": 1}}},
            {"id": "s", "settle": settle},
            {"id": "end", "value": end},
        ])
    };
    let said = |answer: &str, sure: f64| json!({"answer": answer, "confidence": sure, "evidence": []}).to_string();
    let (x, y, z, sure, surest) = (said("x", 0.2), said("y", 0.2), said("z", 0.2), said("x", 0.4), said("x", 0.5));
    let judged = json!({"answer": "y", "reason": "?"}).to_string();
    let (judge, tied) = ("s/_decision/judge", "s/_decision/_settled/judge");
    let of = |a, b, c| [Done("said/a", a), Done("said/b", b), Done("said/c", c)];
    let policy = |by: &str| steps(by, json!({}));
    let by = |judge: &str| steps("judge", json!({"judge": judge}));
    let rows = [
        row("any", &policy("judge"), &of(&x, &x, &sure)),
        row("vote", &policy("vote"), &of(&sure, &y, &y)),
        row("vote", &policy("vote"), &of(&x, &y, &z)),
        row("vote", &policy("vote"), &[&of(&x, &y, &z)[..], &[Done(tied, &judged)]].concat()),
        row("vote", &policy("vote"), &[Done("said/a", &x), Done("said/b", &x), Lost("said/c")]),
        row("vote", &policy("vote"), &[Lost("said/a"), Lost("said/b"), Done("said/c", &z)]),
        row("evidence, `a` surer than both", &policy("evidence"), &of(&surest, &y, &y)),
        row("evidence, `a` as sure as both", &policy("evidence"), &of(&sure, &y, &y)),
        row(
            "evidence, `a` as sure as both",
            &policy("evidence"),
            &[&of(&sure, &y, &y)[..], &[Done(tied, &judged)]].concat(),
        ),
        row("judge", &policy("judge"), &of(&sure, &y, &y)),
        row("judge", &policy("judge"), &[&of(&sure, &y, &y)[..], &[Done(judge, &judged)]].concat()),
        row("judge", &policy("judge"), &[&of(&sure, &y, &y)[..], &[Lost(judge)]].concat()),
        row("judge: `rev`", &by("rev"), &[&of(&sure, &y, &y)[..], &[Done(judge, &judged)]].concat()),
        row("escalate", &policy("escalate"), &of(&sure, &y, &y)),
    ];
    let about = "`a`, `b` and `c` were asked; what follows if they do not agree, by the policy.";
    table(page, ("settle", about), &rows);
}

fn phases(page: &mut String) {
    let work = |id: &str, who: &str| json!({"id": id, "task": {"agent": who, "instructions": "?"}});
    let steps = |more: Value| {
        let mut first = json!({"id": "look", "phase": {"do": [work("x", "a"), work("y", "b")]}});
        first.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([first, {"id": "make", "phase": {"do": [work("z", "c")]}}, {"id": "end", "value": "results.look ~ ', ' ~ results.make"}])
    };
    let (x, y, z) = (Done("look/x", "X"), Done("look/y", "Y"), Done("make/z", "Z"));
    let goes_on = json!({"on_failure": "continue", "default": "nothing"});
    let rows = [
        row("two phases", &steps(json!({})), &[]),
        row("two phases", &steps(json!({})), &[x, y]),
        row("two phases", &steps(json!({})), &[x, y, z]),
        row("two phases", &steps(json!({})), &[x, Lost("look/y")]),
        row("on_failure: continue", &steps(goes_on.clone()), &[x, Lost("look/y"), z]),
        row("60 s", &steps(json!({"timeout_s": 60})), &[x, Late("look")]),
        row("60 s, on_failure: escalate", &steps(json!({"timeout_s": 60, "on_failure": "escalate"})), &[Late("look")]),
        row("when: false", &steps(json!({"when": "false"})), &[z]),
    ];
    table(
        page,
        ("phase", "`look` with two steps, and then `make` with one; the result of a phase is that of its last step."),
        &rows,
    );
}

fn values(page: &mut String) {
    let steps = |first: &str, more: Value| {
        let mut step = json!({"id": "v", "value": first});
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([step, {"id": "end", "value": "results.v"}])
    };
    let goes_on = json!({"on_failure": "continue", "default": "what else"});
    let rows = [
        row("1 + 2", &steps("1 + 2", json!({})), &[]),
        row("members", &steps("members", json!({})), &[]),
        row("none", &steps("none", json!({})), &[]),
        row("nowhere", &steps("nowhere", json!({})), &[]),
        row("nowhere; on_failure: continue", &steps("nowhere", goes_on), &[]),
        row("nowhere; on_failure: escalate", &steps("nowhere", json!({"on_failure": "escalate"})), &[]),
        row("1; when: false", &steps("1", json!({"when": "false"})), &[]),
        row("1; when: false, default", &steps("1", json!({"when": "false", "default": "what else"})), &[]),
        row("1; when: nowhere", &steps("1", json!({"when": "nowhere"})), &[]),
    ];
    table(page, ("value", "An expression; it costs no task."), &rows);
}

#[test]
fn the_page_says_what_the_machine_does() {
    let mut page = String::from(
        "# Primitives, case by case\n\nPrinted from `convoke-domain/src/flow/machine/tests/primitives.rs`, which runs the machine that drives \
         [flows](../concept/flows.md): what comes of each primitive in each situation. *Goes on* is with the result that the next step sees; \
         *fails* is the step, and with it what it stands in.\n",
    );
    let parts = [
        splits,
        items,
        branches_and_plans,
        syncs,
        votes,
        loops,
        gates,
        reviews,
        handoffs,
        settles,
        phases,
        values,
        others,
    ];
    for part in parts {
        part(&mut page);
    }
    crate::docs::check("reference/primitives.md", &page);
}
