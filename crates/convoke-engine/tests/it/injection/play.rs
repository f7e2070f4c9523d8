//! The play: whoever is planted with orders plants them; everybody does what it reads.

use std::sync::{Arc, Mutex, PoisonError};

use convoke_domain::transcript::Block;
use convoke_port::model::{ModelError, ModelReply, ModelRequest};
use convoke_testkit::model::{FakeModels, asks, says};
use serde_json::{Value, json};

use super::{Case, Place};

/// What begins an order, and what ends it.
const ORDER: &str = "INJECT: call ";
const END: &str = " ;;";

/// The text that orders: filled in when the world is known.
pub type Bait = Arc<Mutex<String>>;

/// The orders of a case as text. Quotes are single, so that no quoting of JSON changes them.
pub fn orders(case: &Case) -> String {
    let order = |(tool, args, _): &(&str, Value, _)| format!("{ORDER}{tool} {}{END}", single(args));
    case.demands.iter().map(order).collect::<Vec<_>>().join("\n")
}

fn single(args: &Value) -> String {
    args.to_string().replace('"', "'")
}

/// One call of many: (tool, arguments).
type Call = (String, Value);

/// Models that play a case.
pub fn models(place: Place, bait: &Bait) -> FakeModels {
    let bait = Arc::clone(bait);
    FakeModels::new(move |request| {
        let orders = bait.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let origin = &request.origin;
        match (origin.agent.as_str(), origin.stage.as_str()) {
            ("dora", "work") => other_run(request),
            ("logs", "reply") => idle(request),
            ("cost", "work") => plant(request, place, &orders),
            ("cost", "delegated" | "reply") => Ok(says(orders)),
            ("lead", _) => Ok(says("the result")),
            (name, "spawned") if name.starts_with("lure-") => Ok(says(orders)),
            (name, "spawned") if name.starts_with("poster-") && request.origin.turn == 1 => {
                Ok(asks(&[("posted", "mcp:tracker/post", json!({"text": "all that I know"}))]))
            }
            ("logs", _) => obey(request, lure(place)),
            _ => obey(request, None),
        }
    })
}

/// Whoever works in the other run holds a lock, tells a person a secret, and waits for a person.
fn other_run(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    let calls = match request.origin.turn {
        1 => vec![
            ("o1", "lock", json!({"resources": ["db:main"]})),
            ("o2", "write_context", json!({"name": "key", "value": super::SECRET, "version": 0})),
        ],
        2 => vec![("o3", "ask", json!({"to": "logs", "question": "Which?", "wait": false, "within_s": 3600}))],
        _ => vec![("o4", "ask", json!({"to": "user", "question": "May I?", "options": ["yes", "no"]}))],
    };
    Ok(asks(&calls))
}

/// In the other run `logs` remembers something and keeps its question open.
fn idle(request: &ModelRequest) -> Result<ModelReply, ModelError> {
    Ok(match request.origin.turn {
        1 => asks(&[("o1", "remember", json!({"text": "The other team uses the blue cluster.", "scope": "team"}))]),
        _ => asks(&[("o2", "wait_for", json!({"kind": "alert", "timeout_s": 3600}))]),
    })
}

/// `cost` works first, and leaves the orders where the case wants them.
fn plant(request: &ModelRequest, place: Place, orders: &str) -> Result<ModelReply, ModelError> {
    let call = match place {
        Place::Message => ("send", json!({"to": "logs", "message": orders})),
        Place::Broadcast => ("broadcast", json!({"message": orders})),
        Place::Variable => ("write_context", json!({"name": "plan", "value": orders, "version": 0})),
        Place::Finding => ("add_finding", json!({"text": orders})),
        Place::Packet => ("hand_off", json!({"to": "logs", "reason": "You can.", "left": orders})),
        Place::Input => return Ok(says(orders)),
        _ => return Ok(says("nothing")),
    };
    Ok(if request.origin.turn == 1 { asks(&[("p1", call.0, call.1)]) } else { says("nothing") })
}

/// The call by which `logs` comes to read the orders; none where they are given to it.
fn lure(place: Place) -> Option<Call> {
    let (tool, args) = match place {
        Place::Page => ("page", json!({})),
        Place::Mcp => ("mcp:tracker/search", json!({})),
        Place::File => ("read_file", json!({"path": "input/notes.txt"})),
        Place::FileName => ("list_files", json!({"path": "input"})),
        Place::Variable => ("read_context", json!({})),
        Place::Finding => ("read_context", json!({"kind": "findings"})),
        Place::Memory => ("recall", json!({"query": "INJECT call"})),
        Place::Delegated => ("delegate", json!({"to": "cost", "title": "Part", "instructions": "Look."})),
        Place::Answer => ("ask", json!({"to": "cost", "question": "What now?"})),
        Place::Spawned => ("spawn", json!({"name": "lure", "prompt": "Look.", "task": "Look."})),
        Place::Message | Place::Broadcast | Place::Packet | Place::Input => return None,
    };
    Some((tool.to_owned(), args))
}

/// First the call that leads to the orders, then all of them at once, then an answer.
fn obey(request: &ModelRequest, lure: Option<Call>) -> Result<ModelReply, ModelError> {
    let done = called(request);
    let heard = heard(request);
    let orders = parse(&heard);
    if !orders.is_empty() && !done.iter().any(|id| id.starts_with("inj")) {
        return Ok(many(&orders));
    }
    match lure {
        Some((tool, args)) if done.is_empty() => Ok(asks(&[("read", &tool, args)])),
        _ => Ok(says("done")),
    }
}

fn many(orders: &[Call]) -> ModelReply {
    let ids: Vec<_> = (0..orders.len()).map(|n| format!("inj{n}")).collect();
    let calls: Vec<_> =
        ids.iter().zip(orders).map(|(id, (tool, args))| (id.as_str(), tool.as_str(), args.clone())).collect();
    asks(&calls)
}

/// The ids of the calls that were made so far.
fn called(request: &ModelRequest) -> Vec<String> {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    blocks.filter_map(|block| if let Block::ToolCall(call) = block { Some(call.id.clone()) } else { None }).collect()
}

/// All that the model was told, but not what it said itself.
fn heard(request: &ModelRequest) -> String {
    let blocks = request.turns.iter().flat_map(|turn| &turn.blocks);
    let told = blocks.filter(|block| !matches!(block, Block::ToolCall(_)));
    told.map(|block| serde_json::to_string(block).expect("JSON")).collect::<Vec<_>>().join("\n")
}

/// The orders in a text, each once.
fn parse(heard: &str) -> Vec<Call> {
    let mut found: Vec<Call> = Vec::new();
    for part in heard.split(ORDER).skip(1) {
        let Some((order, _)) = part.split_once(END) else { continue };
        let Some((tool, args)) = order.split_once(' ') else { continue };
        let Ok(args) =
            serde_json::from_str::<Value>(&args.replace('\'', "\"").replace("LASTMSG", &last_message(heard)))
        else {
            continue;
        };
        if !found.contains(&(tool.to_owned(), args.clone())) {
            found.push((tool.to_owned(), args));
        }
    }
    found
}

/// The last id of a message that was heard of.
fn last_message(heard: &str) -> String {
    heard.rfind("msg_").and_then(|at| heard.get(at..at + 30)).unwrap_or("none").to_owned()
}
