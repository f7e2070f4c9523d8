//! Sending a request and reading its stream of events: the one place in which an adapter touches the network.
//!
//! One attempt, no redirects, every wait and every size bounded. [`Exchange::run`] is the way in; `fault.rs` turns
//! answers that are none into errors, `headers.rs` reads limits.

mod fault;
mod headers;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use bytes::Bytes;
use convoke_domain::transcript::Usage;
use convoke_port::model::{Delta, Fault, ModelError, ModelReply, ModelRequest, RateLimit};
use futures_util::{FutureExt, Stream, StreamExt};
use reqwest::{Client, Response, redirect};
use sse_stream::SseByteStream;
use tokio_util::sync::CancellationToken;

use super::Secret;
use super::config::is_loopback;
use fault::Subject;
pub(super) use fault::{Broken, broken_by_provider, key_setting};

/// The most bytes of one answer.
const MAX_REPLY_BYTES: usize = 32 << 20;
/// The most bytes of an error's body that are read.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// The longest wait for a TCP and TLS connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const KEEP_IDLE: Duration = Duration::from_secs(90);
/// Idle connections kept per host.
const MAX_IDLE_PER_HOST: usize = 512;
/// How long the end of an answer is waited for once its content is complete, so that its connection can be used again.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// Who watches a reply arrive.
pub(super) type Watch<'a> = &'a (dyn Fn(Delta) + Send + Sync);

/// The connections that all adapters share.
#[derive(Debug)]
pub(super) struct Wire {
    /// For plain HTTP on this machine: no proxy, and no certificates to be read first.
    near: OnceLock<Client>,
    /// For everywhere else, by the system's proxy if there is one.
    far: OnceLock<Client>,
    first_byte: Duration,
    idle: Duration,
}

impl Wire {
    pub(super) fn new(first_byte: Duration, idle: Duration) -> Self {
        Self { near: OnceLock::new(), far: OnceLock::new(), first_byte, idle }
    }

    /// The client for `url`, made when first wanted: reading the system's certificates takes its time.
    fn client(&self, url: &str) -> &Client {
        if url.starts_with("http:") && is_loopback(url) {
            self.near.get_or_init(|| build(Client::builder().no_proxy().tls_certs_only([])))
        } else {
            self.far.get_or_init(|| build(Client::builder()))
        }
    }
}

fn build(builder: reqwest::ClientBuilder) -> Client {
    builder
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(KEEP_IDLE)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        .tcp_nodelay(true)
        .no_gzip()
        .build()
        .expect("a TLS provider is installed before the first call")
}

/// One provider: where it is and how to get in.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    /// The provider's name, for messages and opaque blocks.
    pub(super) provider: String,
    /// Base URL without a slash at its end.
    pub(super) base_url: String,
    /// The key, if there is one.
    pub(super) key: Option<Secret>,
    /// The shared connections.
    pub(super) wire: Arc<Wire>,
}

/// Puts a stream of events together into a reply.
pub(super) trait Decode: Send {
    /// Takes one event; true once the reply is complete.
    fn event(&mut self, data: &str, watch: Watch<'_>) -> Result<bool, Broken>;
    /// What the provider has said of its usage so far.
    fn usage(&self) -> Option<Usage>;
    /// The reply, after the last event.
    fn finish(&mut self) -> Result<ModelReply, Broken>;
}

/// One request, ready to be sent.
pub(super) struct Exchange<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) request: &'a ModelRequest,
    pub(super) url: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Exchange<'_> {
    /// Sends the request and reads the answer, for at most the request's timeout or until `cancel`.
    pub(super) async fn run(
        self,
        decoder: &mut dyn Decode,
        watch: Watch<'_>,
        cancel: &CancellationToken,
    ) -> Result<ModelReply, ModelError> {
        let subject = Subject::new(self.endpoint, self.request);
        if cancel.is_cancelled() {
            return Err(subject.cancelled(false));
        }
        let timeout = self.request.timeout;
        let outcome = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(subject.cancelled(true).with(decoder.usage())),
            outcome = tokio::time::timeout(timeout, self.attempt(&subject, decoder, watch)) => outcome,
        };
        let outcome = outcome.unwrap_or_else(|_| Err(subject.timed_out("gave no complete answer within", timeout)));
        outcome.map_err(|error| error.with(decoder.usage()))
    }

    async fn attempt(
        self,
        subject: &Subject<'_>,
        decoder: &mut dyn Decode,
        watch: Watch<'_>,
    ) -> Result<ModelReply, ModelError> {
        let wire = Arc::clone(&self.endpoint.wire);
        let sending = self.send();
        let response = match tokio::time::timeout(wire.first_byte, sending).await {
            Err(_) => return Err(subject.timed_out("did not begin to answer within", wire.first_byte)),
            Ok(Err(error)) => return Err(subject.not_sent(&error)),
            Ok(Ok(response)) => response,
        };
        let rate_limit = headers::rate_limit(response.headers());
        let status = response.status();
        if !status.is_success() {
            let retry_after = headers::retry_after(response.headers());
            let body = read_some(response).await;
            return Err(subject.answered(status.as_u16(), &body, retry_after));
        }
        if !is_event_stream(response.headers()) {
            return Err(subject.not_a_stream(response.headers().get(CONTENT_TYPE)));
        }
        read_events(response, wire.idle, subject, decoder, watch).await?;
        let reply = decoder.finish().map_err(|broken| subject.broken(broken))?;
        Ok(ModelReply { rate_limit, ..reply })
    }

    async fn send(self) -> Result<Response, reqwest::Error> {
        let mut headers = self.headers;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("convoke/", env!("CARGO_PKG_VERSION"))));
        if let Ok(key) = HeaderValue::from_str(&self.request.origin.key)
            && !key.is_empty()
        {
            headers.insert(HeaderName::from_static("idempotency-key"), key);
        }
        let client = self.endpoint.wire.client(&self.url);
        client.post(&self.url).headers(headers).body(self.body).send().await
    }
}

/// `prefix` and the key as a header value that debug output and HTTP/2 tables leave out.
pub(super) fn key_header(prefix: &str, key: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", key.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/event-stream"))
}

/// The beginning of a body, or what came of it.
async fn read_some(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(DRAIN_TIMEOUT, response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() >= MAX_ERROR_BYTES {
            body.truncate(MAX_ERROR_BYTES);
            break;
        }
    }
    body
}

/// Why a stream of bytes ended early.
#[derive(Debug, thiserror::Error)]
enum Torn {
    #[error("the connection broke: {0}")]
    Cut(reqwest::Error),
    #[error("silence")]
    Silent(Duration),
    #[error("the answer is larger than {} MiB", MAX_REPLY_BYTES >> 20)]
    TooLarge,
}

/// The bytes of an answer, within its limits. Any byte breaks the silence, as the comments do that servers send to
/// keep a connection open.
fn bytes(response: Response, idle: Duration) -> impl Stream<Item = Result<Bytes, Torn>> + Send {
    futures_util::stream::unfold((response, 0), move |(mut response, read)| async move {
        let chunk = match tokio::time::timeout(idle, response.chunk()).await {
            Err(_) => Err(Torn::Silent(idle)),
            Ok(Err(error)) => Err(Torn::Cut(error)),
            Ok(Ok(chunk)) => Ok(chunk?),
        };
        let read = read + chunk.as_ref().map_or(0, Bytes::len);
        let chunk = chunk.and_then(|chunk| if read > MAX_REPLY_BYTES { Err(Torn::TooLarge) } else { Ok(chunk) });
        Some((chunk, (response, read)))
    })
}

async fn read_events(
    response: Response,
    idle: Duration,
    subject: &Subject<'_>,
    decoder: &mut dyn Decode,
    watch: Watch<'_>,
) -> Result<(), ModelError> {
    let mut events = SseByteStream::new(Box::pin(bytes(response, idle)));
    while let Some(event) = events.next().await {
        let Some(data) = event.map_err(|error| subject.torn(&error))?.data else { continue };
        if !decoder.event(&data, watch).map_err(|broken| subject.broken(broken))? {
            continue;
        }
        // The rest is the end mark of the body: read it, or the connection cannot be used again.
        if events.next().now_or_never().is_none() {
            tokio::spawn(tokio::time::timeout(DRAIN_TIMEOUT, async move { while events.next().await.is_some() {} }));
        }
        break;
    }
    Ok(())
}

/// An error that knows what was used before it came.
trait WithUsage {
    fn with(self, usage: Option<Usage>) -> Self;
}

impl WithUsage for ModelError {
    fn with(self, usage: Option<Usage>) -> Self {
        Self { usage: self.usage.or(usage), ..self }
    }
}

/// A reply before its headers are known.
pub(super) fn no_limits() -> RateLimit {
    RateLimit::default()
}

/// A reply that cannot be understood.
pub(super) fn not_understood(what: impl std::fmt::Display) -> Broken {
    Broken { fault: Fault::BadReply, message: format!("sent something that cannot be understood: {what}") }
}

/// A stream that ended before the reply was complete.
pub(super) fn cut_short() -> Broken {
    Broken { fault: Fault::Cut, message: "ended its answer before it was complete".to_owned() }
}
