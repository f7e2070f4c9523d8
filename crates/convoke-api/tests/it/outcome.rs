//! Files of outcomes: both ways to write them, and every problem with its line.

use convoke_api::{OutcomeFile, OutcomeFormat, read_outcomes};
use convoke_domain::outcome::{Case, Kind};
use convoke_domain::time::Timestamp;

/// 2026-11-21 at noon.
const NOW: Timestamp = Timestamp::from_micros(1_795_262_400_000_000);

fn read(format: OutcomeFormat, text: &str) -> Result<Vec<Case>, String> {
    let file = if format == OutcomeFormat::Csv { "past.csv" } else { "past.jsonl" };
    read_outcomes(OutcomeFile { file, format, name: "past", now: NOW }, text).map_err(|problems| problems.to_string())
}

#[test]
fn both_ways_say_the_same() {
    let csv = "\u{feff}agent,outcome,capability,at,subject,choice\r\n\
               logs,right,sql,2026-11-01,\"q, 1\",Yes\r\n\r\n\
               cost,0.25,,2026-11-01T10:00:00+01:00,,\r\n";
    let lines = r#"{"agent": "logs", "outcome": "right", "capability": "sql", "at": "2026-11-01", "subject": "q, 1", "choice": "Yes"}


{"agent": "cost", "outcome": 0.25, "at": "2026-11-01T09:00:00Z", "capability": null}"#;
    let [found, same] = [read(OutcomeFormat::Csv, csv), read(OutcomeFormat::JsonLines, lines)];
    let found = found.expect("outcomes");
    assert_eq!(found, same.expect("outcomes"));
    let first = Case {
        subject: "q, 1".into(),
        agent: "logs".into(),
        capability: "sql".into(),
        kind: Kind::Gold,
        value: 1.0,
        choice: Some("Yes".into()),
        at: Timestamp::from_micros(1_793_491_200_000_000),
    };
    assert_eq!(found[0], first);
    assert_eq!((found[1].subject.as_str(), found[1].value, &found[1].choice), ("past:4", 0.25, &None));
    assert_eq!(found[1].at.to_string(), "2026-11-01T09:00:00.000Z");
}

#[test]
fn what_is_wrong_is_told_by_line() {
    use OutcomeFormat::{Csv, JsonLines};
    let cases = [
        (Csv, ""),
        (Csv, "agent,outcome\n"),
        (Csv, "agent,outcom,agent\n"),
        (Csv, "agent,outcome,at\nlogs,right\n"),
        (
            Csv,
            "agent,outcome,at,choice\nLogs,good,soon,\n,,,\n\"lo,gs\",2,2027-01-01,x\nlogs,right,,\nlogs,wrong,1960-01-01,\n",
        ),
        (Csv, "agent,outcome,subject\nlogs,right,q\nlogs,wrong,q\n"),
        (
            JsonLines,
            "{\"agent\": \"logs\"}\n[1]\n{\"agent\": \"logs\",\n{\"agent\": 7, \"result\": 1}\n{\"agent\": \"logs\", \"outcome\": true}\n",
        ),
    ];
    let told = cases.map(|(format, text)| format!("{text}\n=> {}\n", read(format, text).expect_err(text)));
    insta::assert_snapshot!(told.join("\n"));
    let long = format!("agent,outcome,capability\nlogs,right,{}\n", "x".repeat(300));
    let told = read(Csv, &long).expect_err("too long");
    assert!(told.contains("`capability` has 300 bytes; the most is 256"), "{told}");
}
