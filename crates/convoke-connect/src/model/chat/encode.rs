//! A request as Chat Completions wants it. Borrows everything: a long conversation is not copied to be sent.

use std::borrow::Cow;

use convoke_domain::profile::ReasoningEffort;
use convoke_domain::transcript::{Block, Speaker, Turn};
use convoke_port::model::ModelRequest;
use serde::Serialize;
use serde_json::Value;

use super::Dialect;
use crate::model::assemble::text;
use crate::model::sampling;
use crate::model::schema::is_strict;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: Vec<Message<'a>>,
    stream: bool,
    stream_options: StreamOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_completion_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning_effort: Option<ReasoningEffort>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_format: Option<ResponseFormat<'a>>,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    role: &'static str,
    /// `null` is what the API wants of an assistant that only calls tools.
    content: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: FunctionCall<'a>,
}

#[derive(Serialize)]
struct FunctionCall<'a> {
    name: &'a str,
    arguments: String,
}

#[derive(Serialize)]
struct Tool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
}

#[derive(Serialize)]
struct ResponseFormat<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    json_schema: JsonSchema<'a>,
}

#[derive(Serialize)]
struct JsonSchema<'a> {
    name: &'static str,
    schema: &'a Value,
    strict: bool,
}

/// The body of the HTTP request.
pub(super) fn body(request: &ModelRequest, dialect: Dialect) -> Vec<u8> {
    let limit = Some(request.max_output_tokens);
    let samples = dialect == Dialect::Compatible || sampling::openai(&request.model);
    let body = Body {
        model: &request.model,
        messages: messages(request),
        stream: true,
        stream_options: StreamOptions { include_usage: true },
        max_completion_tokens: limit.filter(|_| dialect == Dialect::OpenAi),
        max_tokens: limit.filter(|_| dialect == Dialect::Compatible),
        temperature: request.temperature.filter(|_| samples),
        top_p: request.top_p.filter(|_| samples),
        reasoning_effort: request.reasoning_effort,
        tools: request.tools.iter().map(tool).collect(),
        response_format: request.output_schema.as_ref().map(response_format),
    };
    serde_json::to_vec(&body).expect("maps have string keys")
}

fn tool(spec: &convoke_port::tool::ToolSpec) -> Tool<'_> {
    let function = Function { name: &spec.name, description: &spec.description, parameters: &spec.input_schema };
    Tool { kind: "function", function }
}

fn response_format(schema: &Value) -> ResponseFormat<'_> {
    let json_schema = JsonSchema { name: "answer", schema, strict: is_strict(schema) };
    ResponseFormat { kind: "json_schema", json_schema }
}

fn messages(request: &ModelRequest) -> Vec<Message<'_>> {
    let mut messages = Vec::with_capacity(request.turns.len() + 1);
    if !request.system.is_empty() {
        messages.push(plain("system", Cow::Borrowed(&request.system)));
    }
    for turn in request.turns.iter() {
        match turn.speaker {
            Speaker::User => user(turn, &mut messages),
            Speaker::Assistant => messages.extend(assistant(turn)),
        }
    }
    messages
}

/// Results first: the API wants them right behind the calls they answer.
fn user<'a>(turn: &'a Turn, messages: &mut Vec<Message<'a>>) {
    messages.extend(turn.blocks.iter().filter_map(|block| match block {
        Block::ToolResult { call_id, content, .. } => {
            Some(Message { tool_call_id: Some(call_id), ..plain("tool", Cow::Borrowed(content)) })
        }
        _ => None,
    }));
    let text = text(&turn.blocks);
    if !text.is_empty() {
        messages.push(plain("user", text));
    }
}

fn assistant(turn: &Turn) -> Option<Message<'_>> {
    let tool_calls: Vec<_> = convoke_domain::transcript::calls_of(&turn.blocks)
        .map(|call| ToolCall {
            id: &call.id,
            kind: "function",
            function: FunctionCall { name: &call.name, arguments: arguments(&call.input) },
        })
        .collect();
    let content = Some(text(&turn.blocks)).filter(|text| !text.is_empty());
    let says_something = content.is_some() || !tool_calls.is_empty();
    says_something.then_some(Message { role: "assistant", content, tool_calls, tool_call_id: None })
}

/// Arguments as the text they came as; what was no JSON goes back as it was.
pub(in crate::model) fn arguments(input: &Value) -> String {
    input.as_str().map_or_else(|| input.to_string(), str::to_owned)
}

fn plain<'a>(role: &'static str, content: Cow<'a, str>) -> Message<'a> {
    Message { role, content: Some(content), tool_calls: Vec::new(), tool_call_id: None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample;

    fn json(request: &ModelRequest, dialect: Dialect) -> Value {
        serde_json::from_slice(&body(request, dialect)).expect("JSON")
    }

    #[test]
    fn plain_request() {
        insta::assert_json_snapshot!(json(&sample::plain(), Dialect::OpenAi));
    }

    #[test]
    fn tools_results_schema_and_settings() {
        insta::assert_json_snapshot!(json(&sample::everything(), Dialect::OpenAi));
    }

    #[test]
    fn compatible_servers_get_the_name_they_know() {
        let body = json(&sample::plain(), Dialect::Compatible);
        assert_eq!(body["max_tokens"], 1_000);
        assert_eq!(body.get("max_completion_tokens"), None);
    }
}
