//! What is answered.

use serde_json::Value;

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// A text.
    Text(String),
    /// A value, written as the text of the answer.
    Json(Value),
    /// Tools the model wants to be run at once: name and arguments.
    ToolCalls(Vec<(String, Value)>),
    /// One tool and the text of its arguments, which may be anything but JSON.
    RawToolCall(String, String),
}

impl Reply {
    /// Why the model stopped, in the words of the API.
    pub fn finish_reason(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Json(_) => "stop",
            Self::ToolCalls(_) | Self::RawToolCall(..) => "tool_calls",
        }
    }
}
