//! The loop: accept, read, decide what goes wrong, answer, remember. Start at [`serve`].

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::TcpListener;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::call::Call;
use crate::fault::{Fault, Kind};
use crate::http::{Connection, Head};
use crate::options::Options;
use crate::reply::Reply;
use crate::tally::{Arrival, Tally};
use crate::wire::{self, Answer};

/// Connections at once; further ones wait in the system's queue.
const CONNECTIONS: usize = 16_384;

type Rule = Box<dyn Fn(&Call<'_>) -> Reply + Send + Sync>;

/// What all connections share.
pub(crate) struct State {
    options: Options,
    rule: Rule,
    faults: RwLock<Vec<Fault>>,
    pub(crate) tally: Tally,
    /// Part of each response's id, so that ids of two servers differ.
    seed: u32,
}

impl State {
    pub(crate) fn new(options: Options, rule: Rule) -> Self {
        let faults = RwLock::new(options.faults.clone());
        let mut hasher = DefaultHasher::new();
        (std::process::id(), std::time::SystemTime::now()).hash(&mut hasher);
        Self { options, rule, faults, tally: Tally::default(), seed: hasher.finish() as u32 }
    }

    pub(crate) fn set_faults(&self, faults: Vec<Fault>) {
        *self.faults.write().expect("nothing panics with the lock held") = faults;
    }

    pub(crate) fn reset(&self) {
        self.tally.reset();
    }

    fn fault(&self, number: u64) -> Option<Kind> {
        Fault::of(&self.faults.read().expect("nothing panics with the lock held"), number)
    }
}

/// Serves until `stop` is sent or dropped.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: oneshot::Receiver<()>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("the listener is open and does not block");
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stop => return,
            Some(_) = open.join_next(), if !open.is_empty() => {}
            accepted = listener.accept(), if open.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    open.spawn(connection(stream, Arc::clone(&state)));
                }
                // Out of file handles: the connection stays in the queue until another one ends.
                Err(_) => sleep(Duration::from_millis(5)).await,
            },
        }
    }
}

/// Answers one request after another until either side ends it.
async fn connection(stream: TcpStream, state: Arc<State>) {
    state.tally.connection();
    // Without this a small answer would wait for the client's acknowledgement.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream);
    loop {
        match connection.next().await {
            Ok(Some(head)) => match answer(&mut connection, &head, &state).await {
                Ok(true) if !head.closes => connection.done(&head),
                _ => return,
            },
            Ok(None) => return,
            Err(error) => {
                state.tally.unreadable();
                let body = wire::error("invalid_request_error", &error.to_string());
                let _ = connection.write(&wire::response("400 Bad Request", "connection: close\r\n", &body)).await;
                return;
            }
        }
    }
}

/// Answers one request; false if the connection is to be cut.
async fn answer(connection: &mut Connection, head: &Head, state: &State) -> io::Result<bool> {
    let path = head.path.split('?').next().unwrap_or_default();
    match (head.method.as_str(), path) {
        ("POST", path) if path.ends_with("/chat/completions") => completion(connection, head, state).await,
        ("GET", path) if path.ends_with("/models") => {
            let model = json!({"id": "mock", "object": "model", "created": 0, "owned_by": "mock"});
            say(connection, "200 OK", &json!({"object": "list", "data": [model]}).to_string()).await
        }
        ("GET", "/__stats") => say(connection, "200 OK", &json!(state.tally.stats()).to_string()).await,
        ("GET", "/__records") => {
            let records = state.tally.records(skip(&head.path));
            say(connection, "200 OK", &json!(records).to_string()).await
        }
        ("POST", "/__reset") => {
            state.reset();
            say(connection, "200 OK", "{}").await
        }
        ("POST", "/__faults") => set_faults(connection, head, state).await,
        _ => say(connection, "404 Not Found", &wire::error("not_found", "no such path")).await,
    }
}

async fn say(connection: &mut Connection, status: &str, body: &str) -> io::Result<bool> {
    connection.write(&wire::response(status, "", body)).await.map(|()| true)
}

/// The number in `?skip=N`.
fn skip(path: &str) -> usize {
    path.split_once("skip=").and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Takes a JSON list of faults as they are written on the command line.
async fn set_faults(connection: &mut Connection, head: &Head, state: &State) -> io::Result<bool> {
    let texts: Result<Vec<String>, _> = serde_json::from_slice(connection.body(head));
    let faults = texts
        .map_err(|error| error.to_string())
        .and_then(|texts| texts.iter().map(|text| Fault::parse(text)).collect::<Result<Vec<_>, _>>());
    match faults {
        Ok(faults) => {
            state.set_faults(faults);
            say(connection, "200 OK", "{}").await
        }
        Err(why) => say(connection, "400 Bad Request", &wire::error("invalid_request_error", &why)).await,
    }
}

/// Closes the record of a request even if its client goes away while it is answered.
struct Open<'a> {
    state: &'a State,
    arrival: Arrival,
    completed: bool,
}

impl Open<'_> {
    /// Writes a good response and counts it.
    async fn complete(mut self, connection: &mut Connection, bytes: &[u8]) -> io::Result<bool> {
        let (tally, usage) = (&self.state.tally, self.state.options.usage);
        self.completed = true;
        tally.completed(&self.arrival, usage);
        let written = connection.write(bytes).await;
        if written.is_err() {
            tally.not_written(&self.arrival, usage);
        }
        written.map(|()| true)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.completed {
            self.state.tally.failed(&self.arrival);
        }
    }
}

async fn completion(connection: &mut Connection, head: &Head, state: &State) -> io::Result<bool> {
    let body = connection.body(head);
    let mut hasher = DefaultHasher::new();
    body.hash(&mut hasher);
    let arrival = state.tally.arrived(&head.key, hasher.finish());
    let fault = state.fault(arrival.number);
    let open = Open { state, arrival, completed: false };
    if let Some(kind) = fault {
        state.tally.struck(&open.arrival, kind.name());
    }
    let call = match Call::read(body, open.arrival.number) {
        Ok(call) => call,
        Err(error) => {
            let body = wire::error("invalid_request_error", &error.to_string());
            return say(connection, "400 Bad Request", &body).await;
        }
    };
    let bytes = bytes(state, &call, &open.arrival, fault);
    wait(state.options.latency(), fault).await;
    match fault {
        Some(Kind::WrongKey) => {
            say(connection, "401 Unauthorized", &wire::error("invalid_api_key", "Incorrect API key provided.")).await
        }
        Some(Kind::RateLimit) => {
            let body = wire::error("rate_limit_exceeded", "Rate limit reached for requests.");
            let response = wire::response("429 Too Many Requests", "retry-after: 1\r\n", &body);
            connection.write(&response).await.map(|()| true)
        }
        Some(Kind::ServerError) => {
            say(connection, "500 Internal Server Error", &wire::error("server_error", "The server failed.")).await
        }
        Some(Kind::Cut) => connection.write(&bytes[..bytes.len() * 2 / 3]).await.map(|()| false),
        Some(Kind::Hang) => {
            connection.until_closed().await;
            Ok(false)
        }
        _ => open.complete(connection, &bytes).await,
    }
}

/// The whole response, made before the wait so that the wait hides what it costs.
fn bytes(state: &State, call: &Call<'_>, arrival: &Arrival, fault: Option<Kind>) -> Vec<u8> {
    if matches!(fault, Some(Kind::WrongKey | Kind::RateLimit | Kind::ServerError | Kind::Hang)) {
        return Vec::new();
    }
    let id = format!("chatcmpl-{:08x}{:012x}", state.seed, arrival.number);
    let mut reply = (state.rule)(call);
    if fault == Some(Kind::Malformed) {
        reply = malformed(&reply);
    }
    state.tally.answering(arrival, call.model(), &id, state.options.usage);
    let answer = Answer { id: &id, model: call.model(), reply: &reply, usage: state.options.usage };
    if call.is_streamed() {
        wire::stream(&answer.events(state.options.chunks, call.wants_usage()))
    } else {
        wire::response("200 OK", "", &answer.body())
    }
}

/// The first half of what would have been said.
fn malformed(reply: &Reply) -> Reply {
    let text = match reply {
        Reply::Text(text) => text.clone(),
        Reply::Json(value) => value.to_string(),
        Reply::ToolCalls(calls) => format!("{calls:?}"),
        Reply::RawToolCall(name, arguments) => format!("{name}{arguments}"),
    };
    Reply::Text(text.chars().take(text.chars().count() / 2).collect())
}

async fn wait(latency: Duration, fault: Option<Kind>) {
    let more = match fault {
        Some(Kind::Delay(ms)) => Duration::from_millis(ms),
        _ => Duration::ZERO,
    };
    if latency + more > Duration::ZERO {
        sleep(latency + more).await;
    }
}
