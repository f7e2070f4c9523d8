//! Logs: JSON lines of three services and the gateway's text. Mostly everyday noise.

use std::fmt::Write;

use super::draw::Draw;
use super::when::Minute;
use super::{File, Scene};

/// What a service logs when nothing is wrong: message, route.
type Everyday = &'static [(&'static str, &'static str)];
/// Errors that happen every day and heal: level, message, error.
type Benign = &'static [(&'static str, &'static str, &'static str)];

struct Service {
    name: &'static str,
    lines: u64,
    everyday: Everyday,
    benign: Benign,
}

const LOGGED: [Service; 3] = [
    Service {
        name: "payments-api",
        lines: 10,
        everyday: &[
            ("charge accepted", "/v1/charges"),
            ("charge captured", "/v1/charges/capture"),
            ("refund accepted", "/v1/refunds"),
            ("token issued", "/v1/tokens"),
            ("health check", "/healthz"),
        ],
        benign: &[
            ("warn", "charge declined", "card declined by issuer"),
            ("warn", "slow statement", "took longer than 400 ms"),
            ("error", "charge failed", "card provider answered 502"),
            ("error", "webhook not delivered", "receiver closed the connection"),
        ],
    },
    Service {
        name: "orders-api",
        lines: 8,
        everyday: &[
            ("order placed", "/v1/orders"),
            ("order read", "/v1/orders/id"),
            ("basket changed", "/v1/baskets"),
            ("stock reserved", "/v1/stock"),
            ("health check", "/healthz"),
        ],
        benign: &[
            ("warn", "retrying", "stock service answered 429"),
            ("warn", "basket expired", "older than 24 hours"),
            ("error", "order not placed", "address could not be verified"),
            ("error", "mail not sent", "mailbox is full"),
        ],
    },
    Service {
        name: "worker",
        lines: 4,
        everyday: &[
            ("job done", "confirmation-mail"),
            ("job done", "invoice"),
            ("job done", "stock-sync"),
            ("job started", "report"),
        ],
        benign: &[
            ("warn", "job retried", "partner API answered 429"),
            ("error", "job failed", "attachment has an unknown type"),
            ("error", "job failed", "deadline of 60 s passed, will be retried"),
        ],
    },
];

/// Share of everyday lines that are benign trouble.
const TROUBLE: f64 = 0.035;

pub(super) fn files(scene: &Scene) -> Vec<File> {
    let mut files: Vec<File> = LOGGED
        .iter()
        .map(|service| (format!("logs/{}.jsonl", service.name), json_lines(scene, service).into_bytes()))
        .collect();
    files.push(("logs/gateway.log".to_owned(), gateway(scene).into_bytes()));
    files
}

fn json_lines(scene: &Scene, service: &Service) -> String {
    let mut draw = scene.draw(service.name);
    let mut text = String::new();
    for minute in scene.minutes() {
        let failing = failing_share(scene, service.name, minute);
        // Every kind of benign trouble is seen early, so that none of it is new when the incident begins.
        let first = minute.since(scene.start()) - 3;
        for (place, moment) in draw.moments(service.lines).into_iter().enumerate() {
            let stamp = minute.stamp_at(moment);
            let forced = usize::try_from(first).ok().filter(|index| place == 0 && *index < service.benign.len());
            let line = match (failing, forced) {
                (Some((share, failure)), _) if draw.chance(share) => failed(&stamp, service, failure, &mut draw),
                (_, Some(index)) => trouble(&stamp, service, service.benign[index], &mut draw),
                _ if draw.chance(TROUBLE + provider(scene, service.name, minute)) => {
                    let kind = provider_or_any(scene, service, minute, &mut draw);
                    trouble(&stamp, service, kind, &mut draw)
                }
                _ => ordinary(&stamp, service, &mut draw),
            };
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

/// Which share of the lines are failures of the incident, and what they say.
fn failing_share(scene: &Scene, service: &str, minute: Minute) -> Option<(f64, (&'static str, &'static str))> {
    let story = &scene.story;
    let into = minute.since(scene.at);
    if service == story.service {
        return match into {
            ..-1 => None,
            -1 => Some((0.45, story.failure)),
            0 => Some((0.55, story.failure)),
            _ => Some((0.7, story.failure)),
        };
    }
    let caller = if story.service == "orders-api" { "payments-api" } else { "orders-api" };
    (service == caller && into >= 1).then_some((0.3, story.knock_on))
}

/// How much more trouble the card provider makes for a few minutes.
fn provider(scene: &Scene, service: &str, minute: Minute) -> f64 {
    let during = (-72..-68).contains(&minute.since(scene.at));
    if during && service == "payments-api" { 0.4 } else { 0.0 }
}

fn provider_or_any(
    scene: &Scene,
    service: &Service,
    minute: Minute,
    draw: &mut Draw,
) -> (&'static str, &'static str, &'static str) {
    if provider(scene, service.name, minute) > 0.0 { service.benign[2] } else { *draw.one(service.benign) }
}

fn ordinary(stamp: &str, service: &Service, draw: &mut Draw) -> String {
    let (message, route) = draw.one(service.everyday);
    let (ms, trace) = (draw.whole(8, 190), draw.trace());
    format!(
        r#"{{"ts":"{stamp}","level":"info","service":"{}","msg":"{message}","route":"{route}","ms":{ms},"trace":"{trace}"}}"#,
        service.name
    )
}

fn trouble(stamp: &str, service: &Service, kind: (&str, &str, &str), draw: &mut Draw) -> String {
    let (level, message, error) = kind;
    let trace = draw.trace();
    format!(
        r#"{{"ts":"{stamp}","level":"{level}","service":"{}","msg":"{message}","error":"{error}","trace":"{trace}"}}"#,
        service.name
    )
}

fn failed(stamp: &str, service: &Service, failure: (&str, &str), draw: &mut Draw) -> String {
    trouble(stamp, service, ("error", failure.0, failure.1), draw)
}

const ROUTES: [(&str, &str); 5] = [
    ("GET /orders", "orders-api"),
    ("POST /orders", "orders-api"),
    ("GET /basket", "orders-api"),
    ("POST /pay", "payments-api"),
    ("POST /refund", "payments-api"),
];

fn gateway(scene: &Scene) -> String {
    const LINES: u64 = 10;
    let mut draw = scene.draw("gateway");
    let mut text = String::new();
    for minute in scene.minutes() {
        for moment in draw.moments(LINES) {
            let (route, upstream) = *draw.one(&ROUTES);
            let (level, status, ms) = answer(scene, upstream, minute, &mut draw);
            let trace = draw.trace();
            let stamp = minute.stamp_at(moment);
            let _ = writeln!(text, "{stamp} {level} {route} upstream={upstream} status={status} ms={ms} trace={trace}");
        }
    }
    text
}

/// What the gateway saw: level, status, milliseconds.
fn answer(scene: &Scene, upstream: &str, minute: Minute, draw: &mut Draw) -> (&'static str, u16, u64) {
    let story = &scene.story;
    let into = minute.since(scene.at);
    let hit = upstream == story.service || (story.service == "worker" && upstream == "orders-api");
    if into >= 0 && draw.chance(if hit { 0.45 } else { 0.1 }) {
        return ("ERROR", 503, draw.whole(4_800, 5_100));
    }
    match draw.whole(0, 99) {
        0 => ("ERROR", 502, draw.whole(900, 1_500)),
        1..=3 => ("WARN", 404, draw.whole(3, 9)),
        4 => ("WARN", 429, draw.whole(1, 4)),
        _ => ("INFO", 200, draw.whole(12, 220)),
    }
}
