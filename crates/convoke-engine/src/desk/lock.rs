//! `lock` and `unlock`: agents claim what they are about to change.

use std::time::Duration;

use convoke_domain::lock::{self as domain, Item, Mode, Resource};
use convoke_domain::refusal::Refusal;
use convoke_domain::task::WaitReason;
use convoke_store::{Result, Tx};
use serde_json::{Value, json};

use super::{Answer, Caller, Tool, Wait, object};
use crate::lock::{Got, Holder, acquire, guard, holding, key, release, within, you_hold};

/// The tools of locks.
pub(super) const TOOLS: &[Tool] = &[
    Tool {
        id: guard::LOCK,
        description: "Claim resources before you change them, so that no other agent changes them at the same time. A resource \
            is TYPE:PATH; a lock on a folder covers all in it. To write a file of the team, lock `file:shared/PATH` exclusively \
            first. For anything else that members must not do at the same time agree on a name, such as `topic:release-notes`. \
            Name all that you need in one call: you get all of it or nothing, and wait your turn if others hold some of it. \
            Read a file again after you have got its lock. Locks end with your task.",
        schema: lock_schema,
        call: |tx, caller, args| Box::pin(lock(tx, caller, args)),
    },
    Tool {
        id: "unlock",
        description: "Let go of locks as soon as you need them no more, so that others can go on. Without `resources` all your \
            locks end.",
        schema: unlock_schema,
        call: |tx, caller, args| Box::pin(unlock(tx, caller, args)),
    },
];

fn lock_schema() -> Value {
    object(
        &["resources"],
        json!({
            "resources": {
                "type": "array", "minItems": 1, "maxItems": domain::MAX_ITEMS, "items": {"type": "string"},
                "description": "What to lock, such as [\"file:shared/report.md\", \"file:shared/src/\"].",
            },
            "mode": {
                "type": "string", "enum": ["exclusive", "shared"],
                "description": "exclusive (the default): nobody else has it meanwhile; shared: others may have it shared too, to read something that must not change.",
            },
            "wait_seconds": {
                "type": "integer", "minimum": 0, "maximum": domain::MAX_WAIT.as_secs(),
                "description": format!("How long to wait for your turn, {} if absent; with 0 you are told at once who has it.", domain::USUAL_WAIT.as_secs()),
            },
        }),
    )
}

fn unlock_schema() -> Value {
    object(
        &[],
        json!({
            "resources": {
                "type": "array", "items": {"type": "string"}, "maxItems": domain::MAX_HELD,
                "description": "What to let go of, as it was named in lock.",
            },
        }),
    )
}

fn holder(caller: &Caller<'_>) -> Holder {
    Holder { run: caller.at.run, task: caller.at.task, agent: caller.at.agent.clone() }
}

async fn lock(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    known(args, &["resources", "mode", "wait_seconds"])?;
    let mode = mode(args)?;
    let resources = resources(args)?.unwrap_or_default();
    let items: Vec<_> = resources.into_iter().map(|resource| Item { resource, mode }).collect();
    match acquire(tx, &holder(caller), items.clone(), wait(args)?).await? {
        Got::Held { .. } => {
            let asked = within(domain::canonical(items)?, caller.at.run);
            Ok(Answer::Done(you_hold(&holding(tx, caller.at.task, &asked).await?)))
        }
        Got::Waiting { due, .. } => {
            Ok(Answer::Wait(Wait { reason: WaitReason::Lock, key: key(caller.at.task), due: Some(due) }))
        }
        Got::Refused(refusal) => Err(refusal.into()),
    }
}

async fn unlock(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    known(args, &["resources"])?;
    let only = resources(args)?;
    let freed = release(tx, &holder(caller), only.as_deref()).await?;
    if freed.is_empty() {
        return Ok(Answer::Done("You held no locks.".to_owned()));
    }
    let names: Vec<_> = freed.iter().map(|resource| format!("`{}`", resource.plain())).collect();
    Ok(Answer::Done(format!("You let go of {}.", names.join(", "))))
}

fn wrong(field: &str, why: &str) -> Refusal {
    Refusal::new("bad_argument", format!("`{field}` {why}"))
}

/// Refuses fields that nobody knows: they mean something to the model that would not happen.
fn known(args: &Value, fields: &[&str]) -> Result<(), Refusal> {
    let given = args.as_object().into_iter().flatten();
    match given.map(|(field, _)| field).find(|field| !fields.contains(&field.as_str())) {
        Some(field) => Err(wrong(&field.chars().take(64).collect::<String>(), "is not an argument of this tool")
            .hint(format!("the arguments are {}", fields.join(", ")))),
        None => Ok(()),
    }
}

fn resources(args: &Value) -> Result<Option<Vec<Resource>>, Refusal> {
    let Some(given) = args.get("resources").filter(|given| !given.is_null()) else { return Ok(None) };
    let names = given.as_array().ok_or_else(|| wrong("resources", "is not a list of names"))?;
    if names.len() > domain::MAX_HELD {
        return Err(wrong("resources", &format!("has {} names; {} are allowed", names.len(), domain::MAX_HELD)));
    }
    let name = |name: &Value| match name.as_str() {
        Some(text) => text.parse(),
        None => Err(wrong("resources", "holds something that is not a text")),
    };
    names.iter().map(name).collect::<Result<Vec<Resource>, Refusal>>().map(Some)
}

fn mode(args: &Value) -> Result<Mode, Refusal> {
    match args.get("mode").filter(|given| !given.is_null()) {
        None => Ok(Mode::Exclusive),
        Some(given) => {
            given.as_str().and_then(Mode::parse).ok_or_else(|| wrong("mode", "is neither `exclusive` nor `shared`"))
        }
    }
}

fn wait(args: &Value) -> Result<Duration, Refusal> {
    let most = domain::MAX_WAIT.as_secs();
    match args.get("wait_seconds").filter(|given| !given.is_null()) {
        None => Ok(domain::USUAL_WAIT),
        Some(given) => match given.as_u64() {
            Some(seconds) if seconds <= most => Ok(Duration::from_secs(seconds)),
            _ => Err(wrong("wait_seconds", &format!("is not a whole number from 0 to {most}"))),
        },
    }
}
