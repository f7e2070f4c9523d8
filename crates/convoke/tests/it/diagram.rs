//! Diagrams, and the page that shows those of the library's patterns.

use convoke_api::library;
use convoke_report::diagram;

use crate::support::Place;

/// Run with `CONVOKE_UPDATE_DOCS=1` to write the page anew.
#[test]
fn the_page_shows_every_pattern_of_the_library() {
    let path = format!("{}/../../docs/reference/patterns.md", env!("CARGO_MANIFEST_DIR"));
    let mut page = String::from(HEAD);
    for pattern in library::patterns() {
        page.push_str(&format!("\n## {}\n\n{}\n", pattern.name, pattern.description.trim()));
        let drawn = diagram::mermaid(&diagram::of_flow("", &pattern.flow()));
        page.push_str(&format!("\n```mermaid\n{drawn}```\n"));
    }
    if std::env::var_os("CONVOKE_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("writes the page");
    }
    let kept = std::fs::read_to_string(&path).expect("the page");
    assert!(kept == page, "{path} is out of date; run with CONVOKE_UPDATE_DOCS=1");
}

const HEAD: &str = "# Diagrams of the library's patterns

What happens in what order. When to use which, and what a team may set, is under [patterns](../concept/patterns.md). `convoke diagram NAME`
draws these, your own, teams and runs.
";

#[test]
fn teams_patterns_and_runs_are_drawn() {
    let place = Place::new();
    let pattern = place.done(&["diagram", "parallel"]);
    assert!(pattern.contains("flowchart TD") && pattern.contains("<b>parts</b>"), "{pattern}");
    let team = place.done(&["diagram", "incident-response", "--format", "svg"]);
    assert!(team.starts_with("<svg ") && team.contains("security-specialist") && team.ends_with("</svg>\n"), "{team}");
    place.done(&["demo", "--quiet"]);
    let run = place.json(&["diagram", "last"]);
    assert_eq!((run["kind"].as_str(), run["format"].as_str()), (Some("run"), Some("mermaid")));
    let drawn = run["diagram"].as_str().expect("a text");
    assert!(drawn.contains("<b>synthesis</b>") && drawn.contains("class s0 done"), "{drawn}");
    place.done(&["diagram", "last", "--output", "run.svg"]);
    assert!(std::fs::read_to_string(place.path("run.svg")).expect("the file").contains("class=\"done\""));
    let told = place.told(&["diagram", "paralel"]);
    assert!(told.contains("not a run") || told.contains("no run"), "{told}");
}

/// What a team sets is drawn, and not the names under which its pattern has it.
#[test]
fn a_team_is_drawn_with_the_values_that_it_gives() {
    let place = Place::new();
    let drawn = |team: &str| place.done(&["diagram", team]);
    let support = drawn("technical-support");
    for words in ["from support", "among support, billing-specialist", "devops", "in a row: at most 6"] {
        assert!(support.contains(words), "{words}: {support}");
    }
    assert!(!support.contains("among among") && !support.contains("at most most"), "{support}");
    let audit = drawn("security-audit");
    for words in ["rounds: at most 3", "each of security, compliance-specialist,<br/>", "settled by "] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
    assert!(!audit.contains("the team's rule"), "{audit}");
    assert!(drawn("software-delivery").contains("given to developer, devops, technical-writer"));
    // What is known only in the run is shown as the pattern has it, with what the team has set for it beside the diagram.
    let pipeline = drawn("data-pipeline");
    assert!(pipeline.contains("rounds: at most 3") && pipeline.contains("stages[round - 1]"), "{pipeline}");
    assert!(pipeline.contains("notes[\"") && pipeline.contains("stages: devops, data-engineer, qa"), "{pipeline}");
    // Of a branch that is settled by what the team sets, the case that is taken.
    let analysis = drawn("data-analysis");
    assert!(analysis.contains("<b>most</b>") && !analysis.contains("<b>scored</b>"), "{analysis}");
    let svg = place.done(&["diagram", "data-pipeline", "--format", "svg"]);
    assert!(svg.contains(">stages: devops, data-engineer, qa</text>"), "{svg}");
    // A pattern by itself has no values.
    assert!(drawn("handoff").contains("among among"));
}

#[test]
fn a_folder_and_a_saved_team_are_validated() {
    let place = Place::new();
    place.write("defs/.hidden.yaml", "nonsense");
    place.write(
        "defs/pattern.yaml",
        "kind: pattern\nname: mine\nsteps:\n  - {id: a, task: {agent: \"{{ coordinator }}\", instructions: x}}\n",
    );
    place.write(
        "defs/teams/team.yaml",
        "kind: team\nname: t\ncoordinator: logs-specialist\nmembers: [{profile: logs-specialist}]\npattern: mine\n",
    );
    let told = place.json(&["validate", "defs", "incident-response"]);
    assert_eq!(told["patterns"], serde_json::json!(["mine"]));
    assert_eq!(told["teams"], serde_json::json!(["t", "incident-response"]));
    place.write(
        "defs/teams/other.yaml",
        "kind: team\nname: u\ncoordinator: logs-specialist\nmembers: [{profile: logs-specialist}]\npattern: mien\n",
    );
    let told = place.told(&["validate", "defs"]);
    insta::assert_snapshot!(told, @r"
    $ convoke validate defs
    error[unknown_pattern]: there is no pattern `mien`
     --> defs/teams/other.yaml:5:10
      |
    5 | pattern: mien
      |          ^^^^
      = fix: did you mean `mine`?

    invalid: 1 problem
    [exit 2]
    ");
    assert!(place.told(&["validate", "no-such-team"]).contains("[exit 2]"));
}
