//! What only a person can decide: a tool call that may have acted when the process died.

use crate::support::{ACTS, Place, strs};

#[test]
fn a_call_that_may_have_acted_is_not_repeated_until_a_person_says_so() {
    let place = Place::new();
    let mut work = place.start(&strs(&place.team(ACTS)));
    work.until("shell sleep 600");
    work.signal("KILL");
    work.end();

    let resumed = place.run(&["resume"]);
    assert_eq!(resumed.code, 5, "{}{}", resumed.out, resumed.err);
    let line = resumed.out.lines().last().expect("what to do");
    let rest =
        line.strip_prefix("say what became of shell: convoke resolve ").unwrap_or_else(|| panic!("{}", resumed.out));
    let effect = rest.strip_suffix(" done|failed|retry").expect("the choices");
    let waiting = place.run(&["resume"]);
    assert!(waiting.code == 0 && waiting.err.contains(&format!("convoke resolve {effect}")), "{}", waiting.err);
    let refused = place.run(&["resume", "last"]);
    assert!(refused.code == 1 && refused.err.contains("waits for a person"), "{}", refused.err);

    let denied = place.run(&["resolve", effect, "done", "--as", "eve"]);
    assert!(denied.code == 1 && denied.err.contains("`eve` is not known here, and may not say"), "{}", denied.err);
    assert!(denied.err.contains("convoke users add eve --role approver"), "{}", denied.err);
    place.done(&["users", "add", "eve", "--role", "viewer"]);
    let denied = place.run(&["resolve", effect, "done", "--as", "eve"]);
    assert!(denied.code == 1 && denied.err.contains("`eve` is a viewer, and may not say"), "{}", denied.err);
    place.done(&["users", "add", "ann", "--role", "approver"]);
    place.done(&["resolve", effect, "done", "--note", "all was well", "--as", "ann"]);
    let out = place.done(&["resume"]);
    assert!(out.contains("Together: It says all was well"), "{out}");
    let effects = &place.json(&["show", "last"])["effects"];
    assert_eq!((&effects[0]["state"], &effects[0]["resolved_by"]), (&"done".into(), &"user:ann".into()), "{effects}");
    let again = place.run(&["resolve", effect, "retry"]);
    assert!(again.code == 1 && again.err.contains("is known: done"), "{}", again.err);
}
