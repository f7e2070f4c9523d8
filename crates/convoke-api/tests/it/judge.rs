//! Nobody judges what they made themselves: the patterns of the library in which members judge one another, and votes that hear all.

use std::sync::Arc;

use convoke_api::library;
use convoke_domain::flow::machine::TaskEnd;
use convoke_domain::flow::rehearsal::{Rehearsal, RunEnd};
use convoke_domain::spec::RunSpec;
use serde_json::{Value, json};

/// A run of a pattern by these members, with `lead` as coordinator.
fn run(pattern: &str, members: &[&str], with: Value) -> Rehearsal {
    let found = library::patterns().iter().find(|one| one.name == pattern).expect("a pattern of the library");
    let profile = |name: &&str| {
        let role = if name.starts_with("rev") { "reviewer" } else { "specialist" };
        let value = json!({"name": name, "prompt": "x", "role": role});
        ((*name).to_owned(), serde_json::from_value(value).expect("a profile"))
    };
    let list: Vec<Value> = members.iter().map(|name| json!({"profile": name})).collect();
    let team = json!({"name": "t", "coordinator": "lead", "members": list, "with": with});
    let mut spec = RunSpec::new(
        serde_json::from_value(team).expect("a team"),
        members.iter().chain(&["lead"]).map(profile).collect(),
    );
    spec.team.flow = Some(found.flow());
    spec.settle_flow().expect("a flow that can be used");
    Rehearsal::begin(Arc::new(spec), "the task")
}

/// Everything that is open is done like this, until nothing is open whose path has the word in it.
fn play(run: &mut Rehearsal, word: &str, answer: impl Fn(&str, &str) -> Value) {
    while let Some(at) = run.open().into_iter().find(|at| at.contains(word)) {
        let agent = run.tasks()[&at].new.agent.clone();
        let said = answer(&at, &agent);
        let text = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
        run.finish(&at, TaskEnd::Completed(text));
    }
}

/// Who does the tasks whose paths end like this, by their paths.
fn who(run: &Rehearsal, end: &str) -> Vec<String> {
    run.tasks().iter().filter(|(at, _)| at.ends_with(end)).map(|(_, task)| task.new.agent.clone()).collect()
}

#[test]
fn an_answer_is_scored_by_another() {
    let mut run = run("ensemble", &["a", "b", "c"], json!({"how": "best", "judge": "a"}));
    play(&mut run, "answers/", |_, agent| json!({"answer": agent, "working": "", "confidence": 1}));
    assert_eq!(who(&run, "/score"), ["b", "a", "a"], "the judge scores those of the others");
    play(&mut run, "/score", |at, _| json!({"score": if at.contains("/2/") { 9 } else { 1 }, "why": ""}));
    assert!(matches!(&run.end, Some(RunEnd::Completed(text)) if text.trim_start().starts_with('b')), "{:?}", run.end);
}

/// Builders `who` have built a part each, and all parts were accepted.
fn built(members: &[&str], builders: &[&str], reviewers: &str) -> Rehearsal {
    let mut run = run("parallel_implementation", members, json!({"builders": builders, "reviewers": reviewers}));
    let part = |name: &&str| json!({"key": format!("of-{name}"), "title": "t", "instructions": "i", "assignee": name, "depends_on": [], "expected_output": ""});
    let plan = json!({"tasks": builders.iter().map(part).collect::<Vec<_>>()});
    play(&mut run, "build/", |at, _| match at {
        _ if at.ends_with("/plan") => plan.clone(),
        _ if at.contains("/verdicts/") => json!({"verdict": "accept", "comments": ""}),
        _ => "done".into(),
    });
    play(&mut run, "/merged", |_, _| "merged".into());
    run
}

#[test]
fn the_whole_is_checked_by_those_who_built_none_of_it() {
    let run = built(&["a", "b", "rev"], &["a", "b"], "members");
    assert_eq!(who(&run, "check/rev"), ["rev"]);
    assert_eq!(run.open().len(), 1, "{:?}", run.open());
    // All built: each checks what the others built, and is told so.
    let run = built(&["a", "b"], &["a", "b"], "members");
    assert_eq!((who(&run, "check/a"), who(&run, "check/b")), (vec!["a".to_owned()], vec!["b".to_owned()]));
    for (at, task) in run.tasks().iter().filter(|(at, _)| at.contains("/check/")) {
        let own = format!("You built of-{}: judge what the others built", task.new.agent);
        assert!(task.new.instructions.contains(&own), "{at}: {}", task.new.instructions);
    }
    // Nobody but the only builder could: a person is asked, and nobody is paid for a merge before.
    let run = built(&["a", "b"], &["a"], "['a', 'lead']");
    assert!(
        matches!(&run.end, Some(RunEnd::Escalated(why)) if why.contains("somebody else can check what each has built")),
        "{:?}, {:?}",
        run.end,
        run.open()
    );
}

#[test]
fn a_vote_hears_all_unless_it_may_stop_early() {
    for pattern in ["majority_vote", "weighted_vote"] {
        let after_two = |with: Value| {
            let mut run = run(pattern, &["a", "b", "c"], with);
            let yes = json!({"choice": "x", "confidence": 1, "reason": "because"}).to_string();
            run.finish("ballots/a", TaskEnd::Completed(yes.clone()));
            run.finish("ballots/b", TaskEnd::Completed(yes));
            run
        };
        assert_eq!(after_two(json!({"options": ["x", "y"]})).open(), ["ballots/c"], "{pattern}");
        let early = after_two(json!({"options": ["x", "y"], "early_stop": true}));
        assert!(matches!(&early.end, Some(RunEnd::Completed(text)) if text.contains("# Result: x")), "{:?}", early.end);
    }
}
