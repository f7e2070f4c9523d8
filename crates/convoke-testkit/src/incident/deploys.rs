//! Deploys and the settings they changed. One of them lit the fuse; another, closer to the incident, did not.

use std::fmt::Write;

use super::when::Minute;
use super::{File, Scene};

struct Deploy {
    at: Minute,
    change: &'static str,
    service: &'static str,
    versions: (&'static str, &'static str),
    team: &'static str,
    summary: &'static str,
    /// File, key, before, after.
    settings: Vec<(&'static str, &'static str, &'static str, &'static str)>,
}

pub(super) fn files(scene: &Scene) -> Vec<File> {
    let deploys = history(scene);
    let mut files = vec![
        ("deploys/deploys.csv".to_owned(), table(&deploys).into_bytes()),
        ("deploys/settings.csv".to_owned(), settings(&deploys).into_bytes()),
    ];
    files.extend(
        deploys.iter().map(|deploy| (format!("deploys/diffs/{}.diff", deploy.change), diff(deploy).into_bytes())),
    );
    files
}

fn history(scene: &Scene) -> Vec<Deploy> {
    let story = &scene.story;
    let (file, _, _, _) = story.setting;
    let mut deploys = everyday(scene);
    deploys.push(Deploy {
        at: scene.deployed(),
        change: "CHG-4417",
        service: story.service,
        versions: (story.versions[2], story.versions[3]),
        team: story.team,
        summary: story.summary,
        settings: vec![
            (file, "log.sample_percent", "10", "5"),
            story.setting,
            (file, "feature.new_receipts", "false", "true"),
        ],
    });
    deploys.sort_by_key(|deploy| deploy.at);
    deploys
}

/// Deploys that have nothing to do with it.
fn everyday(scene: &Scene) -> Vec<Deploy> {
    let story = &scene.story;
    let before = |minutes: i64| scene.at.plus(-minutes);
    let deploy = |minutes: i64, change, service, versions, team, summary| Deploy {
        at: before(minutes),
        change,
        service,
        versions,
        team,
        summary,
        settings: Vec::new(),
    };
    let mut list = vec![
        deploy(168, "CHG-4402", story.service, (story.versions[0], story.versions[1]), story.team, "Update libraries"),
        deploy(141, "CHG-4405", "worker", ("3.2.0", "3.2.1"), "team-quarry", "Send invoices as PDF/A"),
        deploy(96, "CHG-4409", "gateway", ("11.0.3", "11.0.4"), "team-lighthouse", "Rotate certificates"),
        deploy(55, "CHG-4412", "orders-api", ("5.40.0", "5.40.1"), "team-orchard", "Show delivery dates in local time"),
        deploy(7, "CHG-4419", "gateway", ("11.0.4", "11.1.0"), "team-lighthouse", "Longer limits for slow clients"),
    ];
    list[1].settings = vec![("config/worker.yaml", "mail.batch_size", "50", "80")];
    list[3].settings = vec![("config/orders-api.yaml", "feature.local_time", "false", "true")];
    list[4].settings = vec![
        ("config/gateway.yaml", "client.timeout_s", "30", "60"),
        ("config/gateway.yaml", "client.max_body_mb", "4", "8"),
    ];
    list
}

fn table(deploys: &[Deploy]) -> String {
    let mut text = "ts,change,service,from_version,to_version,team,summary\n".to_owned();
    for deploy in deploys {
        let (from, to) = deploy.versions;
        let (stamp, change, service) = (deploy.at.stamp(), deploy.change, deploy.service);
        let _ = writeln!(text, "{stamp},{change},{service},{from},{to},{},\"{}\"", deploy.team, deploy.summary);
    }
    text
}

fn settings(deploys: &[Deploy]) -> String {
    let mut text = "change,file,key,before,after\n".to_owned();
    for deploy in deploys {
        for (file, key, before, after) in &deploy.settings {
            let _ = writeln!(text, "{},{file},{key},{before},{after}", deploy.change);
        }
    }
    text
}

fn diff(deploy: &Deploy) -> String {
    let (from, to) = deploy.versions;
    let mut text =
        format!("# {} {} {from} -> {to}\n# {}: {}\n", deploy.change, deploy.service, deploy.team, deploy.summary);
    for (file, key, before, after) in &deploy.settings {
        let _ = write!(text, "--- a/{file}\n+++ b/{file}\n@@ {key} @@\n-{key}: {before}\n+{key}: {after}\n");
    }
    if deploy.settings.is_empty() {
        text.push_str("# no settings changed\n");
    }
    text
}
