//! What was asked, decided and said: sections of a run's report, the decision log and a thread as documents of their own.
//!
//! Rule: a run's report tells who talked and how often, never what; bodies are in an export, for those who may read it.
//! Start at [`decisions_markdown`].

use convoke_domain::record::{DecisionRecord, MessageRecord, ThreadExport};

use crate::table::{Cell, Table};
use crate::view::View;
use crate::{nest, quote};

/// Characters of a question or an answer in a table.
const CELL: usize = 200;

/// The decision log as Markdown.
pub fn decisions_markdown(decisions: &[DecisionRecord]) -> String {
    let mut text = "# Decisions\n".to_owned();
    if decisions.is_empty() {
        text.push_str("\nNothing was asked.\n");
    }
    for decision in decisions {
        text.push_str(&one_decision(decision));
    }
    text
}

fn one_decision(decision: &DecisionRecord) -> String {
    let asked: Vec<_> = decision.asked.iter().map(|who| quote::code(who)).collect();
    let mut text = format!("\n## {}\n\n", quote::markdown(&quote::one_line(&decision.question, 90)));
    let mut fact = |name: &str, value: Option<String>| {
        text.extend(value.map(|value| format!("- {name}: {value}\n")));
    };
    let words = |text: &Option<String>| text.as_ref().map(|text| quote::markdown(&quote::one_line(text, 2_000)));
    fact("Asked by", Some(format!("{} at {}", quote::code(&decision.asked_by), decision.asked_at)));
    fact("Asked", Some(asked.join(", ")));
    let options = decision.options.iter().map(|option| quote::code(option)).collect::<Vec<_>>().join(", ");
    fact("Options", (!options.is_empty()).then_some(options));
    fact("Impact", words(&decision.impact));
    fact("Standing", Some(standing(decision)));
    fact("Choice", words(&decision.choice));
    fact("Rationale", words(&decision.rationale));
    fact("Decided at", decision.ended_at.map(|at| at.to_string()));
    for past in &decision.replaced {
        let by = quote::code(past.approver.as_deref().unwrap_or("nobody"));
        fact("Before", words(&past.choice).map(|choice| format!("{choice}, by {by}")));
    }
    if quote::one_line(&decision.question, 90) != decision.question {
        text.push_str(&format!("\n{}\n", quote::quotation(&nest::nested(&decision.question, 2))));
    }
    text
}

fn standing(decision: &DecisionRecord) -> String {
    match (decision.standing.as_str(), &decision.approver) {
        ("answered", Some(who)) => format!("answered by {}", quote::code(who)),
        ("overridden", Some(who)) => format!("replaced by {}", quote::code(who)),
        ("defaulted", _) => "the default, because nobody answered in time".to_owned(),
        (other, _) => quote::markdown(other),
    }
}

/// A thread with its messages as Markdown.
pub fn thread_markdown(export: &ThreadExport) -> String {
    let thread = &export.thread;
    let names: Vec<_> = thread.participants.iter().map(|who| quote::code(who)).collect();
    let mut text = format!(
        "# {}\n\n- Thread: {} ({})\n- Channel: {}\n- Participants: {}\n- Opened: {} by {}\n",
        quote::markdown(&quote::one_line(&thread.title, 90)),
        quote::code(&thread.id.to_string()),
        quote::markdown(&thread.status),
        quote::code(&thread.channel),
        names.join(", "),
        thread.created_at,
        quote::code(&thread.created_by),
    );
    export.messages.iter().for_each(|message| text.push_str(&one_message(message)));
    text
}

fn one_message(message: &MessageRecord) -> String {
    let to = if message.to.is_empty() { "all".to_owned() } else { message.to.join(", ") };
    let subject = message.subject.as_ref().map(|subject| format!(", {}", quote::one_line(subject, 90)));
    format!(
        "\n## {}. {} from {} to {}{}\n\n{}, {}\n\n{}\n",
        message.n,
        quote::markdown(&message.kind),
        quote::code(&message.from),
        quote::code(&to),
        quote::markdown(&subject.unwrap_or_default()),
        quote::code(&message.id.to_string()),
        message.at,
        quote::quotation(&nest::nested(&message.body, 2)),
    )
}

/// What was asked and decided in a run, as a table.
pub(crate) fn decisions(view: &View<'_>) -> Option<Table> {
    let found = &view.run.decisions;
    if found.is_empty() {
        return None;
    }
    let mut table = Table::new(&["Question", "Asked by", "Asked", "Choice", "By", "Rationale", "Impact"]);
    for decision in found {
        let cell = |text: Option<&str>| quote::one_line(text.unwrap_or_default(), CELL);
        let by = decision.approver.clone().unwrap_or_else(|| decision.standing.clone());
        table.rows.push(vec![
            Cell::Text(cell(Some(&decision.question))),
            Cell::Code(decision.asked_by.clone()),
            Cell::Code(decision.asked.join(", ")),
            Cell::Text(cell(decision.choice.as_deref())),
            Cell::Text(if decision.standing == "defaulted" { "default".to_owned() } else { by }),
            Cell::Text(cell(decision.rationale.as_deref())),
            Cell::Text(cell(decision.impact.as_deref())),
        ]);
    }
    Some(table)
}

/// Who talked with whom in a run, and how often. Channels that hold an id are told by their kind alone.
pub(crate) fn talks(view: &View<'_>) -> Option<Table> {
    let found = &view.run.talks;
    if found.is_empty() {
        return None;
    }
    let mut table = Table::new(&["Thread", "Messages", "Kinds"]);
    for talk in found {
        let channel = match talk.channel.split_once(':') {
            Some(("direct", pair)) => pair.replacen(":agent:", " and agent:", 1).replacen(":user:", " and user:", 1),
            Some(("team", name)) => format!("everyone in {name}"),
            Some(("run", _)) => "everyone in the run".to_owned(),
            Some((kind, _)) => format!("a {kind} thread"),
            None => talk.channel.clone(),
        };
        let kinds: Vec<_> = talk.kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        table.rows.push(vec![
            Cell::Text(channel),
            Cell::Number(talk.messages.to_string()),
            Cell::Text(kinds.join(", ")),
        ]);
    }
    Some(table)
}
