//! The *act* door: every tool call passes here. Authority, then the record of what is about to be done, then the tool,
//! then the record of what became of it: done, failed, or unknown.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use convoke_domain::attempt::{ToolResult, canonical};
use convoke_domain::authority;
use convoke_domain::program::TOOL;
use convoke_domain::team::OnExhausted;
use convoke_domain::transcript::ToolCall;
use convoke_port::tool::{Fence, Repeat, ToolError, ToolInfo, ToolOutput, ToolRequest};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sha2::{Digest, Sha256};

use crate::approval::Ask;
use crate::desk;
use crate::drive::{Driver, Halt};
use crate::journal::{Begun, End, Finished, Intent, Progress, effect_key};
use crate::lock::guard::Stale;
use crate::pulse::PulseKind;

/// Characters of a tool's arguments that are shown to those who watch.
const ARGS_SHOWN: usize = 120;
/// Time to end a program that is late, and to measure the files it leaves.
const AFTER_PROGRAM: Duration = Duration::from_secs(30);

/// A call that was let through.
struct Admitted {
    n: i64,
    call: ToolCall,
    tool: ToolInfo,
    fence: Option<Fence>,
}

/// What a call came to.
struct Outcome {
    n: i64,
    call: ToolCall,
    tool: String,
    result: Result<ToolOutput, ToolError>,
    repeat: Repeat,
}

impl Driver {
    /// Runs the tool calls of a reply, in parallel as far as the settings allow.
    pub(crate) async fn act(&mut self, turn: u32, calls: Vec<ToolCall>) -> Result<(), Halt> {
        self.refresh_rights(&calls).await?;
        let mut begin = Vec::new();
        let mut admitted = Vec::new();
        for call in calls {
            let n = self.number_of_tool(turn, &call.id);
            if self.awaits(n) {
                continue;
            }
            match self.admit(&call) {
                Ok(tool) if let Some(desk) = desk::find(&tool.id) => begin.push(self.desk_intent(turn, n, call, desk)),
                Ok(tool) => {
                    begin.push(self.tool_intent(turn, n, &call, &tool));
                    admitted.push(Admitted { n, call, tool, fence: None });
                }
                Err((tool, rule, message)) => {
                    let what = Intent::Denied {
                        call_id: call.id.clone(),
                        args: call.input.to_string(),
                        rule,
                        message: message.clone(),
                    };
                    begin.push(Begun { n, turn: turn.into(), name: tool, input_hash: hash_of(&call), what, ask: None });
                }
            }
        }
        if begin.is_empty() {
            return self.wait_for_calls().await;
        }
        let mut under = BTreeMap::new();
        self.used_desk |= begin.iter().any(|intent| matches!(intent.what, Intent::Desk { .. }));
        if let Progress::Going(verdicts, fences) = self.journal(begin, OnExhausted::Pause, None).await? {
            admitted.retain(|call| !verdicts.iter().any(|verdict| verdict.n == call.n));
            self.take_verdicts(turn, verdicts);
            under.extend(fences);
        }
        for call in &mut admitted {
            call.fence = under.get(&call.n).copied();
        }
        self.run_all(turn, admitted).await
    }

    fn desk_intent(&self, turn: u32, n: i64, call: ToolCall, tool: &'static desk::Tool) -> Begun {
        let (input_hash, ask) = (hash_of(&call), self.ask(tool.id, &call));
        let what = Intent::Desk { call_id: call.id, args: call.input, tool, profile: Arc::clone(&self.profile) };
        Begun { n, turn: turn.into(), name: tool.id.to_owned(), input_hash, what, ask }
    }

    /// Whether the agent may make this call, and with which tool.
    fn admit(&self, call: &ToolCall) -> Result<ToolInfo, (String, &'static str, String)> {
        let Some(tool) = self.offered.iter().find(|tool| tool.spec.name == call.name) else {
            // Named by id or by a name that was never offered: the profile decides which refusal it is.
            let denied = authority::may_use(&self.profile, &call.name).err();
            let message = denied.as_ref().map_or_else(
                || format!("there is no tool `{}` now; the tools are: {}", call.name, self.tool_names()),
                |denial| format!("{}; your tools are: {}", denial.message, self.tool_names()),
            );
            return Err((call.name.clone(), denied.map_or("not_offered", |denial| denial.rule), message));
        };
        self.may_act(&tool.id).map_err(|denial| (tool.id.clone(), denial.rule, denial.message))?;
        if !call.input.is_object() {
            let message = format!("the arguments of `{}` are not a JSON object: {}", call.name, call.input);
            return Err((tool.id.clone(), "arguments", message));
        }
        Ok(tool.clone())
    }

    fn tool_names(&self) -> String {
        let names: Vec<_> = self.offered.iter().map(|tool| tool.spec.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    fn tool_intent(&self, turn: u32, n: i64, call: &ToolCall, tool: &ToolInfo) -> Begun {
        let what = Intent::Tool { call_id: call.id.clone(), args: call.input.to_string(), repeat: tool.repeat };
        let ask = self.ask(&tool.id, call);
        Begun { n, turn: turn.into(), name: tool.id.clone(), input_hash: hash_of(call), what, ask }
    }

    /// What people are asked before this call, if they must be.
    fn ask(&self, tool: &str, call: &ToolCall) -> Option<Ask> {
        Ask::of(&self.profile, tool, &call.input, &self.said())
    }

    /// Runs what was admitted. Each outcome is journaled as it comes, the last one together with what follows.
    async fn run_all(&mut self, turn: u32, admitted: Vec<Admitted>) -> Result<(), Halt> {
        let mut waiting = admitted.into_iter();
        let mut running = FuturesUnordered::new();
        let driver: &Self = self;
        for next in waiting.by_ref().take(driver.engine.config().parallel_tools.max(1)) {
            running.push(driver.run_one(next));
        }
        let mut outcomes = Vec::new();
        while let Some(outcome) = running.next().await {
            outcomes.push(outcome);
            if let Some(next) = waiting.next() {
                running.push(driver.run_one(next));
            }
            // Outcomes of effects are journaled at once; those of reading can wait for the others.
            let effects = outcomes.iter().any(|outcome: &Outcome| outcome.repeat != Repeat::Harmless);
            if effects && !running.is_empty() {
                let finish = outcomes.iter().filter_map(finished).collect::<Vec<_>>();
                driver.journal_outcomes(finish).await?;
            }
        }
        drop(running);
        self.take_in(turn, outcomes).await
    }

    /// The time of one call. A program has its own, and a little more for what comes after it.
    fn time_of(&self, tool: &ToolInfo) -> Duration {
        match self.scope.program.as_ref().filter(|_| tool.id == TOOL) {
            Some(program) => Duration::from_secs(program.timeout_s) + AFTER_PROGRAM,
            None => self.engine.config().tool_timeout,
        }
    }

    async fn run_one(&self, admitted: Admitted) -> Outcome {
        let Admitted { n, call, tool, fence } = admitted;
        let args: String = call.input.to_string().chars().take(ARGS_SHOWN).collect();
        self.tell(PulseKind::Tool { tool: tool.id.clone(), args });
        let request = ToolRequest {
            id: tool.id.clone(),
            input: call.input.clone(),
            key: effect_key(&self.at, n),
            timeout: self.time_of(&tool),
            fence,
        };
        let result = self.engine.tools().call(&self.scope, &request, &self.cancel).await;
        if let Err(ToolError::Stale(_)) = &result {
            self.note_stale(&tool.id, &call).await;
        }
        Outcome { n, call, tool: tool.id, result, repeat: tool.repeat }
    }

    /// Counts a write that its old token kept from being made. The refusal stands whether or not it can be counted.
    async fn note_stale(&self, tool: &str, call: &ToolCall) {
        let path = call.input["path"].as_str().unwrap_or_default().to_owned();
        let (run, task, agent) = (self.at.run, self.at.task, self.at.agent.clone());
        let stale = Stale { ws: self.engine.ws(), run, task, agent, tool: tool.to_owned(), path };
        if let Err(error) = self.engine.store().run(stale).await {
            tracing::warn!(%error, "a refused write could not be counted");
        }
    }

    async fn take_in(&mut self, turn: u32, outcomes: Vec<Outcome>) -> Result<(), Halt> {
        let mut unknown = Vec::new();
        for outcome in outcomes {
            self.pending.extend(finished(&outcome));
            if is_unknown(&outcome) {
                unknown.push(format!("`{}`", outcome.tool));
                continue;
            }
            let result = match outcome.result {
                Ok(output) => ToolResult { content: output.content, is_error: output.is_error },
                Err(error) => ToolResult { content: error.to_string(), is_error: true },
            };
            self.give_back(turn, &outcome.call.id, result);
        }
        if self.cancel.is_cancelled() {
            return Err(Halt::Interrupted);
        }
        if unknown.is_empty() { Ok(()) } else { Err(unknown_outcome(&unknown)) }
    }
}

/// The halt of an attempt whose tool calls may have acted, nobody knows.
pub(crate) fn unknown_outcome(tools: &[String]) -> Halt {
    let message =
        format!("the outcome of a call to {} is not known; a person must say what became of it", tools.join(", "));
    Halt::End(End::UnknownEffect { message })
}

/// A call that may have acted, with a tool that must not act twice.
fn is_unknown(outcome: &Outcome) -> bool {
    let lost = matches!(outcome.result, Err(ToolError::TimedOut(_) | ToolError::Cancelled | ToolError::Unknown(_)));
    lost && outcome.repeat == Repeat::Once
}

/// The outcome for the journal; nothing for a call that was cut and may simply be made again.
fn finished(outcome: &Outcome) -> Option<Finished> {
    let (status, output, error) = match &outcome.result {
        Ok(output) if output.is_error => ("failed", Some(output.content.clone()), None),
        Ok(output) => ("done", Some(output.content.clone()), None),
        Err(error) if is_unknown(outcome) => ("unknown", None, Some(error.to_string())),
        Err(ToolError::Cancelled) => return None,
        Err(error) => ("failed", Some(error.to_string()), Some(error.to_string())),
    };
    Some(Finished { n: outcome.n, status, output, error, bill: None })
}

/// SHA-256 of a call's name and arguments, whatever the order of their keys.
fn hash_of(call: &ToolCall) -> String {
    let digest = Sha256::digest(format!("{}\n{}", call.name, canonical(&call.input)));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
