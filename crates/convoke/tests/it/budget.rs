//! Budgets and exit codes.

use crate::support::{Place, WORKS, strs};

#[test]
fn a_run_out_of_budget_waits_and_goes_on_with_more() {
    let place = Place::new();
    let mut words = place.team(WORKS);
    words.extend(["--budget".to_owned(), "0.000001".to_owned()]);
    let ended = place.run(&strs(&words));
    assert_eq!(ended.code, 3, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("budget: the run budget of $0.000001000 has"), "{}", ended.out);
    assert!(
        ended.out.lines().last().expect("a hint").starts_with("give it more: convoke resume run_"),
        "{}",
        ended.out
    );
    let waiting = place.run(&["resume"]);
    assert_eq!(waiting.code, 0);
    assert!(waiting.err.contains("is paused: budget: the run budget"), "{}", waiting.err);
    let out = place.done(&["resume", "last", "--budget", "1"]);
    assert!(out.contains("Together: Found ERROR two"), "{out}");
}

#[test]
fn a_run_that_fails_says_of_what() {
    let place = Place::new();
    let words = place.team("    - fault: auth\n");
    let ended = place.run(&strs(&words));
    let record = place.json(&["show", "last"]);
    let told = record["error"].as_str().unwrap_or_default();
    assert!(ended.code == 1 || ended.code == 5, "{}", ended.out);
    assert!(ended.out.contains(told), "{}", ended.out);
}
