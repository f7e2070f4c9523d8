//! The library's scripts: every agent's turns through the real script provider and the real tools, on real input. The
//! report follows the data, so no script holds the answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use convoke_api::library;
use convoke_connect::model::script::{Script, ScriptSource, ScriptText};
use convoke_connect::model::{ModelConfig, PriceTable, Providers};
use convoke_connect::tool::{ToolLimits, Toolbox};
use convoke_domain::team::{Pattern, Team};
use convoke_domain::transcript::{Block, Speaker, Turn, calls_of, text_of};
use convoke_port::model::{ModelRequest, Models, Origin};
use convoke_port::tool::{ToolRequest, ToolScope, Tools};
use convoke_testkit::incident::{self, Cause, Options};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// More turns than any scripted agent needs.
const MAX_TURNS: u32 = 10;

/// The library's scripts without their delays.
struct AtOnce;

impl ScriptSource for AtOnce {
    fn read(&self, name: &str) -> Result<ScriptText, String> {
        let (_, yaml) = library::scripts().iter().find(|(known, _)| *known == name).ok_or("no such script")?;
        let kept = yaml.lines().map(|line| if line.trim_start().starts_with("latency_ms:") { "" } else { line });
        Ok(ScriptText { file: name.to_owned(), yaml: kept.collect::<Vec<_>>().join("\n") })
    }
}

/// A team that is played turn by turn, without an engine.
struct Stage {
    team: Team,
    models: Providers,
    toolbox: Toolbox,
    folder: TempDir,
    input: PathBuf,
}

/// What came of it.
struct Played {
    contributions: Vec<Value>,
    report: String,
    verdicts: Vec<Value>,
}

impl Stage {
    fn new(team: &str, input: &Path) -> Self {
        let team = library::bundle().teams.into_iter().find(|known| known.name == team).expect("a team");
        Self {
            team,
            models: Providers::new(ModelConfig::default(), PriceTable::built_in(), Arc::new(AtOnce)),
            toolbox: Toolbox::new(ToolLimits::default()),
            folder: tempfile::tempdir().expect("a folder"),
            input: input.to_owned(),
        }
    }

    /// Plays one task of one agent to its answer.
    async fn play(&self, agent: &str, stage: &str, task_key: &str, context: &Value) -> String {
        let model = self.models.find(&format!("script/{}", self.team.name)).expect("the script").model;
        let scope = self.scope(agent);
        let mut turns = vec![Turn::user("Find the cause.")];
        for turn in 1..=MAX_TURNS {
            let origin = Origin {
                key: format!("run:{agent}-{stage}:1:{turn}"),
                agent: agent.to_owned(),
                stage: stage.to_owned(),
                task_key: task_key.to_owned(),
                run_task: "Find the cause.".to_owned(),
                round: 1,
                turn,
                attempt: 1,
                context: context.clone(),
            };
            let request = request(turns.clone(), origin);
            let reply = model.call(&request, &|_| (), &CancellationToken::new()).await;
            let blocks = reply.unwrap_or_else(|error| panic!("{agent} {stage} {turn}: {error}")).blocks;
            if calls_of(&blocks).next().is_none() {
                return text_of(&blocks);
            }
            let results = self.results(&scope, &blocks).await;
            turns.push(Turn { speaker: Speaker::Assistant, blocks });
            turns.push(Turn { speaker: Speaker::User, blocks: results });
        }
        panic!("{agent} {stage} does not come to an end");
    }

    /// The rights that the library's profile gives, and no more.
    fn scope(&self, agent: &str) -> ToolScope {
        let profile = library::bundle().profiles.into_iter().find(|known| known.name == agent).expect("a profile");
        let workdir = self.folder.path().join(agent);
        std::fs::create_dir_all(&workdir).expect("a folder");
        ToolScope { allowed: profile.tools, workdir, input: Some(self.input.clone()), ..ToolScope::default() }
    }

    async fn results(&self, scope: &ToolScope, blocks: &[Block]) -> Vec<Block> {
        let mut results = Vec::new();
        for call in calls_of(blocks) {
            let timeout = Duration::from_secs(30);
            let request = ToolRequest {
                id: call.name.clone(),
                input: call.input.clone(),
                key: call.id.clone(),
                timeout,
                fence: None,
            };
            let output = self.toolbox.call(scope, &request, &CancellationToken::new()).await;
            let output = output.unwrap_or_else(|error| panic!("{}: {error}", call.name));
            assert!(!output.is_error, "{}: {}", call.name, output.content);
            let (call_id, name) = (call.id.clone(), call.name.clone());
            results.push(Block::ToolResult { call_id, name, content: output.content, is_error: false });
        }
        results
    }

    /// Plan, work, synthesis and, if the team has them, verdicts.
    async fn run(&self) -> Played {
        let lead = &self.team.coordinator;
        let plan: Value = serde_json::from_str(&self.play(lead, "plan", "", &json!({})).await).expect("a plan");
        let members: Vec<String> = self.team.members.iter().map(|member| member.profile.clone()).collect();
        let schema = convoke_domain::pattern::plan::schema(&members, self.team.rules.max_tasks);
        jsonschema::validate(&schema, &plan).unwrap_or_else(|error| panic!("{error}: {plan}"));
        let mut contributions = Vec::new();
        for task in plan["tasks"].as_array().expect("tasks") {
            let text = |field: &str| task[field].as_str().expect(field).to_owned();
            let output = self.play(&text("assignee"), "work", &text("key"), &json!({})).await;
            contributions
                .push(json!({"key": text("key"), "agent": text("assignee"), "title": text("title"), "output": output, "error": null}));
        }
        let report = self.play(lead, "synthesis", "", &json!({"contributions": contributions})).await;
        let mut verdicts = Vec::new();
        let judges = |name: &str| contributions.iter().any(|one| one["agent"] == name);
        let members = self.team.members.iter().filter(|member| judges(&member.profile));
        for member in members.filter(|_| self.team.rules.validation_rounds > 0) {
            let text = self.play(&member.profile, "validation", "", &json!({"synthesis": report})).await;
            verdicts.push(serde_json::from_str(&text).expect("a verdict"));
        }
        Played { contributions, report, verdicts }
    }
}

fn request(turns: Vec<Turn>, origin: Origin) -> ModelRequest {
    ModelRequest {
        model: "script".to_owned(),
        system: String::new(),
        turns: turns.into(),
        tools: Vec::new(),
        output_schema: None,
        max_output_tokens: 8_000,
        temperature: None,
        top_p: None,
        reasoning_effort: None,
        timeout: Duration::from_secs(30),
        origin,
    }
}

async fn investigate(options: &Options) -> Played {
    let folder = tempfile::tempdir().expect("a folder");
    incident::write(options, folder.path()).expect("an incident");
    Stage::new("incident-response", folder.path()).run().await
}

/// The report's first sentence, the findings and the verdicts, for the default and for others.
#[tokio::test]
async fn the_report_follows_the_data() {
    let at = |text: &str| text.parse().expect("a time");
    let stories = [
        Options::default(),
        Options { cause: Cause::Disk, at: at("09:15"), seed: 11 },
        Options { cause: Cause::Memory, at: at("00:20"), seed: 12 },
        Options { cause: Cause::Threads, at: at("21:47"), seed: 13 },
    ];
    for options in stories {
        let Played { contributions, report, verdicts } = investigate(&options).await;
        let cause = report.lines().find(|line| line.starts_with("**")).expect("a root cause").to_lowercase();
        let sentence = format!("{} exhausted at {} utc", options.cause.resource_name(), options.at);
        assert!(cause.contains(&sentence), "{options:?}\n{report}");
        for other in Cause::ALL.into_iter().filter(|other| *other != options.cause) {
            let wrong = format!("{} exhausted", other.resource_name());
            assert!(!report.to_lowercase().contains(&wrong), "{options:?}\n{report}");
        }
        assert!(report.contains(&options.at.plus(-1).to_string()), "the first error is in the timeline\n{report}");
        assert!(report.contains("CHG-4417") && !report.contains("undoes that part of CHG-4419"), "{report}");
        assert_eq!((contributions.len(), verdicts.len()), (4, 4));
        for name in ["security", "performance", "cost", "logs"] {
            assert!(report.contains(&format!("According to the {name} specialist: ")), "{report}");
        }
        assert!(verdicts.iter().all(|verdict| verdict["verdict"] == "agree"), "{verdicts:?}\n{report}");
    }
}

/// The words of the source of the story: what is found, the fix, and what the members say of it.
#[tokio::test]
async fn the_default_tells_the_story_of_the_example() {
    let Played { contributions, report, verdicts } = investigate(&Options::default()).await;
    let said = |at: usize| contributions[at]["output"].as_str().expect("text").lines().next().unwrap_or_default();
    assert!(said(0).starts_with("No security anomalies"), "{}", said(0));
    assert!(said(1).starts_with("Database connection pool exhausted at 14:30 UTC"), "{}", said(1));
    assert!(said(2).starts_with("Spike in database cost"), "{}", said(2));
    assert!(said(3).contains("starting 14:29 UTC"), "{}", said(3));
    assert!(report.contains("Increase `db.pool.max_size` from 20 to 50"), "{report}");
    let comments: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["comment"].as_str()).collect();
    assert!(comments[0].starts_with("No security impact"), "{comments:?}");
    assert!(comments[1].starts_with("Should resolve the bottleneck"), "{comments:?}");
    assert!(comments[2].contains("= $49.50 a month"), "{comments:?}");
}

/// A member judges what it reads: a report of another incident is not agreed with.
#[tokio::test]
async fn members_disagree_with_a_wrong_report() {
    let folder = tempfile::tempdir().expect("a folder");
    incident::write(&Options::default(), folder.path()).expect("an incident");
    let stage = Stage::new("incident-response", folder.path());
    let context = json!({"synthesis": "It was the network, at 03:00 UTC."});
    for agent in ["performance-specialist", "logs-specialist"] {
        let text = stage.play(agent, "validation", "", &context).await;
        let verdict: Value = serde_json::from_str(&text).expect("a verdict");
        assert_eq!(verdict["verdict"], "disagree", "{verdict}");
    }
}

/// A member that failed is named in the report, and the rest of it stands.
#[tokio::test]
async fn a_missing_contribution_is_said() {
    let folder = tempfile::tempdir().expect("a folder");
    incident::write(&Options::default(), folder.path()).expect("an incident");
    let stage = Stage::new("incident-response", folder.path());
    let failed = json!({"key": "cost", "agent": "cost-specialist", "title": "x", "output": null, "error": "no_credit"});
    let report = stage.play("incident-coordinator", "synthesis", "", &json!({"contributions": [failed]})).await;
    assert!(report.contains("According to the cost specialist: no result: no_credit"), "{report}");
    assert!(report.contains("exhausted at"), "{report}");
}

/// Nothing in the script knows what happened or when.
#[test]
fn no_script_holds_the_answer() {
    let (_, script) = library::scripts().iter().find(|(name, _)| *name == "incident-response").expect("a script");
    let script = script.to_lowercase();
    let clock =
        |text: &str| text.len() == 5 && text.as_bytes()[2] == b':' && text.replace(':', "").parse::<u16>().is_ok();
    assert!(!script.split(|c: char| !c.is_ascii_digit() && c != ':').any(clock), "a time of day");
    for options in Cause::ALL.map(|cause| Options { cause, ..Options::default() }) {
        let files = incident::generate(&options);
        let settings = files.iter().find(|(path, _)| path == "deploys/settings.csv").expect("settings");
        let settings = std::str::from_utf8(&settings.1).expect("text");
        for row in settings.lines().skip(1) {
            let cells: Vec<&str> = row.split(',').collect();
            assert!(!script.contains(cells[2]) && !script.contains(&cells[0].to_lowercase()), "{row}");
        }
        let name = options.cause.resource_name();
        assert!(!script.contains(&name.to_lowercase()), "{name}");
        let catalog = files.iter().find(|(path, _)| path == "metrics/catalog.csv").expect("a catalog");
        for row in std::str::from_utf8(&catalog.1).expect("text").lines().skip(1) {
            let resource = row.split(',').next().expect("a name");
            assert!(!script.contains(resource), "{resource}");
        }
    }
}

/// A run of the demo takes long enough to be watched and short enough not to bore.
#[test]
fn a_scripted_run_takes_ten_to_twenty_seconds() {
    for (name, yaml) in library::scripts() {
        let script: Value = serde_saphyr::from_str(yaml).expect(name);
        let lasts = |agent: &str, stage: &str| -> u64 {
            let entries = script["agents"][agent].as_array().into_iter().flatten();
            entries
                .filter(|entry| entry["when"]["stage"] == stage)
                .filter_map(|entry| entry["latency_ms"].as_u64())
                .sum()
        };
        let team = library::bundle().teams.into_iter().find(|team| team.name == **name).expect("a team");
        if team.pattern != Pattern::default() {
            continue;
        }
        let slowest = |stage: &str| team.members.iter().map(|member| lasts(&member.profile, stage)).max().unwrap_or(0);
        let lead = lasts(&team.coordinator, "plan") + lasts(&team.coordinator, "synthesis");
        let total = lead + slowest("work") + slowest("validation");
        assert!((10_000..=20_000).contains(&total), "{name}: {total} ms");
    }
}

/// A repository with one of each: what is reported stands where the report says.
#[tokio::test]
async fn a_review_reports_what_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, text).expect("a file");
    };
    put("src/db.py", "def find(name):\n    return run(f\"SELECT id FROM users WHERE name = '{name}'\")\n");
    put("src/config.py", "import os\nAPI_KEY = 'abcd1234efgh5678'\nfor a in x:\n    pass\n");
    put("src/lib.rs", "fn go(x: Option<u8>) -> u8 {\n    // TODO: name the reason\n    x.unwrap()\n}\n");
    put("tests/a.py", "import pytest\n@pytest.mark.skip\ndef test_a():\n    assert True\n");
    let Played { contributions, report, .. } = Stage::new("code-review", folder.path()).run().await;
    assert_eq!(contributions.len(), 4);
    for place in ["src/config.py:2", "src/db.py:2", "src/lib.rs:2", "src/lib.rs:3", "tests/a.py:2", "tests/a.py:4"] {
        assert!(report.contains(&format!("`input/{place}`")), "{place}\n{report}");
    }
    assert!(!report.contains("abcd1234efgh5678"), "a secret is named by its place, never quoted\n{report}");
    assert!(report.contains("Request changes"), "{report}");
    assert!(report.contains("According to the test reviewer: Tests: 1 for 3 functions"), "{report}");
}

/// Nothing to find is said, not invented.
#[tokio::test]
async fn a_review_of_clean_code_finds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.py"), "def one():\n    return 1\n").expect("a file");
    let Played { report, .. } = Stage::new("code-review", folder.path()).run().await;
    assert!(report.contains("Approve with changes") && !report.contains("`input/"), "{report}");
}

/// The example in the reference is a script.
#[test]
fn the_example_in_the_reference_is_right() {
    let page = include_str!("../../../../docs/reference/script.md");
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let text = ScriptText { file: "docs/reference/script.md".to_owned(), yaml: example.to_owned() };
    Script::parse("example", text).unwrap_or_else(|error| panic!("{error}"));
}
