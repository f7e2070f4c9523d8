//! What is exported reads back to the same value.

use convoke_api::{Known, bundle_to_yaml, profile_to_yaml, read_one, team_to_yaml};
use convoke_domain::profile::Profile;
use convoke_domain::team::Team;
use serde_json::{Value, json};

fn full_profile() -> Profile {
    serde_json::from_value(json!({
        "name": "logs", "description": "Reads: logs # and more", "avatar": "📜", "personality": "dry", "role": "worker",
        "specialization": "true", "capabilities": ["logs", "no", "1.5"], "model": "openai/gpt-5",
        "model_settings": {"max_output_tokens": 100, "temperature": 0.5, "top_p": 1.0, "reasoning_effort": "low",
                           "timeout_s": 5, "fallback": ["ollama/llama3:8b"]},
        "prompt": "First line.\n\n  - indented: yes\n\ttab\nlast line, no newline at the end",
        "tools": ["read_file", "http_get", "mcp:git/*"],
        "authority": {"shell": true, "http_hosts": ["*.example.com"], "private_network": true},
        "knowledge_filters": {"tags": ["a"]}, "communication_style": "technical", "max_turns": 3,
        "auto_escalate": false, "capacity": 16, "limits": {"max_cost_usd": 0.25, "max_tokens": 1000},
        "tags": ["x: y", "- z"], "visibility": "public", "active": false
    }))
    .expect("a profile")
}

fn full_team() -> Team {
    serde_json::from_value(json!({
        "name": "t", "description": "d\n", "use_case": "u", "pattern": "supervisor", "coordinator": "logs",
        "members": [{"profile": "logs", "role": "reviewer", "model": "openai/x", "priority": -1, "optional": true}],
        "rules": {"planning": "fixed", "retries": 0, "fallback_agent": "logs", "max_rounds": 3,
                  "escalation_policy": "never", "parallel_execution": false},
        "budget": {"max_cost_usd": 1.5, "max_tokens": 5000, "max_cost_per_task_usd": 0.000000001,
                   "max_cost_per_day_usd": 100.0, "on_exhausted": "stop"},
        "tasks": [{"key": "a", "title": "A", "instructions": "do {{ task }}", "assignee": "logs"},
                  {"key": "b", "title": "B", "needs": ["logs"], "depends_on": ["a"], "after": ["a"],
                   "priority": "critical",
                   "output_schema": {"type": "object", "properties": {"x": {"type": ["string", "null"], "default": null}}}}],
        "models": {"worker": "ollama/x"},
        "mcp_servers": {"git": {"command": "uvx", "args": ["a", "{input}"], "env": {"A": "${B}"}, "timeout_s": 7},
                        "web": {"url": "https://example.com/mcp", "headers": {"Authorization": "Bearer ${T}"}}},
        "active": false
    }))
    .expect("a team")
}

fn program() -> Profile {
    serde_json::from_value(json!({
        "name": "lint", "prompt": "Check.", "agent_kind": "command",
        "authority": {"shell": true, "private_network": true},
        "command": {"program": "sh", "args": ["-c", "read x\necho \"$x: y\" # z\n", "", "no"], "env": ["TZ"], "timeout_s": 5,
                    "network": true, "output": "text", "repeat": "idempotent"}
    }))
    .expect("a profile")
}

#[test]
fn a_program_reads_back_to_the_same_and_is_checked_like_a_file() {
    let text = profile_to_yaml(&program());
    let bundle = read_one("p.yaml", &text, &Known::default()).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    assert_eq!(bundle.profiles, [program()]);
    convoke_api::check(&bundle, &Known::default()).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn a_bundle_with_every_field_set_reads_back_to_the_same() {
    let (profile, team) = (full_profile(), full_team());
    let text = bundle_to_yaml(&team, std::slice::from_ref(&profile));
    let bundle =
        read_one("bundle.yaml", &text, &Known::default()).unwrap_or_else(|problems| panic!("{text}\n{problems}"));
    assert_eq!(bundle.profiles, [profile]);
    assert_eq!(bundle.teams, [team]);
}

#[test]
fn defaults_are_left_out() {
    let profile: Profile =
        serde_json::from_value(json!({"name": "a", "prompt": "Do it.\nWell.\n"})).expect("a profile");
    assert_eq!(profile_to_yaml(&profile), "kind: profile\nname: a\nprompt: |\n  Do it.\n  Well.\n");
    let team: Team = serde_json::from_value(json!({"name": "t", "coordinator": "a", "members": [{"profile": "a"}]}))
        .expect("a team");
    assert_eq!(team_to_yaml(&team), "kind: team\nname: t\ncoordinator: a\nmembers:\n- profile: a\n");
}

#[test]
fn odd_texts_survive() {
    let odd = [
        "",
        " ",
        "\n",
        "\n\n",
        "a\n",
        "a\n\n",
        " a",
        "a ",
        "\ta",
        "a\tb",
        "a\r\nb",
        "true",
        "~",
        "null",
        "1",
        "0x1f",
        "1e3",
        "- a",
        "a: b",
        "a #b",
        "#a",
        "&a",
        "*a",
        "!a",
        "%a",
        "@a",
        "`a",
        "'a",
        "\"a",
        "{a",
        "[a",
        "a]",
        "|",
        ">",
        "---",
        "...",
        "a\n---\nb",
        "\u{feff}a",
        "\u{85}",
        "\u{2028}a",
        "é ü 日本 🦀",
        "a\u{0}b",
        "\u{1b}[0m",
        "a\\b",
        "<<",
        "=",
        "yes",
        "2026-01-01",
        "  leading\nthen less",
        "\n  x",
        "x\n \n  y\n",
        "a very long line ".repeat(40).as_str(),
    ]
    .map(str::to_owned);
    for text in odd {
        let mut profile = full_profile();
        profile.description.clone_from(&text);
        profile.tags = vec![text.clone()];
        profile.prompt = format!("x{text}");
        let yaml = profile_to_yaml(&profile);
        let read = read_one("p.yaml", &yaml, &Known::default()).unwrap_or_else(|e| panic!("{text:?}\n{yaml}\n{e}"));
        assert_eq!(read.profiles, [profile], "{text:?}\n{yaml}");
    }
}

#[test]
fn json_is_read_like_yaml() {
    let mut value: Value = serde_json::to_value(full_profile()).expect("plain data");
    value["kind"] = json!("profile");
    for text in [format!("{value}"), format!("{value:#}"), format!("{value:#}").replace("  ", "\t")] {
        let bundle = read_one("p.json", &text, &Known::default()).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(bundle.profiles.len(), 1);
    }
}

#[test]
fn values_are_checked_like_files() {
    let mut team = full_team();
    let profile = full_profile();
    let known = Known::default().with_profiles([&profile]);
    let mut bundle = convoke_api::Bundle { teams: vec![team.clone()], ..Default::default() };
    convoke_api::check(&bundle, &known).unwrap_or_else(|problems| panic!("{problems}"));
    team.coordinator = "lags".to_owned();
    bundle.teams = vec![team];
    let problems = convoke_api::check(&bundle, &known).expect_err("no such profile").0;
    assert_eq!(
        problems.iter().map(|p| (p.code, p.hint.as_str())).collect::<Vec<_>>(),
        [("unknown_profile", "did you mean `logs`?")]
    );
}
