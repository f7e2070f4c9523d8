//! What arrives: a chat completion request, of which only the little that rules need is read.
//!
//! The messages' texts are skipped over, not copied: reading them is most of what a slow mock costs. A rule that wants
//! them asks for [`Call::json`].

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// One request.
#[derive(Debug)]
pub struct Call<'a> {
    head: Head<'a>,
    body: &'a [u8],
    /// Its number since the start or the last reset, from 1.
    pub number: u64,
}

/// What a request says of the answer's form.
#[derive(Debug, Clone, Deserialize)]
pub struct Format {
    /// The schema's name.
    #[serde(default)]
    pub name: String,
    /// The JSON Schema that the answer must fit.
    #[serde(default)]
    pub schema: Value,
}

#[derive(Debug, Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    model: Cow<'a, str>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    response_format: Option<ResponseFormat>,
    #[serde(borrow, default)]
    messages: Vec<Message<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Tool<'a>>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

#[derive(Debug, Deserialize)]
struct ResponseFormat {
    #[serde(default)]
    json_schema: Option<Format>,
}

#[derive(Debug, Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
}

#[derive(Debug, Deserialize)]
struct Tool<'a> {
    #[serde(borrow)]
    function: Function<'a>,
}

#[derive(Debug, Deserialize)]
struct Function<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl<'a> Call<'a> {
    /// Reads a request's body.
    pub fn read(body: &'a [u8], number: u64) -> serde_json::Result<Self> {
        Ok(Self { head: serde_json::from_slice(body)?, body, number })
    }

    /// The model it names.
    pub fn model(&self) -> &str {
        &self.head.model
    }

    /// True if the answer is to be streamed.
    pub fn is_streamed(&self) -> bool {
        self.head.stream
    }

    /// True if a streamed answer is to end with its usage.
    pub fn wants_usage(&self) -> bool {
        self.head.stream_options.as_ref().is_some_and(|options| options.include_usage)
    }

    /// The form it asks for, if it asks for structured output.
    pub fn format(&self) -> Option<&Format> {
        self.head.response_format.as_ref()?.json_schema.as_ref()
    }

    /// True if the model may call this tool.
    pub fn offers(&self, tool: &str) -> bool {
        self.head.tools.iter().any(|offered| offered.function.name == tool)
    }

    /// True if a tool already answered in this conversation.
    pub fn has_tool_results(&self) -> bool {
        self.head.messages.iter().any(|message| message.role == "tool")
    }

    /// The whole request. This is the slow way.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.body).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rules_need_is_read() {
        let body = br#"{"model":"m\u00e9","stream":true,"stream_options":{"include_usage":true},"temperature":0.1,
            "messages":[{"role":"user","content":[{"type":"text","text":"x"}]},{"role":"tool","content":"y"}],
            "tools":[{"type":"function","function":{"name":"write_file","parameters":{}}}],
            "response_format":{"type":"json_schema","json_schema":{"name":"plan","strict":true,"schema":{}}}}"#;
        let call = Call::read(body, 7).expect("it parses");
        assert_eq!((call.model(), call.number), ("mé", 7));
        assert!(call.is_streamed() && call.wants_usage() && call.offers("write_file") && call.has_tool_results());
        assert!(!call.offers("write"));
        assert_eq!(call.format().map(|format| format.name.as_str()), Some("plan"));
        assert_eq!(call.json()["temperature"], 0.1);
    }
}
