//! What comes of each primitive in each situation, found by running the machine and printed as docs/reference/primitives.md.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::world::{RunEnd, World};

/// What happens: a task completes with a text, fails, or the time of a step is up.
#[derive(Clone, Copy)]
enum On<'a> {
    Done(&'a str, &'a str),
    Lost(&'a str),
    Late(&'a str),
}

use On::{Done, Late, Lost};

/// Drives a run, and says in words what happened and what came of it.
fn row(rule: &str, steps: &Value, happens: &[On<'_>]) -> String {
    let mut world = World::of(steps.clone());
    let mut words = Vec::new();
    for one in happens {
        let (Done(at, _) | Lost(at) | Late(at)) = one;
        if !matches!(one, Late(_)) && !world.open().iter().any(|open| open == at) {
            words.push(format!("`{at}` is not asked any more"));
            continue;
        }
        match one {
            Done(at, text) => {
                world.done(at, *text);
                words.push(format!("`{at}`: {}", brief(text)));
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
    let named = ["choice", "verdict", "hand_to", "accept", "status"].iter().find_map(|name| match &value[*name] {
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

fn syncs(page: &mut String) {
    let steps = |sync: Value| {
        let work = |id: &str| json!({"id": id, "after": [], "task": {"agent": id, "instructions": "?"}});
        let end = "[results.a, results.b, results.c] | select | join(', ')";
        json!([work("a"), work("b"), work("c"), {"id": "enough", "sync": sync}, {"id": "end", "value": end}])
    };
    let of = json!(["a", "b", "c"]);
    let two = steps(json!({"of": of, "wait": "count", "count": 2, "timeout_s": 60}));
    let part = steps(json!({"of": of, "least": 1, "timeout_s": 60}));
    let rows = [
        row("count 2", &two, &[Done("a", "A")]),
        row("count 2", &two, &[Done("a", "A"), Done("c", "C")]),
        row("count 2", &two, &[Lost("a"), Lost("c")]),
        row("count 2, 60 s", &two, &[Done("a", "A"), Late("enough")]),
        row("all, least 1, 60 s", &part, &[Done("b", "B"), Late("enough")]),
        row("all, least 1", &part, &[Lost("a"), Lost("b"), Lost("c")]),
        row("any", &steps(json!({"of": of, "wait": "any"})), &[Done("b", "B")]),
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
    let (bad, good) = (Done("again/1/x", "bad"), Done("again/1/x", "good"));
    let rows = [
        row("max 2", &steps("fail"), &[good]),
        row("max 2", &steps("fail"), &[bad]),
        row("max 2", &steps("fail"), &[bad, Done("again/2/x", "good")]),
        row("max 2, on_limit: continue", &steps("continue"), &[bad, Done("again/2/x", "bad")]),
        row("max 2, on_limit: fail", &steps("fail"), &[bad, Done("again/2/x", "bad")]),
        row("max 2, on_limit: escalate", &steps("escalate"), &[bad, Done("again/2/x", "bad")]),
        row("max 2", &steps("continue"), &[Lost("again/1/x")]),
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
        row("branch: `x`", &branch("'x'"), &[]),
        row("branch: `y`", &branch("'y'"), &[]),
        row("merge: union of x, y, x", &merge("union"), &[]),
        row("merge: majority of x, y, x", &merge("majority"), &[]),
        row("merge: majority of nothing", &none, &[]),
        row("join of a and b", &join, &[]),
    ];
    table(page, ("task, ask, delegate, branch, merge, join", "One step each, and what follows it."), &rows);
}

#[test]
fn the_page_says_what_the_machine_does() {
    let mut page = String::from(
        "# Primitives, case by case\n\nPrinted from `convoke-domain/src/flow/machine/tests/primitives.rs`, which runs the machine that drives \
         [flows](../concept/flows.md): what comes of each primitive in each situation. *Goes on* is with the result that the next step sees; \
         *fails* is the step, and with it what it stands in.\n",
    );
    for part in [splits, syncs, votes, loops, gates, reviews, handoffs, others] {
        part(&mut page);
    }
    crate::docs::check("reference/primitives.md", &page);
}
