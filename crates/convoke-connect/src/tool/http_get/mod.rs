//! `http_get`: asks a web address and gives the text.
//!
//! Rule: only hosts of the scope's list ([`target`]), only addresses that may be reached ([`address`], [`egress`]), checked
//! again at each redirect; bounded in time, in size after decompression, and to text.

mod address;
mod egress;
mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use convoke_port::tool::{ToolError, ToolOutput};
pub(crate) use egress::Egress;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode, Url};
use serde_json::{Value, json};
pub(crate) use target::Permit;
use target::refused;

use super::argument::Arguments;
use super::job::{Job, cut};

/// What a model is told about it.
pub(crate) const DESCRIPTION: &str = "Fetch a web address with HTTP GET and get its status, type and text (HTML, JSON, XML and \
    other text; nothing binary). Only hosts that were granted can be reached. Long texts are cut.";

/// Headers that are not a caller's business.
const OWN_HEADERS: [&str; 10] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "accept-encoding",
    "keep-alive",
];

/// The schema of its arguments.
pub(crate) fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "url": {"type": "string", "description": "The address, for example `https://api.example.com/v1/status`."},
            "headers": {"type": "object", "additionalProperties": {"type": "string"},
                "description": "Headers to send, for example {\"Accept\": \"application/json\"}."},
        },
        "required": ["url"],
        "additionalProperties": false,
    })
}

/// Asks.
pub(crate) async fn run(job: &Job, permit: &Permit, egress: &Egress) -> Result<ToolOutput, ToolError> {
    let arguments = Arguments::read("http_get", &job.arguments, &["url", "headers"])?;
    let url = permit.target(arguments.text("url")?)?;
    let headers = headers(&arguments, job.limits.http.headers)?;
    let client = egress.client(permit)?;
    let left = job.end.saturating_duration_since(std::time::Instant::now());
    let time = job.limits.http.time.min(left);
    tokio::select! {
        result = tokio::time::timeout(time, follow(job, permit, &client, url, headers)) => result.unwrap_or_else(|_| {
            Err(ToolError::TimedOut(format!("http_get: no whole answer within {} s", seconds(time))))
        }),
        () = job.cancel.cancelled() => Err(ToolError::Cancelled),
    }
}

fn seconds(time: Duration) -> f32 {
    (time.as_secs_f32() * 10.0).round() / 10.0
}

fn headers(arguments: &Arguments<'_>, most: usize) -> Result<HeaderMap, ToolError> {
    let mut headers = HeaderMap::new();
    let fields = match arguments.get("headers") {
        None => return Ok(headers),
        Some(Value::Object(fields)) if fields.len() <= most => fields,
        Some(_) => return Err(arguments.wrong("headers", &format!("must be an object of at most {most} texts"))),
    };
    for (name, value) in fields {
        let shown: String = name.chars().take(60).collect();
        let lower = name.to_ascii_lowercase();
        if OWN_HEADERS.contains(&lower.as_str()) || lower.starts_with("proxy-") {
            return Err(arguments.wrong("headers", &format!("may not set `{shown}`")));
        }
        let name = HeaderName::try_from(name).ok();
        let value =
            value.as_str().filter(|value| value.len() <= 8_192).and_then(|value| HeaderValue::from_str(value).ok());
        let (Some(name), Some(mut value)) = (name, value) else {
            return Err(
                arguments.wrong("headers", &format!("holds `{shown}`, which is not a header with a plain text"))
            );
        };
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

/// Asks, and asks on where it is sent.
async fn follow(
    job: &Job,
    permit: &Permit,
    client: &reqwest::Client,
    mut url: Url,
    mut headers: HeaderMap,
) -> Result<ToolOutput, ToolError> {
    for _ in 0..=job.limits.http.redirects {
        permit.check(&url)?;
        let answer = client.get(url.clone()).headers(headers.clone()).send().await;
        let response = answer.map_err(|error| failed(&url, &error))?;
        let Some(next) = next(&url, &response)? else { return read(job, &url, response).await };
        // What was meant for one place is not for another.
        if next.origin() != url.origin() {
            headers.clear();
        }
        url = next;
    }
    Err(ToolError::Failed(format!("http_get: more than {} redirects", job.limits.http.redirects)))
}

fn next(url: &Url, response: &Response) -> Result<Option<Url>, ToolError> {
    let sends_on = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| sends_on) else { return Ok(None) };
    let target = location.to_str().ok().filter(|text| text.len() <= 4_096).and_then(|text| url.join(text).ok());
    target.map(Some).ok_or_else(|| refused("the server sends on to something that is not an address".into()))
}

/// Reads the answer's text.
async fn read(job: &Job, url: &Url, mut response: Response) -> Result<ToolOutput, ToolError> {
    let status = response.status();
    let kind =
        response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("").to_ascii_lowercase();
    if !kind.is_empty() && !is_text(&kind) {
        return Err(ToolError::Failed(format!("http_get: the answer ({status}) is `{}`, not text", cut(&kind, 100))));
    }
    let most = job.limits.http.body_bytes;
    let mut body: Vec<u8> = Vec::new();
    let mut whole = true;
    while let Some(chunk) = response.chunk().await.map_err(|error| failed(url, &error))? {
        let room = most - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            whole = false;
            break;
        }
    }
    if kind.is_empty() && body.contains(&0) {
        return Err(ToolError::Failed(format!("http_get: the answer ({status}) is not text")));
    }
    let text = decoded(&body, &kind);
    let shown = cut(&text, job.limits.output_bytes.saturating_sub(1_000));
    let mut content = format!("HTTP {status}\nurl: {url}\ntype: {}\n\n{shown}", cut(&kind, 100));
    if shown.len() < text.len() || !whole {
        let of = if whole { text.len().to_string() } else { format!("more than {most}") };
        content.push_str(&format!("\n[cut: {} of {of} bytes]", shown.len()));
    }
    Ok(ToolOutput { content, is_error: status.is_client_error() || status.is_server_error() })
}

fn is_text(kind: &str) -> bool {
    let plain = kind.split(';').next().unwrap_or("").trim();
    let known =
        ["json", "xml", "yaml", "x-yaml", "javascript", "x-ndjson", "graphql", "toml", "csv", "x-www-form-urlencoded"];
    plain.starts_with("text/")
        || plain.ends_with("+json")
        || plain.ends_with("+xml")
        || plain.ends_with("+yaml")
        || plain.strip_prefix("application/").is_some_and(|rest| known.contains(&rest))
}

fn decoded(body: &[u8], kind: &str) -> String {
    let latin = ["iso-8859-1", "latin1", "windows-1252"].iter().any(|name| kind.contains(name));
    if latin && std::str::from_utf8(body).is_err() {
        return body.iter().map(|byte| char::from(*byte)).collect();
    }
    String::from_utf8_lossy(body).into_owned()
}

/// An error of the client: ours if the way out was denied, else its first cause.
fn failed(url: &Url, error: &reqwest::Error) -> ToolError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut cause = String::new();
    while let Some(current) = source {
        if let Some(denied) = current.downcast_ref::<egress::Denied>() {
            return ToolError::Refused(denied.0.clone());
        }
        cause = current.to_string();
        source = current.source();
    }
    ToolError::Failed(format!("http_get: `{}` cannot be reached: {}", url.host_str().unwrap_or(""), cut(&cause, 300)))
}
