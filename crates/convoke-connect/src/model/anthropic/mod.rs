//! Anthropic Messages.

mod decode;
mod encode;

use ::http::header::{HeaderMap, HeaderName, HeaderValue};
use convoke_port::BoxFuture;
use convoke_port::model::{Delta, Model, ModelError, ModelReply, ModelRequest};
use tokio_util::sync::CancellationToken;

use super::http::{Endpoint, Exchange, key_header};

/// The name under which this adapter's opaque blocks travel.
const NAME: &str = "anthropic";
/// The version of the API that the adapter was written for.
const VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The adapter.
#[derive(Debug)]
pub(super) struct Anthropic {
    endpoint: Endpoint,
}

impl Anthropic {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    async fn exchange(
        &self,
        request: &ModelRequest,
        watch: &(dyn Fn(Delta) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<ModelReply, ModelError> {
        let base = self.endpoint.base_url.strip_suffix("/v1").unwrap_or(&self.endpoint.base_url);
        let mut headers = HeaderMap::from_iter([(HeaderName::from_static("anthropic-version"), VERSION)]);
        if let Some(key) = self.endpoint.key.as_ref().and_then(|key| key_header("", key)) {
            headers.insert(HeaderName::from_static("x-api-key"), key);
        }
        let url = format!("{base}/v1/messages");
        let exchange = Exchange { endpoint: &self.endpoint, request, url, headers, body: encode::body(request) };
        exchange.run(&mut decode::Decoder::new(request), watch, cancel).await
    }
}

impl Model for Anthropic {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(self.exchange(request, watch, cancel))
    }
}
