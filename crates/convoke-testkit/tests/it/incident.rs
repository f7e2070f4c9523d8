//! The incident folder: the committed one is the default, and no line of it gives the answer away.

use std::collections::BTreeMap;

use convoke_testkit::incident::{Cause, File, Options, generate};

const MAX_BYTES: usize = 1_500_000;

fn text<'a>(files: &'a [File], path: &str) -> &'a str {
    let (_, bytes) = files.iter().find(|(name, _)| name == path).expect(path);
    std::str::from_utf8(bytes).expect("text")
}

fn every_story() -> impl Iterator<Item = (Options, Vec<File>)> {
    let times = ["14:30", "00:40", "23:59", "06:05"].map(|at| at.parse().expect("a time"));
    Cause::ALL.into_iter().flat_map(move |cause| {
        times.map(|at| {
            let options = Options { cause, at, seed: 3 };
            (options, generate(&options))
        })
    })
}

/// Run with `CONVOKE_WRITE_EXAMPLE=1` to write the folder anew.
#[test]
fn committed_folder_is_the_default() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/incident-response/data");
    let options = Options::default();
    if std::env::var_os("CONVOKE_WRITE_EXAMPLE").is_some() {
        convoke_testkit::incident::write(&options, &folder).expect("writes");
    }
    for (path, bytes) in generate(&options) {
        let kept = std::fs::read(folder.join(&path)).expect(&path);
        assert!(kept == bytes, "{path} is out of date; run with CONVOKE_WRITE_EXAMPLE=1");
    }
}

#[test]
fn same_options_give_the_same_bytes_within_bounds() {
    let options = Options::default();
    let files = generate(&options);
    assert!(files == generate(&options));
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let lines: usize = files
        .iter()
        .filter(|(path, _)| path.starts_with("logs/"))
        .map(|(_, b)| b.iter().filter(|c| **c == b'\n').count())
        .sum();
    assert!(bytes < MAX_BYTES && lines > 5_000, "{bytes} bytes, {lines} lines of logs");
}

/// No line of one file says which resource ran out, whatever the cause.
#[test]
fn no_line_holds_the_answer() {
    for (options, files) in every_story() {
        let name = options.cause.resource_name();
        for (path, bytes) in files {
            for line in String::from_utf8(bytes).expect("text").lines().map(str::to_lowercase) {
                let says = ["exhaust", "ran out", "saturat", "out of memory", "no space", "pool is full"];
                assert!(!says.iter().any(|word| line.contains(word)), "{path}: {line}");
                let prose = !path.starts_with("metrics/");
                let named = prose && line.contains(&name.to_lowercase()) && line.contains(&options.at.to_string());
                assert!(!named, "{path}: {line}");
            }
        }
    }
}

/// The resource of the story, and only that, stays at its limit from the stated minute to the end.
#[test]
fn one_resource_stays_at_its_limit() {
    for (options, files) in every_story() {
        let mut full: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        let mut last = "";
        for row in text(&files, "metrics/resources.csv").lines().skip(1) {
            let cells: Vec<&str> = row.split(',').collect();
            let [ts, service, resource, used, limit] = cells[..] else { panic!("{row}") };
            last = ts;
            if used.parse::<f64>().expect(row) >= limit.parse::<f64>().expect(row) {
                full.entry((service, resource)).or_default().push(ts);
            }
        }
        let lasting: Vec<_> =
            full.iter().filter(|(_, minutes)| minutes.last() == Some(&last) && minutes.len() >= 30).collect();
        assert_eq!(lasting.len(), 1, "{options:?} {lasting:?}");
        let (_, minutes) = lasting[0];
        assert_eq!(&minutes[0][11..16], options.at.to_string(), "{options:?}");
        assert_eq!(minutes.len(), 40);
        assert!(full.len() > 1, "another resource is at its limit now and then, and means nothing");
    }
}

/// The first error that was never seen before comes one minute earlier, from that service.
#[test]
fn the_first_new_error_comes_a_minute_before() {
    for (options, files) in every_story() {
        let mut first: BTreeMap<String, String> = BTreeMap::new();
        for (_, bytes) in files.iter().filter(|(path, _)| path.ends_with(".jsonl") && path.starts_with("logs/")) {
            for line in std::str::from_utf8(bytes).expect("text").lines() {
                let entry: serde_json::Value = serde_json::from_str(line).expect("JSON");
                if entry["level"] == "error" {
                    let key = format!("{} {}", entry["service"], entry["error"]);
                    let ts = entry["ts"].as_str().expect("a time").to_owned();
                    let known = first.entry(key).or_insert_with(|| ts.clone());
                    *known = ts.min(known.clone());
                }
            }
        }
        let calm = options.at.plus(-120).stamp();
        let fresh = first.iter().filter(|(_, ts)| **ts > calm).min_by_key(|(_, ts)| ts.as_str()).expect("a new error");
        assert_eq!(&fresh.1[11..16], options.at.plus(-1).to_string(), "{options:?} {fresh:?}");
    }
}
