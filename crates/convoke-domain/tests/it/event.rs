//! `docs/reference/events.md` lists every kind of event. With `CONVOKE_UPDATE_DOCS` set it is written instead of compared.

use std::path::Path;

use convoke_domain::event::Kind;

const HEAD: &str = r#"# Events

Every change that counts is an event, committed in the transaction that makes the change. This page is printed from
`convoke-domain/src/event.rs` by a test; do not edit it, edit `convoke-domain/tests/it/event.rs`.

`convoke events RUN` prints the events of a run, `--follow` goes on until it ends, `--after SEQ` begins behind a number, `--json` writes one
event a line:

```json
{"seq":33,"workspace":"…","at":"2026-11-21T07:03:24.330052Z","kind":"task.created","entity":"task","entity_id":"task_01m7…","run":"run_01m7…","actor":"system","payload":{"key":"logs","title":"Read the logs","stage":"work","round":1,"agent":"log-reader","state":"ready"}}
```

| field | meaning |
|---|---|
| `seq` | place in the workspace's record: from 1, without gaps, in the order of commits. A reader that has seen `n` goes on with `--after n` and misses nothing |
| `workspace` | the workspace |
| `at` | when the transaction began, in UTC; the same for all events of one commit |
| `kind` | what happened; stable, see below |
| `entity`, `entity_id` | what it happened to: a noun, and its id or name |
| `run` | the run it belongs to, or `null` |
| `actor` | who did it: `user:NAME`, `agent:NAME`, `system` |
| `payload` | details, an object; fields may be added, never changed in meaning |

Each event also has a hash over itself and the one before. `convoke audit verify` checks the chain.

## Kinds
"#;

const TAIL: &str = r#"
In payloads: `path` is the path of a step in its flow, or [stage and round](../concept/coordination.md#in-the-events) such as `work/1` where a run has none; `cost_usd`, `…_usd` are dollars; `step` is the step's number in its attempt, `turn` the model call it is or follows from, `try` how often it was
started; `stage` and `phase` are words of the [glossary](../concept/glossary.md); `error` of a task or run begins with a
[code](errors.md). A call that was under way when its worker went away, or that was cut when its task
ended, is a `step.failed` whose `error` begins with `lost`, with the bound as its tokens and cost.
"#;

/// What an event is about, and the fields of its payload. Whatever run a test of the engine drives, and each demo, must not say
/// more than this: `convoke-testkit/src/event.rs` reads the page.
fn payload(kind: Kind) -> (&'static str, &'static [&'static str]) {
    use Kind as K;
    match kind {
        K::WorkspaceCreated => ("workspace", &["name"]),
        K::UserCreated => ("user", &["name", "role"]),
        K::UserRoleChanged => ("user", &["name", "role", "was"]),
        K::ProfileSaved => ("profile", &["version"]),
        K::ProfileActivated | K::ProfileDeactivated => ("profile", &[]),
        K::AgentRegistered | K::AgentUpdated => ("agent", &["profile_version", "capacity", "capabilities"]),
        K::AgentCapabilitiesChanged => ("agent", &["capabilities", "was"]),
        K::AgentStatusChanged => ("agent", &["status", "was", "active"]),
        K::AgentHealthChanged => ("agent", &["health", "was", "silent_s"]),
        K::AgentRoleChanged => ("agent", &["role", "was"]),
        K::AgentDefaultChanged => ("agent", &["was"]),
        K::AgentSpawned => {
            ("agent", &["parent", "depth", "task", "tools", "authority", "limits", "without", "warning", "why"])
        }
        K::AgentRetired => ("agent", &["status"]),
        K::AgentKilled => ("agent", &["agents", "tasks"]),
        K::AgentEscalated => ("agent", &["to", "agent", "task", "reason"]),
        K::AuthorityDenied => ("authority", &["rule", "message"]),
        K::GrantGiven => ("grant", &["agent", "right", "until", "reason"]),
        K::GrantRevoked | K::GrantExpired => ("grant", &["agent", "right"]),
        K::PatternSaved => ("pattern", &["version"]),
        K::TeamSaved => ("team", &["version"]),
        K::TeamActivated | K::TeamDeactivated => ("team", &[]),
        K::SessionCreated => ("session", &["title", "cap_usd"]),
        K::RunCreated => ("run", &["team", "team_version", "task", "input", "session", "simulated"]),
        K::RunStarted | K::RunResumed => ("run", &[]),
        K::RunPhaseChanged => ("run", &["phase", "was"]),
        K::RunPhaseEnded => ("run", &["phase", "summary"]),
        K::SplitCreated => ("run", &["path", "items", "width", "wait"]),
        K::SyncCreated => ("run", &["path", "items", "of", "wait", "count"]),
        K::SyncReady => ("run", &["path", "items", "of", "completed", "failed", "left_out", "met"]),
        K::JoinCreated => ("run", &["path", "of"]),
        K::MergeCompleted => {
            ("run", &["path", "how", "from", "missing", "disagreements", "more_disagreements", "digest"])
        }
        K::RoundStarted => ("run", &["path", "round", "max"]),
        K::BranchTaken => ("run", &["path", "case"]),
        K::VoteOpened => ("run", &["path", "voters", "options", "even"]),
        K::VoteCounted => (
            "run",
            &[
                "path",
                "choice",
                "outcome",
                "standing",
                "ballots",
                "dissent",
                "abstained",
                "outstanding",
                "turnout",
                "quorum_met",
                "decided_early",
                "tie_broken",
                "agreement",
                "round",
                "electorate",
                "casting",
                "capability",
            ],
        ),
        K::ReviewEnded => ("run", &["path", "author", "verdict", "rounds", "capability", "dissent", "silent"]),
        K::AgreementMeasured => ("run", &["path", "agreement", "voices", "silent", "of", "digest"]),
        K::WorkScored => ("run", &["path", "of"]),
        K::GateChecked => ("run", &["path", "open", "reason"]),
        K::StepSkipped => ("run", &["path", "when", "reason"]),
        K::RunPaused | K::RunWaiting => ("run", &["reason"]),
        K::RunCompleted | K::RunFailed | K::RunCancelled | K::RunEscalated => ("run", &["error"]),
        K::TaskCreated => ("task", &["key", "title", "stage", "round", "agent", "state", "parent"]),
        K::TaskReady => ("task", &["key"]),
        K::TaskStarted | K::TaskTakenOver => ("task", &["key", "stage", "attempt", "fence"]),
        K::TaskRequeued => ("task", &["key", "why"]),
        K::TaskWaiting => ("task", &["waits_for", "calls", "until"]),
        K::TaskWoken => ("task", &[]),
        K::TaskRetried => ("task", &["key", "attempt", "error", "retries_left", "not_before"]),
        K::TaskEscalated => ("task", &["to", "agent", "from", "n", "reason"]),
        K::TaskReassigned => ("task", &["key", "from", "to", "error", "why"]),
        K::TaskCompleted => ("task", &["key", "stage", "attempt"]),
        K::TaskFailed => ("task", &["key", "stage", "code", "error"]),
        K::TaskCancelled => ("task", &[]),
        K::TaskAnswered => ("task", &["key", "declined"]),
        K::StepStarted => ("task", &["step", "kind", "name", "turn", "waits_for"]),
        K::StepCompleted => ("task", &["step", "kind", "name", "try", "tokens", "cost_usd", "waited_for", "status"]),
        K::StepFailed => {
            ("task", &["step", "kind", "name", "try", "tokens", "cost_usd", "error", "waited_for", "status"])
        }
        K::ToolDenied => ("task", &["step", "tool", "rule", "message"]),
        K::EffectUnknown => ("task", &["step", "kind", "name", "try", "error"]),
        K::EffectResolved => ("effect", &["outcome", "tool"]),
        K::ApprovalRequested => {
            ("approval", &["task", "step", "tool", "digest", "needed", "reason", "confidence", "expires_at"])
        }
        K::ApprovalAnswered => ("approval", &["choice", "place", "note"]),
        K::ApprovalApproved | K::ApprovalRejected => ("approval", &["task", "tool", "note"]),
        K::ApprovalExpired => ("approval", &["task", "tool", "why"]),
        K::ApprovalExecuted => ("approval", &["task", "step", "tool"]),
        K::BudgetWarning => ("budget", &["settled_usd", "cap_usd", "cap_tokens"]),
        K::BudgetExhausted => ("budget", &["message", "left", "wanted", "unit"]),
        K::BudgetOverrun => ("task", &["step", "bound_usd", "billed_usd"]),
        K::BudgetChanged => ("budget", &["cap_usd", "cap_tokens", "was_usd"]),
        K::BudgetMoved => ("budget", &["from", "to", "cost_usd", "tokens"]),
        K::CollabStarted => ("task", &["from", "to", "title", "until"]),
        K::CollabEnded => ("task", &["parent", "state"]),
        K::HandoffRequested => ("task", &["handoff", "from", "to", "reason", "until"]),
        K::HandoffAccepted => ("task", &["handoff", "from", "to"]),
        K::HandoffDeclined => ("task", &["handoff", "from", "to", "reason"]),
        K::LockAcquired => ("task", &["locks", "token", "waited_ms"]),
        K::LockWaiting => ("task", &["locks", "waits_for", "until"]),
        K::LockReleased => ("task", &["resources", "why"]),
        K::LockExpired | K::LockForced => ("task", &["resource", "agent", "token"]),
        K::LockRefused => ("task", &["resource", "tool", "reason"]),
        K::LoopDetected => ("task", &["tool", "count"]),
        K::AgentMessageSent => {
            ("message", &["thread", "n", "kind", "priority", "to", "bytes", "reply_to", "cancels", "private"])
        }
        K::AgentMessageDelivered => ("task", &["messages", "left"]),
        K::AgentMessageStopped => ("thread", &["message"]),
        K::ThreadOpened => ("thread", &["channel", "title", "private"]),
        K::ThreadClosed | K::ThreadReopened => ("thread", &[]),
        K::ThreadArchived => ("thread", &["messages"]),
        K::ThreadAudited => ("thread", &["what"]),
        K::QuestionAsked => ("question", &["kind", "to", "options", "due"]),
        K::QuestionAnswered | K::QuestionDefaulted | K::QuestionExpired | K::QuestionWithdrawn => {
            ("question", &["kind", "by", "choice"])
        }
        K::QuestionOverridden => ("question", &["by", "was", "choice"]),
        K::TaskProgress => ("task", &["percent", "text"]),
        K::ContextChanged => ("context", &["name", "version", "bytes", "removed"]),
        K::FindingAdded => ("context", &["name", "confidence", "tags"]),
        K::ContextCompacted => ("task", &["step", "turn", "by", "dropped", "bytes_before", "bytes_after", "window"]),
        K::MemoryAdded | K::MemoryChanged => ("memory", &["scope", "owner", "version", "source", "tags"]),
        K::OutcomeRecorded => ("outcome", &["outcomes", "more", "answer"]),
        K::RatingGiven | K::RatingChanged => ("rating", &["stars", "note", "agent", "task", "was"]),
        K::MemoryForgotten => ("memory", &["scope", "owner", "reason"]),
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    let mut noun = "";
    for (kind, doc) in Kind::ALL {
        let name = kind.as_str();
        let of = name.split('.').next().unwrap_or_default();
        if of != noun {
            noun = of;
            page.push_str(&format!("\n### {noun}\n\n| kind | when | entity | payload |\n|---|---|---|---|\n"));
        }
        let (entity, fields) = payload(*kind);
        let fields: Vec<_> = fields.iter().map(|field| format!("`{field}`")).collect();
        page.push_str(&format!("| `{name}` | {} | {entity} | {} |\n", doc.trim(), fields.join(", ")));
    }
    page + TAIL
}

#[test]
fn the_page_lists_every_kind() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/events.md");
    let page = page();
    if std::env::var_os("CONVOKE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs can be written");
    }
    let stands = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stands == page,
        "docs/reference/events.md is not what the code says; run the tests with CONVOKE_UPDATE_DOCS=1"
    );
}
