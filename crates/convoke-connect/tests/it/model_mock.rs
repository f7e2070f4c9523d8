//! The third parties of the model tests: mocks as child processes, a tee that records exact request bytes, the oracle.
//!
//! Where they are installed comes from two variables that `cargo xtask test` sets. Without them the tests fail and say so.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoke_connect::model::script::Scripts;
use convoke_connect::model::{ModelConfig, PriceTable, Providers, Remote, Secret};
use convoke_domain::transcript::Turn;
use convoke_port::model::{Delta, ModelError, ModelReply, ModelRequest, Models, Origin};
use convoke_port::tool::ToolSpec;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// The key that every test sends, and that must never come back.
pub const KEY: &str = "sk-test-1234567890abcdef";
/// How long a mock may take to start; LiteLLM needs most of a minute on a busy machine.
const START: Duration = Duration::from_secs(180);

/// Installs the TLS provider as the binary does.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn installed(variable: &str, what: &str) -> PathBuf {
    let Some(path) = std::env::var_os(variable) else {
        panic!("{variable} is not set: it names {what}. `cargo xtask test` installs it and sets the variable");
    };
    PathBuf::from(path)
}

/// The Python with the vendors' SDKs and LiteLLM.
pub fn python() -> PathBuf {
    installed("CONVOKE_TEST_PYTHON", "the python of a virtual environment with tests/mocks/requirements.txt")
}

fn manifest(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A mock that runs until it is dropped.
pub struct Mock {
    _child: Child,
    /// Where it listens, such as `http://127.0.0.1:4010`.
    pub url: String,
}

impl Mock {
    /// Starts aimock with this crate's fixtures on a free port.
    pub async fn aimock() -> Self {
        let node = installed("CONVOKE_TEST_NODE", "a folder with node_modules of tests/mocks/package.json");
        let mut command = Command::new("node");
        command.arg(node.join("node_modules/.bin/llmock")).args(["-p", "0", "--strict", "-f"]);
        command.arg(manifest("tests/it/fixture/aimock.json"));
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true).spawn().expect("node starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let find = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, url)) = line.split_once("listening on ") {
                    return url.trim().to_owned();
                }
            }
            panic!("aimock ended before it listened")
        };
        let url = tokio::time::timeout(START, find).await.expect("aimock listens in time");
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { _child: child, url }
    }

    /// Starts LiteLLM's proxy in front of `upstream`.
    pub async fn litellm(upstream: &str, folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let config = folder.join("litellm.yaml");
        std::fs::write(&config, litellm_config(upstream)).unwrap();
        let program = python().with_file_name("litellm");
        let mut command = Command::new(program);
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--config"]).arg(&config);
        command.env("LITELLM_MASTER_KEY", KEY).env("LITELLM_LOCAL_MODEL_COST_MAP", "True");
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("litellm starts");
        let url = format!("http://127.0.0.1:{port}");
        tokio::time::timeout(START, async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                assert!(child.try_wait().unwrap().is_none(), "litellm ended before it listened");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
        .await
        .expect("litellm listens in time");
        Self { _child: child, url }
    }
}

fn litellm_config(upstream: &str) -> String {
    let entry = |name: &str, model: &str, base: &str| json!({"model_name": name, "litellm_params": {"model": model, "api_base": base, "api_key": "sk-upstream"}});
    let openai = format!("{upstream}/v1");
    json!({
        "model_list": [entry("gpt-5", "openai/gpt-5", &openai), entry("claude-sonnet-5", "anthropic/claude-sonnet-5", upstream)],
        "litellm_settings": {"telemetry": false},
    })
    .to_string()
}

/// A request as it went over the wire.
#[derive(Debug, Clone)]
pub struct Recorded {
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

/// A TCP relay that keeps what the client sent.
pub struct Tee {
    /// Where it listens.
    pub url: String,
    streams: Arc<Mutex<Vec<Stream>>>,
}

/// What one connection's client sent.
type Stream = Arc<Mutex<Vec<u8>>>;

impl Tee {
    /// Relays to `upstream`, a `http://host:port`.
    pub async fn to(upstream: &str) -> Self {
        let target = upstream.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let streams: Arc<Mutex<Vec<Stream>>> = Arc::default();
        let all = Arc::clone(&streams);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let kept = Arc::new(Mutex::new(Vec::new()));
                all.lock().unwrap().push(Arc::clone(&kept));
                tokio::spawn(relay(client, target.clone(), kept));
            }
        });
        Self { url, streams }
    }

    /// All requests so far, connection by connection.
    pub fn requests(&self) -> Vec<Recorded> {
        let streams = self.streams.lock().unwrap();
        streams.iter().flat_map(|stream| parse(&stream.lock().unwrap())).collect()
    }

    /// Connections made so far.
    pub fn connections(&self) -> usize {
        self.streams.lock().unwrap().len()
    }
}

async fn relay(client: TcpStream, target: String, kept: Stream) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let up = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            kept.lock().unwrap().extend_from_slice(&buffer[..read]);
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
        }
    };
    // Whichever side closes first closes the other.
    tokio::select! { () = up => {}, _ = tokio::io::copy(&mut from_server, &mut to_client) => {} }
}

/// The HTTP/1.1 requests in the bytes of one connection.
fn parse(mut bytes: &[u8]) -> Vec<Recorded> {
    let mut requests = Vec::new();
    while let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).expect("headers are text");
        let mut lines = head.split("\r\n");
        let path = lines.next().unwrap().split(' ').nth(1).unwrap().to_owned();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length").expect("a content-length");
        let length: usize = length.1.parse().unwrap();
        let body = &bytes[end + 4..end + 4 + length];
        requests.push(Recorded { path, headers, body: serde_json::from_slice(body).expect("a JSON body") });
        bytes = &bytes[end + 4 + length..];
    }
    requests
}

/// Asks the vendors' own types about `requests`, and the vendors' own clients about the mock at `mock`.
pub async fn judge(requests: &[Recorded], mock: &str) {
    let requests: Vec<_> = requests
        .iter()
        .map(|request| json!({"path": request.path, "headers": request.headers, "body": request.body}))
        .collect();
    let mut command = Command::new(python());
    command.arg(manifest("tests/oracle/check_requests.py")).args(["--probe", mock]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(&serde_json::to_vec(&requests).unwrap()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "the oracle objects:\n{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let told = format!("{} requests fit", requests.len());
    assert!(said.contains(&told), "the oracle judged something else: {said}");
}

/// All four vendors at `base`, with a key.
pub fn providers(base: &str) -> Providers {
    install_tls();
    let at = |path: &str| Remote { base_url: format!("{base}{path}"), key: Secret::new(KEY) };
    let config = ModelConfig {
        openai: at("/v1"),
        anthropic: at(""),
        gemini: at(""),
        ollama: at("/v1"),
        first_byte: Duration::from_secs(60),
        idle: Duration::from_secs(60),
        ..ModelConfig::default()
    };
    Providers::new(config, PriceTable::built_in(), Arc::new(Scripts::default()))
}

/// A request to `model` (without its provider).
pub fn request(model: &str, turns: Vec<Turn>) -> ModelRequest {
    ModelRequest {
        model: model.to_owned(),
        system: "You are a careful engineer.".to_owned(),
        turns: turns.into(),
        tools: Vec::new(),
        output_schema: None,
        max_output_tokens: 2_048,
        temperature: None,
        top_p: None,
        reasoning_effort: None,
        timeout: Duration::from_secs(60),
        origin: Origin { key: "run:task:1:1".to_owned(), ..Origin::default() },
    }
}

/// Two tools, one of them with an argument that may be left out.
pub fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, description: &str, input_schema| ToolSpec {
        name: name.to_owned(),
        description: description.to_owned(),
        input_schema,
    };
    let path = json!({"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]});
    let search = json!({
        "type": "object",
        "properties": {"pattern": {"type": "string"}, "limit": {"type": "integer", "minimum": 1}},
        "required": ["pattern"],
        "additionalProperties": false,
    });
    vec![tool("read_file", "Reads a file.", path), tool("search_files", "Searches files.", search)]
}

/// Calls `provider` with `request` and returns what came, and what a watcher saw.
pub async fn call(
    providers: &Providers,
    provider: &str,
    request: &ModelRequest,
) -> (Result<ModelReply, ModelError>, Vec<Delta>) {
    let handle = providers.find(&format!("{provider}/{}", request.model)).unwrap();
    let seen = Mutex::new(Vec::new());
    let watch = |delta| seen.lock().unwrap().push(delta);
    let reply = handle.model.call(request, &watch, &CancellationToken::new()).await;
    (reply, seen.into_inner().unwrap())
}
