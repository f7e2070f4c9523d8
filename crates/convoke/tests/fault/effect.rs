//! An effect that must not happen twice, and a process that dies while it happens: a person is asked, nothing is repeated.

use convoke_bench_mock::Mock;
use convoke_bench_mock::call::Call;
use convoke_bench_mock::options::Options;
use convoke_bench_mock::reply::Reply;
use serde_json::json;

use crate::place::{Place, until};
use crate::support::processes_with;

/// Acts, and then takes long to say so.
const COMMAND: &str = "echo acted >> acts.txt; sleep 31337.25";
const TEAM: &str = "kind: profile\nname: lead\nrole: coordinator\nprompt: You lead.\n\
    ---\nkind: profile\nname: ops\nrole: specialist\nprompt: You act.\ntools: [shell]\nauthority: {shell: true}\n\
    ---\nkind: team\nname: acting\ncoordinator: lead\nmembers:\n  - {profile: ops}\nrules: {planning: same_task}\n";

fn reply(call: &Call<'_>) -> Reply {
    match call.offers("shell") && !call.has_tool_results() {
        true => Reply::ToolCalls(vec![("shell".to_owned(), json!({"command": COMMAND}))]),
        false => Reply::Text("It was done.".to_owned()),
    }
}

#[test]
fn a_command_that_was_under_way_at_a_kill_is_never_run_again_by_itself() {
    let mock = Mock::start_with(Options::default(), reply).expect("a mock");
    let env = vec![("OPENAI_BASE_URL", mock.base_url()), ("OPENAI_API_KEY", "a-key-for-tests".to_owned())];
    let place = Place::new(TEAM, env);
    let mut process = place.start(&["--model", "openai/gpt-4.1-mini"]);
    until("the command acts", || place.acts() == 1);
    process.kill().expect("killed");
    process.wait().expect("gone");
    until("the command ends with the program", || processes_with("31337.25") == 0);

    let resumed = place.done(&["resume"]);
    let told = String::from_utf8_lossy(&resumed.stdout).into_owned() + &String::from_utf8_lossy(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(5), "a person is waited for: {told}");
    let record = place.record();
    assert_eq!((record["state"].as_str(), record["effects"][0]["state"].as_str()), (Some("waiting"), Some("unknown")));
    let key = record["effects"][0]["key"].as_str().expect("a key");
    assert!(told.contains(&format!("resolve {key} done|failed|retry")), "{told}");

    assert!(place.done(&["resolve", key, "done"]).status.success());
    let ended = place.done(&["resume"]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let record = place.record();
    assert_eq!((record["state"].as_str(), record["effects"][0]["state"].as_str()), (Some("completed"), Some("done")));
    assert_eq!(place.acts(), 1, "once and no more");
    assert!(place.done(&["db", "verify"]).status.success());
}
