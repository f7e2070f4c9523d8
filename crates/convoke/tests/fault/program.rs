//! A member that is a program, and a process that dies, is told to stop, or has secrets while it runs.

use std::time::{Duration, Instant};

use crate::place::{Place, until};
use crate::support::processes_with;

/// A team of programs: one acts, the other passes on.
fn team(script: &str, repeat: &str) -> String {
    let script = serde_json::to_string(script).expect("a text");
    format!(
        "kind: profile\nname: lead\nagent_kind: command\nprompt: Pass it on.\nauthority: {{shell: true}}\n\
         command: {{program: sh, args: [-c, \"echo passed on\"], output: text, repeat: harmless}}\n\
         ---\nkind: profile\nname: ops\nagent_kind: command\nprompt: Act.\nauthority: {{shell: true}}\n\
         command: {{program: sh, args: [-c, {script}], output: text, timeout_s: 3600, repeat: {repeat}, env: [PASSED]}}\n\
         ---\nkind: team\nname: acting\ncoordinator: lead\nmembers: [{{profile: ops}}]\n\
         rules: {{planning: same_task, timeout_per_agent_s: 3600}}\n"
    )
}

fn place(script: &str, repeat: &str) -> Place {
    let env = vec![("OPENAI_API_KEY", "sk-a-secret-for-tests".to_owned()), ("PASSED", "yes".to_owned())];
    Place::new(&team(script, repeat), env)
}

#[test]
fn a_program_under_way_at_a_kill_is_left_to_a_person() {
    let place = place("echo acted >> acts.txt; sleep 31441.25 & sleep 31441.25", "once");
    let mut process = place.start(&[]);
    until("the program acts", || place.acts() == 1);
    process.kill().expect("killed");
    process.wait().expect("gone");
    until("the program ends with Convoke", || processes_with("31441.25") == 0);
    let resumed = place.done(&["resume"]);
    let told = String::from_utf8_lossy(&resumed.stdout).into_owned() + &String::from_utf8_lossy(&resumed.stderr);
    assert_eq!(resumed.status.code(), Some(5), "a person is waited for: {told}");
    let record = place.record();
    let effect = &record["effects"][0];
    assert_eq!((effect["tool"].as_str(), effect["state"].as_str()), (Some("command"), Some("unknown")));
    let key = effect["key"].as_str().expect("a key");
    assert!(place.done(&["resolve", key, "done", "--note", "it acted"]).status.success(), "{told}");
    assert_eq!(place.done(&["resume"]).status.code(), Some(0));
    let record = place.record();
    assert_eq!((record["state"].as_str(), place.acts()), (Some("completed"), 1), "once and no more: {record:#}");
    assert!(place.done(&["db", "verify"]).status.success());
}

#[test]
fn a_harmless_program_simply_runs_again() {
    let script = "echo acted >> acts.txt; [ $(wc -l < acts.txt) -gt 1 ] || sleep 31442.25; echo done; env";
    let place = place(script, "harmless");
    let mut process = place.start(&[]);
    until("the program acts", || place.acts() == 1);
    process.kill().expect("killed");
    process.wait().expect("gone");
    until("the program ends with Convoke", || processes_with("31442.25") == 0);
    let resumed = place.done(&["resume"]);
    assert_eq!(resumed.status.code(), Some(0), "{}", String::from_utf8_lossy(&resumed.stderr));
    let record = place.record();
    assert_eq!((record["state"].as_str(), place.acts()), (Some("completed"), 2), "{record:#}");
    // Its environment is its own: the variable that is named, and no key.
    let output = record["tasks"][0]["output"].as_str().expect("a result");
    assert!(output.starts_with("done") && output.contains("PASSED=yes"), "{output}");
    assert!(!record.to_string().contains("sk-a-secret-for-tests") && !output.contains("OPENAI"), "{output}");
}

/// Kills that are tried, of which some meet the sandbox while it starts.
const KILLS: u32 = 12;

#[test]
fn a_kill_at_any_instant_leaves_no_process() {
    let place = |sleep: &str| {
        place(&format!("echo acted >> acts.txt; sleep {sleep} & setsid sleep {sleep} & sleep {sleep}"), "harmless")
    };
    // How long it takes to get there, on this machine as it is now.
    let (first, start) = (place("31450.25"), Instant::now());
    let mut process = first.start(&[]);
    until("the program acts", || first.acts() == 1);
    let whole = start.elapsed();
    process.kill().expect("killed");
    process.wait().expect("gone");
    until("all end with Convoke", || processes_with("31450.25") == 0);
    let mut met = 0;
    for n in 1..=KILLS {
        let sleep = format!("31450.{}", 100 + n);
        let place = place(&sleep);
        let mut process = place.start(&[]);
        // The sandbox's process is seen first while it waits for its namespaces; then a few instants more.
        let end = Instant::now() + whole * 5;
        while processes_with(&sleep) == 0 && Instant::now() < end {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_micros(u64::from(n - 1) * 400));
        process.kill().expect("killed");
        process.wait().expect("gone");
        met += u32::from(place.acts() == 0);
        until("all end with Convoke", || processes_with(&sleep) == 0);
    }
    println!("{met} of {KILLS} kills came before the program began");
}

#[test]
fn cancelling_the_run_ends_the_program_and_its_children() {
    let place = place("echo acted >> acts.txt; sleep 31443.25 & sleep 31443.25", "harmless");
    let mut process = place.start(&[]);
    until("the program acts", || place.acts() == 1);
    assert!(place.done(&["cancel", "last"]).status.success());
    until("the program and its children end", || processes_with("31443.25") == 0);
    assert_eq!(process.wait().expect("an end").code(), Some(4));
    assert_eq!(place.record()["state"].as_str(), Some("cancelled"));
}
