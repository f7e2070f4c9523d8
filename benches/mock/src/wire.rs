//! The bytes of an answer in the Chat Completions format, whole or as a stream of events.
//!
//! Written by hand around the parts that vary: building trees of values would cost more than all the rest.

use std::fmt::Write;

use crate::options::Usage;
use crate::reply::Reply;

/// Seconds since 1970 that every answer claims to be made at; a real time would make answers differ.
const CREATED: u64 = 1_700_000_000;

/// What all parts of one answer have in common.
pub(crate) struct Answer<'a> {
    pub(crate) id: &'a str,
    pub(crate) model: &'a str,
    pub(crate) reply: &'a Reply,
    pub(crate) usage: Usage,
}

impl Answer<'_> {
    /// The whole answer as one JSON body.
    pub(crate) fn body(&self) -> String {
        let message = match self.reply {
            Reply::ToolCalls(_) | Reply::RawToolCall(..) => {
                format!(r#""content":null,"tool_calls":[{}]"#, self.tool_calls(false))
            }
            other => format!(r#""content":{}"#, quote(&text(other))),
        };
        format!(
            r#"{{"id":"{}","object":"chat.completion","created":{CREATED},"model":{},"choices":[{{"index":0,"message":{{"role":"assistant",{message},"refusal":null}},"logprobs":null,"finish_reason":"{}"}}],"usage":{}}}"#,
            self.id,
            quote(self.model),
            self.reply.finish_reason(),
            usage(self.usage),
        )
    }

    /// The events of a streamed answer, each with its `data:` and blank line.
    pub(crate) fn events(&self, chunks: usize, with_usage: bool) -> Vec<String> {
        let mut events = vec![self.event(r#""role":"assistant","content":"""#, None)];
        match self.reply {
            Reply::ToolCalls(_) | Reply::RawToolCall(..) => {
                events.push(self.event(&format!(r#""tool_calls":[{}]"#, self.tool_calls(true)), None));
            }
            other => {
                let text = text(other);
                let parts = split(&text, chunks);
                events.extend(parts.map(|part| self.event(&format!(r#""content":{}"#, quote(part)), None)));
            }
        }
        events.push(self.event("", Some(self.reply.finish_reason())));
        if with_usage {
            events.push(self.envelope(&format!(r#""choices":[],"usage":{}"#, usage(self.usage))));
        }
        events.push("data: [DONE]\n\n".to_owned());
        events
    }

    fn event(&self, delta: &str, finish: Option<&str>) -> String {
        let finish = finish.map_or("null".to_owned(), |reason| format!("\"{reason}\""));
        self.envelope(&format!(r#""choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]"#))
    }

    fn envelope(&self, rest: &str) -> String {
        let model = quote(self.model);
        let id = self.id;
        format!(
            "data: {{\"id\":\"{id}\",\"object\":\"chat.completion.chunk\",\"created\":{CREATED},\"model\":{model},{rest}}}\n\n"
        )
    }

    /// Tool calls; in a stream each says its place. Arguments are JSON in a string.
    fn tool_calls(&self, in_stream: bool) -> String {
        let calls: Vec<(&str, String)> = match self.reply {
            Reply::ToolCalls(calls) => calls.iter().map(|(name, value)| (name.as_str(), value.to_string())).collect(),
            Reply::RawToolCall(name, arguments) => vec![(name, arguments.clone())],
            Reply::Text(_) | Reply::Json(_) => Vec::new(),
        };
        let mut out = String::new();
        for (index, (name, arguments)) in calls.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let place = if in_stream { format!(r#""index":{index},"#) } else { String::new() };
            let (id, name, arguments) = (self.id, quote(name), quote(arguments));
            write!(
                out,
                r#"{comma}{{{place}"id":"call_{id}_{index}","type":"function","function":{{"name":{name},"arguments":{arguments}}}}}"#
            )
            .expect("a string takes all that is written");
        }
        out
    }
}

/// Wraps a JSON body in a response.
pub(crate) fn response(status: &str, extra: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{extra}content-length: {length}\r\n\r\n{body}")
        .into_bytes()
}

/// Wraps events in a chunked response.
pub(crate) fn stream(events: &[String]) -> Vec<u8> {
    let mut out = String::with_capacity(events.iter().map(String::len).sum::<usize>() + 64 * events.len() + 160);
    out.push_str("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\n");
    out.push_str("transfer-encoding: chunked\r\n\r\n");
    for event in events {
        write!(out, "{:x}\r\n{event}\r\n", event.len()).expect("a string takes all that is written");
    }
    out.push_str("0\r\n\r\n");
    out.into_bytes()
}

/// An error body as the API writes it.
pub(crate) fn error(kind: &str, message: &str) -> String {
    format!(r#"{{"error":{{"message":{},"type":"{kind}","param":null,"code":"{kind}"}}}}"#, quote(message))
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Text(text) => text.clone(),
        Reply::Json(value) => value.to_string(),
        Reply::ToolCalls(_) | Reply::RawToolCall(..) => String::new(),
    }
}

/// Cuts a text into so many parts or fewer, never inside a character.
fn split(text: &str, parts: usize) -> impl Iterator<Item = &str> {
    let size = text.len().div_ceil(parts.max(1)).max(1);
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = (size.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at))?;
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

fn usage(usage: Usage) -> String {
    let Usage { prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens } = usage;
    let total = prompt_tokens + completion_tokens;
    format!(
        r#"{{"prompt_tokens":{prompt_tokens},"completion_tokens":{completion_tokens},"total_tokens":{total},"prompt_tokens_details":{{"cached_tokens":{cached_tokens}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning_tokens}}}}}"#
    )
}

fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn answer(reply: &Reply) -> Answer<'_> {
        Answer { id: "chatcmpl-1", model: "m\"1", reply, usage: Usage::default() }
    }

    #[test]
    fn a_body_is_json_with_text_and_usage() {
        let reply = Reply::Text("a \"b\"\n".to_owned());
        let body: Value = serde_json::from_str(&answer(&reply).body()).expect("it is JSON");
        assert_eq!(body["choices"][0]["message"]["content"], "a \"b\"\n");
        assert_eq!(body["model"], "m\"1");
        assert_eq!(body["usage"]["total_tokens"], 120);
    }

    #[test]
    fn streamed_parts_make_the_text_again() {
        let reply = Reply::Text("grüße an alle".to_owned());
        let events = answer(&reply).events(5, true);
        let parts = events.iter().filter_map(|event| {
            let value: Value = serde_json::from_str(event.strip_prefix("data: ")?).ok()?;
            value["choices"][0]["delta"]["content"].as_str().map(str::to_owned)
        });
        assert_eq!(parts.collect::<String>(), "grüße an alle");
        assert!(events[events.len() - 2].contains("\"total_tokens\":120"));
    }

    #[test]
    fn tool_calls_carry_their_arguments_as_a_string() {
        let reply = Reply::ToolCalls(vec![("write".to_owned(), json!({"path": "a"})), ("read".to_owned(), json!({}))]);
        let body: Value = serde_json::from_str(&answer(&reply).body()).expect("it is JSON");
        let call = &body["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(call["function"]["arguments"], r#"{"path":"a"}"#);
        assert_eq!(body["choices"][0]["finish_reason"], "tool_calls");
    }
}
