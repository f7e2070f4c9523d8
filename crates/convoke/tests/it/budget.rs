//! Budgets and exit codes.

use crate::support::{Place, WORKS, strs};

#[test]
fn a_run_out_of_budget_waits_and_goes_on_with_more() {
    let place = Place::new();
    let mut words = place.team(WORKS);
    words.extend(["--budget".to_owned(), "0.063".to_owned()]);
    let ended = place.run(&strs(&words));
    assert_eq!(ended.code, 3, "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("budget: the run budget of $0.0630 has"), "{}", ended.out);
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
fn a_budget_that_cannot_suffice_is_refused_before_a_run() {
    let place = Place::new();
    let words = place.team(WORKS);
    let told = place.told(&[strs(&words), vec!["--budget", "0.001"]].concat());
    let text = std::fs::read_to_string(place.path("team.yaml")).expect("a team");
    place.write("team.yaml", &format!("{text}budget: {{max_cost_usd: 0.001}}\n"));
    let all = [told, place.told(&strs(&words)), place.told(&["validate", "team.yaml"])];
    insta::assert_snapshot!(all.join("\n"));
    assert!(place.json(&["runs"]).as_array().expect("a list").is_empty(), "nothing was started");
    let text = format!(
        "{text}models: {{worker: openai/no-such-model, coordinator: openai/gpt-5}}\nbudget: {{max_cost_usd: 0.2}}\n"
    );
    place.write("team.yaml", &text.replace("{profile: worker}", "{profile: worker, role: worker}"));
    insta::assert_snapshot!(place.told(&["validate", "team.yaml"]));
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

#[test]
fn a_budget_that_bad_replies_used_up_names_the_last_fault() {
    let place = Place::new();
    let mut words = place.team("    - fault: malformed\n");
    words.extend(["--budget".to_owned(), "0.3".to_owned()]);
    let ended = place.run(&strs(&words));
    assert_eq!(ended.code, 3, "{}{}", ended.out, ended.err);
    let record = place.json(&["show", "last"]);
    let fault = record["tasks"][1]["attempts"][0]["steps"][0]["error"].as_str().expect("a fault");
    assert!(fault.starts_with("bad_reply: "), "{fault}");
    let told: Vec<&str> = ended.out.lines().collect();
    let at = told.iter().position(|line| line.starts_with("budget: ")).expect("the reason");
    assert_eq!(told[at + 1], format!("last fault: {fault}"), "{}", ended.out);
}
