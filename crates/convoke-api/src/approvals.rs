//! Who approves a team's calls: what `approvals` must hold besides its shape.

use convoke_domain::user::ROLE;

use crate::near::quoted;
use crate::node::Node;
use crate::problem::finding;
use crate::team::TeamCheck;
use crate::word;

/// Reports names that can be no users, more approvals than there are approvers, deputies of nobody.
pub(crate) fn check(check: &mut TeamCheck<'_, '_, '_, '_>) {
    let Some(rule) = check.team.get("approvals") else { return };
    let approvers: Vec<&str> = rule.list("approvers").iter().filter_map(Node::text).collect();
    for (index, node) in rule.list("approvers").iter().enumerate() {
        let Some(text) = node.text() else { continue };
        check.report(node, word::user(text, &format!("approvals.approvers[{index}]")));
        if approvers[..index.min(approvers.len())].contains(&text) {
            let message = format!("`{text}` is named twice");
            check.report(node, Some(finding("duplicate", message, "remove one of the two")));
        }
    }
    needed(check, rule, &approvers);
    deputies(check, rule, &approvers);
}

/// A call that needs more approvals than can ever come would wait for ever.
fn needed(check: &mut TeamCheck<'_, '_, '_, '_>, rule: &Node, approvers: &[&str]) {
    let counted = !approvers.is_empty() && approvers.iter().all(|entry| !entry.starts_with(ROLE));
    let Some(node) = rule.get("needed") else { return };
    let wanted = node.to_json().as_u64().and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(0);
    if counted && wanted > approvers.len() {
        let message = format!("{wanted} approvals are needed, but there are only {} approvers", approvers.len());
        let hint = format!("give at most {}, or name more approvers", approvers.len());
        check.report(node, Some(finding("out_of_range", message, hint)));
    }
}

fn deputies(check: &mut TeamCheck<'_, '_, '_, '_>, rule: &Node, approvers: &[&str]) {
    let entries = rule.get("deputies").map(Node::entries).unwrap_or_default();
    for entry in entries {
        if !approvers.contains(&entry.key.as_str()) || entry.key.starts_with(ROLE) {
            let message = format!("`{}` has deputies, but is not named among the approvers", entry.key);
            let names: Vec<&str> = approvers.iter().copied().filter(|name| !name.starts_with(ROLE)).collect();
            let hint = if names.is_empty() {
                "name the approver in `approvals.approvers` first".to_owned()
            } else {
                format!("use one of {}", quoted(&names))
            };
            check.reporter.report(entry.place, finding("unknown_value", message, hint));
        }
        for (index, node) in
            rule.get("deputies").map(|list| list.list(&entry.key)).unwrap_or_default().iter().enumerate()
        {
            let Some(text) = node.text() else { continue };
            let path = format!("approvals.deputies.{}[{index}]", entry.key);
            let role = text.starts_with(ROLE).then(|| {
                finding("bad_name", format!("`{path}` is `{text}`, but a deputy is one person"), "write a user's name")
            });
            check.report(node, role.or_else(|| word::user(text, &path)));
        }
    }
}
