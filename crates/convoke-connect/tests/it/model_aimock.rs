//! All four formats against `@copilotkit/aimock`, a mock that nobody here wrote, and its requests before the vendors' types.

use std::time::{Duration, Instant};

use convoke_connect::model::Providers;
use convoke_domain::profile::ReasoningEffort;
use convoke_domain::transcript::{Block, Speaker, Turn, calls_of, text_of};
use convoke_port::model::{Delta, Fault, ModelReply, Models, StopReason};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::model_mock::{KEY, Mock, Tee, call, judge, providers, request, tools};

/// Provider and a model of it that the price table knows, one per format; Gemini twice, since its generations differ.
pub const FORMATS: [(&str, &str); 5] = [
    ("openai", "gpt-5"),
    ("openai-responses", "gpt-5"),
    ("anthropic", "claude-sonnet-5"),
    ("gemini", "gemini-2.5-flash"),
    ("gemini", "gemini-3.8-flash"),
];

/// The conversation after `reply` asked for tools and got `results`.
pub fn answered(question: &str, reply: &ModelReply, results: &[&str]) -> Vec<Turn> {
    let results = calls_of(&reply.blocks).zip(results).map(|(call, content)| Block::ToolResult {
        call_id: call.id.clone(),
        name: call.name.clone(),
        content: (*content).to_owned(),
        is_error: content.starts_with("failed"),
    });
    vec![
        Turn::user(question),
        Turn { speaker: Speaker::Assistant, blocks: reply.blocks.clone() },
        Turn { speaker: Speaker::User, blocks: results.collect() },
    ]
}

pub fn inputs(reply: &ModelReply) -> Vec<(&str, &Value)> {
    calls_of(&reply.blocks).map(|call| (call.name.as_str(), &call.input)).collect()
}

pub async fn text(providers: &Providers, provider: &str, model: &str) {
    let (reply, seen) = call(providers, provider, &request(model, vec![Turn::user("say hello")])).await;
    let reply = reply.unwrap();
    let said = "Hello from the mock, in a text that takes several chunks to send.";
    assert_eq!((text_of(&reply.blocks).as_str(), reply.stop), (said, StopReason::End), "{provider}");
    let usage = reply.usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (11, 7), "{provider}");
    let pieces: Vec<_> =
        seen.iter().filter_map(|delta| if let Delta::Text(text) = delta { Some(text) } else { None }).collect();
    assert!(pieces.len() > 1, "{provider} streams");
    assert_eq!(pieces.into_iter().map(String::as_str).collect::<String>(), said);
}

pub async fn one_tool(providers: &Providers, provider: &str, model: &str) {
    let question = "read one file";
    let mut asked = request(model, vec![Turn::user(question)]);
    asked.tools = tools();
    let (reply, seen) = call(providers, provider, &asked).await;
    let reply = reply.unwrap();
    assert_eq!(reply.stop, StopReason::ToolCalls, "{provider}");
    assert_eq!(inputs(&reply), [("read_file", &json!({"path": "logs/app with ümlaut.log"}))], "{provider}");
    assert!(seen.contains(&Delta::ToolCall("read_file".to_owned())));

    asked.turns = answered(question, &reply, &["12 lines"]).into();
    asked.origin.key = "run:task:1:2".to_owned();
    let reply = call(providers, provider, &asked).await.0.unwrap();
    assert_eq!(text_of(&reply.blocks), "The file has 12 lines.", "{provider}");
}

pub async fn two_tools(providers: &Providers, provider: &str, model: &str) {
    let question = "do both";
    let mut asked = request(model, vec![Turn::user(question)]);
    asked.tools = tools();
    let reply = call(providers, provider, &asked).await.0.unwrap();
    let expected = [
        ("search_files", &json!({"pattern": "ERROR|WARN", "limit": 5})),
        ("read_file", &json!({"path": "deploys.csv"})),
    ];
    assert_eq!(inputs(&reply), expected, "{provider}");
    assert_eq!(text_of(&reply.blocks), "I do both.", "{provider}");
    let ids: Vec<_> = calls_of(&reply.blocks).map(|call| &call.id).collect();
    assert_ne!(ids[0], ids[1]);

    asked.turns = answered(question, &reply, &["3 hits", "failed: no such file"]).into();
    let reply = call(providers, provider, &asked).await.0.unwrap();
    assert_eq!(text_of(&reply.blocks), "Both done.", "{provider}");
}

async fn structured(providers: &Providers, provider: &str, model: &str) {
    let mut asked = request(model, vec![Turn::user("answer as data")]);
    asked.output_schema = Some(json!({
        "type": "object",
        "properties": {"path": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
        "required": ["path", "score"],
        "additionalProperties": false,
    }));
    asked.temperature = Some(0.2);
    asked.top_p = Some(0.9);
    asked.reasoning_effort = Some(ReasoningEffort::Low);
    let reply = call(providers, provider, &asked).await.0.unwrap();
    let answer: Value = serde_json::from_str(&text_of(&reply.blocks)).unwrap();
    assert_eq!(answer, json!({"path": "a.log", "score": 0.5}), "{provider}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_formats_speak_with_aimock_and_satisfy_the_vendors_types() {
    let mock = Mock::aimock().await;
    let tee = Tee::to(&mock.url).await;
    let providers = providers(&tee.url);
    for (provider, model) in FORMATS {
        text(&providers, provider, model).await;
        one_tool(&providers, provider, model).await;
        two_tools(&providers, provider, model).await;
        structured(&providers, provider, model).await;
    }
    let requests = tee.requests();
    assert_eq!(requests.len(), FORMATS.len() * 6, "one request per call");
    assert!(tee.connections() <= 4, "connections are kept and used again, {} were made", tee.connections());
    for request in &requests {
        let key = request.headers.iter().find(|(name, _)| name == "idempotency-key").expect("a key");
        assert!(key.1.starts_with("run:task:1:"));
    }
    judge(&requests, &mock.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_is_called_by_its_compatible_side() {
    let mock = Mock::aimock().await;
    let tee = Tee::to(&mock.url).await;
    let providers = providers(&tee.url);
    text(&providers, "ollama", "llama3.2").await;
    two_tools(&providers, "ollama", "llama3.2").await;
    let requests = tee.requests();
    assert!(requests.iter().all(|request| request.path == "/v1/chat/completions"));
    judge(&requests, &mock.url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_are_told_apart_in_all_formats() {
    let mock = Mock::aimock().await;
    let tee = Tee::to(&mock.url).await;
    let providers = providers(&tee.url);
    let faults = [
        ("too many", Fault::RateLimited, Some(429), false),
        ("drop", Fault::Overloaded, Some(500), false),
        ("garble", Fault::BadReply, Some(200), true),
        ("hang up", Fault::Cut, None, true),
        ("stop halfway", Fault::Cut, None, true),
    ];
    for (provider, model) in FORMATS {
        for (question, fault, status, billed) in faults {
            let (reply, _) = call(&providers, provider, &request(model, vec![Turn::user(question)])).await;
            let error = reply.expect_err(question);
            assert_eq!(
                (error.fault, error.status, error.may_be_billed),
                (fault, status, billed),
                "{provider} {question}: {error}"
            );
            assert!(error.message.starts_with(&format!("{provider}/{model} ")), "{error}");
            assert!(!format!("{error:?}").contains(KEY));
            assert_eq!(error.retry_after.is_some(), fault == Fault::RateLimited, "{provider} {question}");
        }
    }
    assert_eq!(tee.requests().len(), FORMATS.len() * faults.len(), "one attempt per call");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_timeout_end_a_slow_answer_at_once() {
    let mock = Mock::aimock().await;
    let providers = providers(&mock.url);
    for (provider, model) in FORMATS {
        let mut asked = request(model, vec![Turn::user("wait for it")]);
        asked.timeout = Duration::from_millis(200);
        let error = call(&providers, provider, &asked).await.0.expect_err("too slow");
        assert_eq!((error.fault, error.may_be_billed), (Fault::Timeout, true), "{provider}");

        asked.timeout = Duration::from_secs(60);
        let handle = providers.find(&format!("{provider}/{model}")).unwrap();
        let cancel = CancellationToken::new();
        let began = Instant::now();
        let calling = handle.model.call(&asked, &|_| (), &cancel);
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel();
        };
        let (outcome, ()) = tokio::join!(calling, stopping);
        assert_eq!(outcome.expect_err("cancelled").fault, Fault::Cancelled, "{provider}");
        assert!(began.elapsed() < asked.timeout, "{provider} ends with its cancel, not with its time");
    }
}
