//! Errors of providers in the words of the port: which fault, what it says, how long to wait, who pays.
//!
//! The provider's own sentence is passed on cut to one line, without keys. Nothing is billed before an answer begins.

use std::time::Duration;

use ::http::HeaderValue;
use convoke_port::model::{Fault, ModelError, ModelRequest};
use serde_json::Value;

use super::Endpoint;
use super::headers;

/// The longest part of a provider's own sentence that is passed on, in characters.
const MAX_WORDS: usize = 300;

/// What went wrong within an answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Broken {
    /// The kind.
    pub(crate) fault: Fault,
    /// The end of a sentence that begins with the model's name.
    pub(crate) message: String,
}

/// Whom a message is about.
pub(super) struct Subject<'a> {
    endpoint: &'a Endpoint,
    model: &'a str,
}

impl<'a> Subject<'a> {
    pub(super) fn new(endpoint: &'a Endpoint, request: &'a ModelRequest) -> Self {
        Self { endpoint, model: &request.model }
    }

    fn error(&self, fault: Fault, status: Option<u16>, may_be_billed: bool, says: &str) -> ModelError {
        let message = format!("{}/{} {says}", self.endpoint.provider, self.model);
        let message = self.endpoint.key.as_ref().map_or(message.clone(), |key| key.scrub(&message));
        ModelError { fault, message, status, retry_after: None, may_be_billed, usage: None }
    }

    pub(super) fn cancelled(&self, may_be_billed: bool) -> ModelError {
        self.error(Fault::Cancelled, None, may_be_billed, "was cancelled while it was called")
    }

    pub(super) fn timed_out(&self, what: &str, after: Duration) -> ModelError {
        let says = format!("{what} {} s; raise timeout_s or try again", after.as_secs_f64());
        self.error(Fault::Timeout, None, true, &says)
    }

    pub(super) fn not_sent(&self, error: &reqwest::Error) -> ModelError {
        let base = &self.endpoint.base_url;
        if error.is_connect() || error.is_builder() {
            let says =
                format!("cannot be reached at {base}: {}; is it running, and is the base URL right?", root(error));
            return self.error(Fault::Connect, None, false, &says);
        }
        let says = format!("at {base} broke the connection before it answered: {}", root(error));
        self.error(Fault::Cut, None, true, &says)
    }

    pub(super) fn not_a_stream(&self, kind: Option<&HeaderValue>) -> ModelError {
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or("nothing named");
        let says = format!(
            "answered with {kind} where a stream of events was asked for; is {} the right base URL?",
            self.endpoint.base_url
        );
        // A page for people comes from a web server, a proxy or a portal, which no model stands behind.
        let is_page = kind.trim_start().to_ascii_lowercase().starts_with("text/html");
        self.error(Fault::BadReply, Some(200), !is_page, &says)
    }

    pub(super) fn torn(&self, error: &sse_stream::Error) -> ModelError {
        let sse_stream::Error::Body(body) = error else {
            return self.error(Fault::BadReply, None, true, &format!("sent events that cannot be read: {error}"));
        };
        match body.downcast_ref::<super::Torn>() {
            Some(super::Torn::Silent(idle)) => self.timed_out("fell silent within its answer for", *idle),
            Some(super::Torn::TooLarge) => self.error(Fault::BadReply, None, true, &format!("was cut off: {body}")),
            _ => self.error(Fault::Cut, None, true, &format!("broke off within its answer: {}", root(body.as_ref()))),
        }
    }

    pub(super) fn broken(&self, broken: Broken) -> ModelError {
        self.error(broken.fault, None, true, &broken.message)
    }

    /// An answer whose status is no success.
    pub(super) fn answered(&self, status: u16, body: &[u8], retry_after: Option<Duration>) -> ModelError {
        let said = Said::read(body);
        let fault = said.fault(Some(status));
        let says = match fault {
            Fault::Auth => format!("refused the key ({status}); check {}", key_setting(&self.endpoint.provider)),
            _ if (300..400).contains(&status) => {
                format!(
                    "redirects ({status}), which is not followed; is {} the right base URL?",
                    self.endpoint.base_url
                )
            }
            _ => format!("{} ({status}{}); {}", said_what(fault), said.words(), next_step(fault)),
        };
        let error = self.error(fault, Some(status), false, &says);
        ModelError { retry_after: retry_after.or(said.retry_after), ..error }
    }
}

/// The variable that holds a provider's key.
pub(crate) fn key_setting(provider: &str) -> String {
    let vendor = provider.split('-').next().unwrap_or(provider);
    match vendor {
        "openai" | "anthropic" | "gemini" | "ollama" => format!("{}_API_KEY", vendor.to_ascii_uppercase()),
        _ => format!("the key_env of provider {provider}"),
    }
}

fn said_what(fault: Fault) -> &'static str {
    match fault {
        Fault::RateLimited => "allows no more requests for now",
        Fault::Overloaded => "failed or is overloaded",
        Fault::ContextTooLong => "cannot hold a conversation this long",
        Fault::NoSuchModel => "does not exist there",
        Fault::NoCredit => "has no credit left on this account",
        Fault::Timeout => "gave up waiting for the request",
        _ => "refused the request",
    }
}

fn next_step(fault: Fault) -> &'static str {
    match fault {
        Fault::RateLimited | Fault::Overloaded | Fault::Timeout => "try again later",
        Fault::ContextTooLong => "shorten the input or use a model with a larger window",
        Fault::NoSuchModel => "check the model's name and the base URL",
        Fault::NoCredit => "add credit at the provider or use another model",
        _ => "check the profile's model settings",
    }
}

/// The innermost cause, which says more than `error sending request`.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// What a provider said in the body of an error.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// The vendor's machine-readable words, joined: code, type, status.
    codes: String,
    retry_after: Option<Duration>,
}

impl Said {
    /// The error object of a body: under `error`, by itself, or first in a list.
    fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let body = body.get(0).unwrap_or(&body);
        Self::of(body.get("error").unwrap_or(body))
    }

    fn of(error: &Value) -> Self {
        let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
        let codes = format!("{} {} {}", text("code"), text("type"), text("status"));
        let message = error.as_str().unwrap_or_else(|| text("message")).to_owned();
        Self { message, codes, retry_after: retry_info(error) }
    }

    /// The provider's sentence as ` : …`, or nothing; one line, cut.
    fn words(&self) -> String {
        let line = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            return String::new();
        }
        let cut: String = line.chars().take(MAX_WORDS).collect();
        format!(": {cut}{}", if cut.len() < line.len() { "…" } else { "" })
    }

    /// The vendors' codes come first, then how they word it where they have no code, then the status.
    fn fault(&self, status: Option<u16>) -> Fault {
        let code = |word: &str| self.codes.contains(word);
        let message = self.message.to_ascii_lowercase();
        let says = |words: &str| message.contains(words);
        if code("insufficient_quota")
            || code("billing_error")
            || says("credit balance is too low")
            || status == Some(402)
        {
            Fault::NoCredit
        } else if code("context_length_exceeded")
            || status == Some(413)
            || says("prompt is too long")
            || says("maximum context length")
            || says("context window")
            || (says("input token count") && says("exceeds"))
        {
            Fault::ContextTooLong
        } else if code("model_not_found") {
            Fault::NoSuchModel
        } else if code("invalid_api_key") || code("authentication_error") || says("api key not valid") {
            Fault::Auth
        } else {
            self.by_status(status)
        }
    }

    fn by_status(&self, status: Option<u16>) -> Fault {
        let code = |word: &str| self.codes.contains(word);
        match status {
            Some(401 | 403) => Fault::Auth,
            Some(404) => Fault::NoSuchModel,
            Some(408) => Fault::Timeout,
            Some(429) => Fault::RateLimited,
            Some(500..) => Fault::Overloaded,
            Some(_) => Fault::BadRequest,
            None if code("rate_limit") || code("RESOURCE_EXHAUSTED") => Fault::RateLimited,
            None if code("invalid_request") || code("INVALID_ARGUMENT") => Fault::BadRequest,
            None if code("permission_error") || code("PERMISSION_DENIED") => Fault::Auth,
            None if code("not_found") => Fault::NoSuchModel,
            None => Fault::Overloaded,
        }
    }
}

/// Google's `RetryInfo`, which stands in for `Retry-After`.
fn retry_info(error: &Value) -> Option<Duration> {
    let details = error.get("details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    headers::bounded(headers::go_duration(delay)?)
}

/// An error that came inside a stream, as the provider's own error object.
pub(crate) fn broken_by_provider(error: &Value) -> Broken {
    let said = Said::of(error);
    let fault = said.fault(error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok()));
    Broken { fault, message: format!("broke off its answer with an error{}", said.words()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(status: u16, body: &str) -> Fault {
        Said::read(body.as_bytes()).fault(Some(status))
    }

    #[test]
    fn the_vendors_errors_are_told_apart() {
        let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        let long = r#"{"error":{"message":"maximum context length is 8192","code":"context_length_exceeded"}}"#;
        let claude_long = r#"{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}"#;
        let claude_credit =
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#;
        let gemini_key = r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#;
        assert_eq!(fault(429, quota), Fault::NoCredit);
        assert_eq!(fault(429, "{}"), Fault::RateLimited);
        assert_eq!(fault(400, long), Fault::ContextTooLong);
        assert_eq!(fault(400, claude_long), Fault::ContextTooLong);
        assert_eq!(fault(400, claude_credit), Fault::NoCredit);
        assert_eq!(fault(400, gemini_key), Fault::Auth);
        assert_eq!(fault(401, "no"), Fault::Auth);
        assert_eq!(fault(404, ""), Fault::NoSuchModel);
        assert_eq!(fault(422, r#"{"error":"nope"}"#), Fault::BadRequest);
        assert_eq!(fault(500, "<html>"), Fault::Overloaded);
        assert_eq!(fault(529, ""), Fault::Overloaded);
    }

    #[test]
    fn google_says_when_to_come_back_in_the_body() {
        let body = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}"#;
        assert_eq!(Said::read(body.as_bytes()).retry_after, Some(Duration::from_millis(34_500)));
    }

    #[test]
    fn words_are_one_cut_line() {
        let said = Said { message: format!("a\n b {}", "x".repeat(1_000)), ..Said::default() };
        let words = said.words();
        assert!(words.starts_with(": a b xxx") && words.ends_with('…'));
        assert!(words.chars().count() < MAX_WORDS + 5);
        assert_eq!(Said::default().words(), "");
    }

    #[test]
    fn errors_within_a_stream_keep_their_meaning() {
        let overloaded = serde_json::json!({"type": "overloaded_error", "message": "Overloaded"});
        assert_eq!(broken_by_provider(&overloaded).fault, Fault::Overloaded);
        let limited = serde_json::json!({"type": "rate_limit_error", "message": "slow down"});
        assert_eq!(broken_by_provider(&limited).fault, Fault::RateLimited);
        let gemini = serde_json::json!({"code": 503, "status": "UNAVAILABLE", "message": "busy"});
        assert_eq!(broken_by_provider(&gemini).fault, Fault::Overloaded);
    }
}
