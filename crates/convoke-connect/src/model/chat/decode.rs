//! A stream of Chat Completions chunks, put together.
//!
//! Servers that imitate the API differ: some leave out indices, some send whole calls, some no `[DONE]`. A reply is
//! complete when a `finish_reason` came; a stream that ends without one was cut.

use convoke_domain::transcript::{Block, Usage};
use convoke_port::model::{Delta, ModelReply, ModelRequest, StopReason};
use serde::Deserialize;
use serde_json::Value;

use crate::model::assemble::{Calls, merge_text};
use crate::model::http::{Broken, Decode, Watch, broken_by_provider, cut_short, no_limits, not_understood};

#[derive(Deserialize)]
struct Chunk {
    id: Option<String>,
    model: Option<String>,
    #[serde(default)]
    choices: Vec<Choice>,
    usage: Option<WireUsage>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    index: u32,
    delta: Option<Part>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Part {
    content: Option<String>,
    refusal: Option<String>,
    tool_calls: Option<Vec<CallPart>>,
}

#[derive(Deserialize)]
struct CallPart {
    index: Option<usize>,
    id: Option<String>,
    function: Option<FunctionPart>,
}

#[derive(Deserialize)]
struct FunctionPart {
    name: Option<String>,
    arguments: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    prompt_tokens: u64,
    #[serde(default)]
    completion_tokens: u64,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's name for cached tokens.
    prompt_cache_hit_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct PromptDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    fn read(self) -> Usage {
        let prompt = self.prompt_tokens_details.unwrap_or_default();
        Usage {
            input_tokens: self.prompt_tokens,
            cache_read_tokens: prompt.cached_tokens.or(self.prompt_cache_hit_tokens).unwrap_or(0),
            cache_write_tokens: prompt.cache_write_tokens.unwrap_or(0),
            output_tokens: self.completion_tokens,
            reasoning_tokens: self.completion_tokens_details.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

/// The state of a reply on its way.
pub(super) struct Decoder {
    model: String,
    response_id: String,
    text: String,
    refusal: String,
    calls: Calls,
    finish: Option<String>,
    usage: Option<Usage>,
}

impl Decoder {
    pub(super) fn new(request: &ModelRequest) -> Self {
        Self {
            model: request.model.clone(),
            response_id: String::new(),
            text: String::new(),
            refusal: String::new(),
            calls: Calls::new(request.turns.len()),
            finish: None,
            usage: None,
        }
    }

    fn choice(&mut self, choice: Choice, watch: Watch<'_>) {
        if let Some(part) = choice.delta {
            merge_text(&mut self.text, part.content, watch);
            merge_text(&mut self.refusal, part.refusal, watch);
            for call in part.tool_calls.unwrap_or_default() {
                self.call(call, watch);
            }
        }
        self.finish = choice.finish_reason.or(self.finish.take());
    }

    fn call(&mut self, part: CallPart, watch: Watch<'_>) {
        let (name, arguments) = part.function.map_or((None, None), |function| (function.name, function.arguments));
        let call = self.calls.at(part.index, part.id.filter(|id| !id.is_empty()));
        if let Some(name) = name.filter(|name| !name.is_empty() && call.name.is_empty()) {
            watch(Delta::ToolCall(name.clone()));
            call.name = name;
        }
        call.arguments.push_str(arguments.as_deref().unwrap_or_default());
    }

    fn stop(&self) -> StopReason {
        match self.finish.as_deref() {
            Some("length") => StopReason::MaxTokens,
            Some("content_filter") => StopReason::ContentFilter,
            _ if !self.calls.is_empty() => StopReason::ToolCalls,
            _ if !self.refusal.is_empty() => StopReason::Refusal,
            _ => StopReason::End,
        }
    }
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, watch: Watch<'_>) -> Result<bool, Broken> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        let chunk: Chunk = serde_json::from_str(data).map_err(not_understood)?;
        if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
            return Err(broken_by_provider(&error));
        }
        if let Some(id) = chunk.id.filter(|_| self.response_id.is_empty()) {
            self.response_id = id;
        }
        if let Some(model) = chunk.model.filter(|model| !model.is_empty()) {
            self.model = model;
        }
        for choice in chunk.choices.into_iter().filter(|choice| choice.index == 0) {
            self.choice(choice, watch);
        }
        self.usage = chunk.usage.map(WireUsage::read).or(self.usage);
        Ok(false)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn finish(&mut self) -> Result<ModelReply, Broken> {
        if self.finish.is_none() {
            return Err(cut_short());
        }
        let stop = self.stop();
        let texts = [std::mem::take(&mut self.text), std::mem::take(&mut self.refusal)];
        let mut blocks: Vec<_> =
            texts.into_iter().filter(|text| !text.is_empty()).map(|text| Block::Text { text }).collect();
        blocks.extend(self.calls.take());
        Ok(ModelReply {
            blocks,
            stop,
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
    use convoke_port::model::Fault;

    const TWO_CALLS: &str = include_str!("fixture/two_calls.sse");
    const TEXT: &str = include_str!("fixture/text.sse");

    fn decode(sse: &str) -> Result<ModelReply, Broken> {
        sample::decode(&mut Decoder::new(&sample::plain()), sse).0
    }

    #[test]
    fn text_with_usage() {
        insta::assert_json_snapshot!(decode(TEXT).expect("a reply"));
    }

    #[test]
    fn two_calls_with_split_arguments() {
        insta::assert_json_snapshot!(decode(TWO_CALLS).expect("a reply"));
    }

    #[tokio::test]
    async fn every_split_of_the_bytes_gives_the_same_reply() {
        sample::assert_same_at_every_split(TWO_CALLS, || Decoder::new(&sample::plain())).await;
        sample::assert_same_at_every_split(TEXT, || Decoder::new(&sample::plain())).await;
    }

    #[test]
    fn a_stream_without_finish_reason_was_cut() {
        let sse = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n";
        assert_eq!(decode(sse).expect_err("cut").fault, Fault::Cut);
    }

    #[test]
    fn nonsense_is_a_bad_reply_and_an_error_object_an_error() {
        assert_eq!(decode("data: {nope\n\n").expect_err("bad").fault, Fault::BadReply);
        let error = "data: {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\"}}\n\n";
        assert_eq!(decode(error).expect_err("an error").fault, Fault::RateLimited);
    }

    #[test]
    fn whole_calls_without_index_stay_apart() {
        let sse = concat!(
            r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"x","arguments":"{}"}}]}}]}"#,
            "\n\n",
            r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"x","arguments":"{bad"}}]},"finish_reason":"stop"}]}"#,
            "\n\n"
        );
        let reply = decode(sse).expect("a reply");
        assert_eq!(reply.stop, StopReason::ToolCalls);
        let inputs: Vec<_> = convoke_domain::transcript::calls_of(&reply.blocks).map(|call| &call.input).collect();
        assert_eq!(inputs, [&serde_json::json!({}), &serde_json::json!("{bad")]);
    }
}
