//! OpenAI Chat Completions: OpenAI itself, Ollama, and every server that speaks the same (vLLM, llama.cpp, gateways).

mod decode;
mod encode;

use ::http::header::{AUTHORIZATION, HeaderMap};
use convoke_port::BoxFuture;
use convoke_port::model::{Delta, Model, ModelError, ModelReply, ModelRequest};
use tokio_util::sync::CancellationToken;

use super::http::{Endpoint, Exchange, key_header};
pub(super) use encode::arguments;

/// The adapter.
#[derive(Debug)]
pub(super) struct Chat {
    endpoint: Endpoint,
    dialect: Dialect,
}

/// What differs between OpenAI and those who imitate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenAI's own: `max_completion_tokens`.
    OpenAi,
    /// Everyone else: `max_tokens`, which all of them know.
    Compatible,
}

impl Chat {
    pub(super) fn new(endpoint: Endpoint, dialect: Dialect) -> Self {
        Self { endpoint, dialect }
    }

    async fn exchange(
        &self,
        request: &ModelRequest,
        watch: &(dyn Fn(Delta) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<ModelReply, ModelError> {
        let exchange = Exchange {
            endpoint: &self.endpoint,
            request,
            url: format!("{}/chat/completions", self.endpoint.base_url),
            headers: bearer(&self.endpoint),
            body: encode::body(request, self.dialect),
        };
        exchange.run(&mut decode::Decoder::new(request), watch, cancel).await
    }
}

/// The key as OpenAI and its imitators want it.
pub(super) fn bearer(endpoint: &Endpoint) -> HeaderMap {
    let value = endpoint.key.as_ref().and_then(|key| key_header("Bearer ", key));
    value.map(|value| (AUTHORIZATION, value)).into_iter().collect()
}

impl Model for Chat {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(self.exchange(request, watch, cancel))
    }
}
