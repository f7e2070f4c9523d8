//! One call of a script: find the entry, wait, fail if it says so, fill in the reply, stream it.

use std::time::Duration;

use convoke_domain::transcript::{Block, ToolCall};
use convoke_port::BoxFuture;
use convoke_port::model::{Delta, Fault, Model, ModelError, ModelReply, ModelRequest, Origin, RateLimit, StopReason};
use serde_json::{Map, Value};
use serde_saphyr::Spanned;
use tokio_util::sync::CancellationToken;

use super::Script;
use super::clockwork::{delay_ms, response_id, usage};
use super::file::{Entry, ScriptError, ScriptFault};
use super::template::{self, Scene, call_id};
use crate::model::refused;

/// Pieces in which a text is streamed.
const PIECES: usize = 4;
/// Steps whose faults are counted; beyond it the count begins anew.
const MAX_COUNTED: usize = 100_000;

impl Model for Script {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = cancel.cancelled() => Err(self.error(Fault::Cancelled, "was cancelled while it was called")),
                played = tokio::time::timeout(request.timeout, self.play(request, watch)) => played.unwrap_or_else(|_| {
                    let says = format!("gave no answer within {} s", request.timeout.as_secs_f64());
                    Err(ModelError { may_be_billed: true, ..self.error(Fault::Timeout, &says) })
                }),
            }
        })
    }
}

impl Script {
    fn error(&self, fault: Fault, says: &str) -> ModelError {
        refused(fault, format!("script/{} {says}", self.name))
    }

    async fn play(
        &self,
        request: &ModelRequest,
        watch: &(dyn Fn(Delta) + Send + Sync),
    ) -> Result<ModelReply, ModelError> {
        let (entry, fault) = self.entry(&request.origin)?;
        let delay = self.delay(entry, &request.origin.key);
        if let Some(fault) = fault {
            return self.fail(fault, delay).await;
        }
        let blocks = self.blocks(request, entry).map_err(|error| refused(Fault::BadRequest, error.to_string()))?;
        stream(&blocks, delay, watch).await;
        let calls = blocks.iter().any(|block| matches!(block, Block::ToolCall(_)));
        Ok(ModelReply {
            usage: Some(entry.usage.unwrap_or_else(|| usage(request, &blocks))),
            stop: if calls { StopReason::ToolCalls } else { StopReason::End },
            blocks,
            model: format!("script/{}", self.name),
            response_id: response_id(&request.origin.key),
            rate_limit: RateLimit::default(),
        })
    }

    /// The first entry that fits, and its fault if that is due. One whose faults are spent and that says nothing else
    /// gives way to the next.
    fn entry<'a>(&'a self, origin: &'a Origin) -> Result<(&'a Entry, Option<ScriptFault>), ModelError> {
        for (number, Spanned { value: entry, .. }) in self.file.fitting(origin) {
            let fault = entry.fault.filter(|_| self.is_due(number, entry, origin));
            let says_something = entry.text.is_some() || entry.json.is_some() || !entry.tools.is_empty();
            if fault.is_some() || says_something {
                return Ok((entry, fault));
            }
        }
        let Origin { agent, stage, task_key, round, turn, attempt, .. } = origin;
        let says = format!(
            "has no entry for agent {agent}, stage {stage}, task_key {task_key:?}, round {round}, turn {turn}, \
             attempt {attempt}; add one to {}",
            self.text.file
        );
        Err(self.error(Fault::BadRequest, &says))
    }

    /// True while a fault has not come as often at this step as it should. Tries and attempts of a step count together.
    fn is_due(&self, number: usize, entry: &Entry, origin: &Origin) -> bool {
        let Some(times) = entry.times else { return true };
        let mut faults = self.faults.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if faults.len() >= MAX_COUNTED {
            faults.clear();
        }
        let given = faults.entry((number, step_of(&origin.key))).or_default();
        let due = *given < times;
        *given = given.saturating_add(1);
        due
    }

    fn delay(&self, entry: &Entry, key: &str) -> Duration {
        let latency = entry.latency_ms.or(self.file.latency_ms);
        Duration::from_millis(latency.map_or(0, |latency| delay_ms(latency, key)))
    }

    async fn fail(&self, fault: ScriptFault, delay: Duration) -> Result<ModelReply, ModelError> {
        if fault == ScriptFault::Hang {
            std::future::pending::<()>().await;
        }
        pause(delay).await;
        let (fault, status, may_be_billed) = meaning(fault);
        let error = self.error(fault, &format!("plays the fault {}", fault.as_str()));
        Err(ModelError { status, may_be_billed, ..error })
    }

    fn blocks(&self, request: &ModelRequest, entry: &Entry) -> Result<Vec<Block>, ScriptError> {
        let scene = Scene::of(request, entry.needs);
        let mut blocks = Vec::with_capacity(entry.tools.len() + 1);
        if let Some(text) = &entry.text {
            blocks.push(Block::Text { text: template::text(&self.text, text, &scene)? });
        }
        if let Some(json) = &entry.json {
            blocks.push(Block::Text { text: template::answer(&self.text, json, &scene)?.to_string() });
        }
        for tool in &entry.tools {
            let input = match &tool.input {
                Some(input) => template::data(&self.text, input, &scene)?,
                None => Value::Object(Map::new()),
            };
            let id = call_id(request.origin.turn, tool.label());
            blocks.push(Block::ToolCall(ToolCall { id, name: tool.name.value.clone(), input }));
        }
        Ok(blocks)
    }
}

/// A step without its attempt: `run:task:attempt:step` becomes `run:task:step`.
fn step_of(key: &str) -> String {
    match key.split(':').collect::<Vec<_>>()[..] {
        [run, task, _, step] => format!("{run}:{task}:{step}"),
        _ => key.to_owned(),
    }
}

/// The port's word for a fault, the HTTP status a real provider would give, and whether it would bill the call.
fn meaning(fault: ScriptFault) -> (Fault, Option<u16>, bool) {
    match fault {
        ScriptFault::Auth => (Fault::Auth, Some(401), false),
        ScriptFault::RateLimited => (Fault::RateLimited, Some(429), false),
        ScriptFault::Overloaded => (Fault::Overloaded, Some(503), false),
        ScriptFault::Timeout | ScriptFault::Hang => (Fault::Timeout, None, true),
        ScriptFault::Connect => (Fault::Connect, None, false),
        ScriptFault::Cut => (Fault::Cut, None, true),
        ScriptFault::BadRequest => (Fault::BadRequest, Some(400), false),
        ScriptFault::ContextTooLong => (Fault::ContextTooLong, Some(400), false),
        ScriptFault::NoSuchModel => (Fault::NoSuchModel, Some(404), false),
        ScriptFault::NoCredit => (Fault::NoCredit, Some(402), false),
        ScriptFault::Malformed => (Fault::BadReply, Some(200), true),
    }
}

async fn pause(delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
}

/// Shows the reply piece by piece while its latency passes.
async fn stream(blocks: &[Block], delay: Duration, watch: &(dyn Fn(Delta) + Send + Sync)) {
    let pieces: Vec<Delta> = blocks.iter().flat_map(deltas).collect();
    let each = delay / u32::try_from(pieces.len().max(1)).unwrap_or(u32::MAX);
    if pieces.is_empty() {
        return pause(delay).await;
    }
    for piece in pieces {
        pause(each).await;
        watch(piece);
    }
}

fn deltas(block: &Block) -> Vec<Delta> {
    match block {
        Block::Text { text } => pieces(text).map(|piece| Delta::Text(piece.to_owned())).collect(),
        Block::ToolCall(call) => vec![Delta::ToolCall(call.name.clone())],
        Block::ToolResult { .. } | Block::Opaque { .. } => Vec::new(),
    }
}

/// `text` in about equal pieces, never cut within a character.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let size = text.len().div_ceil(PIECES).max(1);
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = (size.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at))?;
        let (piece, tail) = rest.split_at(end);
        rest = tail;
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_make_up_the_text() {
        for text in ["", "a", "äöü", "a longer text with 🌍 in it"] {
            let parts: Vec<_> = pieces(text).collect();
            assert_eq!(parts.concat(), text);
            assert!(parts.len() <= PIECES);
        }
    }

    #[test]
    fn attempts_of_a_step_count_together() {
        assert_eq!(step_of("run:task:2:5"), "run:task:5");
        assert_eq!(step_of("odd"), "odd");
    }
}
