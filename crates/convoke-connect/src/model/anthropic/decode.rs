//! A stream of Anthropic Messages events, put together. Thinking is kept as it came, signature and all.

use convoke_domain::transcript::{Block, ToolCall, Usage};
use convoke_port::model::{Delta, ModelReply, ModelRequest, StopReason};
use serde::Deserialize;
use serde_json::{Value, json};

use super::NAME;
use crate::model::assemble::{input, merge_text};
use crate::model::http::{Broken, Decode, Watch, broken_by_provider, cut_short, no_limits, not_understood};

/// The most content blocks of one reply.
const MAX_BLOCKS: usize = 1_024;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    MessageStart {
        message: Start,
    },
    ContentBlockStart {
        index: usize,
        content_block: Value,
    },
    ContentBlockDelta {
        index: usize,
        delta: Piece,
    },
    MessageDelta {
        delta: End,
        usage: Option<WireUsage>,
    },
    MessageStop {},
    Error {
        error: Value,
    },
    /// `ping`, `content_block_stop`, and whatever comes later: the API asks clients to pass over what they do not know.
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Start {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    usage: Option<WireUsage>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Piece {
    TextDelta {
        text: String,
    },
    InputJsonDelta {
        partial_json: String,
    },
    ThinkingDelta {
        thinking: String,
    },
    SignatureDelta {
        signature: String,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct End {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize)]
struct OutputDetails {
    thinking_tokens: Option<u64>,
}

/// Counts as Anthropic sends them: cached tokens beside the input, each number the last one said.
#[derive(Default, Clone, Copy)]
struct Counts {
    fresh: u64,
    read: u64,
    written: u64,
    output: u64,
    thinking: u64,
}

enum Part {
    Text(String),
    Call { id: String, name: String, arguments: String, given: Value },
    Thinking { thinking: String, signature: String },
    Redacted(Value),
    Unknown,
}

/// The state of a reply on its way.
pub(super) struct Decoder {
    model: String,
    response_id: String,
    parts: Vec<Part>,
    counts: Option<Counts>,
    stop: Option<String>,
    ended: bool,
}

impl Decoder {
    pub(super) fn new(request: &ModelRequest) -> Self {
        Self {
            model: request.model.clone(),
            response_id: String::new(),
            parts: Vec::new(),
            counts: None,
            stop: None,
            ended: false,
        }
    }

    fn begin(&mut self, start: Start) {
        self.response_id = start.id;
        if !start.model.is_empty() {
            self.model = start.model;
        }
        self.count(start.usage);
    }

    fn count(&mut self, usage: Option<WireUsage>) {
        let Some(usage) = usage else { return };
        let counts = self.counts.get_or_insert_default();
        let thinking = usage.output_tokens_details.and_then(|details| details.thinking_tokens);
        for (count, said) in [
            (&mut counts.fresh, usage.input_tokens),
            (&mut counts.written, usage.cache_creation_input_tokens),
            (&mut counts.read, usage.cache_read_input_tokens),
            (&mut counts.output, usage.output_tokens),
            (&mut counts.thinking, thinking),
        ] {
            *count = said.unwrap_or(*count);
        }
    }

    fn open(&mut self, index: usize, block: Value, watch: Watch<'_>) -> Result<(), Broken> {
        if index >= MAX_BLOCKS {
            return Err(not_understood("more content blocks than any reply has"));
        }
        self.parts.resize_with(self.parts.len().max(index + 1), || Part::Unknown);
        self.parts[index] = part(block, watch);
        Ok(())
    }

    fn add(&mut self, index: usize, piece: Piece, watch: Watch<'_>) {
        match (self.parts.get_mut(index), piece) {
            (Some(Part::Text(text)), Piece::TextDelta { text: more }) => merge_text(text, Some(more), watch),
            (Some(Part::Call { arguments, .. }), Piece::InputJsonDelta { partial_json }) => {
                arguments.push_str(&partial_json);
            }
            (Some(Part::Thinking { thinking, .. }), Piece::ThinkingDelta { thinking: more }) => {
                thinking.push_str(&more)
            }
            (Some(Part::Thinking { signature, .. }), Piece::SignatureDelta { signature: more }) => {
                signature.push_str(&more);
            }
            _ => {}
        }
    }

    fn reason(&self, calls: bool) -> StopReason {
        match self.stop.as_deref() {
            Some("max_tokens" | "model_context_window_exceeded") => StopReason::MaxTokens,
            Some("refusal") => StopReason::Refusal,
            _ if calls => StopReason::ToolCalls,
            _ => StopReason::End,
        }
    }
}

fn part(block: Value, watch: Watch<'_>) -> Part {
    let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    match block.get("type").and_then(Value::as_str) {
        Some("text") => {
            let mut said = String::new();
            merge_text(&mut said, Some(text("text")), watch);
            Part::Text(said)
        }
        Some("tool_use") => {
            watch(Delta::ToolCall(text("name")));
            let given = block.get("input").cloned().unwrap_or_default();
            Part::Call { id: text("id"), name: text("name"), arguments: String::new(), given }
        }
        Some("thinking") => Part::Thinking { thinking: text("thinking"), signature: text("signature") },
        Some("redacted_thinking") => Part::Redacted(block),
        _ => Part::Unknown,
    }
}

fn block(part: Part) -> Option<Block> {
    let opaque = |data| Some(Block::Opaque { provider: NAME.to_owned(), data });
    match part {
        Part::Text(text) => (!text.is_empty()).then_some(Block::Text { text }),
        Part::Call { id, name, arguments, given } => {
            let input = if arguments.is_empty() && given.is_object() { given } else { input(&arguments) };
            Some(Block::ToolCall(ToolCall { id, name, input }))
        }
        Part::Thinking { thinking, signature } => {
            opaque(json!({"type": "thinking", "thinking": thinking, "signature": signature}))
        }
        Part::Redacted(data) => opaque(data),
        Part::Unknown => None,
    }
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, watch: Watch<'_>) -> Result<bool, Broken> {
        match serde_json::from_str(data).map_err(not_understood)? {
            Event::MessageStart { message } => self.begin(message),
            Event::ContentBlockStart { index, content_block } => self.open(index, content_block, watch)?,
            Event::ContentBlockDelta { index, delta } => self.add(index, delta, watch),
            Event::MessageDelta { delta, usage } => {
                self.stop = delta.stop_reason.or(self.stop.take());
                self.count(usage);
            }
            Event::MessageStop {} => self.ended = true,
            Event::Error { error } => return Err(broken_by_provider(&error)),
            Event::Other => {}
        }
        Ok(self.ended)
    }

    fn usage(&self) -> Option<Usage> {
        self.counts.map(|counts| Usage {
            input_tokens: counts.fresh + counts.read + counts.written,
            cache_read_tokens: counts.read,
            cache_write_tokens: counts.written,
            output_tokens: counts.output,
            reasoning_tokens: counts.thinking,
        })
    }

    fn finish(&mut self) -> Result<ModelReply, Broken> {
        if !self.ended && self.stop.is_none() {
            return Err(cut_short());
        }
        let blocks: Vec<_> = std::mem::take(&mut self.parts).into_iter().filter_map(block).collect();
        let calls = blocks.iter().any(|block| matches!(block, Block::ToolCall(_)));
        Ok(ModelReply {
            stop: self.reason(calls),
            blocks,
            usage: self.usage(),
            model: std::mem::take(&mut self.model),
            response_id: std::mem::take(&mut self.response_id),
            rate_limit: no_limits(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;
    use convoke_port::model::Fault;

    const THINKING: &str = include_str!("fixture/thinking_and_calls.sse");

    fn decode(sse: &str) -> (Result<ModelReply, Broken>, Vec<Delta>) {
        sample::decode(&mut Decoder::new(&sample::plain()), sse)
    }

    #[test]
    fn thinking_text_and_two_calls() {
        let (reply, seen) = decode(THINKING);
        insta::assert_json_snapshot!(reply.expect("a reply"));
        let calls = seen.iter().filter(|delta| matches!(delta, Delta::ToolCall(_))).count();
        assert_eq!(calls, 2);
    }

    #[tokio::test]
    async fn every_split_of_the_bytes_gives_the_same_reply() {
        sample::assert_same_at_every_split(THINKING, || Decoder::new(&sample::plain())).await;
    }

    #[test]
    fn an_error_event_keeps_what_was_used() {
        let sse = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"x\",\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n\
                   data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
        let mut decoder = Decoder::new(&sample::plain());
        let (reply, _) = sample::decode(&mut decoder, sse);
        assert_eq!(reply.expect_err("an error").fault, Fault::Overloaded);
        assert_eq!(decoder.usage().map(|usage| (usage.input_tokens, usage.output_tokens)), Some((9, 1)));
    }

    #[test]
    fn a_stream_without_an_end_was_cut() {
        let half = THINKING.split("event: message_delta").next().expect("a beginning");
        assert_eq!(decode(half).0.expect_err("cut").fault, Fault::Cut);
    }
}
