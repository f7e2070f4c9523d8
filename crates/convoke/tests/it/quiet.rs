//! What scripts rely on: the result alone on the output stream, and a reason on the error stream where there is none.

use crate::support::{Place, WORKS, strs};

/// A worker whose model refuses its key.
const REFUSED: &str = "\n    - {fault: auth}\n";

#[test]
fn a_quiet_run_gives_its_result_alone() {
    let place = Place::new();
    let words = place.team(WORKS);
    let ended = place.run(&[strs(&words), vec!["--quiet"]].concat());
    assert_eq!((ended.code, ended.out.as_str(), ended.err.as_str()), (0, "Together: Found ERROR two\n", ""));
}

#[test]
fn a_quiet_run_that_fails_says_why() {
    let place = Place::new();
    let words = place.team(REFUSED);
    let ended = place.run(&[strs(&words), vec!["--quiet"]].concat());
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{}", ended.err);
    assert!(ended.err.starts_with("failed: all_members_failed: "), "{}", ended.err);
}

#[test]
fn a_quiet_run_out_of_budget_says_how_it_goes_on() {
    let place = Place::new();
    let words = place.team(WORKS);
    let ended = place.run(&[strs(&words), vec!["--quiet", "--budget", "0.063"]].concat());
    assert_eq!((ended.code, ended.out.as_str()), (3, ""), "{}", ended.err);
    assert!(ended.err.starts_with("paused: budget: "), "{}", ended.err);
    assert!(ended.err.contains("give it more: convoke resume run_"), "{}", ended.err);
}

#[test]
fn a_report_that_cannot_be_written_does_not_hide_the_result() {
    let place = Place::new();
    let words = place.team(WORKS);
    place.write("data/reports", "a file where the folder should be");
    let ended = place.run(&strs(&words));
    assert_eq!(ended.code, 0, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("Together: Found ERROR two") && ended.out.contains("completed in"), "{}", ended.out);
    assert!(ended.err.contains("cannot make the folder"), "{}", ended.err);
}
