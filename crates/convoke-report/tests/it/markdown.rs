//! The Markdown report.

use convoke_domain::flow::account::{Fact, Stand, StepAccount};
use convoke_domain::money::Money;
use convoke_domain::record::RunRecord;
use convoke_report::{markdown, markdown_without_times};

use crate::samples;

#[test]
fn completed() {
    insta::assert_snapshot!(markdown(&samples::completed()));
}

#[test]
fn with_flow() {
    insta::assert_snapshot!(markdown(&samples::with_flow()));
}

#[test]
fn of_many_parts_the_first_and_the_failed_are_listed() {
    let mut run = samples::with_flow();
    let flow = run.flow.as_mut().expect("a flow");
    let item = flow.steps.iter().find(|step| step.path == "look/views/ann").expect("an item").clone();
    let place = flow.steps.iter().position(|step| step.path == "look/views/eve").expect("an item") + 1;
    let part = |n: usize| {
        let state = if n == 150 { Stand::Failed } else { Stand::Completed };
        StepAccount { path: format!("look/views/{n}"), name: n.to_string(), state, task: None, ..item.clone() }
    };
    flow.steps.splice(place..place, (0..190).map(part));
    let split = flow.steps.iter_mut().find(|step| step.path == "look/views").expect("a split");
    let Some(Fact::Split(fact)) = &mut split.fact else { panic!("a split") };
    (fact.items, fact.more_items) = (10_000, 9_800);
    let report = markdown(&run);
    let course = sections(&report, &["Course"]);
    assert!(course.contains("`150`") && course.contains("`26`") && !course.contains("`27`"), "{course}");
    assert!(course.contains("    - … and 9,962 more\n"), "{course}");
}

#[test]
fn failed() {
    insta::assert_snapshot!(markdown(&samples::failed()));
}

#[test]
fn waiting() {
    insta::assert_snapshot!(markdown(&samples::waiting()));
}

#[test]
fn out_of_budget() {
    insta::assert_snapshot!(markdown(&samples::out_of_budget()));
}

#[test]
fn unpriced() {
    insta::assert_snapshot!(markdown(&samples::unpriced()));
}

#[test]
fn empty() {
    insta::assert_snapshot!(markdown(&samples::empty()));
}

#[test]
fn files_of_programs_stand_in_the_report() {
    let report = markdown(&samples::with_program());
    let (_, files) = report.split_once("## Files\n").expect("a section");
    insta::assert_snapshot!(files.split("\n## ").next().expect("its end"));
    assert!(!markdown(&samples::completed()).contains("## Files"));
    let page = convoke_report::html(&samples::with_program());
    assert!(page.contains("48,213") && page.contains("9f86d081884c7d65") && !page.contains("<script>alert"));
}

/// The sections of a report from one heading to the next.
fn sections(report: &str, titles: &[&str]) -> String {
    let parts = report.split("\n## ").filter(|part| titles.iter().any(|title| part.starts_with(&format!("{title}\n"))));
    parts.map(|part| format!("## {part}\n")).collect()
}

const BESIDE: [&str; 5] = ["Ratings", "Decisions", "Approvals", "Handoffs", "How it went"];

#[test]
fn people_and_figures_stand_in_the_report() {
    let run = samples::with_people();
    insta::assert_snapshot!(sections(&markdown(&run), &BESIDE));
    insta::assert_snapshot!("people_and_figures_without_times", sections(&markdown_without_times(&run), &BESIDE));
    assert_eq!(sections(&markdown(&samples::completed()), &BESIDE), "", "what has nothing to say is left out");
}

#[test]
fn simulated_without_times() {
    insta::assert_snapshot!(markdown_without_times(&samples::simulated()));
}

/// The last column of the cost table, the total last.
fn shown_costs(run: &RunRecord) -> Vec<f64> {
    let report = markdown(run);
    let (_, costs) = report.split_once("## Costs").expect("a section");
    let costs = costs.split("\n## ").next().expect("its end");
    let cells = costs.lines().filter_map(|line| line.trim_end_matches(" |").rsplit("| ").next());
    cells.filter_map(|cell| cell.trim_matches('*').split(' ').next()?.strip_prefix('$')?.parse().ok()).collect()
}

#[test]
fn costs_shown_add_up_to_the_total_shown() {
    for run in
        [samples::completed(), samples::failed(), samples::waiting(), samples::out_of_budget(), samples::simulated()]
    {
        let mut shown = shown_costs(&run);
        let total = Money::from_usd(shown.pop().expect("a total"));
        assert_eq!(shown.len(), run.usage.len());
        assert_eq!(shown.into_iter().map(Money::from_usd).sum::<Money>(), total);
        assert_eq!(total, run.summary.cost_usd);
    }
}

#[test]
fn bills_that_do_not_add_up_are_told() {
    let mut run = samples::completed();
    assert!(!markdown(&run).contains("The bills add up"));
    run.summary.cost_usd = Money::from_usd(9.0);
    assert!(markdown(&run).contains("The bills add up to $0.074568457, but the run says $9.0000."));
}

#[test]
fn runs_of_one_script_differ_in_times_and_ids_alone() {
    let one = samples::completed();
    let mut other: RunRecord = serde_json::from_str(
        &serde_json::to_string(&one)
            .expect("JSON")
            .replace(&one.summary.id.to_string(), "run_01h455vb4pex5vsknk084sn02q"),
    )
    .expect("a record");
    let moved = |at| convoke_domain::time::Timestamp::from_micros(convoke_domain::time::Timestamp::as_micros(at) * 2);
    for task in &mut other.tasks {
        (task.started_at, task.finished_at) = (task.started_at.map(moved), task.finished_at.map(moved));
        task.attempts
            .iter_mut()
            .flat_map(|attempt| &mut attempt.steps)
            .for_each(|step| step.started_at = moved(step.started_at));
    }
    other.summary.finished_at = None;
    other.budgets[2].settled.tokens += 1;
    assert_ne!(markdown(&one), markdown(&other));
    assert_eq!(markdown_without_times(&one), markdown_without_times(&other));
    other.tasks[1].tokens += 1;
    assert_ne!(markdown_without_times(&one), markdown_without_times(&other));
}

#[test]
fn an_escalated_run_names_who_disagrees_and_who_has_not_said() {
    let mut run = samples::completed();
    run.summary.state = "escalated".into();
    run.summary.reason = Some("members disagree with the result".into());
    let votes = run.tasks.len() - 3;
    let silent = &mut run.tasks[votes];
    (silent.state, silent.output, silent.error) = ("failed".into(), None, Some("timeout".into()));
    run.tasks[votes + 1].output = Some("I like it".into());
    let report = markdown(&run);
    assert!(report.contains(
        "Round 2. 1 of 4 disagrees: cost. Abstained: performance, security. The run was handed to a person."
    ));
    assert!(report.contains("| performance | abstains | Failed: timeout |"));
    assert!(report.contains("| security | abstains | It gave no verdict but wrote: I like it |"));
    assert!(report.contains("A person decides what comes of it."));
}

#[test]
fn what_is_under_way_is_told_as_such() {
    let mut run = samples::completed();
    (run.summary.state, run.summary.finished_at, run.output) = ("aggregating".into(), None, None);
    run.tasks.truncate(6);
    let last = &mut run.tasks[5];
    (last.state, last.output, last.finished_at) = ("running".into(), None, None);
    let report = markdown(&run);
    assert!(report.starts_with("# Status report: incident-response: "));
    assert!(
        report.contains("Running: the results are being put together, 16.0 s after its start: 4 of 4 contributions")
    );
    assert!(report.contains("## Result\n\nThere is none yet."));
}

#[test]
fn many_tool_calls_are_cut_with_a_note() {
    let mut run = samples::completed();
    let steps = &mut run.tasks[1].attempts[0].steps;
    steps.extend((10..260).map(|n| samples::tool(n, "fs.list", serde_json::json!({"n": n}), "", (7_000, 7_001))));
    assert!(markdown(&run).contains("52 more are in the JSON report."));
    assert!(convoke_report::html(&run).contains("52 more are in the JSON report."));
    assert!(convoke_report::tree(&run, false).contains("… 54 more steps"));
}
