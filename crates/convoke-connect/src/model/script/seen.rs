//! What a step of a flow is shown of earlier steps (`see`), read back from the text that the agent gets: `seen.STEP`.
//!
//! A split's result is a list of `{agent, ok, value}`; any other is its value. What is JSON is data, everything else text.

use serde_json::{Map, Value, json};

/// What stands before the name of a step.
const HEAD: &str = "# Result: ";
/// What stands before a member's name.
const ACCORDING: &str = "According to `";

/// Everything that is shown, by the name of its step.
pub(super) fn of(prompt: &str) -> Value {
    let mut all = Map::new();
    let mut lines = prompt.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix(HEAD) else { continue };
        let mut part = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("# ")) {
            part.push(line);
        }
        all.insert(name.to_owned(), read(&part));
    }
    all.into()
}

fn read(lines: &[&str]) -> Value {
    let mut items: Vec<(Option<Value>, String)> = Vec::new();
    let mut alone = String::new();
    for line in lines {
        let quoted = line.strip_prefix("> ").or((*line == ">").then_some(""));
        match (quoted, items.last_mut()) {
            (Some(text), Some((_, body))) => add(body, text),
            (Some(text), None) => add(&mut alone, text),
            (None, _) => {
                if let Some(head) = heading(line) {
                    items.push((head, String::new()));
                }
            }
        }
    }
    if items.is_empty() {
        return value(&alone);
    }
    let item = |(head, body): (Option<Value>, String)| match head {
        Some(mut head) => {
            head["value"] = value(&body);
            head
        }
        None => value(&body),
    };
    items.into_iter().map(item).collect()
}

fn add(body: &mut String, line: &str) {
    if !body.is_empty() {
        body.push('\n');
    }
    body.push_str(line);
}

/// The beginning of an item: who said it, or its number alone.
fn heading(line: &str) -> Option<Option<Value>> {
    let line = line.strip_suffix(':').unwrap_or(line);
    if let Some((name, rest)) = line.strip_prefix(ACCORDING).and_then(|rest| rest.split_once('`')) {
        return Some(Some(json!({"agent": name, "ok": !rest.contains("failed")})));
    }
    let number = line.strip_suffix('.')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(None)
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back() {
        let prompt = "# Your part\n\nDo it.\n\n# Result: positions\n\nAccording to `a`:\n> {\"position\": \"yes\"}\n\nAccording to `b` (failed):\n> too late\n\n\n\
                      # Result: draft\n\n> # Title\n> \n> text\n\n# Result: talk\n\n1.:\n> {\"turn\": 1}\n\n# Form of your answer\n\nJSON";
        let expected = json!({
            "positions": [{"agent": "a", "ok": true, "value": {"position": "yes"}}, {"agent": "b", "ok": false, "value": "too late"}],
            "draft": "# Title\n\ntext",
            "talk": [{"turn": 1}],
        });
        assert_eq!(of(prompt), expected);
    }
}
