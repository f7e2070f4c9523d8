//! Google Gemini, `streamGenerateContent`.

mod decode;
mod encode;

use ::http::header::{HeaderMap, HeaderName};
use convoke_port::BoxFuture;
use convoke_port::model::{Delta, Model, ModelError, ModelReply, ModelRequest};
use tokio_util::sync::CancellationToken;

use super::http::{Endpoint, Exchange, key_header};

/// The name under which this adapter's opaque blocks travel.
const NAME: &str = "gemini";
/// The version that knows JSON Schema and thought signatures, taken where the base URL names none.
const VERSION: &str = "v1beta";

/// The adapter.
#[derive(Debug)]
pub(super) struct Gemini {
    endpoint: Endpoint,
}

impl Gemini {
    pub(super) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
    }

    async fn exchange(
        &self,
        request: &ModelRequest,
        watch: &(dyn Fn(Delta) + Send + Sync),
        cancel: &CancellationToken,
    ) -> Result<ModelReply, ModelError> {
        let key = self.endpoint.key.as_ref().and_then(|key| key_header("", key));
        let headers: HeaderMap = key.map(|key| (HeaderName::from_static("x-goog-api-key"), key)).into_iter().collect();
        let url = url(&self.endpoint.base_url, &request.model);
        let exchange = Exchange { endpoint: &self.endpoint, request, url, headers, body: encode::body(request) };
        exchange.run(&mut decode::Decoder::new(request), watch, cancel).await
    }
}

fn url(base: &str, model: &str) -> String {
    let versioned = base.rsplit('/').next().is_some_and(|last| last == "v1" || last.starts_with("v1beta"));
    let version = if versioned { String::new() } else { format!("/{VERSION}") };
    format!("{base}{version}/models/{model}:streamGenerateContent?alt=sse")
}

impl Model for Gemini {
    fn call<'a>(
        &'a self,
        request: &'a ModelRequest,
        watch: &'a (dyn Fn(Delta) + Send + Sync),
        cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ModelReply, ModelError>> {
        Box::pin(self.exchange(request, watch, cancel))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_added_where_none_is_named() {
        let tail = "models/m:streamGenerateContent?alt=sse";
        assert_eq!(url("https://g", "m"), format!("https://g/v1beta/{tail}"));
        assert_eq!(url("https://g/v1", "m"), format!("https://g/v1/{tail}"));
        assert_eq!(url("https://g/v1beta", "m"), format!("https://g/v1beta/{tail}"));
    }
}
