//! Models: one request, one reply, in words of no provider.
//!
//! An adapter makes exactly one attempt per [`Model::call`]. Trying again, falling back and paying are the engine's
//! affair, behind its *spend* door; the adapter says what went wrong and whether the call may have been billed.

use std::sync::Arc;
use std::time::Duration;

use convoke_domain::price::Price;
use convoke_domain::profile::ReasoningEffort;
pub use convoke_domain::transcript::StopReason;
use convoke_domain::transcript::{Block, Turn, Usage};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::BoxFuture;
use crate::tool::ToolSpec;

/// One model call.
#[derive(Debug, Clone)]
pub struct ModelRequest {
    /// The model's name at its provider, without the provider.
    pub model: String,
    /// Instructions.
    pub system: String,
    /// The conversation so far, beginning with the user's side. Shared: it may be long, and grows with every call.
    pub turns: Arc<Vec<Turn>>,
    /// Tools the model may call; it may call several at once.
    pub tools: Vec<ToolSpec>,
    /// JSON Schema that the final answer must fit, where the caller wants structured output.
    pub output_schema: Option<Value>,
    /// The most tokens the reply may have.
    pub max_output_tokens: u32,
    /// Sampling temperature; the provider's default if absent.
    pub temperature: Option<f64>,
    /// Nucleus sampling; the provider's default if absent.
    pub top_p: Option<f64>,
    /// How much a reasoning model should think.
    pub reasoning_effort: Option<ReasoningEffort>,
    /// Time after which the call is given up.
    pub timeout: Duration,
    /// Who asks and where it stands; for the script provider, logs and idempotency headers, never sent as content.
    pub origin: Origin,
}

/// Who asks for a model call and where it stands.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    /// Stable key of the step: `run:task:attempt:step`.
    pub key: String,
    /// The agent's profile name.
    pub agent: String,
    /// What the task is in its pattern: `plan`, `work`, `synthesis`, `validation`.
    pub stage: String,
    /// The key of the sub-task, such as `logs`; empty for plan and synthesis.
    pub task_key: String,
    /// The run's task.
    pub run_task: String,
    /// The round of member work, from 1.
    pub round: u32,
    /// The model call within the attempt, from 1.
    pub turn: u32,
    /// The attempt of the task, from 1.
    pub attempt: u32,
    /// Results of earlier stages as data, for the script provider's templates.
    pub context: Value,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelReply {
    /// The reply, in order.
    pub blocks: Vec<Block>,
    /// Why it ended.
    pub stop: StopReason,
    /// Tokens as the provider counted them; `None` where it did not say.
    pub usage: Option<Usage>,
    /// The model as the provider named it.
    pub model: String,
    /// The provider's id of the response.
    pub response_id: String,
    /// What the provider said of its limits.
    #[serde(default)]
    pub rate_limit: RateLimit,
}

/// What a provider said of its rate limits in its headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests left in the window.
    pub requests_left: Option<u64>,
    /// Tokens left in the window.
    pub tokens_left: Option<u64>,
    /// Milliseconds until the window opens again.
    pub reset_ms: Option<u64>,
}

/// What arrives while a model answers, for those who watch; never stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// More text.
    Text(String),
    /// The model began to ask for a tool.
    ToolCall(String),
}

/// What went wrong with a model call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// No key, or the provider refused it.
    Auth,
    /// Too many requests.
    RateLimited,
    /// The provider is overloaded or failed (5xx).
    Overloaded,
    /// No answer in time.
    Timeout,
    /// No connection could be made; nothing was sent.
    Connect,
    /// The connection broke after the request was sent.
    Cut,
    /// The provider says the request is wrong (4xx).
    BadRequest,
    /// The conversation does not fit the model's window.
    ContextTooLong,
    /// The provider has no such model.
    NoSuchModel,
    /// The account has no money left.
    NoCredit,
    /// The reply could not be understood.
    BadReply,
    /// The reply has more text than is kept.
    AnswerTooLarge,
    /// The call was cancelled here.
    Cancelled,
}

impl Fault {
    /// The name in JSON and error codes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Cut => "cut",
            Self::BadRequest => "bad_request",
            Self::ContextTooLong => "context_too_long",
            Self::NoSuchModel => "no_such_model",
            Self::NoCredit => "no_credit",
            Self::BadReply => "bad_reply",
            Self::AnswerTooLarge => "answer_too_large",
            Self::Cancelled => "cancelled",
        }
    }

    /// True if the same call may well succeed later.
    pub const fn can_pass(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Overloaded | Self::Timeout | Self::Connect | Self::Cut | Self::BadReply
        )
    }
}

/// A model call that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// What went wrong.
    pub fault: Fault,
    /// One sentence for people: provider, model, reason, next step. Never holds a key or the prompt.
    pub message: String,
    /// HTTP status, if there was one.
    pub status: Option<u16>,
    /// How long the provider asks to wait.
    pub retry_after: Option<Duration>,
    /// True if the provider may have billed the call although it failed.
    pub may_be_billed: bool,
    /// What it used, if it said so before it failed.
    pub usage: Option<Usage>,
}

/// One model at one provider.
pub trait Model: Send + Sync + 'static {
    /// Makes one call. `watch` is told of the reply as it arrives. Returns soon after `cancel`.
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>>;
}

/// Whose bill a model is on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", content = "price")]
pub enum Tariff {
    /// A price per token is known.
    Priced(Price),
    /// Runs on this machine: costs nothing.
    Local,
    /// Nothing is known of its price; allowed only when the user said so.
    Unpriced,
    /// A script plays the model: usage and price are simulated.
    Simulated(Price),
}

/// A model that was found, with what is known about it.
#[derive(Clone)]
pub struct ModelHandle {
    /// The adapter.
    pub model: Arc<dyn Model>,
    /// The provider, such as `openai`.
    pub provider: String,
    /// The model's name at the provider.
    pub name: String,
    /// What it costs.
    pub tariff: Tariff,
    /// Tokens that fit its window, input and output together.
    pub context_window: u64,
    /// Tokens that one reply can have.
    pub max_output_tokens: u32,
}

/// Finds models by name.
pub trait Models: Send + Sync + 'static {
    /// Finds `provider/model`, or says what is missing: no such provider, no key.
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError>;
}
