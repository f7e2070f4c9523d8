//! The options of the server, the same for programs and for the command line, and the simple rules they stand for.

use std::time::Duration;

use serde_json::Value;

use crate::call::Call;
use crate::fault::Fault;
use crate::reply::Reply;
use crate::sample;

/// How the server answers. The default answers at once with a short text.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Milliseconds from the whole request to the first byte of the answer.
    #[arg(long, default_value_t = 0)]
    pub latency_ms: u64,
    /// Members that a plan gives one task each, by name.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub plan_assignees: Vec<String>,
    /// Words of a text answer.
    #[arg(long, default_value_t = 24)]
    pub words: usize,
    /// Chunks that a streamed text is cut into.
    #[arg(long, default_value_t = 4)]
    pub chunks: usize,
    /// A tool that is called once in each conversation that offers it, with its arguments.
    #[arg(long, value_name = "NAME=JSON", value_parser = ToolRule::parse)]
    pub tool: Option<ToolRule>,
    /// What the usage says.
    #[command(flatten)]
    pub usage: Usage,
    /// What goes wrong: KIND:WHEN, such as 429:first=20, cut:every=7, delay=500:nth=3.
    #[arg(long = "fault", value_name = "FAULT", value_parser = Fault::parse)]
    pub faults: Vec<Fault>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            latency_ms: 0,
            plan_assignees: Vec::new(),
            words: 24,
            chunks: 4,
            tool: None,
            usage: Usage::default(),
            faults: Vec::new(),
        }
    }
}

/// The tokens that every answer claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
pub struct Usage {
    /// Tokens of the prompt.
    #[arg(long, default_value_t = 100)]
    pub prompt_tokens: u64,
    /// Tokens of the answer, reasoning included.
    #[arg(long, default_value_t = 20)]
    pub completion_tokens: u64,
    /// Tokens of the prompt that came from a cache.
    #[arg(long, default_value_t = 0)]
    pub cached_tokens: u64,
    /// Tokens of the answer that were reasoning.
    #[arg(long, default_value_t = 0)]
    pub reasoning_tokens: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self { prompt_tokens: 100, completion_tokens: 20, cached_tokens: 0, reasoning_tokens: 0 }
    }
}

/// A tool and what it is called with.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolRule {
    /// The tool's name.
    pub name: String,
    /// Its arguments.
    pub arguments: Value,
}

impl ToolRule {
    /// Reads `NAME=JSON`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, arguments) = text.split_once('=').ok_or("expected NAME=JSON")?;
        let arguments =
            serde_json::from_str(arguments).map_err(|error| format!("the arguments are no JSON: {error}"))?;
        Ok(Self { name: name.to_owned(), arguments })
    }
}

impl Options {
    /// The time before the answer.
    pub fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    /// The answer to a call: what fits its schema, else the tool that is due, else a text. The same call always gets the
    /// same answer, so a run that is resumed can be compared with one that was not.
    pub fn reply(&self, call: &Call<'_>) -> Reply {
        if let Some(format) = call.format() {
            let value = sample::plan(&format.schema, &self.plan_assignees)
                .filter(|_| !self.plan_assignees.is_empty())
                .unwrap_or_else(|| sample::value(&format.schema));
            return Reply::Json(value);
        }
        match &self.tool {
            Some(tool) if call.offers(&tool.name) && !call.has_tool_results() => {
                Reply::ToolCalls(vec![(tool.name.clone(), tool.arguments.clone())])
            }
            _ => Reply::Text(sample::text(self.words)),
        }
    }
}
