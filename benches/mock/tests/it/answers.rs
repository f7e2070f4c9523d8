//! Good answers: whole, streamed, structured, with tools; what is counted and recorded.

use convoke_bench_mock::Mock;
use convoke_bench_mock::options::{Options, ToolRule};
use convoke_bench_mock::reply::Reply;
use serde_json::{Value, json};

use crate::client::Client;

fn parse(body: Option<String>) -> Value {
    serde_json::from_str(&body.expect("a whole body")).expect("JSON")
}

#[test]
fn requests_on_one_connection_are_answered_counted_and_recorded() {
    let mock = Mock::start(Options { latency_ms: 5, ..Options::default() }).expect("it starts");
    let mut client = Client::to(&mock.base_url());
    let body = r#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#;
    let first = parse(client.chat(body).body);
    let second = parse(client.chat(body).body);
    assert_eq!(first["choices"][0]["message"]["content"], second["choices"][0]["message"]["content"]);
    assert_ne!(first["id"], second["id"]);

    let stats = mock.stats();
    assert_eq!((stats.requests, stats.completed, stats.connections, stats.max_in_flight), (2, 2, 1, 1));
    assert_eq!((stats.prompt_tokens, stats.completion_tokens, stats.in_flight), (200, 40, 0));
    assert!(stats.served_us_mean >= 5_000.0);
    let records = mock.records();
    assert!(records.iter().all(|record| record.written && record.key == "k1" && record.model == "m"));
    assert_eq!(records[0].digest, records[1].digest);
    assert_eq!(records[1].id, second["id"]);
}

#[test]
fn statistics_are_served_too_and_can_be_reset() {
    let mock = Mock::start(Options::default()).expect("it starts");
    let mut client = Client::to(&mock.base_url());
    client.chat(r#"{"model":"m","messages":[]}"#);
    assert_eq!(parse(client.get("/__stats").body)["completed"], 1);
    assert_eq!(parse(client.get("/__records?skip=0").body)[0]["written"], true);
    assert_eq!(parse(client.get("/__records?skip=1").body), json!([]));
    client.post("/__reset", "");
    assert_eq!(parse(client.get("/__stats").body)["requests"], 0);
}

#[test]
fn a_stream_ends_with_usage_and_done() {
    let mock = Mock::start(Options::default()).expect("it starts");
    let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[]}"#;
    let text = Client::to(&mock.base_url()).chat(body).body.expect("a whole stream");
    assert!(text.contains(r#""prompt_tokens":100"#) && text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[test]
fn a_plan_is_made_for_the_named_members() {
    let options = Options { plan_assignees: vec!["a".into(), "b".into()], ..Options::default() };
    let mock = Mock::start(options).expect("it starts");
    let schema = json!({"type":"object","required":["tasks"],"properties":{"tasks":{"type":"array","items":
        {"type":"object","required":["key","assignee"],"properties":{"key":{"type":"string"},"assignee":{"type":"string"}}}}}});
    let body = json!({"model":"m","messages":[],"response_format":
        {"type":"json_schema","json_schema":{"name":"plan","schema":schema}}});
    let answer = parse(Client::to(&mock.base_url()).chat(&body.to_string()).body);
    let plan = parse(answer["choices"][0]["message"]["content"].as_str().map(str::to_owned));
    assert_eq!(plan, json!({"tasks":[{"key":"t1","assignee":"a"},{"key":"t2","assignee":"b"}]}));
}

#[test]
fn a_tool_is_called_once_in_a_conversation() {
    let tool = ToolRule { name: "write".into(), arguments: json!({"path":"a"}) };
    let mock = Mock::start(Options { tool: Some(tool), ..Options::default() }).expect("it starts");
    let mut client = Client::to(&mock.base_url());
    let tools = r#""tools":[{"type":"function","function":{"name":"write","parameters":{}}}]"#;
    let asked = parse(client.chat(&format!(r#"{{"model":"m","messages":[],{tools}}}"#)).body);
    assert_eq!(asked["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "write");
    let told = parse(client.chat(&format!(r#"{{"model":"m","messages":[{{"role":"tool"}}],{tools}}}"#)).body);
    assert_eq!(told["choices"][0]["finish_reason"], "stop");
}

#[test]
fn a_program_may_answer_as_it_likes() {
    let options = Options::default();
    let mock = Mock::start_with(options, |call| Reply::Text(format!("{} {}", call.number, call.json()["user"])));
    let mock = mock.expect("it starts");
    let answer = parse(Client::to(&mock.base_url()).chat(r#"{"model":"m","messages":[],"user":"u"}"#).body);
    assert_eq!(answer["choices"][0]["message"]["content"], "1 \"u\"");
}

#[test]
fn requests_of_many_connections_wait_at_the_same_time() {
    let mock = Mock::start(Options { latency_ms: 300, ..Options::default() }).expect("it starts");
    let url = mock.base_url();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| Client::to(&url).chat(r#"{"model":"m","messages":[]}"#));
        }
    });
    assert_eq!(mock.stats().completed, 16);
    assert!(mock.stats().max_in_flight >= 2, "{:?}", mock.stats());
}
