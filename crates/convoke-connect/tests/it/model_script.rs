//! The script provider: entries found by agent and turn, templates over real results, faults, latency, errors.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use convoke_connect::model::script::{ScriptSource, ScriptText, Scripts};
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_domain::price::Price;
use convoke_domain::transcript::{Block, Speaker, Turn, Usage, calls_of, text_of};
use convoke_port::model::{
    Delta, Fault, ModelError, ModelHandle, ModelReply, ModelRequest, Models, Origin, StopReason, Tariff,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

struct One(String);

impl ScriptSource for One {
    fn read(&self, name: &str) -> Result<ScriptText, String> {
        Ok(ScriptText { file: format!("{name}.yaml"), yaml: self.0.clone() })
    }
}

fn find(yaml: &str) -> Result<ModelHandle, ModelError> {
    let providers = Providers::new(ModelConfig::default(), PriceTable::built_in(), Arc::new(One(yaml.to_owned())));
    providers.find("script/demo")
}

fn origin(stage: &str, turn: u32) -> Origin {
    Origin {
        key: format!("run:task:1:{turn}"),
        agent: "logs".to_owned(),
        stage: stage.to_owned(),
        task_key: "logs".to_owned(),
        run_task: "Why is it slow?".to_owned(),
        round: 1,
        turn,
        attempt: 1,
        context: json!({"members": [{"name": "logs"}, {"name": "cost"}], "round": 1}),
    }
}

fn request(origin: Origin, turns: Vec<Turn>) -> ModelRequest {
    ModelRequest {
        model: "demo".to_owned(),
        system: "You read logs.".to_owned(),
        turns: turns.into(),
        tools: Vec::new(),
        output_schema: None,
        max_output_tokens: 1_000,
        temperature: None,
        top_p: None,
        reasoning_effort: None,
        timeout: Duration::from_secs(10),
        origin,
    }
}

async fn call(handle: &ModelHandle, request: &ModelRequest) -> Result<ModelReply, ModelError> {
    handle.model.call(request, &|_| (), &CancellationToken::new()).await
}

async fn ask(yaml: &str, stage: &str, turn: u32) -> Result<ModelReply, ModelError> {
    call(&find(yaml)?, &request(origin(stage, turn), vec![Turn::user("Look at app.log.")])).await
}

const LOGS: &str = r#"
description: reads a log
price: {input: 3, output: 15}
agents:
  logs:
    - when: {stage: work, turn: 1}
      text: I look into {{ prompt | regex_find('\w+\.log') }}.
      tools:
        - {label: errors, name: search_files, input: {pattern: "ERROR|WARN", path: input/app.log, limit: "{{ 2 + 3 }}"}}
        - {label: deploys, name: query_table, input: {file: "deploys-{{ stage }}.csv"}}
    - when: {stage: work, turn: 2}
      text: |
        First error at {{ results.errors.content | regex_find('\d\d:\d\d') }}.
        {% for row in results.deploys.json.rows %}
        - {{ row.version }} at {{ row.at | clock }}
        {% endfor %}
        Failed: {{ results.deploys.is_error }}.
    - when: {stage: plan}
      json:
        tasks: "{{ context.members | map(attribute='name') | list }}"
        title: "For {{ task }}"
        count: "{{ context.members | length }}"
        fixed: [1, true, null, "x"]
"#;

fn with_results() -> Vec<Turn> {
    let result = |id: &str, name: &str, content: &str| Block::ToolResult {
        call_id: id.to_owned(),
        name: name.to_owned(),
        content: content.to_owned(),
        is_error: false,
    };
    let rows = r#"{"rows": [{"version": "v41", "at": "2026-03-01T12:30:00Z"}]}"#;
    let results = vec![
        result("call_1_errors", "search_files", "12:34:56 ERROR pool exhausted"),
        result("call_1_deploys", "query_table", rows),
    ];
    vec![Turn::user("Look at app.log."), Turn { speaker: Speaker::User, blocks: results }]
}

#[tokio::test]
async fn tool_calls_carry_labels_and_typed_input() {
    let reply = ask(LOGS, "work", 1).await.unwrap();
    assert_eq!(reply.stop, StopReason::ToolCalls);
    assert_eq!(text_of(&reply.blocks), "I look into app.log.");
    let calls: Vec<_> = calls_of(&reply.blocks).collect();
    assert_eq!(calls[0].id, "call_1_errors");
    assert_eq!(calls[0].input, json!({"pattern": "ERROR|WARN", "path": "input/app.log", "limit": 5}));
    assert_eq!((calls[1].name.as_str(), &calls[1].input), ("query_table", &json!({"file": "deploys-work.csv"})));
}

#[tokio::test]
async fn text_is_made_of_real_results() {
    let handle = find(LOGS).unwrap();
    let reply = call(&handle, &request(origin("work", 2), with_results())).await.unwrap();
    assert_eq!(text_of(&reply.blocks), "First error at 12:34.\n- v41 at 12:30\nFailed: False.");
    assert_eq!(reply.stop, StopReason::End);
}

#[tokio::test]
async fn structured_answers_keep_types() {
    let reply = ask(LOGS, "plan", 1).await.unwrap();
    let answer: Value = serde_json::from_str(&text_of(&reply.blocks)).unwrap();
    let fixed = json!([1, true, null, "x"]);
    assert_eq!(answer, json!({"tasks": ["logs", "cost"], "title": "For Why is it slow?", "count": 2, "fixed": fixed}));
}

#[tokio::test]
async fn a_template_may_write_the_whole_json() {
    let yaml = "agents:\n  '*':\n    - json: |\n        {\"n\": {{ turn }}, \"of\": \"{{ agent }}\"}\n";
    let reply = ask(yaml, "work", 7).await.unwrap();
    assert_eq!(text_of(&reply.blocks), r#"{"n":7,"of":"logs"}"#);
    let error = ask("agents:\n  '*':\n    - json: \"n {{ turn }}\"\n", "work", 1).await.unwrap_err();
    assert!(
        error.message.starts_with("demo.yaml:3:13: the template under json: wrote something that is no JSON"),
        "{error}"
    );
}

#[tokio::test]
async fn the_same_step_gets_the_same_reply_and_a_simulated_bill() {
    let (one, two) = (ask(LOGS, "work", 1).await.unwrap(), ask(LOGS, "work", 1).await.unwrap());
    assert_eq!(one, two);
    assert!(one.response_id.starts_with("script-") && one.model == "script/demo");
    let usage = one.usage.unwrap();
    // "You read logs." and "Look at app.log." are 30 characters.
    assert_eq!(usage.input_tokens, 8);
    assert!(usage.output_tokens > 10);
    let price = Price { input: 3.0, output: 15.0, cache_read: None, cache_write: None };
    assert_eq!(find(LOGS).unwrap().tariff, Tariff::Simulated(price));
}

#[tokio::test]
async fn no_entry_names_what_was_looked_for() {
    let error = ask(LOGS, "synthesis", 3).await.unwrap_err();
    assert_eq!(error.fault, Fault::BadRequest);
    assert_eq!(
        error.message,
        "script/demo has no entry for agent logs, stage synthesis, task_key \"logs\", round 1, turn 3, attempt 1; \
         add one to demo.yaml"
    );
}

#[tokio::test]
async fn an_agents_own_entries_come_before_the_stars() {
    let yaml = "agents:\n  '*': [{text: star}]\n  logs: [{when: {turn: 2}, text: own}]\n";
    assert_eq!(text_of(&ask(yaml, "work", 2).await.unwrap().blocks), "own");
    assert_eq!(text_of(&ask(yaml, "work", 1).await.unwrap().blocks), "star");
}

#[tokio::test]
async fn faults_come_as_often_as_they_should() {
    let yaml = "agents:\n  logs:\n    - {fault: rate_limited, times: 2}\n    - {text: fine, usage: {input_tokens: 7, output_tokens: 5}}\n";
    let handle = find(yaml).unwrap();
    for attempt in 1..=2 {
        let origin = Origin { key: format!("run:task:{attempt}:1"), ..origin("work", 1) };
        let error = call(&handle, &request(origin, vec![])).await.unwrap_err();
        assert_eq!((error.fault, error.status, error.may_be_billed), (Fault::RateLimited, Some(429), false));
    }
    let reply = call(&handle, &request(origin("work", 1), vec![])).await.unwrap();
    assert_eq!(reply.usage, Some(Usage { input_tokens: 7, output_tokens: 5, ..Usage::default() }));
    let other = Origin { key: "run:other:1:1".to_owned(), ..origin("work", 1) };
    assert!(call(&handle, &request(other, vec![])).await.is_err(), "each step counts for itself");
}

#[tokio::test]
async fn every_fault_has_its_meaning() {
    for (name, fault, billed) in [
        ("auth", Fault::Auth, false),
        ("overloaded", Fault::Overloaded, false),
        ("cut", Fault::Cut, true),
        ("timeout", Fault::Timeout, true),
        ("malformed", Fault::BadReply, true),
        ("connect", Fault::Connect, false),
        ("no_credit", Fault::NoCredit, false),
    ] {
        let error = ask(&format!("agents: {{logs: [{{fault: {name}}}]}}"), "work", 1).await.unwrap_err();
        assert_eq!((error.fault, error.may_be_billed), (fault, billed), "{name}");
    }
}

#[tokio::test]
async fn a_hanging_call_ends_by_timeout_or_cancel() {
    let handle = find("agents: {logs: [{fault: hang}]}").unwrap();
    let mut short = request(origin("work", 1), vec![]);
    short.timeout = Duration::from_millis(30);
    assert_eq!(call(&handle, &short).await.unwrap_err().fault, Fault::Timeout);

    let cancel = CancellationToken::new();
    let long = request(origin("work", 1), vec![]);
    let calling = handle.model.call(&long, &|_| (), &cancel);
    let (outcome, ()) = tokio::join!(calling, async { cancel.cancel() });
    assert_eq!(outcome.unwrap_err().fault, Fault::Cancelled);
}

#[tokio::test]
async fn latency_passes_while_pieces_arrive() {
    let yaml = "latency_ms: {min: 40, max: 60}\nagents: {logs: [{text: 'one two three four five six'}]}";
    let handle = find(yaml).unwrap();
    let pieces = Mutex::new(Vec::new());
    let began = Instant::now();
    let asked = request(origin("work", 1), vec![]);
    let watch = |delta| pieces.lock().unwrap().push(delta);
    let reply = handle.model.call(&asked, &watch, &CancellationToken::new()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(40));
    let pieces = pieces.into_inner().unwrap();
    assert_eq!(pieces.len(), 4);
    let joined: String =
        pieces.iter().map(|piece| if let Delta::Text(text) = piece { text.as_str() } else { "" }).collect();
    assert_eq!(joined, text_of(&reply.blocks));
}

#[test]
fn mistakes_in_a_script_are_found_where_they_stand() {
    for (yaml, message) in [
        (
            "agents:\n  logs:\n    - when: {stage: work}\n",
            "demo.yaml:3:7: an entry needs one of text, json, tools or fault",
        ),
        ("agents:\n  logs:\n    - {text: a, json: b}\n", "demo.yaml:3:7: an entry has text or json, not both"),
        ("agents:\n  logs:\n    - txet: a\n", "demo.yaml:3:7: "),
        ("agents:\n  logs:\n    - text: \"{{ a \"\n", "demo.yaml:3:13: template: syntax error"),
        ("agents:\n  logs:\n    - text: |\n        fine\n        {% if %}\n", "demo.yaml:5:9: template: syntax error"),
        (
            "agents:\n  logs:\n    - text: |\n        fine\n        so {{ task | uper }}\n",
            "demo.yaml:5:22: template: there is no filter `uper`",
        ),
        (
            "agents:\n  logs:\n    - json: {a: [\"ä {{ taks }}\"]}\n",
            "demo.yaml:3:24: template: there is no variable `taks`; there are agent, attempt,",
        ),
        (
            "agents:\n  logs:\n    - tools: [{name: x, input: {q: '{% if task is evn %}1{% endif %}'}}]\n",
            "demo.yaml:3:51: template: there is no test `evn`",
        ),
        ("agents:\n  logs:\n    - {text: a, times: 2}\n", "demo.yaml:3:7: times says how often a fault comes"),
        ("agents: [", "demo.yaml:1:"),
        (
            "agents:\n  logs:\n    - tools: [{name: x}, {name: x}]\n",
            "demo.yaml:3:7: two tools of one entry are labelled x: give each its own label",
        ),
    ] {
        let error = find(yaml).err().unwrap_or_else(|| panic!("{yaml} was taken"));
        assert_eq!(error.fault, Fault::BadRequest);
        assert!(error.message.starts_with(message), "{yaml}: {error}");
    }
}

#[tokio::test]
async fn an_unknown_name_in_a_template_is_an_error_with_its_line() {
    let yaml = "agents:\n  logs:\n    - text: |\n        fine\n        {{ results.nothing.content }}\n";
    let error = ask(yaml, "work", 1).await.unwrap_err();
    assert!(error.message.starts_with("demo.yaml:5:9: template: undefined value"), "{error}");
    let error = ask("agents:\n  logs:\n    - json: {a: \"{{ context.nope }}\"}\n", "work", 1).await.unwrap_err();
    assert!(error.message.starts_with("demo.yaml:3:17: "), "{error}");
}

#[tokio::test]
async fn a_template_that_never_ends_runs_out_of_fuel() {
    let yaml = "agents:\n  logs:\n    - text: \"{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}\"\n";
    let error = ask(yaml, "work", 1).await.unwrap_err();
    assert!(error.message.contains("fuel"), "{error}");
}

#[test]
fn built_in_scripts_are_found_by_name_and_files_by_path() {
    const BUILT_IN: &[(&str, &str)] = &[("demo", "agents: {'*': [{text: hello}]}")];
    let scripts = Scripts { built_in: BUILT_IN };
    assert_eq!(scripts.read("demo").unwrap().file, "script/demo");
    let error = scripts.read("other").unwrap_err();
    assert_eq!(error, "there is no built-in script other (there are demo); a file is given as script/PATH.yaml");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.yaml");
    std::fs::write(&path, "agents: {}").unwrap();
    let path = path.to_str().unwrap();
    assert_eq!(scripts.read(path).unwrap().yaml, "agents: {}");
    assert!(scripts.read("missing.yaml").unwrap_err().starts_with("script missing.yaml cannot be read"));
}

#[test]
fn names_that_lead_nowhere_say_where_to_go() {
    let providers = Providers::new(ModelConfig::default(), PriceTable::built_in(), Arc::new(Scripts::default()));
    for (name, fault, message) in [
        ("gpt-5", Fault::NoSuchModel, "\"gpt-5\" names no model: write PROVIDER/MODEL"),
        ("nobody/x", Fault::NoSuchModel, "there is no model provider nobody; there are anthropic, openai"),
        ("openai/gpt-5", Fault::Auth, "openai/gpt-5 needs a key: set OPENAI_API_KEY, or OPENAI_API_KEY_FILE"),
        ("openai-responses/gpt-5", Fault::Auth, "openai-responses/gpt-5 needs a key: set OPENAI_API_KEY"),
    ] {
        let error = providers.find(name).err().unwrap();
        assert_eq!(error.fault, fault);
        assert!(error.message.starts_with(message), "{error}");
    }
    assert!(providers.find("ollama/llama3.2").is_ok_and(|handle| handle.tariff == Tariff::Local));
}
