//! Ctrl-C, once and twice, and going on afterwards.

use crate::support::{HANGS, Place, SLOW, WORKS, strs};

#[test]
fn ctrl_c_stops_cleanly_and_the_run_goes_on() {
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(SLOW)));
    work.until("worker                  search_files");
    work.signal("INT");
    work.until("stopping");
    let ended = work.end();
    assert_eq!(ended.code, 130, "{}", ended.out);
    let hint = ended.out.lines().last().expect("a hint");
    let run =
        hint.strip_prefix("it goes on where it was with: convoke resume ").unwrap_or_else(|| panic!("{}", ended.out));
    let calls = place.json(&["runs"])[0]["model_calls"].as_i64().expect("a number");
    let out = place.done(&["resume", run]);
    assert!(out.contains("Together: Found ERROR two"), "{out}");
    let record = place.json(&["show", run]);
    assert_eq!(record["state"], "completed");
    let steps = record["tasks"][1]["attempts"][0]["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["tries"] == 1), "nothing was made twice: {steps:?}");
    assert!(record["model_calls"].as_i64().expect("a number") > calls);
}

#[test]
fn ctrl_c_twice_ends_at_once_and_resume_still_works() {
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(HANGS)));
    work.until("worker                  search_files");
    work.signal("INT");
    work.until("stopping");
    work.signal("INT");
    assert_eq!(work.end().code, 130);
    place.team(WORKS);
    let out = place.done(&["resume"]);
    assert!(out.contains("Together: Found ERROR two"), "{out}");
    assert_eq!(place.json(&["resume"]), serde_json::json!([]), "nothing is left to carry on");
}

#[test]
fn a_run_that_was_killed_goes_on_with_resume() {
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(HANGS)));
    work.until("worker                  search_files");
    work.signal("KILL");
    work.end();
    place.team(WORKS);
    let record = place.json(&["resume", "last"]);
    assert_eq!((&record["state"], &record["output"]), (&"completed".into(), &"Together: Found ERROR two".into()));
    let searches = record["tasks"][1]["attempts"][0]["steps"].as_array().expect("steps");
    assert_eq!(searches.iter().filter(|step| step["kind"] == "tool").count(), 1, "the first search was not made again");
}

#[test]
fn a_terminal_that_is_gone_stops_cleanly() {
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(SLOW)));
    work.until("worker                  search_files");
    work.signal("HUP");
    work.until("stopping");
    let ended = work.end();
    assert_eq!(ended.code, 143, "{}", ended.out);
    place.done(&["resume"]);
    let record = place.json(&["show", "last"]);
    assert_eq!(record["state"], "completed");
    let steps = record["tasks"][1]["attempts"][0]["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["tries"] == 1), "nothing was made twice: {steps:?}");
}
