//! Entries of an attempt's journal as use cases over the store's nouns.
//!
//! Rule: as in [`crate::lifecycle`], statements and events are those of the engine (`journal.rs` and `ledger.rs` there):
//! one entry records the outcome of a model call, settles and bills it, reserves the next call and records that intent.

use convoke_domain::budget::{Amount, Budget};
use convoke_domain::event::Kind;
use convoke_domain::id::WorkspaceId;
use convoke_domain::money::Money;
use convoke_domain::transcript::Usage;
use convoke_store::step::StepRef;
use convoke_store::{Error, Result, Tx, UseCase, budget, step, task, usage};
use serde_json::json;

use crate::answer::TOOL;
use crate::lifecycle::{Claimed, emit};

const MODEL: &str = "openai/gpt-4.1-mini";
const BOUND: Amount = Amount { cost: Money::from_nanos(4_000_000), tokens: 3_000 };
const BILLED: Amount = Amount { cost: Money::from_nanos(900_000), tokens: 1_450 };
const USED: Usage =
    Usage { input_tokens: 1_200, cache_read_tokens: 0, cache_write_tokens: 0, output_tokens: 250, reasoning_tokens: 0 };

/// One entry or several: step `done` is finished and the next one begun, `entries` times, in one commit.
pub struct Entries {
    /// Whose attempt.
    pub at: Claimed,
    /// The step under way; 0 for none.
    pub done: i64,
    /// How many entries.
    pub entries: i64,
}

impl UseCase for Entries {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        for done in self.done..self.done + self.entries {
            let held = task::hold(tx, self.at.task).await?;
            if held.state != "running" || held.fence != self.at.fence {
                return Err(Error::Conflict(format!("task {} is not held any more", self.at.task)));
            }
            if done > 0 {
                self.finish(tx, done).await?;
            }
            self.begin(tx, done + 1).await?;
        }
        Ok(())
    }
}

impl Entries {
    fn step(&self, n: i64) -> StepRef {
        StepRef { task: self.at.task, attempt: self.at.attempt, n }
    }

    fn scopes(&self, tx: &Tx<'_>) -> Vec<String> {
        vec![
            format!("run:{}", self.at.run),
            format!("session:{}", self.at.run),
            format!("workspace:{}", tx.now().day()),
        ]
    }

    async fn finish(&self, tx: &mut Tx<'_>, n: i64) -> Result<()> {
        let at = self.step(n);
        let reply =
            reply(n, "text", json!({"text": "The error rate rose at 10:02:14, two minutes after release 2093 began."}));
        let found = step::finish(tx, at, 0, "done", (Some(&reply), None)).await?;
        let started = found.ok_or_else(|| Error::missing("step", n))?;
        let scopes: Vec<String> = started.scopes.lines().map(str::to_owned).collect();
        let rows = budget::settle(tx, &scopes, BOUND, BILLED).await?;
        let bill = usage::NewRow {
            at,
            try_n: started.tries,
            run: started.run,
            agent: &self.at.agent,
            model: MODEL,
            tariff: "priced",
            basis: "provider",
            response_id: Some("chatcmpl-0123456789abcdef"),
            usage: USED,
            cost: BILLED.cost,
            bound_cost: BOUND.cost,
            scopes: &started.scopes,
        };
        usage::insert(tx, &bill).await?;
        if let Some(row) = rows.into_iter().map(Budget::from).find(Budget::wants_warning) {
            return Err(Error::Conflict(format!("the budget {} of the bench has no cap", row.scope)));
        }
        let payload = json!({
            "step": n, "kind": started.kind, "name": started.name, "try": started.tries,
            "tokens": USED.total(), "cost_usd": BILLED.cost.as_usd(),
        });
        self.tell(tx, Kind::StepCompleted, payload);
        Ok(())
    }

    async fn begin(&self, tx: &mut Tx<'_>, n: i64) -> Result<()> {
        let scopes = self.scopes(tx);
        let mut rows = budget::hold(tx, &scopes).await?;
        if rows.len() < scopes.len() {
            for scope in &scopes {
                budget::open(tx, scope, None, None).await?;
            }
            rows = budget::hold(tx, &scopes).await?;
        }
        for row in rows {
            Budget::from(row).admit(BOUND).map_err(|shortage| Error::Conflict(shortage.to_string()))?;
        }
        budget::reserve(tx, &scopes, BOUND).await?;
        let row = step::NewRow {
            bound_cost: BOUND.cost.as_nanos(),
            bound_tokens: BOUND.tokens,
            scopes: &scopes.join("\n"),
            tariff: "priced",
            ..row(&self.at, self.step(n), n)
        };
        step::start(tx, &row).await?;
        self.tell(tx, Kind::StepStarted, json!({"step": n, "kind": "model", "name": MODEL, "turn": n}));
        Ok(())
    }

    fn tell(&self, tx: &mut Tx<'_>, kind: Kind, payload: serde_json::Value) {
        let actor = format!("agent:{}", self.at.agent);
        emit(tx, kind, ("task", self.at.task.to_string()), (self.at.run, &actor), payload);
    }
}

fn row<'a>(at: &Claimed, step: StepRef, turn: i64) -> step::NewRow<'a> {
    step::NewRow {
        at: step,
        run: at.run,
        turn,
        kind: "model",
        name: MODEL,
        call_id: "",
        input_hash: "",
        input: None,
        fence: at.fence,
        bound_cost: 0,
        bound_tokens: 0,
        scopes: "",
        tariff: "",
    }
}

/// A reply of one block as the engine journals it.
fn reply(n: i64, kind: &str, block: serde_json::Value) -> String {
    let mut block = block;
    block["type"] = kind.into();
    let stop = if kind == "tool_call" { "tool_calls" } else { "end" };
    json!({"blocks": [block], "stop": stop, "model": "gpt-4.1-mini", "response_id": format!("chatcmpl-{n:016x}")})
        .to_string()
}

/// Finished turns of an attempt, put there without their history: a model call that asked for a tool, and the tool call.
pub struct Turns {
    /// Whose attempt.
    pub at: Claimed,
    /// The first turn, from 1.
    pub first: i64,
    /// How many.
    pub turns: i64,
}

impl UseCase for Turns {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<()> {
        for turn in self.first..self.first + self.turns {
            let (call, asked) = (self.step(turn * 2 - 1), self.step(turn * 2));
            let (id, input) = (format!("c{turn}"), json!({"glob": format!("{turn}-*")}));
            let reply = reply(turn, "tool_call", json!({"id": id, "name": TOOL, "input": input}));
            step::start(tx, &row(&self.at, call, turn)).await?;
            step::finish(tx, call, 0, "done", (Some(&reply), None)).await?;
            let args = input.to_string();
            let row = step::NewRow {
                kind: "tool",
                name: TOOL,
                call_id: &id,
                input: Some(&args),
                ..row(&self.at, asked, turn)
            };
            step::start(tx, &row).await?;
            step::finish(tx, asked, 0, "done", (Some("No file fits. The folder has no files at all."), None)).await?;
        }
        Ok(())
    }
}

impl Turns {
    fn step(&self, n: i64) -> StepRef {
        StepRef { task: self.at.task, attempt: self.at.attempt, n }
    }
}
