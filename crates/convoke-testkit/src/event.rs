//! Whether events are what `docs/reference/events.md` says of them: that page is what those who read events go by.
//!
//! Asked of every run that a test waits for ([`Hub::ended`](crate::hub::Hub::ended)), and of the demos.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/reference/events.md");

/// What the page says of a kind: what it happens to, and the fields of its payload.
struct Row {
    entity: &'static str,
    fields: Vec<&'static str>,
}

static ROWS: LazyLock<BTreeMap<&'static str, Row>> = LazyLock::new(|| PAGE.lines().filter_map(row).collect());

fn row(line: &'static str) -> Option<(&'static str, Row)> {
    let mut cells = line.strip_prefix("| `")?.split(" | ");
    let kind = cells.next()?.strip_suffix('`').filter(|kind| kind.contains('.'))?;
    let (entity, fields) = (cells.nth(1)?, cells.next()?);
    let fields = fields.split('`').skip(1).step_by(2).collect();
    Some((kind, Row { entity, fields }))
}

/// What is wrong with an event; nothing if the page says of it what it is.
pub fn undocumented(kind: &str, entity: &str, payload: &Value) -> Option<String> {
    let Some(row) = ROWS.get(kind) else { return Some(format!("`{kind}` is not on the page of events")) };
    if row.entity != entity {
        return Some(format!("`{kind}` is about a `{entity}`, and the page says `{}`", row.entity));
    }
    let fields = payload.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
    let unknown: Vec<&str> = fields.filter(|name| !row.fields.contains(name)).collect();
    let message = format!("`{kind}` has {}, which the page of events does not know", unknown.join(", "));
    (!unknown.is_empty()).then_some(message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_page_says_and_nothing_else_is_right() {
        assert_eq!(
            undocumented("coordination.round.started", "run", &json!({"path": "a", "round": 1, "max": 2})),
            None
        );
        let said = |kind, entity, payload| undocumented(kind, entity, &payload).unwrap_or_default();
        assert!(said("run.moved", "run", json!({})).contains("is not on the page"));
        assert!(said("run.resumed", "task", json!({})).contains("is about a `task`, and the page says `run`"));
        assert!(said("run.resumed", "run", json!({"whim": 1})).contains("has whim, which"));
    }
}
