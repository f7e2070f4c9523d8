//! A request as Anthropic Messages wants it, with marks where its prompt cache may cut.

use std::borrow::Cow;

use convoke_domain::profile::ReasoningEffort;
use convoke_domain::transcript::{Block, Speaker, Turn};
use convoke_port::model::ModelRequest;
use serde::Serialize;
use serde_json::Value;

use super::NAME;
use crate::model::assemble::object;
use crate::model::sampling;
use crate::model::schema::{closed, in_words};

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    max_tokens: u32,
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<Thinking>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig>,
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'a str,
    description: &'a str,
    input_schema: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    content: Vec<Content<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Known(Known<'a>),
    /// Thinking, which goes back as it came.
    Opaque(&'a Value),
}

#[derive(Serialize)]
struct Known<'a> {
    #[serde(flatten)]
    part: Part<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_control: Option<CacheControl>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Part<'a> {
    Text {
        text: Cow<'a, str>,
    },
    ToolUse {
        id: Cow<'a, str>,
        name: &'a str,
        input: Value,
    },
    ToolResult {
        tool_use_id: Cow<'a, str>,
        content: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        is_error: bool,
    },
}

#[derive(Serialize, Clone, Copy)]
#[serde(tag = "type", rename = "ephemeral")]
struct CacheControl {}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Thinking {
    Adaptive,
    Enabled { budget_tokens: u32 },
}

#[derive(Serialize)]
struct OutputConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format>,
}

#[derive(Serialize)]
#[serde(tag = "type", rename = "json_schema")]
struct Format {
    schema: Value,
}

/// The body of the HTTP request.
pub(super) fn body(request: &ModelRequest) -> Vec<u8> {
    let schema = request.output_schema.as_ref();
    let format = schema.and_then(closed).map(|schema| Format { schema });
    let words = schema.filter(|_| format.is_none()).map(in_words);
    let (thinking, effort) = thinking(request);
    let output_config = (effort.is_some() || format.is_some()).then_some(OutputConfig { effort, format });
    // No sampling settings beside thinking, and only one of the two.
    let samples = thinking.is_none() && sampling::anthropic(&request.model);
    let body = Body {
        model: &request.model,
        max_tokens: request.max_output_tokens,
        stream: true,
        system: system(request, words),
        tools: tools(request),
        messages: messages(request),
        temperature: request.temperature.filter(|_| samples),
        top_p: request.top_p.filter(|_| samples && request.temperature.is_none()),
        thinking,
        output_config,
    };
    serde_json::to_vec(&body).expect("maps have string keys")
}

fn system(request: &ModelRequest, words: Option<String>) -> Vec<Content<'_>> {
    let own = Some(Cow::Borrowed(request.system.as_str())).filter(|text| !text.is_empty());
    let mut parts: Vec<_> = own.into_iter().chain(words.map(Cow::Owned)).map(text).collect();
    mark(parts.last_mut());
    parts
}

/// The cache reads tools before instructions: a mark on the last tool keeps them when only the instructions change.
fn tools(request: &ModelRequest) -> Vec<Tool<'_>> {
    let last = request.tools.len().saturating_sub(1);
    let tools = request.tools.iter().enumerate();
    tools
        .map(|(at, tool)| Tool {
            name: &tool.name,
            description: &tool.description,
            input_schema: &tool.input_schema,
            cache_control: (at == last).then_some(CacheControl {}),
        })
        .collect()
}

fn messages(request: &ModelRequest) -> Vec<Message<'_>> {
    let turns = request.turns.iter();
    let mut messages: Vec<_> = turns.map(message).filter(|message| !message.content.is_empty()).collect();
    // With tools the next call will most likely begin with all of this: let the cache keep it.
    if !request.tools.is_empty() {
        mark(messages.last_mut().and_then(|message| message.content.last_mut()));
    }
    messages
}

fn mark(content: Option<&mut Content<'_>>) {
    if let Some(Content::Known(known)) = content {
        known.cache_control = Some(CacheControl {});
    }
}

fn message(turn: &Turn) -> Message<'_> {
    let mut content: Vec<_> = turn.blocks.iter().filter_map(content).collect();
    match turn.speaker {
        Speaker::Assistant => Message { role: "assistant", content },
        Speaker::User => {
            // Results have to come before text.
            content
                .sort_by_key(|content| !matches!(content, Content::Known(Known { part: Part::ToolResult { .. }, .. })));
            Message { role: "user", content }
        }
    }
}

fn content(block: &Block) -> Option<Content<'_>> {
    Some(match block {
        Block::Text { text: said } if said.trim().is_empty() => return None,
        Block::Text { text: said } => text(Cow::Borrowed(said)),
        Block::ToolCall(call) => {
            known(Part::ToolUse { id: clean_id(&call.id), name: &call.name, input: object(&call.input) })
        }
        Block::ToolResult { call_id, content, is_error, .. } => {
            // The API refuses an error that says nothing.
            let content = if *is_error && content.is_empty() { "failed without a message" } else { content };
            known(Part::ToolResult { tool_use_id: clean_id(call_id), content, is_error: *is_error })
        }
        Block::Opaque { provider, data } if provider == NAME => Content::Opaque(data),
        Block::Opaque { .. } => return None,
    })
}

fn text(text: Cow<'_, str>) -> Content<'_> {
    known(Part::Text { text })
}

fn known(part: Part<'_>) -> Content<'_> {
    Content::Known(Known { part, cache_control: None })
}

/// Other providers' ids may hold characters that Anthropic refuses.
fn clean_id(id: &str) -> Cow<'_, str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if id.chars().all(fits) { Cow::Borrowed(id) } else { id.chars().map(|c| if fits(c) { c } else { '_' }).collect() }
}

/// Thinking as the model's generation is told of it: a budget up to 4.5, an effort since.
fn thinking(request: &ModelRequest) -> (Option<Thinking>, Option<&'static str>) {
    let Some(effort) = request.reasoning_effort else { return (None, None) };
    if takes_budget(&request.model) {
        return (budget(effort, request.max_output_tokens), None);
    }
    let effort = match effort {
        ReasoningEffort::Minimal | ReasoningEffort::Low => "low",
        ReasoningEffort::Medium => "medium",
        ReasoningEffort::High => "high",
    };
    (Some(Thinking::Adaptive), Some(effort))
}

fn takes_budget(model: &str) -> bool {
    ["claude-opus-4-5", "claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-1", "claude-3"]
        .iter()
        .any(|old| model.starts_with(old))
}

/// A part of the output, since thinking counts as output; nothing where the API's least budget would not fit.
fn budget(effort: ReasoningEffort, max_tokens: u32) -> Option<Thinking> {
    const LEAST: u32 = 1_024;
    let budget_tokens = match effort {
        ReasoningEffort::Minimal => return None,
        ReasoningEffort::Low => max_tokens / 4,
        ReasoningEffort::Medium => max_tokens / 2,
        ReasoningEffort::High => max_tokens / 4 * 3,
    };
    (budget_tokens >= LEAST).then_some(Thinking::Enabled { budget_tokens })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;

    fn json(request: &ModelRequest) -> Value {
        serde_json::from_slice(&body(request)).expect("JSON")
    }

    #[test]
    fn plain_request() {
        insta::assert_json_snapshot!(json(&sample::plain()));
    }

    #[test]
    fn tools_results_schema_and_settings() {
        insta::assert_json_snapshot!(json(&sample::everything()));
    }

    #[test]
    fn older_models_get_a_budget_and_no_sampling() {
        let mut request = sample::everything();
        request.model = "claude-haiku-4-5".to_owned();
        request.max_output_tokens = 8_000;
        let body = json(&request);
        assert_eq!(body["thinking"], serde_json::json!({"type": "enabled", "budget_tokens": 2_000}));
        assert_eq!(body.get("temperature"), None);
        assert_eq!(body["output_config"].get("effort"), None);
        request.reasoning_effort = None;
        let body = json(&request);
        assert_eq!((&body["temperature"], body.get("top_p")), (&serde_json::json!(0.5), None));
    }

    #[test]
    fn a_schema_that_cannot_be_sent_is_said() {
        let mut request = sample::plain();
        request.output_schema = Some(serde_json::json!({"type": "object"}));
        let body = json(&request);
        assert_eq!(body.get("output_config"), None);
        assert!(body["system"][1]["text"].as_str().is_some_and(|text| text.ends_with(r#"{"type":"object"}"#)));
    }
}
