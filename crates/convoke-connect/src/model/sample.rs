//! Requests and byte streams for the unit tests of all formats.

use std::sync::Mutex;
use std::time::Duration;

use convoke_domain::profile::ReasoningEffort;
use convoke_domain::transcript::{Block, Speaker, ToolCall, Turn};
use convoke_port::model::{Delta, ModelReply, ModelRequest, Origin};
use convoke_port::tool::ToolSpec;
use futures_util::StreamExt;
use serde_json::json;
use sse_stream::SseByteStream;

use super::http::{Broken, Decode};

/// One question.
pub(super) fn plain() -> ModelRequest {
    ModelRequest {
        model: "m-1".to_owned(),
        system: "Be brief.".to_owned(),
        turns: vec![Turn::user("What is up?")].into(),
        tools: Vec::new(),
        output_schema: None,
        max_output_tokens: 1_000,
        temperature: None,
        top_p: None,
        reasoning_effort: None,
        timeout: Duration::from_secs(5),
        origin: Origin { key: "run:task:1:1".to_owned(), ..Origin::default() },
    }
}

/// Two parallel calls, one of them malformed, their results, opaque blocks of every provider, all settings.
pub(super) fn everything() -> ModelRequest {
    let opaque = |provider: &str, data| Block::Opaque { provider: provider.to_owned(), data };
    let call = |id: &str, input| Block::ToolCall(ToolCall { id: id.to_owned(), name: "read_file".to_owned(), input });
    let result = |id: &str, content: &str, is_error| Block::ToolResult {
        call_id: id.to_owned(),
        name: "read_file".to_owned(),
        content: content.to_owned(),
        is_error,
    };
    let assistant = vec![
        opaque("anthropic", json!({"type": "thinking", "thinking": "hm", "signature": "c2ln"})),
        opaque("openai-responses", json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "e"})),
        opaque("gemini", json!({"thoughtSignature": "c2ln"})),
        Block::Text { text: "I look.".to_owned() },
        call("call:1", json!({"path": "a.log"})),
        call("call_2", json!("{\"path\": ")),
    ];
    let results = vec![
        Block::Text { text: "Go on.".to_owned() },
        result("call:1", "12 lines", false),
        result("call_2", "bad", true),
    ];
    let schema = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"], "additionalProperties": false});
    ModelRequest {
        turns: vec![
            Turn::user("What is up?"),
            Turn { speaker: Speaker::Assistant, blocks: assistant },
            Turn { speaker: Speaker::User, blocks: results },
        ]
        .into(),
        tools: vec![ToolSpec {
            name: "read_file".to_owned(),
            description: "Reads a file.".to_owned(),
            input_schema: schema.clone(),
        }],
        output_schema: Some(schema),
        temperature: Some(0.5),
        top_p: Some(0.9),
        reasoning_effort: Some(ReasoningEffort::Low),
        ..plain()
    }
}

/// Feeds the events of `sse` to `decoder`; gives what came of it and what a watcher saw.
pub(super) fn decode(decoder: &mut dyn Decode, sse: &str) -> (Result<ModelReply, Broken>, Vec<Delta>) {
    let seen = Mutex::new(Vec::new());
    let watch = |delta| seen.lock().expect("unpoisoned").push(delta);
    let reply = (|| {
        for block in sse.split("\n\n") {
            let data: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
            if !data.is_empty() && decoder.event(&data.join("\n"), &watch)? {
                break;
            }
        }
        decoder.finish()
    })();
    (reply, seen.into_inner().expect("unpoisoned"))
}

/// Cuts the bytes of `sse` in two at every position, reads them as the network would bring them, and compares.
pub(super) async fn assert_same_at_every_split<D: Decode>(sse: &'static str, decoder: impl Fn() -> D) {
    let whole = decode(&mut decoder(), sse).0.expect("the fixture is a reply");
    for at in 0..=sse.len() {
        let (head, tail) = sse.as_bytes().split_at(at);
        let bytes = futures_util::stream::iter([head, tail].map(Ok::<_, std::io::Error>));
        let mut events = SseByteStream::new(bytes);
        let mut decoder = decoder();
        while let Some(event) = events.next().await {
            let Some(data) = event.expect("well formed").data else { continue };
            if decoder.event(&data, &|_| ()).expect("understood") {
                break;
            }
        }
        assert_eq!(decoder.finish().expect("a reply"), whole, "cut at byte {at}");
    }
}
