//! The example `working-together` from its first command to its report: each way in which members work together, with the real binary.
//! Facts are read as programs read them, with `--json`.

use std::path::Path;

use serde_json::Value;

use crate::support::{Place, strs};

/// The words of the run, from any folder, with `more` behind them.
fn words(more: &[&str]) -> Vec<String> {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/working-together");
    let at = |name: &str| example.join(name).display().to_string();
    let script = format!("script/{}", at("script.yaml"));
    let (team, input) = (at("team.yaml"), at("input"));
    let words = ["run", &team, "Prepare the release", "--input", &input, "--model", &script, "--as", "ada"];
    words.iter().chain(more).map(|word| (*word).to_owned()).collect()
}

fn list(found: &Value) -> &Vec<Value> {
    found.as_array().unwrap_or_else(|| panic!("a list: {found}"))
}

fn with<'a>(found: &'a Value, key: &str, value: &str) -> Vec<&'a Value> {
    list(found).iter().filter(|one| one[key] == value).collect()
}

/// What the team does until a person must approve, then in a new process after three answers, the last one first.
fn play(place: &Place, more: &[&str]) {
    let held = place.run(&strs(&words(more)));
    assert_eq!(held.code, 5, "{}{}", held.out, held.err);
    for line in [
        "engineer                question to user:ada",
        "nobody answered in time: the default is taken: Monday",
        "engineer                critical alert to writer",
        "writer                  waits for a lock: `engineer` holds exclusive `file:shared/notes.md`",
        "engineer                offers to hand over to writer: Write the upgrade guide",
        "writer                  delegates to publisher: Announce the release",
    ] {
        assert!(held.out.contains(line), "`{line}` is not in\n{}", held.out);
    }
    let ask = |words: &[&str]| place.json(&[words, more, &["--as", "ada"]].concat());
    let asked: Vec<_> =
        list(&ask(&["inbox"])).iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
    assert_eq!(asked.len(), 3, "{asked:?}");
    for id in asked.iter().rev() {
        place.done(&[&["approve", id, "--as", "ada"], more].concat());
    }
    place.done(&[&["resume", "--as", "ada"], more].concat());
    assert!(list(&ask(&["inbox"])).is_empty());
}

#[test]
fn a_team_shows_each_way_of_working_together() {
    let place = Place::new();
    play(&place, &[]);
    it_decided_and_shared(&place);
    it_handed_over_and_delegated(&place);
    it_took_turns(&place);
    its_report_tells(&place);
    // The second run recalls what the first one remembered.
    play(&place, &[]);
    let output = place.json(&["show", "last"])["output"].as_str().expect("a result").to_owned();
    assert!(
        output.contains("From an earlier release: The announcement of 3.0.0 (major) needed three texts"),
        "{output}"
    );
}

fn it_decided_and_shared(place: &Place) {
    let decisions = place.json(&["decisions", "last"]);
    let [day] = with(&decisions, "standing", "defaulted")[..] else { panic!("{decisions}") };
    assert_eq!((&day["choice"], &day["asked"][0]), (&"Monday".into(), &"user:ada".into()));
    let [kind] = with(&decisions, "standing", "answered")[..] else { panic!("{decisions}") };
    assert_eq!((&kind["choice"], &kind["asked"][0]), (&"major".into(), &"agent:release-lead".into()));
    let context = place.json(&["context", "last"]);
    let [version] = with(&context["variables"], "name", "release/version")[..] else { panic!("{context}") };
    assert_eq!((&version["value"], &version["version"]), (&"3.0.0 (major)".into(), &3.into()));
    assert_eq!(with(&context["findings"], "by", "agent:change-counter").len(), 2, "the program's: {context}");
    assert_eq!(with(&context["findings"], "by", "agent:engineer").len(), 1, "{context}");
    let clash = steps(place, "write_context").into_iter().find(|step| step["status"] == "failed");
    let clash = clash.expect("a write that came too late");
    assert!(clash.to_string().contains("is at version 2, not 1: agent:release-lead wrote it"), "{clash}");
    let kept = place.json(&["memory", "list"]);
    assert_eq!(with(&kept, "by", "agent:writer").len(), 1, "{kept}");
}

/// The steps of the last run that called a tool.
fn steps(place: &Place, tool: &str) -> Vec<Value> {
    let record = place.json(&["show", "last"]);
    let tasks = list(&record["tasks"]).iter();
    let steps = tasks.flat_map(|task| list(&task["attempts"])).flat_map(|attempt| list(&attempt["steps"]));
    steps.filter(|step| step["name"] == tool).cloned().collect()
}

fn it_handed_over_and_delegated(place: &Place) {
    let handoffs = place.json(&["handoffs"]);
    let [offer] = &list(&handoffs)[..] else { panic!("{handoffs}") };
    assert_eq!(
        (&offer["from"], &offer["to"], &offer["state"]),
        (&"engineer".into(), &"writer".into(), &"accepted".into())
    );
    // The end of its id names it.
    let id = offer["id"].as_str().expect("an id");
    for (part, code) in [(&id[id.len() - 6..], "handoff_closed"), ("zzzzzz", "missing"), ("x", "bad_id")] {
        let refused = place.run(&["handoffs", "accept", part, "--json", "--as", "ada"]);
        let error: Value = serde_json::from_str(&refused.err).expect("JSON");
        assert_eq!(error["error"]["code"], code, "{part}: {error}");
    }
    let record = place.json(&["show", "last"]);
    assert_eq!(record["state"], "completed");
    let [guide] = with(&record["tasks"], "key", "guide")[..] else { panic!("{record}") };
    assert_eq!(guide["agent"], "writer");
    let guide = guide["output"].as_str().expect("an output");
    for file in ["mail.txt", "web.md", "status.txt"] {
        assert!(guide.contains(file), "what the publisher wrote came back: {guide}");
    }
    let approvals = with(&record["approvals"], "state", "executed").len();
    assert_eq!(approvals, 3, "{}", record["approvals"]);
}

fn it_took_turns(place: &Place) {
    let record = place.json(&["show", "last"]);
    let output = record["output"].as_str().expect("a result");
    let (new, breaks) = (output.find("## What is new"), output.find("## What breaks"));
    assert!(new.is_some() && new < breaks, "both parts of the notes are there: {output}");
    let counts = place.json(&["locks", "--counts"]);
    assert_eq!((&counts["granted"], &counts["waits"]), (&2.into(), &1.into()), "{counts}");
    assert_eq!(place.json(&["locks"]), serde_json::json!([]), "all were let go");
    let told = record.to_string();
    assert!(told.contains("I was told, in this order: alert, note."), "the alert comes first");
    let events = place.done(&["events", "last", "--json"]);
    for kind in
        ["agent.message.sent", "question.defaulted", "lock.waiting", "agent.handoff.accepted", "agent.collab.ended"]
    {
        assert!(events.contains(kind), "{kind}: {events}");
    }
    let threads = place.json(&["threads", "--audit", "--as", "ada"]);
    assert_eq!(with(&threads, "kind", "direct").len(), 1, "{threads}");
    assert_eq!(with(&threads, "kind", "run").len(), 1, "{threads}");
}

fn its_report_tells(place: &Place) {
    let report = place.done(&["report", "last", "--format", "markdown"]);
    for words in
        ["On which day do we release?", "nobody answered in time", "The version is 3.0.0", "agent:release-lead"]
    {
        assert!(report.contains(words), "`{words}` is not in\n{report}");
    }
    assert!(!report.contains("I take the notes when you let them go"), "what was said in private stays there");
}

#[test]
fn it_does_so_on_postgresql() {
    let place = Place::new();
    let url = crate::postgres::database("work");
    let there = ["--database", url.as_str()];
    play(&place, &there);
    let record = place.json(&[&["show", "last"], there.as_slice()].concat());
    assert_eq!(record["state"], "completed");
    let decisions = place.json(&[&["decisions", "last"], there.as_slice()].concat());
    assert_eq!(with(&decisions, "standing", "defaulted").len(), 1, "{decisions}");
    let handoffs = place.json(&[&["handoffs"], there.as_slice()].concat());
    assert_eq!(handoffs[0]["state"], "accepted");
}
