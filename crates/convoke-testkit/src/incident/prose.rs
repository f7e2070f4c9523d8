//! What people wrote: the ticket that opens the incident, and the runbook.

use super::{AFTER, File, Scene};

pub(super) fn files(scene: &Scene) -> Vec<File> {
    vec![("README.md".to_owned(), ticket(scene).into_bytes()), ("runbook.md".to_owned(), RUNBOOK.into())]
}

fn ticket(scene: &Scene) -> String {
    let (alert, start, end) = (scene.at.plus(3), scene.start(), scene.at.plus(AFTER - 1));
    format!(
        "# INC-2093: customers cannot check out

- Opened: {} by the alert `gateway-5xx` (more than 5% of answers are 5xx)
- State: open, still going on
- Data here: {start} to {end} UTC, all times in UTC

Customers report that orders and payments fail now and then. On-call has restarted nothing and rolled back nothing.
Wanted: the root cause with evidence, a timeline, a fix, and what it costs.

## What is in this folder

| path | what |
|---|---|
| `logs/*.jsonl`, `logs/gateway.log` | logs of the services (a sample of all lines) and of the gateway |
| `metrics/resources.csv` | what each service uses of each resource, per minute: `ts,service,resource,used,limit` |
| `metrics/requests.csv` | requests, error rate in percent and latency of the slowest 1%, per minute |
| `metrics/catalog.csv` | what the resources are, and how the settings that govern them begin |
| `deploys/deploys.csv`, `deploys/settings.csv`, `deploys/diffs/` | what was deployed, by whom, and which settings changed |
| `k8s/rbac.yaml`, `audit/audit.jsonl` | who may do what, and who did |
| `billing/hourly.csv`, `billing/rates.csv` | cost per hour, service and item; price of a unit of each resource |
| `runbook.md` | how the services hang together and how we handle incidents |
",
        alert.stamp()
    )
}

const RUNBOOK: &str = "\
# Runbook of the shop

## Services

```
client -> gateway -> orders-api  -> payments-api -> card provider
                     orders-api  -> worker (confirmation mails, invoices, stock)
```

Each service has its own database and its own disk. A service that cannot serve a request answers 503 after five seconds, and
its callers log that.

## Reading the data

- A resource that stands at its limit for a minute or two is busy. One that stays there is a bottleneck.
- The worker's hourly batch takes all CPU it can get for three minutes. That is intended.
- A deploy close to the start of an incident is a suspect, not a culprit: say how it could have had the effect.
- The error that came first names the service to look at; the errors of its callers follow from it.
- The card provider has bad minutes. They pass; `card provider answered 502` alone is no incident.
- Settings are documented in the catalog of metrics: the beginning of a key tells the resource it governs.

## Handling an incident

1. Find the first new error, and the service that logged it.
2. Find what that service ran into.
3. Find what changed before.
4. Prefer undoing the change to adding capacity. Say what the fix costs per month (`billing/rates.csv`).
5. Security looks at every incident: changes of rights, refused access, secrets that were read.
6. Afterwards: an alert that would have told us earlier.
";
