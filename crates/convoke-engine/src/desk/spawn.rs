//! `spawn`: an agent adds another one to its run, gives it a task, and gets the result when that has ended.

use std::time::Duration;

use convoke_domain::money::Money;
use convoke_domain::profile::Limits;
use convoke_domain::refusal::Refusal;
use convoke_domain::task::WaitReason;
use convoke_store::{Result, Tx, task};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Caller, Doing, Tool, Wait, object};
use crate::spawn::{self, AdHoc, From, Order, What};

/// How often the time of one attempt is waited for, so that retries have their chance.
const PATIENCE: u64 = 4;

pub(super) const TOOLS: &[Tool] = &[Tool {
    id: "spawn",
    description: "Adds an agent to this run, gives it a task, and returns its answer when it is done. Name a `profile` of the workspace, or \
                  make one up with `name`, `prompt` and the `tools` it needs. It can do nothing that you cannot do yourself, and what it \
                  spends counts as yours. Several calls in one reply work at the same time. The agent sees only the task that you give it: \
                  put all that it must know into `task`.",
    schema,
    call,
}];

fn schema() -> Value {
    object(
        &["task"],
        json!({
            "task": {"type": "string", "description": "What the agent shall do, with all that it must know."},
            "title": {"type": "string", "description": "The same in a few words."},
            "profile": {"type": "string", "description": "The profile to make it from. Leave it out to make one up."},
            "name": {"type": "string", "description": "What to call it, such as `log-reader`; only without `profile`."},
            "prompt": {"type": "string", "description": "The instructions it works by; only without `profile`."},
            "capabilities": {"type": "array", "items": {"type": "string"}, "description": "What it can do; only without `profile`."},
            "tools": {"type": "array", "items": {"type": "string"}, "description": "Tools it needs, of those that you have; only without `profile`."},
            "max_cost_usd": {"type": "number", "exclusiveMinimum": 0, "description": "The most dollars it may spend."},
            "max_tokens": {"type": "integer", "minimum": 1, "description": "The most tokens it may use."}
        }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    task: String,
    title: Option<String>,
    profile: Option<String>,
    name: Option<String>,
    prompt: Option<String>,
    #[serde(default)]
    capabilities: Vec<String>,
    #[serde(default)]
    tools: Vec<String>,
    max_cost_usd: Option<Money>,
    max_tokens: Option<u64>,
}

fn call<'t>(tx: &'t mut Tx<'_>, caller: &'t Caller<'t>, args: &'t Value) -> Doing<'t> {
    Box::pin(spawn(tx, caller, args))
}

async fn spawn(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let order = match Args::deserialize(args) {
        Ok(args) => args.order()?,
        Err(error) => return Ok(Answer::Failed(format!("the arguments do not fit: {error}"))),
    };
    let depth = task::hold(tx, caller.at.task).await?.depth;
    let (who, seed) = (caller.who(), caller.id(tx.now(), "spawn"));
    let from =
        From { run: caller.at.run, parent: Some(&caller.at.agent), task: (caller.at.task, depth), who: &who, seed };
    match spawn::spawn(tx, &from, &order, caller.spec).await? {
        Err(denial) => Ok(Answer::Denied(denial.rule, denial.message)),
        Ok(spawned) => {
            let seconds = caller.spec.team.rules.timeout_per_agent_s.saturating_mul(PATIENCE);
            let due = tx.now().after(Duration::from_secs(seconds));
            Ok(Answer::Wait(Wait { reason: WaitReason::Child, key: spawned.task.to_string(), due: Some(due) }))
        }
    }
}

impl Args {
    fn order(self) -> Result<Order> {
        let what = match (self.profile, self.name, self.prompt) {
            (Some(profile), None, None) if self.capabilities.is_empty() && self.tools.is_empty() => {
                What::Profile(profile)
            }
            (None, Some(name), Some(prompt)) => {
                What::AdHoc(AdHoc { name, prompt, capabilities: self.capabilities, tools: self.tools })
            }
            (Some(_), _, _) => {
                let message = "an agent is made from a `profile`, or from `name`, `prompt`, `capabilities` and `tools`, not from both";
                return Err(Refusal::new("ambiguous_agent", message).hint("Leave one of the two out").into());
            }
            (None, _, _) => {
                let message = "it is not said what the agent is made from";
                return Err(Refusal::new("no_agent", message)
                    .hint("Give `profile`, or both `name` and `prompt`")
                    .into());
            }
        };
        if self.max_cost_usd.is_some_and(|cost| cost <= Money::ZERO) || self.max_tokens == Some(0) {
            return Err(Refusal::new("bad_amount", "`max_cost_usd` and `max_tokens` must be above 0").into());
        }
        let limits = Limits { max_cost_usd: self.max_cost_usd, max_tokens: self.max_tokens };
        Ok(Order { what, task: self.task, title: self.title, limits })
    }
}
