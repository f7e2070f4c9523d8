//! A request as Responses wants it: a flat list of items in the order in which they came about.

use convoke_domain::profile::ReasoningEffort;
use convoke_domain::transcript::{Block, Speaker, Turn};
use convoke_port::model::ModelRequest;
use serde::Serialize;
use serde_json::Value;

use super::NAME;
use crate::model::chat::arguments;
use crate::model::sampling;
use crate::model::schema::is_strict;

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    instructions: &'a str,
    input: Vec<Item<'a>>,
    stream: bool,
    store: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    include: Option<[&'static str; 1]>,
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasoning: Option<Reasoning>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Text<'a>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Item<'a> {
    Message {
        role: &'static str,
        content: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        phase: Option<&'a str>,
    },
    Call {
        r#type: &'static str,
        call_id: &'a str,
        name: &'a str,
        arguments: String,
    },
    Output {
        r#type: &'static str,
        call_id: &'a str,
        output: &'a str,
    },
    /// Reasoning, which goes back as it came.
    Opaque(&'a Value),
}

#[derive(Serialize)]
struct Reasoning {
    effort: ReasoningEffort,
}

#[derive(Serialize)]
struct Tool<'a> {
    r#type: &'static str,
    name: &'a str,
    description: &'a str,
    parameters: &'a Value,
    strict: bool,
}

#[derive(Serialize)]
struct Text<'a> {
    format: Format<'a>,
}

#[derive(Serialize)]
struct Format<'a> {
    r#type: &'static str,
    name: &'static str,
    schema: &'a Value,
    strict: bool,
}

/// The body of the HTTP request.
pub(super) fn body(request: &ModelRequest) -> Vec<u8> {
    let format = |schema| Format { r#type: "json_schema", name: "answer", schema, strict: is_strict(schema) };
    let samples = sampling::openai(&request.model);
    let body = Body {
        model: &request.model,
        instructions: &request.system,
        input: request.turns.iter().flat_map(items).collect(),
        stream: true,
        store: false,
        include: reasons(&request.model).then_some(["reasoning.encrypted_content"]),
        max_output_tokens: request.max_output_tokens,
        temperature: request.temperature.filter(|_| samples),
        top_p: request.top_p.filter(|_| samples),
        reasoning: request.reasoning_effort.map(|effort| Reasoning { effort }),
        tools: request.tools.iter().map(tool).collect(),
        text: request.output_schema.as_ref().map(|schema| Text { format: format(schema) }),
    };
    serde_json::to_vec(&body).expect("maps have string keys")
}

/// Models from before reasoning refuse to be asked for it.
fn reasons(model: &str) -> bool {
    !["gpt-4", "gpt-3", "chatgpt"].iter().any(|old| model.starts_with(old))
}

/// Not strict: strict mode refuses tools with optional arguments, and Responses would make that of them unasked.
fn tool(spec: &convoke_port::tool::ToolSpec) -> Tool<'_> {
    Tool {
        r#type: "function",
        name: &spec.name,
        description: &spec.description,
        parameters: &spec.input_schema,
        strict: false,
    }
}

fn items(turn: &Turn) -> Vec<Item<'_>> {
    let mut items = Vec::with_capacity(turn.blocks.len());
    let mut next_phase = None;
    for block in &turn.blocks {
        match block {
            Block::Text { text } if text.is_empty() => {}
            Block::Text { text } => items.push(message(turn.speaker, text, next_phase.take())),
            Block::ToolCall(call) => items.push(Item::Call {
                r#type: "function_call",
                call_id: &call.id,
                name: &call.name,
                arguments: arguments(&call.input),
            }),
            Block::ToolResult { call_id, content, .. } => {
                items.push(Item::Output { r#type: "function_call_output", call_id, output: content });
            }
            Block::Opaque { provider, data } if provider == NAME => match data.get("phase").and_then(Value::as_str) {
                Some(phase) => next_phase = Some(phase),
                None => items.push(Item::Opaque(data)),
            },
            Block::Opaque { .. } => {}
        }
    }
    if turn.speaker == Speaker::User {
        // Results belong right behind the calls they answer.
        items.sort_by_key(|item| !matches!(item, Item::Output { .. }));
    }
    items
}

fn message<'a>(speaker: Speaker, content: &'a str, phase: Option<&'a str>) -> Item<'a> {
    let role = if speaker == Speaker::User { "user" } else { "assistant" };
    Item::Message { role, content, phase }
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
}
