//! One connection in being, through rmcp: both revisions of the protocol, both transports.
//!
//! Rule: the newest revision is tried first (`server/discover`, 2026-07-28), then the handshake of 2025-11-25 and before. A
//! program gets a scrubbed environment and dies with this process; what it prints to stderr is kept in part for error messages.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convoke_port::tool::{ToolError, ToolOutput};
use http::{HeaderName, HeaderValue};
use rmcp::ClientHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams,
    ProtocolVersion, RequestMetaObject, SubscriptionFilter, Tool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt, NotificationContext, Peer, QuitReason, RoleClient,
    RunningService, ServiceError, Subscription,
};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransportConfig, StreamableHttpError};
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, Command};
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};

use super::answer;
use super::settings::{Settings, Way};
use crate::tool::child::{self, Leader};
use crate::tool::job::cut;
use crate::tool::limits::{McpLimits, ToolLimits};

/// Variables of ours that a server's program gets; all else it is given by its settings.
const PASSED_ON: [&str; 8] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TMPDIR", "TZ"];
/// Bytes kept of what a program prints to stderr.
const STDERR: usize = 2_000;
/// Bytes of an error that people and models see.
const SHOWN: usize = 400;
/// Time to wait for the program's last words.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Where the idempotency key of a call stands in its `_meta`.
const KEY: &str = "convoke/idempotencyKey";

/// What servers may tell us without being asked.
#[derive(Clone)]
struct Listener {
    changed: Arc<Notify>,
}

impl ClientHandler for Listener {
    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        self.changed.notify_one();
    }

    fn get_info(&self) -> ClientConfig {
        let client = Implementation::new("convoke", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), client)
    }
}

type Service = RunningService<RoleClient, Listener>;

/// A connection to a server.
pub(crate) struct Session {
    peer: Peer<RoleClient>,
    changed: Arc<Notify>,
    end: JoinHandle<Result<QuitReason, JoinError>>,
    /// Cancels the service when dropped.
    _stop: tokio_util::sync::DropGuard,
    subscription: Option<Subscription>,
    program: Option<Program>,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// It has ended.
    Ended,
    /// The server's tools have changed.
    Changed,
}

/// A running program and what it prints to stderr.
struct Program {
    leader: Leader,
    words: Arc<Mutex<String>>,
    listening: JoinHandle<()>,
}

impl Session {
    /// Connects, within the server's timeout.
    pub(crate) async fn open(settings: &Settings, limits: &ToolLimits) -> Result<Self, String> {
        let changed = Arc::new(Notify::new());
        let listener = Listener { changed: changed.clone() };
        let (service, program) = match &settings.way {
            Way::Program { command, args, env } => {
                let mut command = Command::new(command);
                command
                    .args(args)
                    .env_clear()
                    .envs(PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
                command.envs(env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
                by_program(settings, limits, command, listener).await?
            }
            Way::Address { url, headers } => (by_address(settings, limits, (url, headers), listener).await?, None),
        };
        let peer = service.peer().clone();
        let stop = tokio_util::sync::CancellationToken::new();
        let end = tokio::spawn(wait(service, stop.clone()));
        let subscription = subscribe(&peer, settings.timeout).await;
        Ok(Self { peer, changed, end, _stop: stop.drop_guard(), subscription, program })
    }

    /// What calls go through.
    pub(crate) fn peer(&self) -> Peer<RoleClient> {
        self.peer.clone()
    }

    /// The server's tools, a bounded number of them.
    pub(crate) async fn tools(&self, limits: &McpLimits, time: Duration) -> Result<Vec<Tool>, String> {
        let all = async {
            let (mut tools, mut cursor) = (Vec::new(), None);
            // A page may be empty, so pages are counted too.
            for _ in 0..limits.tools {
                let page = PaginatedRequestParams::default().with_cursor(cursor);
                let page = self.peer.list_tools(Some(page)).await?;
                tools.extend(page.tools);
                cursor = page.next_cursor;
                if cursor.is_none() || tools.len() >= limits.tools {
                    break;
                }
            }
            tools.truncate(limits.tools);
            Ok::<_, ServiceError>(tools)
        };
        let listed = tokio::time::timeout(time, all).await;
        listed
            .map_err(|_| format!("it did not list its tools within {} s", time.as_secs()))?
            .map_err(|error| format!("it did not list its tools: {}", cut(&error.to_string(), SHOWN)))
    }

    /// Waits until something happens.
    pub(crate) async fn news(&mut self) -> News {
        loop {
            let Some(subscription) = &mut self.subscription else {
                return tokio::select! {
                    _ = &mut self.end => News::Ended,
                    () = self.changed.notified() => News::Changed,
                };
            };
            tokio::select! {
                _ = &mut self.end => return News::Ended,
                () = self.changed.notified() => return News::Changed,
                told = subscription.next() => match told {
                    Ok(Some(_)) => return News::Changed,
                    // It has ended; the list is asked for again by its age.
                    _ => self.subscription = None,
                },
            }
        }
    }

    /// Why it ended, with the program's last words.
    pub(crate) async fn reason(mut self, settings: &Settings, why: &str) -> String {
        match &mut self.program {
            Some(program) => program.reason(settings, why).await,
            None => settings.hide(why),
        }
    }
}

/// Holds the service until it ends or is not wanted any more.
async fn wait(service: Service, stop: tokio_util::sync::CancellationToken) -> Result<QuitReason, JoinError> {
    let token = service.cancellation_token();
    let waiting = service.waiting();
    tokio::pin!(waiting);
    tokio::select! {
        done = &mut waiting => done,
        () = stop.cancelled() => {
            token.cancel();
            waiting.await
        }
    }
}

/// Asks to be told of changed tools, where the protocol has no other way to be told.
async fn subscribe(peer: &Peer<RoleClient>, time: Duration) -> Option<Subscription> {
    let info = peer.peer_info()?;
    let tells = info.capabilities.tools.as_ref().is_some_and(|tools| tools.list_changed == Some(true));
    if info.protocol_version.has_initialize() || !tells {
        return None;
    }
    let filter = SubscriptionFilter::builder().tools_list_changed().build();
    tokio::time::timeout(time, peer.listen(filter)).await.ok()?.ok()
}

fn newest_first() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: Some(ProtocolVersion::V_2025_11_25),
    }
}

async fn by_program(
    settings: &Settings,
    limits: &ToolLimits,
    mut command: Command,
    listener: Listener,
) -> Result<(Service, Option<Program>), String> {
    child::lead(&mut command);
    let name = command.as_std().get_program().to_string_lossy().into_owned();
    let mut leader = child::start(command).await.map_err(|error| format!("`{name}` does not start: {error}"))?;
    let pipes = leader.pipes().ok_or("its pipes are missing")?;
    let words = Arc::new(Mutex::new(String::new()));
    let listening = tokio::spawn(listen(pipes.stderr, words.clone()));
    let mut program = Program { leader, words, listening };
    let transport = AsyncRwTransport::new(pipes.stdout, pipes.stdin).with_max_line_length(limits.mcp.message_bytes);
    let connected =
        tokio::time::timeout(settings.timeout, listener.serve_with_lifecycle(transport, newest_first())).await;
    match connected {
        Ok(Ok(service)) => Ok((service, Some(program))),
        Ok(Err(error)) => Err(program.reason(settings, &plain(&error)).await),
        Err(_) => {
            Err(program.reason(settings, &format!("it did not answer within {} s", settings.timeout.as_secs())).await)
        }
    }
}

/// Keeps the end of what a program prints.
async fn listen(mut stderr: ChildStderr, words: Arc<Mutex<String>>) {
    let mut buffer = vec![0; 4 << 10];
    while let Ok(read @ 1..) = stderr.read(&mut buffer).await {
        let text = String::from_utf8_lossy(&buffer[..read]);
        tracing::trace!(bytes = read, "an MCP server wrote to stderr");
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        words.push_str(&text);
        if words.len() > STDERR {
            let mut start = words.len() - STDERR;
            while !words.is_char_boundary(start) {
                start += 1;
            }
            words.drain(..start);
        }
    }
}

impl Program {
    async fn reason(&mut self, settings: &Settings, why: &str) -> String {
        let status = tokio::time::timeout(LAST_WORDS, self.leader.wait()).await;
        let ended = match status {
            Ok(Ok(status)) => format!(" ({status})"),
            _ => String::new(),
        };
        if !self.listening.is_finished() {
            let _ = tokio::time::timeout(LAST_WORDS, &mut self.listening).await;
        }
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let said = words.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("").trim();
        let said = if said.is_empty() { String::new() } else { format!("; it said: {}", cut(said, SHOWN)) };
        settings.hide(&format!("{why}{ended}{said}"))
    }
}

async fn by_address(
    settings: &Settings,
    limits: &ToolLimits,
    (url, headers): (&str, &std::collections::BTreeMap<String, String>),
    listener: Listener,
) -> Result<Service, String> {
    let mut all = HashMap::new();
    for (name, value) in headers {
        let wrong = |_| format!("its header `{name}` is not one that HTTP knows, or its value is not plain text");
        let header = HeaderName::try_from(name).map_err(|_| wrong(()))?;
        let mut value = HeaderValue::try_from(value).map_err(|_| wrong(()))?;
        value.set_sensitive(true);
        all.insert(header, value);
    }
    // The process has one provider of cryptography; whoever comes first sets it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let connect = |mode: ClientLifecycleMode| {
        let config = StreamableHttpClientTransportConfig::with_uri(url)
            .custom_headers(all.clone())
            .max_sse_event_size(limits.mcp.message_bytes);
        listener.clone().serve_with_lifecycle(StreamableHttpClientTransport::from_config(config), mode)
    };
    let both = async {
        match connect(newest_first()).await {
            // Some older servers do not answer an unknown method with an error of the protocol.
            Err(error) if !error.is_authorization_required() => {
                connect(ClientLifecycleMode::Initialize).await.map_err(|_| error)
            }
            other => other,
        }
    };
    match tokio::time::timeout(settings.timeout, both).await {
        Ok(connected) => connected.map_err(|error| settings.hide(&plain(&error))),
        Err(_) => Err(format!("it did not answer within {} s", settings.timeout.as_secs())),
    }
}

fn plain(error: &ClientInitializeError) -> String {
    let text = match error {
        ClientInitializeError::ConnectionClosed(_) => "it ended before it answered".to_owned(),
        error if error.is_authorization_required() => {
            "it wants other credentials; see `headers` of its settings".to_owned()
        }
        ClientInitializeError::TransportError { error, .. } => root(error.error.as_ref()),
        ClientInitializeError::LegacyFallbackFailed { fallback, .. } => plain(fallback),
        error => root(error),
    };
    cut(&text, SHOWN).to_owned()
}

type Cause = dyn std::error::Error + 'static;

/// An error and what caused it, down to the bottom.
fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    std::iter::successors(Some(error), |error| match error.downcast_ref::<StreamableHttpError<reqwest::Error>>() {
        // This one does not name its source.
        Some(StreamableHttpError::Client(client)) => Some(client),
        _ => error.source(),
    })
}

/// What is at the bottom of an error.
fn root(error: &Cause) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// One call.
pub(crate) struct Call<'a> {
    pub(crate) server: &'a str,
    pub(crate) tool: &'a str,
    pub(crate) arguments: serde_json::Map<String, serde_json::Value>,
    pub(crate) key: &'a str,
    pub(crate) time: Duration,
    pub(crate) output_bytes: usize,
}

/// A call that gave nothing, and whether the connection is to blame.
pub(crate) struct Trouble {
    pub(crate) error: ToolError,
    pub(crate) broken: bool,
}

impl Trouble {
    /// Trouble of the call alone.
    pub(crate) fn of(error: ToolError) -> Self {
        Self { error, broken: false }
    }
}

/// Calls a tool. Dropped before its end, or out of time, it tells the server to stop.
pub(crate) async fn call(peer: &Peer<RoleClient>, call: Call<'_>) -> Result<ToolOutput, Trouble> {
    let mut meta = RequestMetaObject::new();
    meta.0.0.insert(KEY.to_owned(), call.key.into());
    let mut params = CallToolRequestParams::new(call.tool.to_owned()).with_arguments(call.arguments);
    params.meta = Some(meta);
    let about = format!("MCP server `{}`", call.server);
    match tokio::time::timeout(call.time, peer.call_tool_once(params)).await {
        Err(_) => {
            let why = format!("{about} did not answer `{}` within {} s", call.tool, call.time.as_secs_f32());
            Err(Trouble::of(ToolError::TimedOut(why)))
        }
        Ok(Ok(CallToolResponse::Complete(result))) => Ok(answer::read(&result, call.output_bytes)),
        Ok(Ok(_)) => Ok(ToolOutput {
            content: format!(
                "{about} asks for more input or time before it answers `{}`, which is not possible here",
                call.tool
            ),
            is_error: true,
        }),
        // The server's own word: it answered.
        Ok(Err(ServiceError::McpError(error))) => {
            let content = cut(&format!("error {}: {}", error.code.0, error.message), call.output_bytes).to_owned();
            Ok(ToolOutput { content, is_error: true })
        }
        Ok(Err(error)) if never_sent(&error) => Err(Trouble {
            error: ToolError::Failed(format!("{about} cannot be reached; nothing was done")),
            broken: true,
        }),
        Ok(Err(error)) => {
            let why = format!("{about} gave no answer to `{}`: {}", call.tool, cut(&error.to_string(), SHOWN));
            Err(Trouble { error: ToolError::Unknown(why), broken: true })
        }
    }
}

/// Did the call certainly not reach the server?
fn never_sent(error: &ServiceError) -> bool {
    let ServiceError::TransportSend(error) = error else { return false };
    causes(error.error.as_ref())
        .any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}
