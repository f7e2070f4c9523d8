//! Metrics: resources in long form, requests per minute, and the catalog that says what the names mean.

use std::fmt::Write;

use super::draw::Draw;
use super::when::Minute;
use super::{File, SERVICES, Scene};

/// A kind of resource that every service has.
pub(super) struct Resource {
    pub(super) id: &'static str,
    pub(super) unit: &'static str,
    /// What people call it.
    pub(super) name: &'static str,
    /// How the settings that govern it begin.
    pub(super) settings: &'static str,
    /// Limit, and usual level as a share of it.
    usual: (f64, f64),
    /// Decimals that are shown.
    decimals: usize,
}

pub(super) const RESOURCES: [Resource; 5] = [
    Resource { id: "cpu_cores", unit: "cores", name: "CPU", settings: "cpu.", usual: (8.0, 0.42), decimals: 2 },
    Resource {
        id: "db_connections",
        unit: "connections",
        name: "database connection pool",
        settings: "db.pool.",
        usual: (50.0, 0.28),
        decimals: 0,
    },
    Resource { id: "disk_gb", unit: "GB", name: "disk space", settings: "spool.", usual: (100.0, 0.55), decimals: 1 },
    Resource { id: "memory_mb", unit: "MB", name: "memory", settings: "cache.", usual: (2_048.0, 0.58), decimals: 0 },
    Resource {
        id: "thread_pool",
        unit: "threads",
        name: "request thread pool",
        settings: "server.worker_",
        usual: (64.0, 0.31),
        decimals: 0,
    },
];

/// The hourly batch that drives the worker's CPU to its limit and means nothing.
const BATCH: std::ops::Range<i64> = 5..8;

pub(super) fn files(scene: &Scene) -> Vec<File> {
    vec![
        ("metrics/catalog.csv".to_owned(), catalog().into_bytes()),
        ("metrics/resources.csv".to_owned(), resources(scene).into_bytes()),
        ("metrics/requests.csv".to_owned(), requests(scene).into_bytes()),
    ]
}

fn catalog() -> String {
    let mut text = "resource,unit,name,settings\n".to_owned();
    for resource in &RESOURCES {
        let _ = writeln!(text, "{},{},{},{}", resource.id, resource.unit, resource.name, resource.settings);
    }
    text
}

fn resources(scene: &Scene) -> String {
    let mut draw = scene.draw("resources");
    let mut text = "ts,service,resource,used,limit\n".to_owned();
    for minute in scene.minutes() {
        for service in SERVICES {
            for resource in &RESOURCES {
                let (used, limit) = level(scene, service, resource, minute, &mut draw);
                let decimals = resource.decimals;
                let _ = writeln!(text, "{},{service},{},{used:.decimals$},{limit:.0}", minute.stamp(), resource.id);
            }
        }
    }
    text
}

/// What is used of a resource, and its limit.
fn level(scene: &Scene, service: &str, resource: &Resource, minute: Minute, draw: &mut Draw) -> (f64, f64) {
    let story = &scene.story;
    let noise = draw.real(-0.06, 0.06);
    if service == story.service && resource.id == story.resource {
        let limit = if minute < scene.deployed() { story.limits.0 } else { story.limits.1 };
        if minute >= scene.at {
            return (limit, limit);
        }
        let before = minute < scene.deployed() && story.limits.0 > story.limits.1;
        let ramp =
            if before { peak(scene, minute) } else { story.usual + (limit - story.usual) * scene.strain(minute) };
        let step = 10_f64.powi(-(resource.decimals as i32));
        let jitter = if resource.id == "disk_gb" { noise / 20.0 } else { noise * 1.5 };
        return ((ramp * (1.0 + jitter)).min(limit - step), limit);
    }
    let (limit, share) = resource.usual;
    let busy = service == "worker" && resource.id == "cpu_cores" && BATCH.contains(&minute.in_hour());
    let full = service == "gateway" && resource.id == "disk_gb";
    match (busy, full) {
        (true, _) => (limit, limit),
        (_, true) => (limit * (0.87 + noise / 20.0), limit),
        _ if resource.id == "disk_gb" => (limit * (share + noise / 20.0), limit),
        _ => (limit * (share + noise), limit),
    }
}

/// Demand of a service whose limit will be cut: a peak each hour that would not fit under the new limit.
fn peak(scene: &Scene, minute: Minute) -> f64 {
    let story = &scene.story;
    let (usual, cut) = (story.usual, story.limits.1);
    match minute.since(scene.at).rem_euclid(60) as f64 {
        past @ 0.0..=5.0 => cut * (1.0 + 0.06 * past),
        past @ 5.0..=12.0 => cut * 1.3 - (cut * 1.3 - usual) * (past - 5.0) / 7.0,
        past @ 44.0.. => usual + (cut - usual) * (past - 44.0) / 16.0,
        _ => usual,
    }
}

fn requests(scene: &Scene) -> String {
    let mut draw = scene.draw("requests");
    let mut text = "ts,service,requests,error_rate,latency_p99_ms\n".to_owned();
    for minute in scene.minutes() {
        for service in SERVICES {
            let (errors, latency) = health(scene, service, minute, &mut draw);
            let count = draw.whole(900, 1_200);
            let _ = writeln!(text, "{},{service},{count},{errors:.2},{latency:.0}", minute.stamp());
        }
    }
    text
}

/// Percent of requests that fail, and latency of the slowest hundredth in milliseconds.
fn health(scene: &Scene, service: &str, minute: Minute, draw: &mut Draw) -> (f64, f64) {
    let usual = (draw.real(0.1, 0.7), draw.real(160.0, 260.0));
    let into = minute.since(scene.at);
    let (errors, latency) = match into {
        ..-1 => return provider_trouble(scene, service, minute, draw).unwrap_or(usual),
        -1 => (draw.real(2.0, 3.0), draw.real(1_900.0, 2_300.0)),
        0 => (draw.real(10.0, 13.0), draw.real(4_100.0, 4_600.0)),
        _ => (draw.real(31.0, 46.0), draw.real(5_000.0, 5_400.0)),
    };
    match service {
        _ if service == scene.story.service => (errors, latency),
        "gateway" if into >= 0 => (errors * 0.5, latency * 0.98),
        "worker" => usual,
        _ if into >= 0 => (errors * 0.3, latency * 0.9),
        _ => usual,
    }
}

/// A short burst of errors an hour before that passes by itself: the card provider was slow.
fn provider_trouble(scene: &Scene, service: &str, minute: Minute, draw: &mut Draw) -> Option<(f64, f64)> {
    let during = (-72..-68).contains(&minute.since(scene.at));
    (during && service == "payments-api").then(|| (draw.real(3.0, 4.5), draw.real(900.0, 1_200.0)))
}
