//! Bills per hour, service and item, and what a unit of each resource costs.

use std::fmt::Write;

use super::when::Minute;
use super::{AFTER, File, SERVICES, Scene};

/// Items of the bill with their usual dollars per hour.
const ITEMS: [(&str, f64); 4] = [("compute", 4.2), ("database", 2.6), ("network", 0.7), ("storage", 1.1)];

const RATES: &str = "\
resource,unit,usd_per_unit_month
cpu_cores,cores,31.00
db_connections,connections,1.65
disk_gb,GB,0.12
memory_mb,MB,0.009
thread_pool,threads,0.40
";

/// Hours on the bill before the incident's last one.
const HOURS: i64 = 26;
/// The hour of the nightly job, which costs more every night.
const NIGHT: i64 = 2;

pub(super) fn files(scene: &Scene) -> Vec<File> {
    vec![("billing/hourly.csv".to_owned(), hourly(scene).into_bytes()), ("billing/rates.csv".to_owned(), RATES.into())]
}

fn hourly(scene: &Scene) -> String {
    let mut draw = scene.draw("billing");
    let end = scene.at.plus(AFTER);
    let last = end.plus(-end.in_hour());
    let mut text = "hour,service,item,usd\n".to_owned();
    for hour in (0..=HOURS).rev().map(|back| last.plus(-60 * back)) {
        for service in SERVICES {
            for (item, usual) in ITEMS {
                let factor = draw.real(0.95, 1.05) * rise(scene, service, item, hour);
                let _ = writeln!(text, "{},{service},{item},{:.2}", hour.stamp(), usual * factor);
            }
        }
    }
    text
}

/// How much more than usual an item costs in an hour.
fn rise(scene: &Scene, service: &str, item: &str, hour: Minute) -> f64 {
    let hit = service == scene.story.service && item == scene.story.billed;
    match hour.since(scene.at) {
        0.. if hit => 1.9,
        -59..0 if hit => 1.6,
        _ if service == "worker" && item == "compute" && hour.hour() == NIGHT => 1.4,
        _ => 1.0,
    }
}
