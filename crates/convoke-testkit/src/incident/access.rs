//! Who may do what, and who did: RBAC manifests and the audit log. Nothing here explains the incident; two things look
//! as if they might.

use std::fmt::Write;

use super::when::Minute;
use super::{File, Scene};

const RBAC: &str = "\
# Roles of the shop namespace. Changed only through the access repository.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: ci-deployer, namespace: shop}
rules:
  - {apiGroups: [apps], resources: [deployments], verbs: [get, list, patch]}
  - {apiGroups: [\"\"], resources: [configmaps], verbs: [get, list, create, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reporting-reader, namespace: shop}
rules:
  - {apiGroups: [\"\"], resources: [pods, services], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: support-viewer, namespace: shop}
rules:
  - {apiGroups: [\"\"], resources: [pods, pods/log, events], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: secret-reader, namespace: shop}
rules:
  - {apiGroups: [\"\"], resources: [secrets], resourceNames: [payments-db, orders-db], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: break-glass
  annotations: {policy: needs a ticket and a second person, expires after one hour}
subjects:
  - {kind: Group, name: on-call, apiGroup: rbac.authorization.k8s.io}
roleRef: {kind: ClusterRole, name: cluster-admin, apiGroup: rbac.authorization.k8s.io}
";

/// One line of the audit log.
struct Entry {
    at: Minute,
    moment: u64,
    actor: &'static str,
    action: &'static str,
    object: &'static str,
    outcome: &'static str,
    from: &'static str,
    ticket: &'static str,
}

pub(super) fn files(scene: &Scene) -> Vec<File> {
    vec![("k8s/rbac.yaml".to_owned(), RBAC.into()), ("audit/audit.jsonl".to_owned(), audit(scene).into_bytes())]
}

fn audit(scene: &Scene) -> String {
    let mut entries = ordinary(scene);
    entries.extend(scan(scene));
    entries.extend(changes(scene));
    entries.sort_by_key(|entry| (entry.at, entry.moment));
    let mut text = String::new();
    for Entry { at, moment, actor, action, object, outcome, from, ticket } in entries {
        let stamp = at.stamp_at(moment);
        let _ = writeln!(
            text,
            r#"{{"ts":"{stamp}","actor":"{actor}","action":"{action}","object":"{object}","outcome":"{outcome}","from":"{from}","ticket":"{ticket}"}}"#
        );
    }
    text
}

/// What happens every day.
fn ordinary(scene: &Scene) -> Vec<Entry> {
    const DAILY: [(&str, &str, &str, &str, &str); 6] = [
        ("payments-api", "get", "secret/payments-db", "allowed", "10.20.4.11"),
        ("orders-api", "get", "secret/orders-db", "allowed", "10.20.4.17"),
        ("reporting", "list", "pods", "allowed", "10.20.9.3"),
        ("support-desk", "get", "pods/log", "allowed", "10.20.9.40"),
        ("monitoring", "list", "services", "allowed", "10.20.1.2"),
        ("support-desk", "get", "secret/orders-db", "denied", "10.20.9.40"),
    ];
    let mut draw = scene.draw("audit");
    let mut entries = Vec::new();
    for minute in scene.minutes() {
        let quiet = minute.since(scene.at) > -45;
        let known = if quiet { &DAILY[..5] } else { &DAILY[..] };
        let &(actor, action, object, outcome, from) = draw.one(known);
        let moment = draw.whole(0, 59_999);
        entries.push(Entry { at: minute, moment, actor, action, object, outcome, from, ticket: "" });
    }
    entries
}

/// Where the scan tries to log in.
const DOORS: [&str; 3] = ["console", "registry", "payments-admin"];

/// A planned scan an hour before: many refusals, from inside, with a ticket.
fn scan(scene: &Scene) -> Vec<Entry> {
    let mut draw = scene.draw("scan");
    (0..18)
        .map(|step| Entry {
            at: scene.at.plus(-64 + step / 6),
            moment: draw.whole(0, 59_999),
            actor: "qa-scanner",
            action: "login",
            object: DOORS[draw.whole(0, 2) as usize],
            outcome: "denied",
            from: "10.20.77.5",
            ticket: "SEC-311",
        })
        .collect()
}

/// Changes of rights and deploys, all by ticket.
fn changes(scene: &Scene) -> Vec<Entry> {
    let entry = |minutes: i64, actor, action, object, ticket| Entry {
        at: scene.at.plus(-minutes),
        moment: 2_000,
        actor,
        action,
        object,
        outcome: "allowed",
        from: "10.20.2.8",
        ticket,
    };
    vec![
        entry(168, "ci-deployer", "patch", "deployment", "CHG-4402"),
        entry(141, "ci-deployer", "patch", "deployment", "CHG-4405"),
        entry(96, "ci-deployer", "patch", "deployment", "CHG-4409"),
        entry(93, "platform-admin", "bind", "role/reporting-reader", "ACC-208"),
        entry(55, "ci-deployer", "patch", "deployment", "CHG-4412"),
        entry(super::FUSE, "ci-deployer", "patch", "deployment", "CHG-4417"),
        entry(7, "ci-deployer", "patch", "deployment", "CHG-4419"),
    ]
}
