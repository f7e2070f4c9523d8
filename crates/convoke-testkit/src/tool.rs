//! Tools played by a closure, with a record of every call.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};

use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_port::BoxFuture;
use convoke_port::tool::{Repeat, ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, ToolSpec, Tools};
use tokio_util::sync::CancellationToken;

type Play = dyn Fn(&ToolRequest) -> Result<ToolOutput, ToolError> + Send + Sync;

/// Tools that all answer as one closure says.
#[derive(Clone)]
pub struct FakeTools {
    tools: Arc<Vec<ToolInfo>>,
    play: Arc<Play>,
    calls: Arc<Mutex<Vec<ToolRequest>>>,
    stall: Option<Sender<()>>,
}

impl FakeTools {
    /// Tools by id and whether they may be repeated.
    pub fn new(
        tools: &[(&str, Repeat)],
        play: impl Fn(&ToolRequest) -> Result<ToolOutput, ToolError> + Send + Sync + 'static,
    ) -> Self {
        let info = |(id, repeat): &(&str, Repeat)| ToolInfo {
            spec: ToolSpec {
                name: (*id).to_owned(),
                description: format!("The tool {id}."),
                input_schema: serde_json::json!({"type": "object"}),
            },
            id: (*id).to_owned(),
            repeat: *repeat,
        };
        Self {
            tools: Arc::new(tools.iter().map(info).collect()),
            play: Arc::new(play),
            calls: Arc::default(),
            stall: None,
        }
    }

    /// No tools at all.
    pub fn none() -> Self {
        Self::new(&[], |_| Err(ToolError::Failed("there are no tools".into())))
    }

    /// The same, but no call ever comes back; each tells `entered` that it began.
    #[must_use]
    pub fn with_stall(mut self, entered: Sender<()>) -> Self {
        self.stall = Some(entered);
        self
    }

    /// Every call so far.
    pub fn calls(&self) -> Vec<ToolRequest> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The tools that ship, with their usual bounds.
pub fn real() -> impl Tools {
    Toolbox::new(ToolLimits::default())
}

/// A tool's text.
pub fn gives(content: impl Into<String>) -> Result<ToolOutput, ToolError> {
    Ok(ToolOutput { content: content.into(), is_error: false })
}

impl Tools for FakeTools {
    fn offer<'a>(&'a self, scope: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        // Everything is offered whatever is allowed, so that the *act* door alone decides.
        let offered = if scope.allowed.is_empty() { Vec::new() } else { self.tools.to_vec() };
        Box::pin(async move { (offered, Vec::new()) })
    }

    fn call<'a>(
        &'a self,
        _scope: &'a ToolScope,
        request: &'a ToolRequest,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        Box::pin(async move {
            if let Some(entered) = &self.stall {
                let _ = entered.send(());
                std::future::pending::<()>().await;
            }
            (self.play)(request)
        })
    }
}
