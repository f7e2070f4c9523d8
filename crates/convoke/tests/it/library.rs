//! Every team of the library at work, as `convoke demo TEAM` shows it: the report of each run is a snapshot, and nothing that
//! a team finds stands in the script that plays it.

use convoke_api::{example, library};
use convoke_testkit::event::undocumented;

use crate::postgres::database;
use crate::support::Place;

/// What must stand in a report, and nowhere in what plays and makes the team: the finds.
const FINDS: [(&str, &[&str]); 9] = [
    ("code-review", &["store.py:14", "settings.py:7", "track.py:13"]),
    ("data-analysis", &["east", "4167"]),
    ("data-pipeline", &["2026-11-14", "shop-se", "44 rows"]),
    ("fraud-investigation", &["M-153", "car park", "19 of 19"]),
    ("incident-response", &["onnection pool exhausted at 14:30", "CHG-4417", "db.pool.max_size"]),
    ("research-report", &["Birch", "930 USD", "Dogwood"]),
    ("security-audit", &["ADV-1131", "xml-reader", "statement-renderer", "u-13"]),
    ("software-delivery", &["163", "240"]),
    ("technical-support", &["3.5.0", "363.64", "retry.ts:41", "C-2207"]),
];

/// Runs a team's demo to its end and gives its report without what differs from run to run.
fn report(team: &str, more: &[&str]) -> String {
    let place = Place::new();
    place.done(&[&["demo", team, "--quiet"], more].concat());
    let text = place.done(&[&["report", "last", "--format", "markdown"], more].concat());
    for line in place.done(&[&["events", "last", "--json"], more].concat()).lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("an event");
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        assert_eq!(undocumented(text("kind"), text("entity"), &event["payload"]), None, "{line}");
    }
    for find in FINDS.iter().filter(|(name, _)| *name == team).flat_map(|(_, finds)| *finds) {
        assert!(text.contains(find), "`{find}` is not in the report:\n{text}");
    }
    steady(&place.masked(&text))
}

/// A report without times, sums and what follows from them. What was done at the same time is sorted.
pub fn steady(text: &str) -> String {
    let mut out = String::new();
    for section in text.split("\n## ") {
        let name = section.lines().next().unwrap_or_default();
        let body = match name {
            "How it went" | "Costs" | "Budgets" => continue,
            "Timeline" => rows(section, 4, 3),
            "Evidence" => rows(section, 1, 3),
            "Contributions" => contributions(section),
            _ => section
                .lines()
                .filter(|line| !differs(line))
                .map(|line| format!("{}\n", without_figures(line)))
                .collect(),
        };
        out.push_str(if out.is_empty() { "" } else { "\n## " });
        out.push_str(body.trim_end());
        out.push('\n');
    }
    out
}

/// The contributions without their numbers and figures, sorted.
fn contributions(section: &str) -> String {
    let mut parts = section.split("\n### ");
    let head = parts.next().unwrap_or_default();
    let mut all: Vec<String> = parts.map(contribution).collect();
    all.sort();
    format!("{head}\n### {}", all.join("\n### "))
}

fn contribution(part: &str) -> String {
    let part = part.split_once(". ").map_or(part, |(_, part)| part);
    let lines = part.lines().map(|line| match line.strip_prefix("By `") {
        // Who and how it ended; not how long it took and what it cost.
        Some(_) => line.split(" · ").take(2).collect::<Vec<_>>().join(" · "),
        None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned() + "\n"
}

/// A line without how long it took and what it cost.
fn without_figures(line: &str) -> String {
    let line = line.split(", which took ").next().unwrap_or(line);
    let is_figure = |part: &str| {
        let is_time = part.ends_with(" ms") || part.ends_with(" s") || part.ends_with(" min");
        part.starts_with('$')
            || part.ends_with(" tokens")
            || (is_time && part.starts_with(|c: char| c.is_ascii_digit()))
    };
    line.split(" · ").filter(|part| !is_figure(part)).collect::<Vec<_>>().join(" · ")
}

/// Lines of the head that no two runs share.
fn differs(line: &str) -> bool {
    let heads = ["- Run:", "- Session:", "- Input:", "- Accepted:", "- Started:", "- Ended:"];
    let is_sum = line.split_once(" after ").is_some_and(|(how, rest)| {
        matches!(how, "Completed" | "Failed" | "Cancelled" | "Handed to a person") && rest.contains(" model call")
    });
    is_sum || heads.iter().any(|head| line.starts_with(head))
}

/// A section whose tables keep `count` columns from the `first` on, their rows sorted and each once.
fn rows(section: &str, first: usize, count: usize) -> String {
    let mut out = String::new();
    let mut table: Vec<String> = Vec::new();
    let lines = section.lines().filter(|line| !line.starts_with("Offsets count"));
    for line in lines.chain([""]) {
        if line.starts_with('|') {
            let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
            table.push(cells.iter().skip(first - 1).take(count).copied().collect::<Vec<_>>().join(" | "));
            continue;
        }
        if table.len() > 2 {
            table[2..].sort();
            table.dedup();
        }
        table.drain(..).for_each(|row| out.push_str(&format!("| {row} |\n")));
        out.push_str(line);
        out.push('\n');
    }
    // Who comes first is a matter of time, too.
    let mut parts = out.split("\n### ").map(str::trim_end);
    let head = parts.next().unwrap_or_default().to_owned();
    let mut parts: Vec<&str> = parts.collect();
    parts.sort_unstable();
    let parts: String = parts.iter().map(|part| format!("\n\n### {part}")).collect();
    format!("{head}{parts}\n\n")
}

macro_rules! demos {
    ($($test:ident: $team:literal,)+) => {
        $(#[test]
        fn $test() {
            insta::assert_snapshot!($team, report($team, &[]));
        })+

        /// Every example has a test above.
        #[test]
        fn no_team_is_forgotten() {
            let tested = [$($team),+];
            let all: Vec<&str> = example::all().iter().map(|example| example.team).collect();
            assert_eq!(tested.as_slice(), all);
            let mut teams: Vec<String> = library::bundle().teams.into_iter().map(|team| team.name).collect();
            teams.sort();
            assert_eq!(teams, all);
            assert_eq!(FINDS.map(|(team, _)| team).as_slice(), all);
        }
    };
}

demos! {
    code_review: "code-review",
    data_analysis: "data-analysis",
    data_pipeline: "data-pipeline",
    fraud_investigation: "fraud-investigation",
    incident_response: "incident-response",
    research_report: "research-report",
    security_audit: "security-audit",
    software_delivery: "software-delivery",
    technical_support: "technical-support",
}

/// The same report, kept by PostgreSQL.
fn on_postgresql(team: &str) {
    let url = database(&team.replace('-', "_"));
    insta::assert_snapshot!(team.to_owned(), report(team, &["--database", &url]));
}

#[test]
fn an_incident_is_the_same_on_postgresql() {
    on_postgresql("incident-response");
}

#[test]
fn a_vote_is_the_same_on_postgresql() {
    on_postgresql("fraud-investigation");
}

#[test]
fn a_delivery_is_the_same_on_postgresql() {
    on_postgresql("software-delivery");
}

#[test]
fn no_script_holds_what_its_team_finds() {
    for (team, finds) in FINDS {
        let (_, script) = library::scripts().iter().find(|(name, _)| *name == team).expect("a script");
        let words: Vec<&str> = script.split(|c: char| !c.is_alphanumeric() && !"-_.:".contains(c)).collect();
        for find in finds {
            let is_word = !find.contains(' ');
            let holds = if is_word { words.contains(find) } else { script.contains(find) };
            assert!(!holds, "the script of {team} holds `{find}`");
            let kept = library::files().iter().find(|file| file.text.contains(find) && find.len() > 4);
            assert!(kept.is_none(), "{} holds `{find}`", kept.map_or("", |file| file.path));
        }
    }
}

#[test]
fn the_demos_are_listed() {
    let place = Place::new();
    insta::assert_snapshot!(place.told(&["demo", "--list"]));
    insta::assert_snapshot!(place.told(&["demo", "nobody"]));
    let listed = place.json(&["demo", "--list"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(example::all().len()));
}

/// Each pattern of the library is what a team of the library or of the examples works by.
#[test]
fn every_pattern_is_shown() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folders = ["library/teams", "examples/patterns"].map(|folder| root.join(folder));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder"));
    let texts: Vec<String> = files
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| std::fs::read_to_string(path).expect("text"))
        .collect();
    for pattern in library::patterns() {
        let line = format!("\npattern: {}\n", pattern.name);
        assert!(texts.iter().any(|text| text.contains(&line)), "{} is shown nowhere", pattern.name);
    }
    assert_eq!(library::patterns().len(), 14);
}
