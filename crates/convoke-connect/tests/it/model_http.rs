//! What the network can do to a call: a server that answers with exact bytes, badly, slowly or not at all.

use std::sync::Arc;
use std::time::Duration;

use convoke_connect::model::script::Scripts;
use convoke_connect::model::{ModelConfig, PriceTable, Providers, Remote, Secret};
use convoke_domain::transcript::{Turn, Usage, text_of};
use convoke_port::model::{Fault, ModelError, ModelReply, ModelRequest, Models, Tariff};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model_mock::{KEY, install_tls, request};

/// What the server does after it has read a request.
#[derive(Clone)]
enum Act {
    /// Sends this and closes.
    Send(String),
    /// Sends this and holds the connection.
    Hold(String),
    /// Sends this much filler as one event stream.
    Flood(usize),
}

/// A server that does `act` on every connection. The channel tells of connections that the client closed.
async fn server(act: Act) -> (String, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (closed, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (act, closed) = (act.clone(), closed.clone());
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                let _ = client.read(&mut buffer).await;
                match act {
                    Act::Send(text) => drop(client.write_all(text.as_bytes()).await),
                    Act::Hold(text) => {
                        let _ = client.write_all(text.as_bytes()).await;
                        while let Ok(1..) = client.read(&mut buffer).await {}
                        let _ = closed.send(());
                    }
                    Act::Flood(bytes) => {
                        let _ = client.write_all(STREAM.as_bytes()).await;
                        let line = format!("{}\n\n", "x".repeat(1 << 20));
                        let mut sent = 0;
                        while sent < bytes && client.write_all(format!(": {line}").as_bytes()).await.is_ok() {
                            sent += line.len();
                        }
                    }
                }
            });
        }
    });
    (url, told)
}

const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

fn answer(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    Act::Send(format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"))
}

fn providers(url: &str) -> Providers {
    install_tls();
    let at = |path: &str| Remote { base_url: format!("{url}{path}"), key: Secret::new(KEY) };
    let wait = Duration::from_millis(300);
    let config =
        ModelConfig { openai: at("/v1"), anthropic: at(""), first_byte: wait, idle: wait, ..ModelConfig::default() };
    Providers::new(config, PriceTable::built_in(), Arc::new(Scripts::default()))
}

async fn ask_within(act: Act, name: &str, timeout: Duration) -> Result<ModelReply, ModelError> {
    let (url, _told) = server(act).await;
    let handle = providers(&url).find(name).unwrap();
    let asked = ModelRequest { timeout, ..request(&handle.name, vec![Turn::user("hi")]) };
    handle.model.call(&asked, &|_| (), &CancellationToken::new()).await
}

async fn ask(act: Act) -> Result<ModelReply, ModelError> {
    ask_within(act, "openai/gpt-5", Duration::from_secs(20)).await
}

#[tokio::test]
async fn a_page_for_people_is_no_answer_and_costs_nothing() {
    let page = |kind: &str| answer("200 OK", &format!("content-type: {kind}\r\n"), "<html>Welcome</html>");
    let error = ask(page("Text/HTML; charset=utf-8")).await.unwrap_err();
    assert_eq!((error.fault, error.may_be_billed), (Fault::BadReply, false));
    assert!(error.message.contains("right base URL?"), "{}", error.message);
    let error = ask(page("application/json")).await.unwrap_err();
    assert_eq!((error.fault, error.may_be_billed), (Fault::BadReply, true));
}

#[tokio::test]
async fn nobody_there_is_a_connect_error_that_costs_nothing() {
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let handle = providers(&format!("http://127.0.0.1:{port}")).find("openai/gpt-5").unwrap();
    let asked = request("gpt-5", vec![Turn::user("hi")]);
    let error = handle.model.call(&asked, &|_| (), &CancellationToken::new()).await.unwrap_err();
    assert_eq!((error.fault, error.may_be_billed), (Fault::Connect, false));
    assert!(error.message.contains(&format!("http://127.0.0.1:{port}/v1")), "{error}");
}

#[tokio::test]
async fn errors_keep_the_providers_words_and_lose_the_key() {
    let body = format!(r#"{{"error":{{"message":"bad thing with {KEY}","type":"invalid_request_error"}}}}"#);
    let error = ask(answer("400 Bad Request", "", &body)).await.unwrap_err();
    assert_eq!((error.fault, error.status, error.may_be_billed), (Fault::BadRequest, Some(400), false));
    assert_eq!(
        error.message,
        "openai/gpt-5 refused the request (400: bad thing with ***); check the profile's model settings"
    );
    let error = ask(answer("401 Unauthorized", "", &body)).await.unwrap_err();
    assert_eq!(error.fault, Fault::Auth);
    assert_eq!(error.message, "openai/gpt-5 refused the key (401); check OPENAI_API_KEY");
}

#[tokio::test]
async fn a_wait_that_is_asked_for_is_passed_on() {
    let error = ask(answer("429 Too Many Requests", "retry-after: 7\r\n", "{}")).await.unwrap_err();
    assert_eq!((error.fault, error.retry_after), (Fault::RateLimited, Some(Duration::from_secs(7))));
    let error = ask(answer("503 Service Unavailable", "retry-after-ms: 250\r\n", "busy")).await.unwrap_err();
    assert_eq!((error.fault, error.retry_after), (Fault::Overloaded, Some(Duration::from_millis(250))));
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let act = answer("302 Found", "location: http://127.0.0.1:1/\r\n", "");
    let error = ask(act).await.unwrap_err();
    assert_eq!((error.fault, error.status), (Fault::BadRequest, Some(302)));
}

#[tokio::test]
async fn silence_is_a_timeout_before_and_within_an_answer() {
    let before = ask(Act::Hold(String::new())).await.unwrap_err();
    assert_eq!((before.fault, before.may_be_billed), (Fault::Timeout, true));
    assert!(before.message.contains("did not begin to answer within 0.3 s"), "{before}");
    let half = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n";
    let within = ask(Act::Hold(format!("{STREAM}{half}"))).await.unwrap_err();
    assert!(within.message.contains("fell silent within its answer for 0.3 s"), "{within}");
    let whole = ask_within(Act::Hold(String::new()), "openai/gpt-5", Duration::from_millis(50)).await.unwrap_err();
    assert!(whole.message.contains("gave no complete answer within 0.05 s"), "{whole}");
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let error = ask(Act::Flood(64 << 20)).await.unwrap_err();
    assert_eq!(error.fault, Fault::BadReply);
    assert!(error.message.contains("larger than 32 MiB"), "{error}");
}

#[tokio::test]
async fn what_was_used_before_a_cut_is_told() {
    let start = r#"data: {"type":"message_start","message":{"id":"m","model":"x","usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let act = Act::Send(format!("{STREAM}{start}\n\n"));
    let error = ask_within(act, "anthropic/claude-sonnet-5", Duration::from_secs(20)).await.unwrap_err();
    assert_eq!((error.fault, error.may_be_billed), (Fault::Cut, true));
    assert_eq!(error.usage, Some(Usage { input_tokens: 9, output_tokens: 1, ..Usage::default() }));
}

#[tokio::test]
async fn limits_come_with_the_reply_and_the_rest_of_the_body_is_not_waited_for() {
    let body = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let head = STREAM.replace("connection", "x-ratelimit-remaining-requests: 41\r\nconnection");
    // Whoever waited for more than the end mark would get a timeout instead of a reply.
    let reply = ask(Act::Hold(format!("{head}{body}"))).await.unwrap();
    assert_eq!((text_of(&reply.blocks).as_str(), reply.rate_limit.requests_left), ("hi", Some(41)));
    assert_eq!(reply.usage, None);
}

#[tokio::test]
async fn cancel_closes_the_connection() {
    let (url, mut told) = server(Act::Hold(STREAM.to_owned())).await;
    let handle = providers(&url).find("openai/gpt-5").unwrap();
    let asked = request("gpt-5", vec![Turn::user("hi")]);
    let cancel = CancellationToken::new();
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        cancel.cancel();
    };
    let (outcome, ()) = tokio::join!(handle.model.call(&asked, &|_| (), &cancel), stopping);
    assert_eq!(outcome.unwrap_err().fault, Fault::Cancelled);
    let closed = tokio::time::timeout(Duration::from_secs(5), told.recv()).await;
    closed.expect("the server sees the connection close").unwrap();
    let error = handle.model.call(&asked, &|_| (), &cancel).await.unwrap_err();
    assert_eq!((error.fault, error.may_be_billed), (Fault::Cancelled, false), "cancelled before it was sent");
}

#[test]
fn who_pays_follows_from_table_and_place() {
    let providers = providers("http://127.0.0.1:9");
    let tariff = |name: &str| providers.find(name).unwrap().tariff;
    assert!(
        matches!(tariff("openai/gpt-5"), Tariff::Priced(price) if price.input == 1.25),
        "a known price counts behind a gateway too"
    );
    assert!(
        matches!(tariff("openai-responses/gpt-5-2025-08-07"), Tariff::Priced(_)),
        "dated snapshots have their model's price"
    );
    assert_eq!(tariff("openai/my-own-model"), Tariff::Local);
    assert_eq!(tariff("ollama/llama3.2"), Tariff::Local);
    let mut config = ModelConfig::default();
    config.gemini.key = Secret::new(KEY);
    config.compatible.insert("vllm".to_owned(), Remote { base_url: "http://10.0.0.7/v1".to_owned(), key: None });
    let mut prices = PriceTable::built_in();
    prices.merge("mine", "models:\n  vllm/priced*: {input: 1, output: 2}\n").unwrap();
    let remote = Providers::new(config, prices, Arc::new(Scripts::default()));
    let tariff = |name: &str| remote.find(name).unwrap().tariff;
    assert_eq!(tariff("gemini/no-such-model"), Tariff::Unpriced);
    assert_eq!(tariff("vllm/llama"), Tariff::Unpriced);
    assert!(matches!(tariff("vllm/priced-1"), Tariff::Priced(_)));
    assert!(!format!("{remote:?}").contains(KEY));
}
