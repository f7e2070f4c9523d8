//! What a person reads and types: the inbox, approvals, tasks that are theirs, roles; and what is refused, word for word.

use crate::support::{Place, strs};

const TEAM: &str = "\
kind: profile
name: lead
role: coordinator
prompt: You lead.
---
kind: profile
name: worker
prompt: You work.
tools: [read_file, write_file]
ask: [write_file]
---
kind: profile
name: clerk
agent_kind: human
prompt: You sign.
users: [ann]
---
kind: team
name: office
coordinator: lead
members:
  - {profile: worker}
  - {profile: clerk}
rules: {planning: fixed}
tasks:
  - {key: note, title: Note it, assignee: worker}
";

const SIGN: &str = "  - {key: sign, title: Sign it, assignee: clerk, output_schema: {type: object, required: [signed], \
    properties: {signed: {type: boolean}}}}\n";

const SCRIPT: &str = r#"
price: {input: 3.0, output: 15.0}
agents:
  lead:
    - text: "Together: {% for part in context.contributions %}{{ part.output }}{% endfor %}"
  worker:
    - when: {turn: 1}
      text: "The note must be kept for the auditors. Confidence: 0.7"
      tools:
        - {label: wrote, name: write_file, input: {path: note.txt, content: kept}}
    - text: "{{ results.wrote.content }}"
"#;

/// A run that waits: the place, and what it said.
fn waiting(team: &str) -> (Place, crate::support::Ended) {
    let place = Place::new();
    place.done(&["users", "add", "ann", "--role", "approver"]);
    place.write("office.yaml", team);
    let script = place.write("script.yaml", SCRIPT);
    let words = ["run", "office.yaml", "Keep the note", "--model"].map(str::to_owned);
    let ended = place.run(&strs(&[&words[..], &[format!("script/{}", script.display())]].concat()));
    assert_eq!(ended.code, 5, "{}{}", ended.out, ended.err);
    (place, ended)
}

fn id_of(place: &Place, user: &str, kind: &str) -> String {
    let inbox = place.json(&["inbox", "--as", user]);
    let entries = inbox.as_array().expect("a list");
    let entry = entries.iter().find(|entry| entry["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {inbox}"));
    entry["id"].as_str().expect("an id").to_owned()
}

/// Without the times, which differ.
fn timeless(text: &str) -> String {
    let line = |line: &str| match line.split_once(" · since ") {
        Some((head, _)) => format!("{head} · since [TIME]\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}

#[test]
fn a_call_waits_in_the_inbox_until_it_is_approved() {
    let (place, ended) = waiting(TEAM);
    let last = place.masked(ended.out.lines().last().expect("what to do"));
    let told = r#"worker asks leave for write_file {"content":"kept","path":"note.txt"}: convoke approve [APPROVAL], or convoke reject [APPROVAL]"#;
    assert_eq!(last.replace(r#""path":"note.txt","content":"kept""#, r#""content":"kept","path":"note.txt""#), told);
    insta::assert_snapshot!(timeless(&place.told(&["inbox"])));
    let resumed = place.run(&["resume", "last"]);
    assert!(resumed.code == 1 && resumed.err.contains("the run waits for people"), "{}", resumed.err);
    assert_eq!(place.run(&["resume"]).code, 0, "nothing else is to be done");
    let id = id_of(&place, "ann", "approval");
    let out = place.done(&["approve", &id[id.len() - 8..], "--as", "ann", "--note", "for the auditors"]);
    assert_eq!(place.masked(&out), "approved; the run goes on with: convoke resume [RUN]\n");
    let out = place.done(&["resume"]);
    assert!(out.contains("Together: "), "{out}");
    let approval = &place.json(&["show", "last"])["approvals"][0];
    assert_eq!((&approval["state"], &approval["decided_by"]), (&"executed".into(), &"user:ann".into()), "{approval}");
    assert_eq!(place.masked(&place.done(&["inbox"])), "nothing waits for system\n");
}

#[test]
fn a_task_of_a_person_waits_for_an_answer_that_fits() {
    let (place, _) = waiting(&TEAM.replace("  - {key: note, title: Note it, assignee: worker}\n", SIGN));
    let id = id_of(&place, "ann", "task");
    insta::assert_snapshot!(timeless(&place.told(&["inbox", "--as", "ann"])));
    let misfit = place.run(&["answer", &id, r#"{"signed": "yes"}"#, "--as", "ann"]);
    assert!(
        misfit.code == 1 && misfit.err.contains("at /signed: \"yes\" is not of type \"boolean\""),
        "{}",
        misfit.err
    );
    let file = place.write("answer.json", r#"{"signed": true}"#);
    let out = place.done(&["answer", &id, "--file", &file.display().to_string(), "--as", "ann"]);
    assert_eq!(place.masked(&out), "answered; the run goes on with: convoke resume [RUN]\n");
    let out = place.done(&["resume"]);
    assert!(out.contains(r#"Together: {"signed":true}"#), "{out}");
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    let (place, _) = waiting(&TEAM.replace("rules:", "approvals: {approvers: [ann]}\nrules:"));
    let id = id_of(&place, "ann", "approval");
    let mut told = String::new();
    let ghost = "appr_01h455vb4pex5vsknk084sn02q";
    let run = place.json(&["runs"])[0]["id"].as_str().expect("an id").to_owned();
    for call in [
        vec!["approve", ghost],
        vec!["approve", "nonsense"],
        vec!["approve", &run],
        vec!["answer", &id, "yes"],
        vec!["answer", "task_01h455vb4pex5vsknk084sn02q", "yes"],
        vec!["answer", &run, "done"],
        vec!["approve", &id],
        vec!["approve", &id, "--as", "eve"],
        vec!["run", "code-review", "Look.", "--model", "script/code-review", "--as", "eve"],
        vec!["say", "ann", "hello", "--as", "eve"],
        vec!["users", "add", "eve", "--role", "viewer"],
        vec!["approve", &id, "--as", "eve"],
        vec!["users", "add", "eve"],
        vec!["users", "role", "ghost", "owner"],
        vec!["users", "role", "system", "viewer"],
        vec!["users", "role", "eve", "owner", "--as", "ann"],
        vec!["users", "role", "eve", "king"],
        vec!["reject", &id, "--as", "ann", "--note", "not now"],
        vec!["approve", &id, "--as", "ann"],
        vec!["reject", &id, "--as", "ann"],
    ] {
        told.push_str(&place.told(&call));
        told.push('\n');
    }
    // The time at which it was decided differs.
    let told: String = told
        .lines()
        .map(|line| match line.split_once(" at 20") {
            Some((head, rest)) => format!("{head} at [TIME]{}\n", rest.find(" already").map_or("", |at| &rest[at..])),
            None => format!("{line}\n"),
        })
        .collect();
    insta::assert_snapshot!(told);
}

const ASK: &str = r#"
price: {input: 3.0, output: 15.0}
agents:
  lead:
    - text: "Together: {% for part in context.contributions %}{{ part.output }}{% endfor %}"
  worker:
    - when: {turn: 1}
      text: "I have to ask."
      tools:
        - {label: asked, name: ask, input: {to: "role:owner", question: "Keep the note?", options: ["yes", "not now", "-1"], impact: "the audit"}}
    - text: "{{ results.asked.content }}"
"#;

#[test]
fn a_question_waits_in_the_inbox_until_it_is_answered() {
    let place = Place::new();
    // The first user is the owner, who is asked by that role.
    place.done(&["users", "add", "ann", "--role", "approver"]);
    place.write("office.yaml", &TEAM.replace("tools: [read_file, write_file]\nask: [write_file]", "tools: [ask]"));
    let script = place.write("script.yaml", ASK);
    let ended = place.run(&["run", "office.yaml", "Keep the note", "--model", &format!("script/{}", script.display())]);
    assert_eq!(ended.code, 5, "{}{}", ended.out, ended.err);
    let id = id_of(&place, "system", "question");
    let mask = |text: &str| timeless(&place.masked(text)).replace(&id, "[MESSAGE]");
    let mut told = mask(ended.out.lines().last().expect("what to do"));
    told.push_str(&mask(&place.told(&["inbox"])));
    let task = place.json(&["show", "last"])["tasks"][0]["id"].as_str().expect("an id").to_owned();
    let tail = &id[id.len() - 8..];
    for call in [
        vec!["answer", &id, "maybe"],
        vec!["answer", &id, "yes", "--as", "ann"],
        vec!["answer", &id, "yes", "--as", "ghost"],
        vec!["answer", &id, "--decline", "no"],
        vec!["answer", &task, "yes"],
        vec!["answer", &task, "yes", "--rationale", "so"],
        vec!["answer", "msg_01h455vb4pex5vsknk084sn02q", "yes"],
        vec!["approve", &id],
        vec!["answer", tail, "yes", "--rationale", "for the auditors"],
        vec!["answer", &id, "not now"],
        vec!["inbox"],
    ] {
        told.push_str(&mask(&place.told(&call).replace(&id, "[MESSAGE]").replace(tail, "[TAIL]")));
    }
    insta::assert_snapshot!(told);
    // The owner thinks again, which is on record beside what was decided first.
    let instead = ["decisions", "override", &id, "not now", "--reason", "they come on Monday"];
    let denied = place.run(&[&instead[..], &["--as", "ann"]].concat());
    assert!(denied.code == 1 && denied.err.contains("may not replace decisions"), "{}", denied.err);
    assert_eq!(place.done(&instead), format!("the decision on {id} is now: not now\n"));
    let out = place.done(&["resume"]);
    assert!(out.contains("| yes") && out.contains("| for the auditors"), "{out}");
    let record = place.json(&["show", "last"]);
    let decision = &record["decisions"][0];
    assert_eq!((&record["state"], &decision["choice"]), (&"completed".into(), &"not now".into()), "{decision}");
    assert_eq!((&decision["standing"], &decision["replaced"][0]["choice"]), (&"overridden".into(), &"yes".into()));
    let log = place.done(&["decisions", "--markdown"]);
    assert!(
        log.contains("- Standing: replaced by `user:system`") && log.contains("- Before: yes, by `user:system`"),
        "{log}"
    );
    let late = place.run(&instead);
    assert!(late.code == 1 && late.err.contains("what was decided in it stands"), "{}", late.err);
}

#[test]
fn an_answer_reaches_the_process_that_works() {
    let place = Place::new();
    place.write(
        "office.yaml",
        &TEAM
            .replace(
                "  - {key: note, title: Note it, assignee: worker}\n",
                "  - {key: note, title: Note it, assignee: worker}\n  - {key: more, title: Think, assignee: thinker}\n",
            )
            .replace("  - {profile: clerk}\n", "  - {profile: clerk}\n  - {profile: thinker}\n")
            .replace("---\nkind: team", "---\nkind: profile\nname: thinker\nprompt: You think.\n---\nkind: team"),
    );
    let script =
        place.write("script.yaml", &format!("{SCRIPT}  thinker:\n    - {{text: Thought, latency_ms: 600000}}\n"));
    let mut work = place.start(&strs(
        &["run", "office.yaml", "Keep it", "--model", &format!("script/{}", script.display())].map(str::to_owned),
    ));
    let line = work.until("worker asks leave for write_file: ");
    let id = line.trim().rsplit(' ').next().expect("an id").to_owned();
    let out = place.done(&["approve", &id]);
    assert_eq!(place.masked(&out), "approved; run [RUN] goes on in the process that holds the data folder\n");
    work.until("worker                  done: Note it");
    assert_eq!(place.json(&["show", "last"])["approvals"][0]["state"], "executed");
    work.signal("KILL");
}
