//! Templates: what a message of each kind should say beside its text, so that whoever reads it need not ask back.
//!
//! Rule: a template is filled before anything is stored; what is stored is plain text. Start at [`fill`].

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Kind;
use crate::refusal::Refusal;

/// One thing that a message of a kind says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name, as it is given.
    pub name: &'static str,
    /// What stands before it in the message.
    pub label: &'static str,
    /// Without it the message is not sent.
    pub required: bool,
}

const fn needed(name: &'static str, label: &'static str) -> Field {
    Field { name, label, required: true }
}

const fn maybe(name: &'static str, label: &'static str) -> Field {
    Field { name, label, required: false }
}

const WHY: Field = maybe("why", "Why it matters");
const NEXT: Field = maybe("next", "What follows");
const NOTE: &[Field] = &[WHY, NEXT];
const FINDING: &[Field] =
    &[needed("evidence", "Evidence"), maybe("confidence", "Confidence"), maybe("impact", "Impact"), NEXT];
const ALERT: &[Field] = &[needed("impact", "Impact"), needed("action", "What to do"), maybe("since", "Since")];
const QUESTION: &[Field] = &[WHY, maybe("impact", "What depends on it")];
const REQUEST: &[Field] = &[needed("deliver", "What to give back"), WHY, maybe("by", "Needed by")];

/// What a message of this kind says beside its text, in this order; nothing for kinds that come with their own protocol.
pub const fn fields(kind: Kind) -> &'static [Field] {
    match kind {
        Kind::Note => NOTE,
        Kind::Finding => FINDING,
        Kind::Alert => ALERT,
        Kind::Question => QUESTION,
        Kind::Request => REQUEST,
        Kind::Decision | Kind::Response | Kind::TaskAssignment | Kind::Handoff | Kind::Escalation => &[],
    }
}

/// The body of a message: its text, then each field that is given behind its label.
pub fn fill(kind: Kind, text: &str, given: &BTreeMap<String, String>) -> Result<String, Refusal> {
    let fields = fields(kind);
    if let Some(name) = given.keys().find(|name| fields.iter().all(|field| field.name != name.as_str())) {
        let name: String = name.chars().take(40).collect();
        return Err(wrong(kind, &format!("has no field `{name}`")));
    }
    let value = |field: &Field| given.get(field.name).map(|value| value.trim()).filter(|value| !value.is_empty());
    if let Some(field) = fields.iter().find(|field| field.required && value(field).is_none()) {
        return Err(wrong(kind, &format!("needs the field `{}`", field.name)));
    }
    let mut body = text.trim_end().to_owned();
    let filled = fields.iter().filter_map(|field| value(field).map(|value| (field.label, value)));
    for (at, (label, value)) in filled.enumerate() {
        let gap = if at == 0 { "\n\n" } else { "\n" };
        let _ = write!(body, "{gap}{label}: {value}");
    }
    Ok(body)
}

fn wrong(kind: Kind, what: &str) -> Refusal {
    let refusal = Refusal::new("bad_template", format!("the template of the kind `{}` {what}", kind.as_str()));
    let names = fields(kind).iter().map(|field| format!("{}{}", field.name, if field.required { "" } else { "?" }));
    let names = names.collect::<Vec<_>>().join(", ");
    match names.as_str() {
        "" => refusal.hint("note, finding, alert, question and request have templates"),
        names => refusal.hint(format!("its fields are {names}; those with `?` may be left out")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(fields: &[(&str, &str)]) -> BTreeMap<String, String> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn fields_follow_the_text_in_the_order_of_the_template() {
        let fields = given(&[("since", "10:02"), ("action", "Roll back 2093.\n"), ("impact", "All checkouts fail.")]);
        assert_eq!(
            fill(Kind::Alert, "The disk is full.\n", &fields).as_deref(),
            Ok("The disk is full.\n\nImpact: All checkouts fail.\nWhat to do: Roll back 2093.\nSince: 10:02")
        );
        assert_eq!(fill(Kind::Note, "Lunch.", &given(&[])).as_deref(), Ok("Lunch."));
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let told = |kind, fields: &[(&str, &str)]| {
            let refusal = fill(kind, "x", &given(fields)).expect_err("refused");
            format!("{}: {}; {}", refusal.code, refusal.message, refusal.hint.unwrap_or_default())
        };
        assert_eq!(
            told(Kind::Alert, &[("impact", "much"), ("action", " ")]),
            "bad_template: the template of the kind `alert` needs the field `action`; its fields are impact, action, since?; \
             those with `?` may be left out"
        );
        assert!(told(Kind::Note, &[("colour", "red")]).contains("has no field `colour`"));
        assert!(
            told(Kind::Handoff, &[("why", "red")])
                .contains("note, finding, alert, question and request have templates")
        );
    }

    #[test]
    fn the_docs_name_every_field() {
        let docs = include_str!("../../../../docs/concept/messages.md");
        for kind in Kind::ALL.iter().filter(|kind| !fields(**kind).is_empty()) {
            let names = |required: bool| {
                let fields = fields(*kind).iter().filter(|field| field.required == required);
                fields.map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
            };
            let row = format!("| {} | {} | {} |", kind.as_str(), names(true), names(false));
            assert!(docs.contains(&row), "`{row}` is not in docs/concept/messages.md");
        }
    }
}
