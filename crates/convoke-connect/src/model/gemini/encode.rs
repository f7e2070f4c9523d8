//! A request as Gemini wants it.
//!
//! A thought signature belongs to the part it came with. It travels as an opaque block in front of that part's block and
//! is put back onto it here.

use std::borrow::Cow;

use convoke_domain::profile::ReasoningEffort;
use convoke_domain::transcript::{Block, Speaker, Turn};
use convoke_port::model::ModelRequest;
use serde::Serialize;
use serde_json::{Value, json};

use super::NAME;
use crate::model::assemble::object;
use crate::model::schema::in_words;

/// What Google's guide to thought signatures names for calls that no Gemini model made, as after a change of provider.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    contents: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tools<'a>>,
    generation_config: Config<'a>,
}

#[derive(Serialize)]
struct Content<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Part<'a>>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<Call<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<Response<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'a str>,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    name: &'a str,
    args: Value,
}

#[derive(Serialize)]
struct Response<'a> {
    id: &'a str,
    name: &'a str,
    response: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'a> {
    function_declarations: Vec<Function<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Function<'a> {
    name: &'a str,
    description: &'a str,
    parameters_json_schema: &'a Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config<'a> {
    max_output_tokens: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<Thinking>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Thinking {
    ThinkingLevel(ReasoningEffort),
    ThinkingBudget(u32),
}

/// The body of the HTTP request.
pub(super) fn body(request: &ModelRequest) -> Vec<u8> {
    let schema = request.output_schema.as_ref();
    let (native, said) = if takes_schema(request) { (schema, None) } else { (None, schema) };
    let functions: Vec<_> = request.tools.iter().map(function).collect();
    let body = Body {
        contents: contents(request),
        system_instruction: system(request, said),
        tools: (!functions.is_empty()).then_some(Tools { function_declarations: functions }).into_iter().collect(),
        generation_config: Config {
            max_output_tokens: request.max_output_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            response_mime_type: native.map(|_| "application/json"),
            response_json_schema: native,
            thinking_config: request.reasoning_effort.map(|effort| thinking(&request.model, effort)),
        },
    };
    serde_json::to_vec(&body).expect("maps have string keys")
}

fn is_second_generation(model: &str) -> bool {
    model.starts_with("gemini-2")
}

/// The second generation refuses a response schema beside function declarations.
fn takes_schema(request: &ModelRequest) -> bool {
    request.tools.is_empty() || !is_second_generation(&request.model)
}

fn thinking(model: &str, effort: ReasoningEffort) -> Thinking {
    if !is_second_generation(model) {
        return Thinking::ThinkingLevel(effort);
    }
    Thinking::ThinkingBudget(match effort {
        ReasoningEffort::Minimal => 512,
        ReasoningEffort::Low => 1_024,
        ReasoningEffort::Medium => 8_192,
        ReasoningEffort::High => 24_576,
    })
}

fn function(spec: &convoke_port::tool::ToolSpec) -> Function<'_> {
    Function { name: &spec.name, description: &spec.description, parameters_json_schema: &spec.input_schema }
}

fn system<'a>(request: &'a ModelRequest, said: Option<&Value>) -> Option<Content<'a>> {
    let own = Some(Cow::Borrowed(request.system.as_str())).filter(|text| !text.is_empty());
    let parts: Vec<_> = own.into_iter().chain(said.map(in_words).map(Cow::Owned)).map(text).collect();
    (!parts.is_empty()).then_some(Content { role: None, parts })
}

fn contents(request: &ModelRequest) -> Vec<Content<'_>> {
    let contents = request.turns.iter().map(|turn| content(turn, &request.model));
    contents.filter(|content| !content.parts.is_empty()).collect()
}

fn content<'a>(turn: &'a Turn, model: &str) -> Content<'a> {
    let mut parts = Vec::with_capacity(turn.blocks.len());
    let mut signature = None;
    for block in &turn.blocks {
        match block {
            Block::Opaque { provider, data } if provider == NAME => {
                signature = data.get("thoughtSignature").and_then(Value::as_str).or(signature);
            }
            Block::Opaque { .. } => {}
            Block::Text { text } if text.is_empty() => {}
            other => parts.push(Part { thought_signature: signature.take(), ..part(other) }),
        }
    }
    if let Some(rest) = signature {
        parts.push(Part { thought_signature: Some(rest), ..text(Cow::Borrowed("")) });
    }
    match turn.speaker {
        Speaker::Assistant => {
            vouch_for_foreign_calls(&mut parts, model);
            Content { role: Some("model"), parts }
        }
        Speaker::User => {
            parts.sort_by_key(|part| part.function_response.is_none());
            Content { role: Some("user"), parts }
        }
    }
}

/// Since the third generation the first call of a turn must be signed, whoever made it.
fn vouch_for_foreign_calls(parts: &mut [Part<'_>], model: &str) {
    let signed = parts.iter().any(|part| part.thought_signature.is_some());
    if signed || is_second_generation(model) {
        return;
    }
    if let Some(first) = parts.iter_mut().find(|part| part.function_call.is_some()) {
        first.thought_signature = Some(NO_SIGNATURE);
    }
}

fn part(block: &Block) -> Part<'_> {
    match block {
        Block::Text { text: said } => text(Cow::Borrowed(said)),
        Block::ToolCall(call) => {
            let call = Call { id: &call.id, name: &call.name, args: object(&call.input) };
            Part { function_call: Some(call), ..Part::default() }
        }
        Block::ToolResult { call_id, name, content, is_error } => {
            let response = if *is_error { json!({ "error": content }) } else { json!({ "result": content }) };
            Part { function_response: Some(Response { id: call_id, name, response }), ..Part::default() }
        }
        Block::Opaque { .. } => Part::default(),
    }
}

fn text(text: Cow<'_, str>) -> Part<'_> {
    Part { text: Some(text), ..Part::default() }
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
    fn the_second_generation_is_told_its_schema_in_words() {
        let mut request = sample::everything();
        request.model = "gemini-2.5-pro".to_owned();
        let body = json(&request);
        assert_eq!(body["generationConfig"].get("responseJsonSchema"), None);
        assert!(
            body["systemInstruction"]["parts"][1]["text"].as_str().is_some_and(|text| text.contains("JSON Schema"))
        );
        assert_eq!(body["generationConfig"]["thinkingConfig"], serde_json::json!({"thinkingBudget": 1_024}));
    }

    #[test]
    fn calls_of_other_providers_are_vouched_for() {
        let mut request = sample::everything();
        std::sync::Arc::make_mut(&mut request.turns)[1].blocks.retain(|block| !matches!(block, Block::Opaque { .. }));
        assert_eq!(json(&request)["contents"][1]["parts"][1]["thoughtSignature"], NO_SIGNATURE);
    }
}
