//! Bad answers: storms, cuts, errors, clients that die; none of them counts as completed.

use convoke_bench_mock::Mock;
use convoke_bench_mock::fault::Fault;
use convoke_bench_mock::options::Options;

use crate::client::Client;

const STREAM: &str = r#"{"model":"m","stream":true,"messages":[]}"#;

fn with(faults: &[&str]) -> Mock {
    let faults = faults.iter().map(|text| Fault::parse(text).expect("a fault")).collect();
    Mock::start(Options { faults, ..Options::default() }).expect("it starts")
}

#[test]
fn a_storm_passes() {
    let mock = with(&["429:first=2"]);
    let mut client = Client::to(&mock.base_url());
    let answers: Vec<_> = (0..3).map(|_| client.chat(STREAM)).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [429, 429, 200]);
    assert_eq!(answers[0].retry_after.as_deref(), Some("1"));
    let stats = mock.stats();
    assert_eq!((stats.requests, stats.completed, stats.prompt_tokens), (3, 1, 100));
    assert_eq!(stats.faults["429"], 2);
}

#[test]
fn a_cut_stream_is_recorded_as_not_written() {
    let mock = with(&["cut:nth=1"]);
    assert_eq!(Client::to(&mock.base_url()).chat(STREAM).body, None);
    assert!(Client::to(&mock.base_url()).chat(STREAM).body.is_some());
    let written: Vec<bool> = mock.records().iter().map(|record| record.written).collect();
    assert_eq!(written, [false, true]);
    assert!(!mock.records()[0].id.is_empty(), "the client may have seen this id");
}

#[test]
fn faults_can_change_while_it_runs() {
    let mock = with(&[]);
    let mut client = Client::to(&mock.base_url());
    assert_eq!(client.post("/__faults", r#"["500:always"]"#).status, 200);
    assert_eq!(client.chat(STREAM).status, 500);
    assert_eq!(client.post("/__faults", r#"["nonsense"]"#).status, 400);
    mock.set_faults(Vec::new());
    assert_eq!(client.chat(STREAM).status, 200);
}

#[test]
fn malformed_text_is_no_json() {
    let mock = with(&["malformed"]);
    let body = r#"{"model":"m","messages":[],"response_format":{"type":"json_schema","json_schema":
        {"name":"x","schema":{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}}}}"#;
    let answer: serde_json::Value =
        serde_json::from_str(&Client::to(&mock.base_url()).chat(body).body.expect("a body")).expect("JSON outside");
    let text = answer["choices"][0]["message"]["content"].as_str().expect("a text");
    assert!(serde_json::from_str::<serde_json::Value>(text).is_err(), "{text}");
}

#[test]
fn nonsense_is_refused_and_counted() {
    let mock = with(&[]);
    let mut client = Client::to(&mock.base_url());
    assert_eq!(client.chat("{").status, 400);
    assert_eq!(client.get("/nowhere").status, 404);
    client.send("NONSENSE", "");
    let stats = mock.stats();
    assert_eq!((stats.requests, stats.completed, stats.in_flight), (1, 0, 0));
}
