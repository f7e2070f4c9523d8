//! A stream of Responses events, put together. Deltas are for those who watch; the finished items are what counts.

use convoke_domain::transcript::{Block, ToolCall, Usage};
use convoke_port::model::{Delta, ModelReply, ModelRequest, StopReason};
use serde::Deserialize;
use serde_json::{Value, json};

use super::NAME;
use crate::model::assemble::input;
use crate::model::http::{Broken, Decode, Watch, broken_by_provider, cut_short, no_limits, not_understood};

/// The most items of one reply.
const MAX_ITEMS: usize = 1_024;

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Event {
    #[serde(rename = "response.created")]
    Created { response: Head },
    #[serde(rename = "response.output_item.added")]
    Added { item: Item },
    #[serde(rename = "response.output_text.delta", alias = "response.refusal.delta")]
    Text { delta: String },
    #[serde(rename = "response.output_item.done")]
    Done { output_index: Option<usize>, item: Value },
    #[serde(rename = "response.completed", alias = "response.incomplete")]
    Ended { response: Response },
    #[serde(rename = "response.failed")]
    Failed { response: Response },
    #[serde(rename = "error")]
    Error {
        #[serde(flatten)]
        error: Value,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
}

#[derive(Deserialize)]
struct Item {
    r#type: String,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    id: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    output: Vec<Value>,
    usage: Option<WireUsage>,
    incomplete_details: Option<Incomplete>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Incomplete {
    reason: Option<String>,
}

#[derive(Deserialize)]
struct WireUsage {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
    input_tokens_details: Option<InputDetails>,
    output_tokens_details: Option<OutputDetails>,
}

#[derive(Deserialize, Default)]
struct InputDetails {
    cached_tokens: Option<u64>,
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize, Default)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl WireUsage {
    fn read(&self) -> Usage {
        let input = self.input_tokens_details.as_ref();
        let output = self.output_tokens_details.as_ref();
        Usage {
            input_tokens: self.input_tokens,
            cache_read_tokens: input.and_then(|details| details.cached_tokens).unwrap_or(0),
            cache_write_tokens: input.and_then(|details| details.cache_write_tokens).unwrap_or(0),
            output_tokens: self.output_tokens,
            reasoning_tokens: output.and_then(|details| details.reasoning_tokens).unwrap_or(0),
        }
    }
}

/// The state of a reply on its way.
pub(super) struct Decoder {
    model: String,
    response_id: String,
    items: Vec<(usize, Value)>,
    usage: Option<Usage>,
    incomplete: Option<String>,
    ended: bool,
}

impl Decoder {
    pub(super) fn new(request: &ModelRequest) -> Self {
        Self {
            model: request.model.clone(),
            response_id: String::new(),
            items: Vec::new(),
            usage: None,
            incomplete: None,
            ended: false,
        }
    }

    fn name(&mut self, id: String, model: String) {
        if !id.is_empty() {
            self.response_id = id;
        }
        if !model.is_empty() {
            self.model = model;
        }
    }

    fn keep(&mut self, at: Option<usize>, item: Value) -> Result<(), Broken> {
        if self.items.len() >= MAX_ITEMS {
            return Err(not_understood("more output items than any reply has"));
        }
        self.items.push((at.unwrap_or(self.items.len()), item));
        Ok(())
    }

    fn end(&mut self, response: Response) {
        self.name(response.id, response.model);
        self.usage = response.usage.as_ref().map(WireUsage::read).or(self.usage);
        self.incomplete = response.incomplete_details.and_then(|details| details.reason);
        // The closing event repeats all items; those that came one by one are the same.
        if self.items.is_empty() {
            self.items = response.output.into_iter().take(MAX_ITEMS).enumerate().collect();
        }
        self.ended = true;
    }

    fn fail(&mut self, response: &Response) -> Broken {
        self.usage = response.usage.as_ref().map(WireUsage::read).or(self.usage);
        broken_by_provider(response.error.as_ref().unwrap_or(&Value::Null))
    }
}

/// An item as blocks, and whether it is a refusal.
fn blocks(item: Value, blocks: &mut Vec<Block>) -> bool {
    let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let opaque = |data| Block::Opaque { provider: NAME.to_owned(), data };
    match item.get("type").and_then(Value::as_str) {
        Some("message") => {
            if let Some(phase) = item.get("phase").filter(|phase| phase.is_string()) {
                blocks.push(opaque(json!({ "phase": phase })));
            }
            let parts = item.get("content").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let said: String = parts.iter().map(|part| text(part, "text") + &text(part, "refusal")).collect();
            blocks.extend((!said.is_empty()).then_some(Block::Text { text: said }));
            parts.iter().any(|part| part.get("type").is_some_and(|kind| kind == "refusal"))
        }
        Some("function_call") => {
            let input = input(&text(&item, "arguments"));
            blocks.push(Block::ToolCall(ToolCall { id: text(&item, "call_id"), name: text(&item, "name"), input }));
            false
        }
        // Without its encrypted content a reasoning item is a reference to what was not stored.
        Some("reasoning") if item.get("encrypted_content").is_some_and(Value::is_string) => {
            blocks.push(opaque(item));
            false
        }
        _ => false,
    }
}

impl Decode for Decoder {
    fn event(&mut self, data: &str, watch: Watch<'_>) -> Result<bool, Broken> {
        if data.trim() == "[DONE]" {
            return Ok(true);
        }
        match serde_json::from_str(data).map_err(not_understood)? {
            Event::Created { response } => self.name(response.id, response.model),
            Event::Added { item } => {
                if let ("function_call", Some(name)) = (item.r#type.as_str(), item.name) {
                    watch(Delta::ToolCall(name));
                }
            }
            Event::Text { delta } => watch(Delta::Text(delta)),
            Event::Done { output_index, item } => self.keep(output_index, item)?,
            Event::Ended { response } => self.end(response),
            Event::Failed { response } => return Err(self.fail(&response)),
            Event::Error { error } => return Err(broken_by_provider(error.get("error").unwrap_or(&error))),
            Event::Other => {}
        }
        Ok(self.ended)
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn finish(&mut self) -> Result<ModelReply, Broken> {
        if !self.ended {
            return Err(cut_short());
        }
        let mut made = Vec::new();
        let mut refused = false;
        let mut items = std::mem::take(&mut self.items);
        items.sort_by_key(|(at, _)| *at);
        for (_, item) in items {
            refused |= blocks(item, &mut made);
        }
        let stop = match self.incomplete.as_deref() {
            Some("content_filter") => StopReason::ContentFilter,
            Some(_) => StopReason::MaxTokens,
            None if made.iter().any(|block| matches!(block, Block::ToolCall(_))) => StopReason::ToolCalls,
            None if refused => StopReason::Refusal,
            None => StopReason::End,
        };
        Ok(ModelReply {
            blocks: made,
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

    const REASONING: &str = include_str!("fixture/reasoning_and_calls.sse");

    fn decode(sse: &str) -> (Result<ModelReply, Broken>, Vec<Delta>) {
        sample::decode(&mut Decoder::new(&sample::plain()), sse)
    }

    #[test]
    fn reasoning_text_and_two_calls() {
        let (reply, seen) = decode(REASONING);
        insta::assert_json_snapshot!(reply.expect("a reply"));
        assert_eq!(seen.len(), 4);
    }

    #[tokio::test]
    async fn every_split_of_the_bytes_gives_the_same_reply() {
        sample::assert_same_at_every_split(REASONING, || Decoder::new(&sample::plain())).await;
    }

    #[test]
    fn a_failure_says_why() {
        let failed = r#"data: {"type":"response.failed","response":{"id":"r","error":{"code":"rate_limit_exceeded","message":"slow down"}}}"#;
        assert_eq!(decode(&format!("{failed}\n\n")).0.expect_err("failed").fault, Fault::RateLimited);
        let error = r#"data: {"type":"error","code":"server_error","message":"oops","param":null,"sequence_number":3}"#;
        assert_eq!(decode(&format!("{error}\n\n")).0.expect_err("failed").fault, Fault::Overloaded);
    }

    #[test]
    fn a_stream_without_an_end_was_cut() {
        let half = REASONING.split("event: response.completed").next().expect("a beginning");
        assert_eq!(decode(half).0.expect_err("cut").fault, Fault::Cut);
    }

    #[test]
    fn too_long_an_answer_is_said_to_be() {
        let sse = r#"data: {"type":"response.incomplete","response":{"id":"r","output":[{"type":"message","content":[{"type":"output_text","text":"half"}]}],"incomplete_details":{"reason":"max_output_tokens"}}}"#;
        let reply = decode(&format!("{sse}\n\n")).0.expect("a reply");
        assert_eq!(reply.stop, StopReason::MaxTokens);
        assert_eq!(convoke_domain::transcript::text_of(&reply.blocks), "half");
    }
}
