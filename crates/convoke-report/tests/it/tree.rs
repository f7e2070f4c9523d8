//! The tree for the terminal.

use convoke_report::tree;
use unicode_width::UnicodeWidthStr;

use crate::samples;

#[test]
fn completed() {
    insta::assert_snapshot!(tree(&samples::completed(), false));
}

#[test]
fn with_flow() {
    insta::assert_snapshot!(tree(&samples::with_flow(), false));
}

#[test]
fn failed() {
    insta::assert_snapshot!(tree(&samples::failed(), false));
}

#[test]
fn waiting() {
    insta::assert_snapshot!(tree(&samples::waiting(), false));
}

#[test]
fn out_of_budget() {
    insta::assert_snapshot!(tree(&samples::out_of_budget(), false));
}

#[test]
fn empty() {
    insta::assert_snapshot!(tree(&samples::empty(), false));
}

/// The text without colours.
fn stripped(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| told + part.split_once('m').expect("the end of a colour").1)
}

#[test]
fn colours_change_nothing_else() {
    for run in [samples::completed(), samples::failed(), samples::waiting(), samples::simulated()] {
        let colored = tree(&run, true);
        assert!(colored.contains("\u{1b}[32m✓\u{1b}[0m") && !tree(&run, false).contains('\u{1b}'));
        assert_eq!(stripped(&colored), tree(&run, false));
    }
}

#[test]
fn no_line_is_too_wide() {
    let mut run = samples::failed();
    let long = "很长的标题 und ein sehr langer Titel ".repeat(10);
    run.summary.task.clone_from(&long);
    run.summary.reason = Some("x".repeat(500));
    run.tasks[0].title.clone_from(&long);
    run.tasks[0].agent.clone_from(&long);
    run.tasks[1].error = Some(long.clone());
    run.tasks[1].attempts[0].steps[1].name = long;
    let wide = tree(&run, false);
    assert_eq!(wide.lines().find(|line| line.width() > 110), None);
    assert!(wide.lines().any(|line| line.width() > 100));
}

#[test]
fn nothing_acts_on_the_terminal() {
    let mut run = samples::waiting();
    let evil = "a\u{1b}]0;owned\u{7}\u{1b}[2J\rb\u{202e}c\nd";
    run.summary.task = evil.into();
    run.summary.team = evil.into();
    run.summary.reason = Some(evil.into());
    run.effects[0].key = evil.into();
    let task = &mut run.tasks[2];
    (task.title, task.agent, task.error) = (evil.into(), evil.into(), Some(evil.into()));
    for step in &mut task.attempts[0].steps {
        (step.name, step.error, step.output) = (evil.into(), Some(evil.into()), Some(evil.into()));
        step.input = Some(serde_json::json!({ evil: evil }));
    }
    let told = tree(&run, false);
    assert_eq!(told.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}'), None);
}
