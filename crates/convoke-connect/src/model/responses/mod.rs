//! OpenAI Responses, used without the server's memory: nothing is stored there, reasoning travels encrypted with us.

mod decode;
mod encode;

use convoke_port::BoxFuture;
use convoke_port::model::{Delta, Model, ModelError, ModelReply, ModelRequest};
use tokio_util::sync::CancellationToken;

use super::chat::bearer;
use super::http::{Endpoint, Exchange};

/// The name under which this adapter's opaque blocks travel.
const NAME: &str = "openai-responses";

/// The adapter.
#[derive(Debug)]
pub(super) struct Responses {
    endpoint: Endpoint,
}

impl Responses {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
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
            url: format!("{}/responses", self.endpoint.base_url),
            headers: bearer(&self.endpoint),
            body: encode::body(request),
        };
        exchange.run(&mut decode::Decoder::new(request), watch, cancel).await
    }
}

impl Model for Responses {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(self.exchange(request, watch, cancel))
    }
}
