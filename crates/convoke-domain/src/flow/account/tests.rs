//! What is told of each primitive in each situation.

mod told;

use serde_json::{Value, json};

use super::{Fact, MOST_ITEMS, MOST_STEPS, Noted, Sources, account};
use crate::event::Kind;
use crate::time::Timestamp;
use told::On::{self, Done, Late, Lost};
use told::{lines, spec, told};

/// A situation: what is rehearsed, what happens, and what is told.
struct Row(&'static str, Value, Vec<On>, &'static [&'static str]);

fn check(rows: Vec<Row>) {
    let mut wrong = Vec::new();
    for Row(name, steps, happens, expected) in rows {
        let lines = lines(&told(&steps, &happens));
        if lines != expected {
            wrong.push((name, lines));
        }
    }
    assert!(wrong.is_empty(), "other accounts are given: {wrong:#?}");
}

fn work(id: &str) -> Value {
    json!({"id": id, "task": {"agent": "a", "instructions": "do it"}})
}

#[test]
fn steps_in_a_row() {
    let three = json!([work("one"), work("two"), work("three")]);
    let soft = json!([{"id": "one", "task": {"agent": "a", "instructions": "x"}, "on_failure": "continue", "default": ""}, work("two")]);
    let when =
        json!([{"id": "one", "value": "1"}, {"id": "two", "when": "results.one == 2", "value": "2"}, work("three")]);
    let graph = json!([work("one"), {"id": "two", "after": [], "task": {"agent": "b", "instructions": "x"}}, {"id": "both", "join": {"of": ["one", "two"]}}]);
    check(vec![
        Row("none has ended", three.clone(), vec![], &["one task open", "two task pending", "three task pending"]),
        Row(
            "one has ended",
            three.clone(),
            vec![Done("one", "1")],
            &["one task completed", "two task open", "three task pending"],
        ),
        Row(
            "one has failed",
            three,
            vec![Lost("one")],
            &["one task failed: broken", "two task cancelled", "three task cancelled"],
        ),
        Row("one has failed, and it goes on", soft, vec![Lost("one")], &["one task failed: broken", "two task open"]),
        Row(
            "one is left out",
            when,
            vec![],
            &["one value completed", "two value skipped: results.one == 2", "three task open"],
        ),
        Row(
            "two at the same time",
            graph,
            vec![Done("two", "2")],
            &["one task open", "two task completed", "both join pending"],
        ),
    ]);
}

fn split(more: Value) -> Value {
    let mut split =
        json!({"over": "['a', 'b', 'c']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]});
    split.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
    json!([{"id": "all", "split": split}, {"id": "n", "value": "results.all | length"}])
}

#[test]
fn splits() {
    let pair = json!({"do": [work("x"), {"id": "y", "value": "results.x"}]});
    let plan = json!([{"id": "all", "split": {"plan": {"by": "a"}}}]);
    let tasks = r#"{"tasks": [{"key": "p", "title": "P", "instructions": "?", "assignee": "b", "depends_on": [], "expected_output": ""}]}"#;
    let branches = json!([{"id": "both", "split": {"branches": [work("l"), work("r")]}}]);
    check(vec![
        Row(
            "under way",
            split(json!({})),
            vec![Done("all/b", "B")],
            &[
                "all split open [3 items, 3 begun, 1 completed, 0 failed]",
                "  a task open",
                "  b task completed",
                "  c task open",
                "n value pending",
            ],
        ),
        Row(
            "enough",
            split(json!({"sync": {"wait": "any"}})),
            vec![Done("all/b", "B")],
            &[
                "all split completed [3 items, 3 begun, 1 completed, 0 failed]",
                "  a task cancelled",
                "  b task completed",
                "  c task cancelled",
                "n value completed",
            ],
        ),
        Row(
            "late",
            split(json!({"sync": {"least": 1, "timeout_s": 5}})),
            vec![Done("all/a", "A"), Lost("all/b"), Late("all")],
            &[
                "all split completed [3 items, 3 begun, 1 completed, 1 failed]",
                "  a task completed",
                "  b task failed: broken",
                "  c task cancelled",
                "n value completed",
            ],
        ),
        Row(
            "too few",
            split(json!({})),
            vec![Lost("all/a")],
            &[
                "all split failed: 1 of 3 failed, and at least 3 must complete [3 items, 3 begun, 0 completed, 1 failed]",
                "  a task failed: broken",
                "  b task cancelled",
                "  c task cancelled",
                "n value cancelled",
            ],
        ),
        Row(
            "one at a time",
            split(json!({"width": 1})),
            vec![Done("all/a", "A")],
            &[
                "all split open [3 items, 2 begun, 1 completed, 0 failed]",
                "  a task completed",
                "  b task open",
                "  c task pending",
                "n value pending",
            ],
        ),
        Row(
            "items of several steps",
            split(pair),
            vec![Done("all/a/x", "A")],
            &[
                "all split open [3 items, 3 begun, 1 completed, 0 failed]",
                "  a item completed",
                "    x task completed",
                "    y value completed",
                "  b item open",
                "    x task open",
                "    y value pending",
                "  c item open",
                "    x task open",
                "    y value pending",
                "n value pending",
            ],
        ),
        Row(
            "being planned",
            plan.clone(),
            vec![],
            &["all split open [0 items, 0 begun, 0 completed, 0 failed, planning]", "  plan task open"],
        ),
        Row(
            "planned",
            plan,
            vec![Done("all/plan", tasks)],
            &["all split open [1 items, 1 begun, 0 completed, 0 failed]", "  plan task completed", "  p task open"],
        ),
        Row(
            "of branches",
            branches,
            vec![Done("both/l", "L")],
            &["both split open [2 items, 2 begun, 1 completed, 0 failed]", "  l task completed", "  r task open"],
        ),
    ]);
}

#[test]
fn loops_branches_and_gates() {
    let rounds =
        json!([{"id": "rounds", "loop": {"max": 3, "until": "results.try == 'ok'", "do": [work("try")]}}, work("end")]);
    let way = |kind: &str| json!([{"id": "way", "branch": {"cases": [{"when": kind, "do": [work("one")]}], "otherwise": [work("other")]}}]);
    let gate = json!([work("draft"), {"id": "bar", "gate": {"check": "results.draft == 'good'", "on_fail": "back", "max": 2}}, work("end")]);
    let phase = json!([{"id": "first", "phase": {"do": [work("x")]}}, {"id": "second", "phase": {"do": [work("y")]}}]);
    check(vec![
        Row(
            "the second round",
            rounds.clone(),
            vec![Done("rounds/1/try", "no")],
            &[
                "rounds loop open [round 2 of 3]",
                "  1 round completed",
                "    try task completed",
                "  2 round open",
                "    try task open",
                "end task pending",
            ],
        ),
        Row(
            "the loop is over",
            rounds,
            vec![Done("rounds/1/try", "ok")],
            &["rounds loop completed [round 1 of 3]", "  1 round completed", "    try task completed", "end task open"],
        ),
        Row("a case", way("true"), vec![], &["way branch open [case 1]", "  one task open"]),
        Row("no case", way("false"), vec![], &["way branch open [case 0]", "  other task open"]),
        Row(
            "an open gate",
            gate.clone(),
            vec![Done("draft", "good")],
            &["draft task completed", "bar gate completed [open]", "end task open"],
        ),
        Row(
            "sent back",
            gate.clone(),
            vec![Done("draft", "bad")],
            &[
                "draft task completed",
                "bar gate failed [back to the step before it]",
                "draft task open (visit 2)",
                "bar gate pending (visit 2)",
                "end task pending",
            ],
        ),
        Row(
            "sent back too often",
            gate,
            vec![Done("draft", "bad"), Done("draft~2", "bad"), Done("draft~3", "bad")],
            &[
                "draft task completed",
                "bar gate failed [back to the step before it]",
                "draft task completed (visit 2)",
                "bar gate failed (visit 2) [back to the step before it]",
                "draft task completed (visit 3)",
                "bar gate failed (visit 3) [closed]",
                "end task cancelled",
            ],
        ),
        Row(
            "phases",
            phase,
            vec![Done("first/x", "X")],
            &["first phase completed", "  x task completed", "second phase open", "  y task open"],
        ),
    ]);
}

#[test]
fn votes_and_merges() {
    let vote = |more: Value| json!([{"id": "v", "vote": {"question": "Ship?", "rule": more}}]);
    let two = json!({"options": ["yes", "no"]});
    let (yes, no) =
        (r#"{"choice": "yes", "confidence": 1, "reason": ""}"#, r#"{"choice": "no", "confidence": 1, "reason": ""}"#);
    let merge = json!([
        {"id": "all", "split": {"over": "['a', 'b', 'c']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}], "sync": {"least": 1}}},
        {"id": "most", "merge": {"of": "all", "how": "majority"}},
    ]);
    check(vec![
        Row(
            "one has voted",
            vote(two.clone()),
            vec![Done("v/a", yes)],
            &["v vote open [Open -, 1 ballots, outstanding [\"b\", \"c\"], round 1, 0 earlier]"],
        ),
        Row(
            "decided early",
            vote(two.clone()),
            vec![Done("v/a", yes), Done("v/b", yes)],
            &["v vote completed [Decided { choice: \"yes\" } yes, 2 ballots, outstanding [\"c\"], round 1, 0 earlier]"],
        ),
        Row(
            "one cannot vote",
            vote(two),
            vec![Lost("v/a"), Done("v/b", no), Done("v/c", no)],
            &["v vote completed [Decided { choice: \"no\" } no, 3 ballots, outstanding [], round 1, 0 earlier]"],
        ),
        Row(
            "merged",
            merge.clone(),
            vec![Done("all/a", "x"), Lost("all/b"), Done("all/c", "x")],
            &[
                "all split completed [3 items, 3 begun, 2 completed, 1 failed]",
                "  a task completed",
                "  b task failed: broken",
                "  c task completed",
                "most merge completed [majority of [\"a\", \"c\"], missing [\"b\"], 0 disagreements]",
            ],
        ),
        Row(
            "merged, with another opinion",
            merge,
            vec![Done("all/a", "x"), Done("all/b", "y"), Done("all/c", "x")],
            &[
                "all split completed [3 items, 3 begun, 3 completed, 0 failed]",
                "  a task completed",
                "  b task completed",
                "  c task completed",
                "most merge completed [majority of [\"a\", \"c\"], missing [], 1 disagreements]",
            ],
        ),
    ]);
}

#[test]
fn larger_primitives_are_told_by_what_agents_did() {
    let review = json!([work("draft"), {"id": "check", "review": {"of": "draft", "author": "a", "reviewers": "members", "rounds": 2}}]);
    let (accept, revise) = (r#"{"verdict": "accept", "comments": ""}"#, r#"{"verdict": "revise", "comments": "more"}"#);
    let handoff = json!([{"id": "desk", "handoff": {"start": "a", "among": "members", "instructions": "?"}}]);
    let over =
        r#"{"status": "hand_over", "answer": "", "hand_to": "b", "done_so_far": "", "left": "", "reason": "yours"}"#;
    let done = r#"{"status": "done", "answer": "x", "hand_to": null, "done_so_far": "", "left": "", "reason": ""}"#;
    let delegate = json!([{"id": "d", "delegate": {"by": "a", "to": "b", "instructions": "?", "retries": 1}}]);
    let (good, bad) =
        (r#"{"accept": true, "comments": "", "result": "r"}"#, r#"{"accept": false, "comments": "no", "result": ""}"#);
    let settle = json!([
        {"id": "all", "split": {"over": "['a', 'b', 'c']", "do": [{"id": "x", "task": {"agent": "{{ item }}", "instructions": "?"}}]}},
        {"id": "s", "settle": {"of": "all"}},
    ]);
    check(vec![
        Row(
            "a verdict is awaited",
            review.clone(),
            vec![Done("draft", "1"), Done("check/rounds/1/verdicts/b", accept)],
            &[
                "draft task completed",
                "check review open [of a; 1: - (b accept, c -)]",
                "  1 round open",
                "    verdicts split open [2 items, 2 begun, 1 completed, 0 failed]",
                "      b task completed",
                "      c task open",
                "    revision task pending",
            ],
        ),
        Row(
            "revised",
            review,
            vec![
                Done("draft", "1"),
                Done("check/rounds/1/verdicts/b", revise),
                Done("check/rounds/1/verdicts/c", accept),
                Done("check/rounds/1/revision", "2"),
            ],
            &[
                "draft task completed",
                "check review open [of a; 1: revise (b revise, c accept), revised; 2: - (b -, c -)]",
                "  1 round completed",
                "    verdicts split completed [2 items, 2 begun, 2 completed, 0 failed]",
                "      b task completed",
                "      c task completed",
                "    revision task completed",
                "  2 round open",
                "    verdicts split open [2 items, 2 begun, 0 completed, 0 failed]",
                "      b task open",
                "      c task open",
                "    revision task pending",
            ],
        ),
        Row(
            "handed over",
            handoff.clone(),
            vec![Done("desk/rounds/1/work", over)],
            &[
                "desk handoff open [a b, b -]",
                "  1 round completed",
                "    work task completed",
                "  2 round open",
                "    work task open",
            ],
        ),
        Row(
            "done by another",
            handoff,
            vec![Done("desk/rounds/1/work", over), Done("desk/rounds/2/work", done)],
            &[
                "desk handoff completed [a b, b done]",
                "  1 round completed",
                "    work task completed",
                "  2 round completed",
                "    work task completed",
            ],
        ),
        Row(
            "sent back and accepted",
            delegate,
            vec![
                Done("d/rounds/1/work", "1"),
                Done("d/rounds/1/judgement", bad),
                Done("d/rounds/2/work", "2"),
                Done("d/rounds/2/judgement", good),
            ],
            &[
                "d delegate completed [a send_back, a accept]",
                "  1 round completed",
                "    work task completed",
                "    judgement task completed",
                "  2 round completed",
                "    work task completed",
                "    judgement task completed",
            ],
        ),
        Row(
            "agreed",
            settle.clone(),
            vec![Done("all/a", "x"), Done("all/b", "x"), Done("all/c", "x")],
            &[
                "all split completed [3 items, 3 begun, 3 completed, 0 failed]",
                "  a task completed",
                "  b task completed",
                "  c task completed",
                "s settle completed [\"x\" by agreement, 1 positions]",
            ],
        ),
        Row(
            "settled by vote",
            settle,
            vec![Done("all/a", "x"), Done("all/b", "y"), Done("all/c", "x")],
            &[
                "all split completed [3 items, 3 begun, 3 completed, 0 failed]",
                "  a task completed",
                "  b task completed",
                "  c task completed",
                "s settle completed [\"x\" by vote, 2 positions]",
            ],
        ),
    ]);
}

/// What was written down of phases, and each of them with when it began and ended.
type PhaseRow = (&'static str, Vec<Noted>, &'static [(&'static str, i64, Option<i64>)]);

#[test]
fn phases_are_told_by_what_was_written_down() {
    let spec = spec(&json!([work("one")]));
    let noted = |kind: Kind, phase: &str, at: i64| Noted {
        kind: kind.as_str().into(),
        payload: json!({"phase": phase, "summary": "short"}),
        at: Timestamp::from_micros(at),
    };
    let (changed, ended) = (Kind::RunPhaseChanged, Kind::RunPhaseEnded);
    let rows: [PhaseRow; 4] = [
        ("before the flow", vec![noted(changed, "execution", 1)], &[]),
        ("under way", vec![noted(changed, "execution", 1), noted(changed, "look", 2)], &[("look", 2, None)]),
        (
            "over",
            vec![noted(changed, "look", 2), noted(ended, "look", 3), noted(changed, "act", 3)],
            &[("look", 2, Some(3)), ("act", 3, None)],
        ),
        (
            "again",
            vec![
                noted(changed, "look", 1),
                noted(ended, "look", 2),
                noted(changed, "look", 3),
                noted(ended, "look", 4),
            ],
            &[("look", 1, Some(2)), ("look", 3, Some(4))],
        ),
    ];
    for (name, notes, expected) in rows {
        let frames = Default::default();
        let sources = Sources { spec: &spec, frames: &frames, tasks: &[], notes: &notes, has_ended: false };
        let phases = account(sources).expect("a flow").phases;
        let micros = |at: Timestamp| at.as_micros();
        let brief: Vec<_> = phases
            .iter()
            .map(|phase| (phase.name.as_str(), phase.started_at.map_or(0, micros), phase.finished_at.map(micros)))
            .collect();
        assert_eq!(brief, expected, "{name}");
        assert!(phases.iter().all(|phase| phase.summary.is_some() == phase.finished_at.is_some()), "{name}");
    }
}

#[test]
fn what_is_told_is_bounded_and_what_is_not_is_counted() {
    let split = |items: usize, body: Value| json!([{"id": "all", "split": {"over": format!("range({items}) | list"), "limit": 10_000, "do": body}}]);
    let account = told(&split(300, json!([work("x")])), &[]);
    assert_eq!(account.steps.len(), 1 + MOST_ITEMS);
    let Some(Fact::Split(fact)) = &account.steps[0].fact else { panic!("a split") };
    assert_eq!((fact.items, fact.more_items), (300, 100));
    assert_eq!(account.more_steps, 0);
    let many: Vec<Value> = (0..30).map(|place| json!({"id": format!("v{place}"), "value": "1"})).collect();
    let account = told(&split(MOST_ITEMS, many.into()), &[]);
    assert_eq!(account.steps.len(), MOST_STEPS);
    assert!(account.more_steps > 0, "what there is no room for is counted");
}

#[test]
fn a_run_without_a_flow_has_no_account() {
    let mut spec = spec(&json!([work("one")]));
    spec.flow = None;
    let frames = Default::default();
    assert_eq!(account(Sources { spec: &spec, frames: &frames, tasks: &[], notes: &[], has_ended: false }), None);
}
