//! A stream of Gemini responses, put together. Each brings whole parts; text comes in several, a call in one.

use convoke_domain::transcript::{Block, ToolCall, Usage};
use convoke_port::model::{Delta, Fault, ModelReply, ModelRequest, StopReason};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::NAME;
use crate::model::assemble::{made_up_id, merge_text};
use crate::model::http::{Broken, Decode, Watch, broken_by_provider, cut_short, no_limits, not_understood};

/// The most blocks of one reply.
const MAX_BLOCKS: usize = 1_024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk {
    #[serde(default)]
    candidates: Vec<Candidate>,
    usage_metadata: Option<WireUsage>,
    model_version: Option<String>,
    response_id: Option<String>,
    prompt_feedback: Option<Feedback>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    finish_message: Option<String>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part {
    text: Option<String>,
    #[serde(default)]
    thought: bool,
    thought_signature: Option<String>,
    function_call: Option<Call>,
}

#[derive(Deserialize)]
struct Call {
    id: Option<String>,
    #[serde(default)]
    name: String,
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireUsage {
    #[serde(default)]
    prompt_token_count: u64,
    #[serde(default)]
    tool_use_prompt_token_count: u64,
    #[serde(default)]
    cached_content_token_count: u64,
    #[serde(default)]
    candidates_token_count: u64,
    #[serde(default)]
    thoughts_token_count: u64,
}

impl WireUsage {
    fn read(&self) -> Usage {
        Usage {
            input_tokens: self.prompt_token_count + self.tool_use_prompt_token_count,
            cache_read_tokens: self.cached_content_token_count,
            cache_write_tokens: 0,
            output_tokens: self.candidates_token_count + self.thoughts_token_count,
            reasoning_tokens: self.thoughts_token_count,
        }
    }
}

/// The state of a reply on its way.
pub(super) struct Decoder {
    model: String,
    response_id: String,
    turn: usize,
    calls: usize,
    blocks: Vec<Block>,
    finish: Option<String>,
    finish_message: Option<String>,
    usage: Option<Usage>,
}

impl Decoder {
    pub(super) fn new(request: &ModelRequest) -> Self {
        Self {
            model: request.model.clone(),
            response_id: String::new(),
            turn: request.turns.len(),
            calls: 0,
            blocks: Vec::new(),
            finish: None,
            finish_message: None,
            usage: None,
        }
    }

    fn part(&mut self, part: Part, watch: Watch<'_>) -> Result<(), Broken> {
        if self.blocks.len() >= MAX_BLOCKS {
            return Err(not_understood("more parts than any reply has"));
        }
        if let Some(signature) = part.thought_signature.filter(|signature| !signature.is_empty()) {
            let data = json!({ "thoughtSignature": signature });
            self.blocks.push(Block::Opaque { provider: NAME.to_owned(), data });
        }
        if let Some(call) = part.function_call {
            self.call(call, watch);
        } else if !part.thought {
            self.text(part.text, watch);
        }
        Ok(())
    }

    /// More of the text at the end, or a new one where something else came between.
    fn text(&mut self, piece: Option<String>, watch: Watch<'_>) {
        if piece.as_ref().is_none_or(String::is_empty) {
            return;
        }
        if !matches!(self.blocks.last(), Some(Block::Text { .. })) {
            self.blocks.push(Block::Text { text: String::new() });
        }
        if let Some(Block::Text { text }) = self.blocks.last_mut() {
            merge_text(text, piece, watch);
        }
    }

    fn call(&mut self, call: Call, watch: Watch<'_>) {
        watch(Delta::ToolCall(call.name.clone()));
        let id = call.id.filter(|id| !id.is_empty()).unwrap_or_else(|| made_up_id(self.turn, self.calls));
        self.calls += 1;
        let input = call.args.filter(|args| !args.is_null()).unwrap_or_else(|| Value::Object(Map::new()));
        self.blocks.push(Block::ToolCall(ToolCall { id, name: call.name, input }));
    }

    fn stop(&self, finish: &str) -> Result<StopReason, Broken> {
        Ok(match finish {
            "STOP" | "FINISH_REASON_UNSPECIFIED" if self.calls > 0 => StopReason::ToolCalls,
            "STOP" | "FINISH_REASON_UNSPECIFIED" => StopReason::End,
            "MAX_TOKENS" => StopReason::MaxTokens,
            "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
                StopReason::ContentFilter
            }
            // `FUNCTION_CALL` and the like: no reason of Google's, but gateways give it.
            other if self.calls > 0 && !is_failure(other) => StopReason::ToolCalls,
            other => {
                let why = self.finish_message.as_deref().unwrap_or("no reason given");
                return Err(Broken { fault: Fault::BadReply, message: format!("gave up its answer: {other}, {why}") });
            }
        })
    }
}

/// Reasons of Google's that mean that the calls cannot be relied on.
fn is_failure(reason: &str) -> bool {
    reason.starts_with("MALFORMED")
        || reason.starts_with("MISSING")
        || reason.ends_with("TOOL_CALL")
        || reason.ends_with("TOOL_CALLS")
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, watch: Watch<'_>) -> Result<bool, Broken> {
        let chunk: Chunk = serde_json::from_str(data).map_err(not_understood)?;
        if let Some(error) = chunk.error {
            return Err(broken_by_provider(&error));
        }
        self.model = chunk.model_version.unwrap_or_else(|| std::mem::take(&mut self.model));
        self.response_id = chunk.response_id.unwrap_or_else(|| std::mem::take(&mut self.response_id));
        self.usage = chunk.usage_metadata.as_ref().map(WireUsage::read).or(self.usage);
        if chunk.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) {
            self.finish = Some("SAFETY".to_owned());
        }
        if let Some(candidate) = chunk.candidates.into_iter().next() {
            for part in candidate.content.map_or_else(Vec::new, |content| content.parts) {
                self.part(part, watch)?;
            }
            self.finish = candidate.finish_reason.or(self.finish.take());
            self.finish_message = candidate.finish_message.or(self.finish_message.take());
        }
        // There is no end mark: usage may follow the finish reason.
        Ok(false)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn finish(&mut self) -> Result<ModelReply, Broken> {
        let finish = self.finish.take().ok_or_else(cut_short)?;
        Ok(ModelReply {
            stop: self.stop(&finish)?,
            blocks: std::mem::take(&mut self.blocks),
            usage: self.usage,
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

    const CALLS: &str = include_str!("fixture/text_and_calls.sse");

    fn decode(sse: &str) -> Result<ModelReply, Broken> {
        sample::decode(&mut Decoder::new(&sample::plain()), sse).0
    }

    #[test]
    fn text_signature_and_two_calls() {
        insta::assert_json_snapshot!(decode(CALLS).expect("a reply"));
    }

    #[tokio::test]
    async fn every_split_of_the_bytes_gives_the_same_reply() {
        sample::assert_same_at_every_split(CALLS, || Decoder::new(&sample::plain())).await;
    }

    #[test]
    fn what_ended_the_answer_is_told_apart() {
        let ended = |reason: &str| decode(&format!("data: {{\"candidates\":[{{\"finishReason\":\"{reason}\"}}]}}\n\n"));
        assert_eq!(ended("SAFETY").expect("a reply").stop, StopReason::ContentFilter);
        assert_eq!(ended("MAX_TOKENS").expect("a reply").stop, StopReason::MaxTokens);
        assert_eq!(ended("MALFORMED_FUNCTION_CALL").expect_err("bad").fault, Fault::BadReply);
        let blocked = decode("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}\n\n");
        assert_eq!(blocked.expect("a reply").stop, StopReason::ContentFilter);
        let cut = decode("data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"half\"}]}}]}\n\n");
        assert_eq!(cut.expect_err("cut").fault, Fault::Cut);
    }
}
