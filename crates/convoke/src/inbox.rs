//! `convoke inbox`: what waits for a person, each entry with the command that answers it.

use clap::Args;
use convoke_domain::record::{InboxEntry, InboxKind};
use convoke_domain::time::Timestamp;
use convoke_port::clock::{Clock, SystemClock};
use serde_json::Value;

use crate::args::Global;
use crate::error::{Exit, Failure, Result};
use crate::hub::Hub;
use crate::place::{self, Place};
use crate::text::{self, BOLD, CYAN, DIM, paint};
use crate::{control, say, which};

/// Rows of an entry's details that are shown; `--json` has all of it.
const ROWS: usize = 12;
/// The most options of a task for each of which a command is shown.
const MOST_LISTED: usize = 10;
/// Characters of a part of an id that find it.
const MIN_PART: usize = 4;

#[derive(Debug, Args)]
pub struct InboxArgs {}

impl InboxArgs {
    pub async fn act(self, global: &Global) -> Result<Exit> {
        let hub = Hub::reader(global).await?;
        which::user(&hub.engine, &hub.user).await?;
        let entries = hub.engine.inbox(&hub.user).await?;
        if global.json {
            let told: Result<Vec<Value>> = entries.iter().map(|entry| as_json(&hub.place, entry)).collect();
            say::json(&told?)?;
        } else if entries.is_empty() {
            say::line(&format!("nothing waits for {}", hub.user))?;
        } else {
            say::text(&entries.iter().map(|entry| as_text(&hub.place, entry)).collect::<Vec<_>>().join("\n"))?;
        }
        Ok(Exit::Done)
    }
}

/// The commands that answer an entry, ready to be typed.
pub fn commands(place: &Place, entry: &InboxEntry) -> Vec<String> {
    let id = &entry.id;
    let words: Vec<String> = match entry.kind {
        InboxKind::Approval => vec![format!("approve {id}"), format!("reject {id} --note WHY")],
        InboxKind::Question => answers(id, &entry.options),
        InboxKind::Task => {
            let listed = if entry.options.len() > MOST_LISTED { &[][..] } else { entry.options.as_slice() };
            answers(id, listed).into_iter().chain([format!("answer {id} --decline WHY")]).collect()
        }
        InboxKind::Effect => vec![format!("resolve {id} {}", entry.options.join("|"))],
        InboxKind::Escalated => {
            vec![format!("show {id}"), format!("answer {id} TEXT"), format!("answer {id} --decline WHY")]
        }
        InboxKind::Paused => vec![format!("resume {id}"), format!("cancel {id}")],
    };
    words.iter().map(|rest| place.command(rest)).collect()
}

/// The command that answers a question, for each option one.
pub fn answers(id: &str, options: &[String]) -> Vec<String> {
    // What cannot be shown as it is cannot be pasted either, and a lone `-` would be the input stream.
    let can_be_typed = |option: &String| text::line(option) == *option && option != "-";
    if options.is_empty() || !options.iter().all(can_be_typed) {
        return vec![format!("answer {id} TEXT")];
    }
    let typed = |option: &String| {
        let dashes = if option.starts_with('-') { "-- " } else { "" };
        format!("answer {id} {dashes}{}", place::word(option))
    };
    options.iter().map(typed).collect()
}

fn as_json(place: &Place, entry: &InboxEntry) -> Result<Value> {
    let mut value =
        serde_json::to_value(entry).map_err(|cause| Failure::new("broken", "cannot write JSON").cause(cause))?;
    value["commands"] = commands(place, entry).into();
    Ok(value)
}

fn as_text(place: &Place, entry: &InboxEntry) -> String {
    let due = entry.due.map(|due| format!(" · {}", until(entry.kind, due, SystemClock.now()))).unwrap_or_default();
    let head = format!("{} · since {} (UTC){due}", text::line(&entry.from), text::clock(entry.since));
    let mut out = format!("{} {}\n", paint(BOLD, &format!("{:9}", entry.kind.as_str())), text::line(&entry.title));
    out.push_str(&format!("          {}\n", paint(DIM, &head)));
    for line in about(entry).lines().take(ROWS) {
        out.push_str(&format!("          {line}\n"));
    }
    for command in commands(place, entry) {
        out.push_str(&format!("          {}\n", paint(CYAN, &command)));
    }
    out
}

/// Until when an answer is waited for. Nobody takes a default while nobody is at work.
fn until(kind: InboxKind, due: Timestamp, now: Timestamp) -> String {
    match (kind, due > now) {
        (InboxKind::Question, true) => {
            format!("until {} (UTC); after that, `convoke resume` goes on without an answer", text::clock(due))
        }
        (InboxKind::Question, false) => format!(
            "its time was over at {} (UTC): `convoke resume` goes on without an answer, unless you give one first",
            text::clock(due)
        ),
        _ => format!("until {}", text::clock(due)),
    }
}

/// What a person should know before answering, made harmless.
pub fn about(entry: &InboxEntry) -> String {
    let Some(approval) = &entry.approval else {
        let how = if entry.options.is_empty() { "JSON" } else { "One of the options, or JSON" };
        let form = entry.output_schema.as_ref().map(|schema| format!("\n{how} of this form: {schema}"));
        return text::plain(&format!("{}{}", entry.detail, form.unwrap_or_default()));
    };
    let mut lines = Vec::new();
    if let Some(reason) = &approval.reason {
        lines.push(format!("why: {}", text::plain(reason)));
    }
    if let Some(percent) = approval.confidence {
        lines.push(format!("it is {percent}% sure"));
    }
    if approval.needed > 1 {
        let so_far: Vec<_> = approval.votes.iter().map(|vote| text::line(&vote.by)).collect();
        let by = if so_far.is_empty() { String::new() } else { format!(": {}", so_far.join(", ")) };
        lines.push(format!("{} of {} approvals{by}", so_far.len(), approval.needed));
    }
    lines.join("\n")
}

/// Finds the full id that `part` means among what waits for this user: itself, its beginning or its end.
pub async fn full_id(global: &Global, part: &str) -> Result<String> {
    if control::is_whole(part) {
        return Ok(part.to_owned());
    }
    let hub = Hub::reader(global).await?;
    which::user(&hub.engine, &hub.user).await?;
    let entries = hub.engine.inbox(&hub.user).await?;
    let means = |id: &str| {
        let bare = id.split_once('_').map_or(id, |(_, bare)| bare);
        part.len() >= MIN_PART && (id.starts_with(part) || bare.starts_with(part) || id.ends_with(part))
    };
    let found: Vec<_> = entries.iter().filter(|entry| means(&entry.id)).collect();
    match found.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(Failure::usage(
            "missing",
            format!("nothing that is called `{}` waits for {}", text::line(part), hub.user),
        )
        .hint("`convoke inbox` lists what waits, with the command that answers it")),
        several => {
            let ids: Vec<_> = several.iter().map(|entry| entry.id.as_str()).collect();
            Err(Failure::usage("ambiguous", format!("`{part}` may be any of {}", ids.join(", ")))
                .hint("give more of the id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_nobody_keeps_says_what_keeps_it() {
        let at = |secs: i64| Timestamp::from_micros(secs * 1_000_000);
        let ahead = until(InboxKind::Question, at(60), at(0));
        assert_eq!(ahead, "until 1970-01-01 00:01:00 (UTC); after that, `convoke resume` goes on without an answer");
        let over = until(InboxKind::Question, at(60), at(60));
        assert!(over.contains("goes on without an answer, unless you give one first"), "{over}");
        assert_eq!(until(InboxKind::Approval, at(60), at(0)), "until 1970-01-01 00:01:00");
    }
}
