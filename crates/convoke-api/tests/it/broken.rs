//! Broken files: each `broken/NAME.yaml` and `broken/flow/NAME.yaml` (patterns, and teams that use them) is read beside the profiles `logs`, `cost` and `lead`, and what is said of it is
//! kept word for word in `broken/snapshots/NAME.snap`.

use std::path::Path;

use convoke_api::{Bundle, Known, Problems, read_one};
use convoke_domain::price::Price;
use convoke_domain::profile::Profile;
use serde_json::json;

/// How many examples there are at least, by folder.
const LEAST: [(&str, usize); 2] = [("broken", 40), ("broken/flow", 60)];

fn known() -> Known {
    let profile = |name: &str, tools: &[&str]| -> Profile {
        serde_json::from_value(json!({"name": name, "prompt": "x", "tools": tools, "capabilities": [name, "reading"]}))
            .expect("a profile")
    };
    let profiles = [profile("lead", &[]), profile("logs", &["read_file"]), profile("cost", &["mcp:billing/*"])];
    let tools = [
        "read_file",
        "list_files",
        "search_files",
        "query_table",
        "write_file",
        "http_get",
        "shell",
        "spawn",
        "delegate",
    ];
    let known = Known::new(tools, ["anthropic", "openai", "gemini", "ollama", "script"]).with_profiles(&profiles);
    let price = |input, output| Price { input, output, cache_read: Some(input / 10.0), cache_write: None };
    known.with_rates(move |model| match model {
        "openai/dear" => Some((price(5.0, 20.0), 16_384)),
        "openai/cheap" => Some((price(0.5, 2.0), 2_000)),
        _ => None,
    })
}

fn problems_of(path: &Path) -> Problems {
    let text = std::fs::read_to_string(path).expect("an example");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    read_one(name, &text, &known()).expect_err(name)
}

#[test]
fn every_broken_file_gets_its_message() {
    for (folder, least) in LEAST {
        check_folder(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(folder), least);
    }
}

fn check_folder(folder: &Path, least: usize) {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("examples")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yaml" || ext == "json"))
        .collect();
    files.sort();
    assert!(files.len() >= least, "{} examples", files.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(folder.join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for path in files {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let problems = problems_of(&path);
        settings.bind(|| insta::assert_snapshot!(name.clone(), problems.to_string()));
        for problem in &problems.0 {
            assert!(!problem.message.is_empty() && !problem.hint.is_empty(), "{name}: {problem:?}");
        }
    }
}

#[test]
fn problems_are_data_as_well() {
    let problems = read_one("p.yaml", "kind: profile\nname: a\npromt: x\n", &known()).expect_err("a problem");
    let value = serde_json::to_value(&problems).expect("JSON");
    assert_eq!(
        value[0],
        json!({
            "file": "p.yaml", "line": 3, "column": 1, "code": "unknown_field",
            "message": "a profile has no field `promt`", "hint": "did you mean `prompt`?", "excerpt": "promt: x",
        })
    );
}

#[test]
fn files_may_refer_to_each_other() {
    use convoke_api::{Source, read};
    let team = Source { file: "t.yaml", text: "kind: team\nname: t\ncoordinator: a\nmembers: [{profile: a}]\n" };
    let profile = Source { file: "p.yaml", text: "kind: profile\nname: a\nprompt: x\n" };
    let bundle = read(&[team, profile], &Known::default()).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!((bundle.profiles.len(), bundle.teams.len()), (1, 1));
    let twice = read(&[profile, Source { file: "q.yaml", ..profile }], &Known::default()).expect_err("twice");
    assert_eq!(twice.0[0].message, "the profile `a` is defined twice; the first is at p.yaml:2");
}

/// Texts that differ from good and bad ones by a few characters end in values or in problems, never in a panic; what is
/// read can be written and read again.
#[test]
fn no_text_is_too_odd() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/broken");
    let mut texts: Vec<String> = convoke_api::library::files().iter().map(|file| file.text.to_owned()).collect();
    for folder in [folder.clone(), folder.join("flow"), folder.join("../right")] {
        for entry in std::fs::read_dir(folder).expect("examples") {
            texts.extend(std::fs::read_to_string(entry.expect("an entry").path()));
        }
    }
    let odd: Vec<char> = "{}[]:,-&*!|>'\"%@`#?\t\n \\~<=.0é🦀\u{0}\u{feff}\u{85}\u{2028}".chars().collect();
    let mut state = 7_u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    let mut right = 0;
    for text in &texts {
        for _ in 0..60 {
            let mut chars: Vec<char> = text.chars().collect();
            for _ in 0..=draw(3) {
                let at = draw(chars.len());
                match draw(3) {
                    0 => chars.insert(at, odd[draw(odd.len())]),
                    1 => chars.truncate(at),
                    _ => drop(chars.drain(at..(at + draw(9)).min(chars.len()))),
                }
            }
            let text: String = chars.into_iter().collect();
            match read_one("odd.yaml", &text, &Known::default()) {
                Err(problems) => assert!(!problems.to_string().is_empty()),
                Ok(bundle) => {
                    right += 1;
                    for profile in &bundle.profiles {
                        let yaml = convoke_api::profile_to_yaml(profile);
                        let again = read_one("again.yaml", &yaml, &Known::default());
                        assert_eq!(again.unwrap_or_else(|e| panic!("{yaml}\n{e}")).profiles[0], *profile);
                    }
                }
            }
        }
    }
    assert!(right > 10, "some are still right: {right}");
}

/// A file as large as is read, made to be slow, is not.
#[test]
fn hostile_files_are_answered() {
    let lines = |make: &dyn Fn(usize) -> String, head: &str| {
        let mut text = head.to_owned();
        (0..)
            .map(make)
            .take_while(|line| {
                let fits = text.len() + line.len() < convoke_api::MAX_BYTES;
                if fits {
                    text.push_str(line);
                }
                fits
            })
            .for_each(drop);
        text
    };
    let profile = "kind: profile\nname: a\nprompt: x\n";
    let team = "kind: team\nname: t\ncoordinator: logs\nmembers:\n";
    for text in [
        lines(&|n| format!("k{n}: 1\n"), profile),
        lines(&|n| format!("- t{n}\n"), &format!("{profile}tools:\n")),
        lines(&|n| format!("- profile: m{n}\n"), team),
        lines(&|n| format!("- {{key: t{n}, title: x, assignee: logs}}\n"), &format!("{team}- profile: logs\ntasks:\n")),
        lines(&|n| format!("    K{n}: secret{n}\n"), &format!("{team}- profile: logs\nmcp_servers:\n  a:\n   env:\n")),
        lines(&|_| "---\nkind: profile\nname: a\n".to_owned(), ""),
        format!("{{\"kind\": \"team\", {}\"x\": 1}}", lines(&|n| format!("\"k{n}\": {n}, "), "")),
    ] {
        let problems = read_one("large.yaml", &text, &known()).expect_err("all are wrong").0;
        assert!((1..=convoke_api::MAX_PROBLEMS).contains(&problems.len()));
        assert!(problems.iter().all(|problem| problem.excerpt.chars().count() < 200));
    }
}

/// A team with a budget of this text, for which two are asked: one names a model, one has a choice of two.
fn budgeted(budget: &str, model: &str, fallback: &str) -> Result<Bundle, Problems> {
    let text = format!(
        "kind: profile\nname: one\nprompt: x\nmodel: {model}\nmodel_settings: {{max_output_tokens: 1000, fallback: [{fallback}]}}\n\
         ---\nkind: team\nname: t\ncoordinator: one\nmembers: [{{profile: one}}]\nbudget: {{{budget}}}\n\
         flow: {{steps: [{{id: a, task: {{agent: one, instructions: x}}}}]}}\n"
    );
    read_one("t.yaml", &text, &known())
}

#[test]
fn dollars_are_checked_by_the_cheapest_model_and_no_more() {
    // 401 tokens for what is said, at $0.5 a million, and 1,000 for the answer at $2: $0.0022.
    assert!(budgeted("max_cost_usd: 0.0023", "openai/dear", "openai/cheap").is_ok());
    let refused = budgeted("max_cost_usd: 0.002", "openai/dear", "openai/cheap").expect_err("too small");
    assert!(refused.to_string().contains("at least 1 model call, which is held to cost $0.0022"), "{refused}");
    assert!(budgeted("max_cost_usd: 0.0023", "openai/dear", "").is_err());
    let over = known().with_models(Some("openai/cheap".into()), None);
    let text = "kind: team\nname: t\ncoordinator: lead\nmembers: [{profile: logs, model: openai/dear}]\nbudget: {max_cost_usd: 0.01}\n";
    assert!(read_one("t.yaml", text, &over).is_ok(), "a run may ask another model");
    assert!(read_one("t.yaml", text, &known()).is_ok(), "which model `lead` asks is not known");
    let over = known().with_models(None, Some("openai/dear".into()));
    assert!(read_one("t.yaml", text, &over).is_err(), "who names none asks the usual one");
}

#[test]
fn a_budget_that_cannot_be_reckoned_says_so() {
    let noted = budgeted("max_cost_usd: 0.000001", "openai/secret", "").expect("a note");
    let told: Vec<_> = noted.notes.iter().map(|note| (note.line, note.column, note.message.as_str())).collect();
    let message =
        "whether this budget suffices is not checked: no price is known of `openai/secret`, the model of `one`";
    assert_eq!(told, [(11, 24, message)]);
    assert_eq!(budgeted("max_tokens: 90000", "openai/secret", "").expect("right").notes, []);
}
