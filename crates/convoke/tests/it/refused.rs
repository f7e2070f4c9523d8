//! What is refused where agents and people work together, in the words that people and agents read: names that nobody has, what is
//! said to nobody, by somebody who may not, or where nobody is left to hear it.

use crate::support::{Place, WORKS, strs};

/// One agent whose calls of `write_file` wait for `ada`, and who can talk.
const TEAM: &str = "\
kind: profile
name: lead
role: coordinator
prompt: You lead.
---
kind: profile
name: asker
prompt: You ask.
tools: [write_file, \"@talk\"]
ask: [write_file]
---
kind: team
name: asks
coordinator: lead
members: [{profile: asker}]
rules: {planning: same_task}
approvals:
  approvers: [ada]
  deputies: {ada: [bob, zoe]}
";

const LEAD: &str = r#"
agents:
  lead:
    - when: {stage: synthesis}
      text: "{% for part in context.contributions %}{{ part.output }}{% endfor %}"
  asker:
"#;

fn play(place: &Place, asker: &str) -> Vec<String> {
    place.write("asks.yaml", TEAM);
    let script = place.write("asks-script.yaml", &format!("{LEAD}{asker}"));
    place.done(&["users", "add", "bob", "--role", "approver", "--as", "max"]);
    let words = ["run", "asks.yaml", "Go", "--as", "max", "--model"];
    words.iter().map(|word| (*word).to_owned()).chain([format!("script/{}", script.display())]).collect()
}

#[test]
fn what_is_said_to_nobody_or_by_nobody_is_refused_with_the_next_step() {
    let place = Place::new();
    place.done(&["users", "add", "eve", "--role", "viewer", "--as", "max"]);
    let run = place.team(WORKS);
    place.done(&[strs(&run), vec!["--as", "max"]].concat());
    let id = place.json(&["show", "last"])["id"].as_str().expect("an id").to_owned();
    let mut told = Vec::new();
    for words in [
        vec!["say", "", "Stop.", "--run", "last"],
        vec!["say", "worker,", "Stop.", "--run", "last"],
        vec!["say", "worker", "Which?", "--kind", "question", "--run", "last"],
        vec!["say", "worker", "Do it.", "--kind", "request", "--run", "last"],
        vec!["say", "worker", "Stop.", "--run", "last", "--cancels"],
        vec!["say", "worker", "Stop.", "--run", "last", "--cancels", "--as", "eve"],
        vec!["say", "worker", "Stop.", "--run", "last", "--cancels", "--kind", "alert", "--as", "eve"],
        vec!["say", "all", "Hello.", "--thread", "team:nosuch"],
        vec!["say", "all", "Hello.", "--thread", "direct:agent:ghost:user:max"],
        vec!["say", "all", "Hello.", "--thread", "direct:user:ghost:user:max"],
        vec!["say", "all", "Hello.", "--thread", "task:task_01h455vb4pex5vsknk084sn02q"],
        vec!["say", "user:ghost", "Hello."],
        vec!["answer", &id, ""],
        vec!["answer", &id, "--decline", " "],
        vec!["answer", "task_01h455vb4pex5vsknk084sn02q", "--decline", ""],
        vec!["grant", "worker", "tool:read_fil"],
        vec!["grant", "worker", "tool:mcp:logs"],
        vec!["spawn", "last", "Help.", "--name", "helper", "--prompt", "You help.", "--tool", "search_fils"],
    ] {
        let user = if words.contains(&"--as") { vec![] } else { vec!["--as", "max"] };
        told.push(place.told(&[words, user].concat()));
    }
    place.done(&["say", "worker", "A note.", "--run", "last", "--as", "eve"]);
    place.done(&["say", "worker", "Stop.", "--run", "last", "--cancels", "--kind", "alert", "--as", "max"]);
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn approvers_who_are_no_users_are_named_before_and_while_they_are_waited_for() {
    let place = Place::new();
    let write =
        "    - when: {turn: 1}\n      tools: [{label: w, name: write_file, input: {path: a.txt, content: x}}]\n";
    let run = play(&place, &format!("{write}    - text: \"res: {{{{ results.w.content }}}}\"\n"));
    let mut told = vec![place.told(&["validate", "asks.yaml", "--as", "max"])];
    let warnings = place.json(&["validate", "asks.yaml", "--as", "max"])["warnings"].clone();
    assert_eq!((&warnings[0]["line"], &warnings[0]["code"]), (&18.into(), &"unknown_user".into()), "{warnings}");
    let waits = place.run(&strs(&run));
    assert_eq!(waits.code, 5, "{}{}", waits.out, waits.err);
    told.push(place.masked(&waits.err));
    let id = place.json(&["inbox", "--as", "bob"])[0]["id"].as_str().expect("an approval").to_owned();
    told.push(place.masked(waits.out.lines().last().expect("what to do")));
    told.push(place.told(&["approve", &id, "--as", "max"]));
    place.done(&["users", "add", "ada", "--role", "approver", "--as", "max"]);
    told.push(place.told(&["approve", &id, "--as", "max"]));
    place.done(&["approve", &id, "--as", "ada"]);
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn an_agent_that_waits_for_nobody_or_writes_to_nobody_is_told_who_there_is() {
    let place = Place::new();
    let calls = r#"    - when: {turn: 1}
      tools:
        - {label: a, name: wait_for, input: {from: nobody, timeout_s: 60}}
        - {label: b, name: wait_for, input: {from: user, timeout_s: 60}}
        - {label: c, name: wait_for, input: {from: "agent:asker", timeout_s: 60}}
        - {label: d, name: wait_for, input: {from: "user:ghost", timeout_s: 60}}
        - {label: e, name: send, input: {to: [], message: Hello}}
        - {label: f, name: send, input: {to: "", message: Hello}}
    - text: "{{ results.a.content }}\n{{ results.b.content }}\n{{ results.c.content }}\n{{ results.d.content }}\n{{ results.e.content }}\n{{ results.f.content }}"
"#;
    let run = play(&place, calls);
    place.done(&strs(&run));
    let output = place.json(&["show", "last", "--as", "max"])["output"].as_str().expect("a result").to_owned();
    insta::assert_snapshot!(output);
}
