//! The desk's tool for those with the authority to replace a decision that stands.

use convoke_domain::authority::OVERRIDE;
use convoke_domain::thread::Party;
use convoke_store::{Result, Tx};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Caller, Tool, object, read};
use crate::address::message_id;
use crate::decision::{Override, replace};
use crate::say::Speaker;

/// The tools for decisions.
pub(super) const TOOLS: &[Tool] = &[Tool {
    id: OVERRIDE,
    description: "Replaces a decision that stands by another choice, with your reason. Whoever asked and whoever decided are told, and what was \
                  decided before stays on record. Use it only where the decision is wrong and going on with it does harm.",
    schema,
    call: |tx, caller, args| Box::pin(override_it(tx, caller, args)),
}];

fn schema() -> Value {
    object(
        &["decision", "choice", "reason"],
        json!({
            "decision": {"type": "string", "description": "The id of the question or of the decision, such as msg_…"},
            "choice": {"type": "string", "description": "What shall hold instead; one of the options where there were any"},
            "reason": {"type": "string", "description": "Why what was decided must not stand"}
        }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Args {
    decision: String,
    choice: String,
    reason: String,
}

async fn override_it(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: Args = read(OVERRIDE, args)?;
    let who = Party::Agent(caller.at.agent.clone());
    let by = Speaker { who: &who, run: Some(caller.at.run), spec: Some(caller.spec), task: Some(caller.at.task) };
    let id = caller.id(tx.now(), "override");
    let (decision, choice, reason) = (message_id(&args.decision)?, args.choice.as_str(), args.reason.as_str());
    let replaced = replace(tx, &Override { by, decision, choice, reason, id }).await?;
    let told = if replaced.told.is_empty() {
        "nobody else is concerned".into()
    } else {
        replaced.told.join(", ") + " are told"
    };
    Ok(Answer::Done(format!("The decision on {} is replaced; {told}.", replaced.question)))
}
