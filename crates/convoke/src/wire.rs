//! Where models and tools come from. Rule: the only file that knows `convoke-connect`.

use std::sync::Arc;

use convoke_port::BoxFuture;
use convoke_port::model::{Fault, ModelError, ModelHandle, Models};
use convoke_port::tool::{ToolError, ToolInfo, ToolOutput, ToolRequest, ToolScope, Tools};
use tokio_util::sync::CancellationToken;

use convoke_api::Known;

use crate::error::Result;

/// What an engine calls.
pub struct Parts {
    /// Models by name.
    pub models: Arc<dyn Models>,
    /// Tools of every kind.
    pub tools: Arc<dyn Tools>,
}

/// For commands that start no work: nothing is connected, nothing read from the environment.
pub fn idle() -> Parts {
    Parts { models: Arc::new(Idle), tools: Arc::new(Idle) }
}

struct Idle;

impl Models for Idle {
    fn find(&self, name: &str) -> Result<ModelHandle, ModelError> {
        let message = format!("this command calls no models, not even {name}");
        Err(ModelError {
            fault: Fault::NoSuchModel,
            message,
            status: None,
            retry_after: None,
            may_be_billed: false,
            usage: None,
        })
    }
}

impl Tools for Idle {
    fn offer<'a>(&'a self, _: &'a ToolScope) -> BoxFuture<'a, (Vec<ToolInfo>, Vec<String>)> {
        Box::pin(async { (Vec::new(), Vec::new()) })
    }

    fn call<'a>(
        &'a self,
        _: &'a ToolScope,
        _: &'a ToolRequest,
        _: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ToolOutput, ToolError>> {
        Box::pin(async { Err(ToolError::Refused("this command calls no tools".to_owned())) })
    }
}
