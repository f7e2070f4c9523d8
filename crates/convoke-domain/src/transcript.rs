//! What passes between an agent and a model, in words of no provider.
//!
//! Adapters translate to and from it. What only one provider understands (signed reasoning, encrypted state) travels as
//! [`Block::Opaque`] and is echoed back to that provider alone.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Whose turn it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Speaker {
    /// The side of the runtime: prompts and tool results.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Who spoke.
    pub speaker: Speaker,
    /// What was said, in order.
    pub blocks: Vec<Block>,
}

/// One piece of a turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Block {
    /// Plain text.
    Text {
        /// The text.
        text: String,
    },
    /// The model asks for a tool.
    ToolCall(ToolCall),
    /// What the tool gave back.
    ToolResult {
        /// The [`ToolCall::id`] this answers.
        call_id: String,
        /// The tool's name.
        name: String,
        /// What it said, as the model will read it.
        content: String,
        /// True if the tool failed or was refused.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
    /// Something only `provider` understands; echoed back unchanged, dropped for any other.
    Opaque {
        /// The adapter that made it: `anthropic`, `openai`, `openai-responses`, `gemini`.
        provider: String,
        /// The provider's own JSON.
        data: Value,
    },
}

/// A model's request to run a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id for the call, unique within the conversation.
    pub id: String,
    /// The tool's name as it was offered.
    pub name: String,
    /// The arguments: a JSON object, or a JSON string where the model wrote something that is not JSON.
    pub input: Value,
}

impl Block {
    /// Bytes of what it says: a bound for its tokens.
    pub fn size(&self) -> usize {
        match self {
            Self::Text { text } => text.len(),
            Self::ToolCall(call) => call.name.len() + call.input.to_string().len(),
            Self::ToolResult { content, .. } => content.len(),
            Self::Opaque { data, .. } => data.to_string().len(),
        }
    }
}

impl Turn {
    /// A turn of the runtime that says `text`.
    pub fn user(text: impl Into<String>) -> Self {
        Self { speaker: Speaker::User, blocks: vec![Block::Text { text: text.into() }] }
    }

    /// All text of the turn, joined.
    pub fn text(&self) -> String {
        text_of(&self.blocks)
    }
}

/// All plain text of `blocks`, joined without separators.
pub fn text_of(blocks: &[Block]) -> String {
    blocks
        .iter()
        .filter_map(|block| if let Block::Text { text } = block { Some(text.as_str()) } else { None })
        .collect()
}

/// All tool calls of `blocks`, in order.
pub fn calls_of(blocks: &[Block]) -> impl Iterator<Item = &ToolCall> {
    blocks.iter().filter_map(|block| if let Block::ToolCall(call) = block { Some(call) } else { None })
}

/// Why a model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was done.
    End,
    /// It wants tools to be run.
    ToolCalls,
    /// It reached the most tokens a reply may have.
    MaxTokens,
    /// The provider's filter stopped it.
    ContentFilter,
    /// The model declined to answer.
    Refusal,
}

/// Tokens of one model call, as the provider counted them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All input tokens, those read from or written to a prompt cache included.
    pub input_tokens: u64,
    /// Input tokens that were read from a prompt cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Input tokens that were written to a prompt cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
    /// All output tokens, reasoning included.
    pub output_tokens: u64,
    /// Output tokens spent on reasoning.
    #[serde(default)]
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Input and output together.
    pub fn total(self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }
}

impl std::ops::Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            cache_read_tokens: self.cache_read_tokens.saturating_add(other.cache_read_tokens),
            cache_write_tokens: self.cache_write_tokens.saturating_add(other.cache_write_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            reasoning_tokens: self.reasoning_tokens.saturating_add(other.reasoning_tokens),
        }
    }
}
