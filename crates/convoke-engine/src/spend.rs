//! The *spend* door: every model call passes here. Reserve the upper bound at every level, call, settle what was used.
//!
//! A call is tried again only where the fault can pass, and each try is reserved and journaled by itself. Tries at one
//! model are followed by the next of the agent's models.

use std::sync::Arc;

use convoke_domain::attempt::Exchange;
use convoke_domain::budget::{Amount, tokens_at_most};
use convoke_domain::compaction;
use convoke_domain::money::Money;
use convoke_domain::spec::RunSpec;
use convoke_domain::team::OnExhausted;
use convoke_domain::transcript::{Block, Turn, Usage};
use convoke_port::model::{Fault, ModelError, ModelHandle, ModelReply, ModelRequest, Origin, Tariff};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::budget;
use crate::claim::Assignment;
use crate::drive::{Driver, Halt};
use crate::journal::{Begun, Finished, Intent, Progress};
use crate::ledger::{Bill, Scope, at_bound};
use crate::pulse::PulseKind;

/// A reply as it is journaled.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Journaled {
    pub blocks: Vec<Block>,
    pub stop: convoke_domain::transcript::StopReason,
    #[serde(default)]
    pub model: String,
    #[serde(default)]
    pub response_id: String,
}

/// A conversation, and its bytes.
pub(crate) type Said = (Arc<Vec<Turn>>, usize);

/// One call at one model, ready to be made.
pub(crate) struct Call {
    handle: ModelHandle,
    full_name: String,
    request: ModelRequest,
    /// Bytes of what goes in.
    bytes: usize,
    bound: Amount,
    /// Empty, unless the call is beside the conversation.
    call_id: String,
}

/// What came of a call.
enum Made {
    /// The model's reply.
    Reply(Exchange),
    /// It was not made, or cut: the agent has something to read first.
    Interrupted,
    /// It failed.
    Failed(ModelError),
}

impl Driver {
    /// Makes the `turn`-th model call of the attempt, at whichever of the agent's models will have it. Nothing if the agent
    /// has something to read first, or if the conversation is to be compacted first. `said` is the conversation with its
    /// bytes.
    pub(crate) async fn spend(&mut self, turn: u32, said: Said, with_tools: bool) -> Result<Option<Exchange>, Halt> {
        let models = self.spec.models.get(&self.at.agent).cloned().unwrap_or_default();
        let mut last = None;
        for (place, name) in models.iter().enumerate() {
            let is_last = place + 1 == models.len();
            let call = match self.prepare(name, turn, &said, with_tools) {
                Ok(call) => call,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            match self.try_model(&call, turn, is_last).await? {
                Made::Reply(exchange) => return Ok(Some(exchange)),
                Made::Interrupted => return Ok(None),
                Made::Failed(error) => last = Some(error),
            }
        }
        if last.as_ref().is_some_and(|error| error.fault == Fault::ContextTooLong)
            && self.may_compact(turn, &said.0, with_tools)
        {
            return Ok(None);
        }
        Err(failure(last, &self.at.agent))
    }

    /// Tries one model. A failure leads to the next one.
    async fn try_model(&mut self, call: &Call, turn: u32, is_last: bool) -> Result<Made, Halt> {
        let tries = self.engine.config().call_tries.max(1);
        for tried in 1..=tries {
            let n = self.number_of_call(turn);
            let exhausted = match self.spec.team.budget.on_exhausted {
                OnExhausted::Downgrade if is_last => OnExhausted::Stop,
                policy => policy,
            };
            let begin = self.intent(call, turn, n);
            // A bell that was rung before the intent is an old one: the intent itself sees what there is to read.
            let _ = self.cut.notified().now_or_never();
            match self.journal(vec![begin], exhausted, None).await? {
                Progress::Short(shortage) => return Ok(Made::Failed(too_dear(&shortage))),
                Progress::Mail => return Ok(Made::Interrupted),
                _ => {}
            }
            let was_cut = CancellationToken::new();
            let error = match self.make(call, turn, &was_cut).await {
                Ok(reply) => return Ok(Made::Reply(self.answered(call, n, reply))),
                Err(error) => error,
            };
            self.failed(call, n, &error);
            if was_cut.is_cancelled() && !self.cancel.is_cancelled() {
                return Ok(Made::Interrupted);
            }
            if self.cancel.is_cancelled() {
                return Err(Halt::Interrupted);
            }
            if !error.fault.can_pass() || tried == tries {
                return Ok(Made::Failed(error));
            }
            self.journal(Vec::new(), exhausted, None).await?;
            self.wait_to_retry(tried - 1, &error).await?;
        }
        unreachable!("the last try returns")
    }

    /// Makes one call beside the conversation, once: nothing if it cannot be afforded or failed, or if the agent has
    /// something to read first.
    pub(crate) async fn spend_beside(
        &mut self,
        turn: u32,
        mut call: Call,
        call_id: String,
    ) -> Result<Option<Exchange>, Halt> {
        let n = self.number_of_tool(turn, &call_id);
        call.call_id = call_id;
        let begin = self.intent(&call, turn, n);
        match self.journal(vec![begin], OnExhausted::Downgrade, None).await? {
            Progress::Short(_) | Progress::Mail => return Ok(None),
            _ => {}
        }
        let was_cut = CancellationToken::new();
        match self.make(&call, turn, &was_cut).await {
            Ok(reply) => Ok(Some(self.answered(&call, n, reply))),
            Err(error) => {
                self.failed(&call, n, &error);
                if self.cancel.is_cancelled() { Err(Halt::Interrupted) } else { Ok(None) }
            }
        }
    }

    /// A call to a model of the caller's choice, about something else than the task.
    pub(crate) fn prepare_beside(
        &self,
        name: &str,
        turn: u32,
        (system, turns): (&str, Vec<Turn>),
        most: u32,
    ) -> Result<Call, ModelError> {
        let size = compaction::size(&turns);
        let mut call = self.prepare(name, turn, &(Arc::new(turns), size), false)?;
        call.request.system = system.to_owned();
        call.request.output_schema = None;
        call.request.max_output_tokens = most.min(call.handle.max_output_tokens);
        call.request.reasoning_effort = None;
        call.bytes = bytes_of(&call.request, size);
        call.bound = bound(&call.handle, &call.request, call.bytes);
        Ok(call)
    }

    fn prepare(&self, name: &str, turn: u32, said: &Said, with_tools: bool) -> Result<Call, ModelError> {
        let handle = self.engine.models().find(name)?;
        if matches!(handle.tariff, Tariff::Unpriced) && !self.spec.allow_unpriced {
            return Err(refused(format!(
                "no price is known for the model `{name}`, so its cost cannot be kept within the budget; allow it with --allow-unpriced, \
                 or add its price to a price file"
            )));
        }
        let settings = &self.profile.model_settings;
        let tools = if with_tools { self.offered.iter().map(|tool| tool.spec.clone()).collect() } else { Vec::new() };
        let request = ModelRequest {
            model: handle.name.clone(),
            system: self.system.clone(),
            turns: Arc::clone(&said.0),
            tools,
            output_schema: self.schema.clone(),
            max_output_tokens: settings.max_output_tokens.min(handle.max_output_tokens),
            temperature: settings.temperature,
            top_p: settings.top_p,
            reasoning_effort: settings.reasoning_effort,
            timeout: std::time::Duration::from_secs(settings.timeout_s),
            origin: self.origin(turn),
        };
        let bytes = bytes_of(&request, said.1);
        let bound = bound(&handle, &request, bytes);
        Ok(Call { handle, full_name: name.to_owned(), request, bytes, bound, call_id: String::new() })
    }

    fn origin(&self, turn: u32) -> Origin {
        let at = &self.at;
        Origin {
            key: format!("{}:{}:{}:m{turn}", at.run, at.task, at.attempt),
            agent: at.agent.clone(),
            stage: at.stage.clone(),
            task_key: at.key.clone(),
            run_task: at.run_task.clone(),
            round: u32::try_from(at.round).unwrap_or(u32::MAX),
            turn,
            attempt: u32::try_from(at.attempt).unwrap_or(u32::MAX),
            context: self.context.clone(),
        }
    }

    fn intent(&self, call: &Call, turn: u32, n: i64) -> Begun {
        let mut scopes = scopes(&self.spec, &self.at, self.engine.config().daily_cap, &self.engine.now().day());
        for scope in self.kin.iter().flat_map(|kin| kin.scopes(self.at.run, &self.spec)) {
            if !scopes.iter().any(|known| known.name == scope.name) {
                scopes.push(scope);
            }
        }
        let tariff = tariff_name(&call.handle.tariff);
        let call_id = call.call_id.clone();
        let what = Intent::Model { bound: call.bound, scopes, tariff, call_id };
        Begun { n, turn: turn.into(), name: call.full_name.clone(), input_hash: String::new(), what, ask: None }
    }

    /// Calls the model, until it has answered or the call is cut: `was_cut` tells.
    async fn make(&self, call: &Call, turn: u32, was_cut: &CancellationToken) -> Result<ModelReply, ModelError> {
        self.tell(PulseKind::Calling { model: call.full_name.clone(), turn });
        let watch = |delta| {
            if let convoke_port::model::Delta::Text(text) = delta {
                self.tell(PulseKind::Text(text));
            }
        };
        let token = self.cancel.child_token();
        let mut calling = std::pin::pin!(call.handle.model.call(&call.request, &watch, &token));
        let most = self.engine.config().max_answer_bytes;
        tokio::select! {
            made = &mut calling => return made.and_then(|reply| kept_whole(reply, most)),
            () = self.cut.notified() => {}
        }
        was_cut.cancel();
        token.cancel();
        calling.await.and_then(|reply| kept_whole(reply, most))
    }

    fn answered(&mut self, call: &Call, n: i64, reply: ModelReply) -> Exchange {
        if let Some(usage) = reply.usage.filter(|_| !matches!(call.handle.tariff, Tariff::Simulated(_))) {
            self.fit.measure(call.bytes, usage.input_tokens);
        }
        let bill = bill(call, reply.usage, true, Some(reply.response_id.clone()));
        self.tell(PulseKind::Billed { tokens: bill.usage.total(), cost: bill.cost });
        let kept =
            Journaled { blocks: reply.blocks, stop: reply.stop, model: reply.model, response_id: reply.response_id };
        let output = serde_json::to_string(&kept).unwrap_or_default();
        self.pending.push(Finished { n, status: "done", output: Some(output), error: None, bill: Some(bill) });
        Exchange { reply: kept.blocks, stop: kept.stop, results: Default::default() }
    }

    fn failed(&mut self, call: &Call, n: i64, error: &ModelError) {
        let bill = bill(call, error.usage, error.may_be_billed, None);
        let text = format!("{}: {}", error.fault.as_str(), error.message);
        self.pending.push(Finished { n, status: "failed", output: None, error: Some(text), bill: Some(bill) });
    }

    async fn wait_to_retry(&self, retry: u32, error: &ModelError) -> Result<(), Halt> {
        let wait = self.engine.config().call_backoff.wait(retry, fastrand::f64(), error.retry_after);
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.tell(PulseKind::Retrying { reason: error.message.clone(), wait_ms });
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            () = self.cancel.cancelled() => Err(Halt::Interrupted),
            () = self.stop.cancelled() => Err(Halt::Stopping),
        }
    }
}

/// Refuses an answer with more than `most` bytes of text: it would fill every later turn, prompt and report. Cut, it could pass
/// for a whole one. It is billed all the same.
fn kept_whole(reply: ModelReply, most: usize) -> Result<ModelReply, ModelError> {
    let bytes: usize =
        reply.blocks.iter().map(|block| if let Block::Text { text } = block { text.len() } else { 0 }).sum();
    if bytes <= most {
        return Ok(reply);
    }
    let message = format!(
        "the answer of `{}` has {bytes} bytes of text, and at most {most} are kept; give the agent a lower `max_output_tokens`, \
         or let it write long material into files",
        reply.model
    );
    let fault = Fault::AnswerTooLarge;
    Err(ModelError { fault, message, status: None, retry_after: None, may_be_billed: true, usage: reply.usage })
}

/// Bytes of what goes in, with those of the conversation.
fn bytes_of(request: &ModelRequest, turns: usize) -> usize {
    let tools: usize =
        request.tools.iter().map(|tool| tool.description.len() + tool.input_schema.to_string().len()).sum();
    let schema = request.output_schema.as_ref().map_or(0, |schema| schema.to_string().len());
    request.system.len() + turns + tools + schema
}

/// The most that a call can use: what goes in, measured in bytes, and the longest reply.
fn bound(handle: &ModelHandle, request: &ModelRequest, bytes: usize) -> Amount {
    let input = tokens_at_most(bytes);
    let output = u64::from(request.max_output_tokens);
    let cost = match handle.tariff {
        Tariff::Priced(price) | Tariff::Simulated(price) => price.at_most(input.unsigned_abs(), output),
        Tariff::Local | Tariff::Unpriced => Money::ZERO,
    };
    Amount { cost, tokens: input.saturating_add(i64::from(request.max_output_tokens)) }
}

/// The most tokens that a provider's count of one call is believed to have; no model holds a thousandth of it. Sums over
/// counts stay far from the end of the numbers.
const BELIEVABLE: u64 = 1_000_000_000;

fn is_believable(usage: &Usage) -> bool {
    let cached = usage.cache_read_tokens.max(usage.cache_write_tokens);
    usage.total().max(cached).max(usage.reasoning_tokens) <= BELIEVABLE
}

/// What a call came to. Without a count by the provider that can be believed, one that may be billed costs its bound.
fn bill(call: &Call, usage: Option<Usage>, may_be_billed: bool, response_id: Option<String>) -> Bill {
    let price = |usage| match call.handle.tariff {
        Tariff::Priced(price) | Tariff::Simulated(price) => price.of(usage),
        Tariff::Local | Tariff::Unpriced => Money::ZERO,
    };
    let (basis, usage, cost) = match usage.filter(is_believable) {
        Some(usage) => ("provider", usage, price(usage)),
        None if may_be_billed => ("bound", at_bound(call.bound.tokens), call.bound.cost),
        None => ("none", Usage::default(), Money::ZERO),
    };
    Bill {
        model: call.full_name.clone(),
        tariff: tariff_name(&call.handle.tariff).to_owned(),
        basis,
        response_id,
        usage,
        cost,
    }
}

fn tariff_name(tariff: &Tariff) -> &'static str {
    match tariff {
        Tariff::Priced(_) => "priced",
        Tariff::Local => "local",
        Tariff::Unpriced => "unpriced",
        Tariff::Simulated(_) => "simulated",
    }
}

/// The budgets that a call of this task falls under.
fn scopes(spec: &RunSpec, at: &Assignment, daily_cap: Option<Money>, day: &str) -> Vec<Scope> {
    let open = |name: String| Scope { name, cap_cost: None, cap_tokens: None };
    let rule = &spec.team.budget;
    let mut scopes = vec![
        open(format!("run:{}", at.run)),
        open(format!("session:{}", at.session)),
        Scope { name: format!("workspace:{day}"), cap_cost: daily_cap.or(spec.workspace_daily_cap), cap_tokens: None },
    ];
    if rule.max_cost_per_task_usd.is_some() {
        scopes.push(Scope {
            name: format!("task:{}", at.task),
            cap_cost: rule.max_cost_per_task_usd,
            cap_tokens: None,
        });
    }
    if rule.max_cost_per_day_usd.is_some() {
        let name = format!("team:{}:{day}", spec.team.name);
        scopes.push(Scope { name, cap_cost: rule.max_cost_per_day_usd, cap_tokens: None });
    }
    let limits = spec.profiles.get(&at.agent).map(|profile| profile.limits).unwrap_or_default();
    if limits.max_cost_usd.is_some() || limits.max_tokens.is_some() {
        let cap_tokens = limits.max_tokens.map(|tokens| i64::try_from(tokens).unwrap_or(i64::MAX));
        scopes.push(Scope { name: budget::scope(at.run, &at.agent), cap_cost: limits.max_cost_usd, cap_tokens });
    }
    scopes
}

fn refused(message: String) -> ModelError {
    ModelError { fault: Fault::BadRequest, message, status: None, retry_after: None, may_be_billed: false, usage: None }
}

fn too_dear(shortage: &convoke_domain::budget::Shortage) -> ModelError {
    refused(format!("{shortage}"))
}

fn failure(last: Option<ModelError>, agent: &str) -> Halt {
    match last {
        Some(error) => Halt::failed(error.fault.as_str(), error.message.clone(), error.fault.can_pass()),
        None => Halt::failed("no_model", format!("no model is set for agent `{agent}`"), false),
    }
}
