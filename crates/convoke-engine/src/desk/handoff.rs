//! The tools `delegate`, `hand_off`, `accept` and `decline`.

use std::time::Duration;

use convoke_domain::agent::Standing;
use convoke_domain::authority;
use convoke_domain::budget::Budget;
use convoke_domain::event::Kind;
use convoke_domain::handoff::{self as domain, Packet, Past, State, may_delegate, may_offer};
use convoke_domain::id::{HandoffId, TaskId};
use convoke_domain::pattern::SideStage;
use convoke_domain::refusal::Refusal;
use convoke_domain::run;
use convoke_domain::task::{Priority, WaitReason};
use convoke_domain::time::Timestamp;
use convoke_store::{Result, Tx, agent, budget, handoff, task};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Caller, Left, Tool, Wait, object, read};
use crate::advance::{self, SideTask};
use crate::budget::scope;
use crate::claim::Assignment;
use crate::engine::emit;
use crate::handoff as engine;

/// Seconds that a delegated task may take, unless it is said.
const DELEGATED_S: u64 = 600;
/// Seconds that an offer stands, unless it is said.
const OFFERED_S: u64 = 300;
/// The most seconds of either.
const MOST_S: u64 = 86_400;

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        id: "delegate",
        description: "Give a part of your task to another agent and get its result back as the result of this call. You wait \
                      meanwhile; several such calls in one reply are done at the same time. Say everything the other agent \
                      needs to know: it does not see your conversation.",
        schema: delegate_schema,
        call: |tx, caller, args| Box::pin(delegate(tx, caller, args)),
    },
    Tool {
        id: "hand_off",
        description: "Give your whole task away to an agent that is better placed to finish it. If it accepts, your work on \
                      the task ends and it goes on with what you write here; if it declines, you are told why and go on.",
        schema: hand_off_schema,
        call: |tx, caller, args| Box::pin(hand_off(tx, caller, args)),
    },
    Tool {
        id: "accept",
        description: "Accept the task that another agent offers to hand over to you. It then comes to you as a task of its own.",
        schema: accept_schema,
        call: |tx, caller, args| Box::pin(accept(tx, caller, args)),
    },
    Tool {
        id: "decline",
        description: "Decline the task that another agent offers to hand over to you, and say why.",
        schema: decline_schema,
        call: |tx, caller, args| Box::pin(decline(tx, caller, args)),
    },
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delegate {
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    title: String,
    instructions: String,
    #[serde(default)]
    output_schema: Option<Value>,
    #[serde(default)]
    timeout_s: Option<u64>,
}

fn delegate_schema() -> Value {
    object(
        &["title", "instructions"],
        json!({
            "to": {"type": "string", "description": "the agent, by name"},
            "needs": {"type": "array", "items": {"type": "string"}, "description": "or what it must be capable of"},
            "title": {"type": "string", "description": "one line"},
            "instructions": {"type": "string", "description": "what to do and what to give back, with all it needs to know"},
            "output_schema": {"type": "object", "description": "JSON Schema that its answer must fit, if you need a form"},
            "timeout_s": {"type": "integer", "minimum": 1, "maximum": MOST_S, "description": "seconds after which you go on without it (600)"}
        }),
    )
}

async fn delegate(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: Delegate = read("delegate", args)?;
    if args.instructions.trim().is_empty() || args.title.trim().is_empty() {
        return Err(Refusal::new("empty", "`title` and `instructions` must say something").into());
    }
    let (depth, chain) = chain_of(tx, caller).await?;
    refuse_leader(caller, args.to.as_deref())?;
    let to = domain::choose(&caller.spec.members(), args.to.as_deref(), &args.needs, &chain)?;
    may_delegate(&to, depth, &chain)?;
    if let Err(denial) = may_assign(tx, caller).await? {
        return Ok(Answer::Denied(denial.rule, denial.message));
    }
    let due = tx.now().after(within(args.timeout_s, DELEGATED_S));
    let key = format!("{}-{}-{}", caller.at.key, caller.step.attempt, caller.step.n);
    let new = SideTask {
        parent: caller.at.task,
        depth: depth + 1,
        stage: SideStage::Delegated,
        key: &format!("{key}-{}", short(caller.at.task)),
        title: args.title.trim(),
        instructions: &args.instructions,
        agent: &to,
        output_schema: args.output_schema.map(|schema| schema.to_string()),
        priority: Priority::Normal,
        timeout: Duration::from_secs(caller.spec.team.rules.timeout_per_agent_s),
    };
    let child = advance::add_side_task(tx, caller.at.run, caller.spec, &new).await?;
    let payload = json!({"from": caller.at.agent, "to": to, "title": new.title, "until": due.to_string()});
    emit(tx, Kind::CollabStarted, ("task", child.to_string()), (Some(caller.at.run), &caller.who()), payload);
    Ok(Answer::Wait(Wait { reason: WaitReason::Child, key: child.to_string(), due: Some(due) }))
}

/// Whoever leads the run takes part in it, and still gets no work from others, unless it is a member as well.
fn refuse_leader(caller: &Caller<'_>, name: Option<&str>) -> Result<(), Refusal> {
    let (leader, members) = (&caller.spec.team.coordinator, caller.spec.members());
    if name != Some(leader) || members.iter().any(|(member, _)| member == leader) {
        return Ok(());
    }
    let names: Vec<_> = members.iter().map(|(member, _)| format!("`{member}`")).collect();
    let message = format!("`{leader}` leads the run and takes no tasks from others; there are {}", names.join(", "));
    Err(Refusal::new("unknown_agent", message).hint("name one of them; `ask` and `escalate` reach who leads"))
}

/// Whether the caller may give tasks to those it did not spawn.
async fn may_assign(tx: &mut Tx<'_>, caller: &Caller<'_>) -> Result<std::result::Result<(), authority::Denial>> {
    let leads = caller.at.agent == caller.spec.team.coordinator;
    let held = agent::hold(tx, &caller.at.agent).await?;
    let standing = held.and_then(|held| Standing::parse(&held.standing)).unwrap_or_default();
    Ok(authority::may_assign(caller.profile, leads, standing, &caller.spec.team.rules))
}

/// How deep the task of a call is, and who works on it and on those above it, from below.
async fn chain_of(tx: &mut Tx<'_>, caller: &Caller<'_>) -> Result<(i64, Vec<String>)> {
    let mut held = task::hold(tx, caller.at.task).await?;
    let depth = held.depth;
    let mut chain = vec![held.agent.clone()];
    // What a person has added is a part of the run itself, above which there is no task.
    while let Some(parent) = held.parent.filter(|parent| parent.0 != caller.at.run.0) {
        held = task::hold(tx, parent).await?;
        chain.push(held.agent.clone());
    }
    Ok((depth, chain))
}

fn within(asked: Option<u64>, usual: u64) -> Duration {
    Duration::from_secs(asked.unwrap_or(usual).clamp(1, MOST_S))
}

/// The end of an id, which tells tasks of one run apart.
fn short(id: TaskId) -> String {
    let text = id.to_string();
    text[text.len() - 8..].to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandOff {
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    needs: Vec<String>,
    #[serde(default)]
    timeout_s: Option<u64>,
    #[serde(default)]
    goal: Option<String>,
    #[serde(default)]
    done: String,
    left: String,
    reason: String,
    #[serde(default)]
    artifacts: Vec<String>,
    #[serde(default)]
    constraints: Vec<String>,
    #[serde(default)]
    return_to: Option<String>,
}

fn hand_off_schema() -> Value {
    let list = |what: &str| json!({"type": "array", "items": {"type": "string"}, "description": what});
    object(
        &["reason", "left"],
        json!({
            "to": {"type": "string", "description": "the agent, by name"},
            "needs": list("or what it must be capable of"),
            "reason": {"type": "string", "description": "why you hand the task over"},
            "goal": {"type": "string", "description": "what the task is to achieve; your own task's text if absent"},
            "done": {"type": "string", "description": "what you have done and found so far"},
            "left": {"type": "string", "description": "what is left to do"},
            "artifacts": list("files and results that it needs"),
            "constraints": list("what it must keep to"),
            "return_to": {"type": "string", "description": "the agent that gets the task back afterwards, such as you; nobody if absent"},
            "timeout_s": {"type": "integer", "minimum": 1, "maximum": MOST_S, "description": "seconds after which you go on yourself (300)"}
        }),
    )
}

async fn hand_off(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: HandOff = read("hand_off", args)?;
    let me = caller.at.agent.clone();
    let members = caller.spec.members();
    refuse_leader(caller, args.to.as_deref())?;
    refuse_leader(caller, args.return_to.as_deref())?;
    let to = domain::choose(&members, args.to.as_deref(), &args.needs, std::slice::from_ref(&me))?;
    if let Some(back_to) = &args.return_to {
        domain::choose(&members, Some(back_to), &[], &[])?;
    }
    let packet = Packet {
        goal: args.goal.unwrap_or_else(|| shortened(&caller.at.instructions)),
        done: args.done,
        left: args.left,
        artifacts: args.artifacts,
        constraints: args.constraints,
        reason: args.reason,
        return_to: args.return_to,
        remaining_budget: remaining(tx, caller.at).await?,
        locks: crate::lock::held_names(tx, caller.at.task).await?,
    };
    packet.check()?;
    let rows = handoff::of_task(tx, caller.at.task).await?;
    let accepted = rows.iter().filter(|row| row.state == State::Accepted.as_str());
    let past: Vec<_> = accepted.map(|row| Past { from: row.giver.clone(), to: row.receiver.clone() }).collect();
    let offer = Offer { to, due: tx.now().after(within(args.timeout_s, OFFERED_S)), packet };
    match may_offer(&me, &offer.to, &past) {
        Err(refusal) if refusal.code == "ping_pong" => stop_ping_pong(tx, caller, &offer, &rows, refusal).await,
        Err(refusal) => Err(refusal.into()),
        Ok(()) => make_offer(tx, caller, &offer).await,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(domain::PACKET_CHARS).collect()
}

/// What the task may still cost, where it has a budget of its own: the team's for each task, or that of the agent it was made for.
async fn remaining(tx: &mut Tx<'_>, at: &Assignment) -> Result<Option<String>> {
    let mut names = vec![format!("task:{}", at.task)];
    if at.stage == SideStage::Spawned.as_str() {
        names.push(scope(at.run, &at.key));
    }
    let rows: Vec<_> = budget::hold(tx, &names).await?.into_iter().map(Budget::from).collect();
    let cost = rows.iter().filter_map(|row| Some(row.cap_cost? - row.settled.cost - row.reserved.cost)).min();
    let tokens = rows.iter().filter_map(|row| Some(row.cap_tokens? - row.settled.tokens - row.reserved.tokens)).min();
    let parts: Vec<_> =
        cost.map(|left| left.to_string()).into_iter().chain(tokens.map(|left| format!("{left} tokens"))).collect();
    Ok((!parts.is_empty()).then(|| parts.join(", ")))
}

struct Offer {
    to: String,
    due: Timestamp,
    packet: Packet,
}

async fn make_offer(tx: &mut Tx<'_>, caller: &Caller<'_>, offer: &Offer) -> Result<Answer> {
    let at = caller.at;
    let id = HandoffId(caller.id(tx.now(), "handoff"));
    let receiver = caller.spec.profiles.get(&offer.to);
    let is_asked = receiver.is_some_and(|profile| authority::may_use(profile, "accept").is_ok());
    let considered_in = if is_asked { Some(consider(tx, caller, offer).await?) } else { None };
    let row = insert(tx, caller, id, offer, considered_in).await?;
    let payload = json!({"handoff": id, "from": at.agent, "to": offer.to, "reason": offer.packet.reason, "until": offer.due.to_string()});
    emit(tx, Kind::HandoffRequested, ("task", at.task.to_string()), (Some(at.run), &caller.who()), payload);
    if is_asked {
        return Ok(Answer::Wait(Wait { reason: WaitReason::Handoff, key: id.to_string(), due: Some(offer.due) }));
    }
    // An agent without the tool `accept` takes what its team hands it.
    engine::accept(tx, &row, &format!("agent:{}", offer.to)).await?;
    Ok(Answer::Leave(format!("accepted: the task is with `{}` now", offer.to)))
}

async fn insert(
    tx: &mut Tx<'_>,
    caller: &Caller<'_>,
    id: HandoffId,
    offer: &Offer,
    considered_in: Option<TaskId>,
) -> Result<handoff::Record> {
    let packet = serde_json::to_string(&offer.packet)?;
    let new = handoff::NewRow {
        id,
        run: caller.at.run,
        task: caller.at.task,
        attempt: caller.at.attempt,
        giver: &caller.at.agent,
        receiver: &offer.to,
        packet: &packet,
        offer: considered_in,
        due: Some(offer.due),
    };
    handoff::insert(tx, &new).await?;
    handoff::hold(tx, id).await
}

/// Gives the receiver a task in which it says yes or no.
async fn consider(tx: &mut Tx<'_>, caller: &Caller<'_>, offer: &Offer) -> Result<TaskId> {
    let at = caller.at;
    let depth = task::hold(tx, at.task).await?.depth;
    let instructions = format!(
        "`{}` offers to hand a task over to you. Decide whether you take it: call `accept`, or `decline` with your reason. Do \
         not do the task now; if you accept, it comes to you as a task of its own.\n{}",
        at.agent,
        crate::prompt::handed_over(&at.agent, &offer.packet)
    );
    let new = SideTask {
        parent: at.task,
        depth,
        stage: SideStage::Offer,
        key: &format!("{}-{}-{}-{}", at.key, caller.step.attempt, caller.step.n, short(at.task)),
        title: &format!("Take over: {}", at.title),
        instructions: &instructions,
        agent: &offer.to,
        output_schema: None,
        priority: Priority::High,
        timeout: Duration::from_secs(caller.spec.team.rules.timeout_per_agent_s),
    };
    advance::add_side_task(tx, at.run, caller.spec, &new).await
}

/// The agents were told once that a task goes no more back and forth between them; the next time a person is asked.
async fn stop_ping_pong(
    tx: &mut Tx<'_>,
    caller: &Caller<'_>,
    offer: &Offer,
    rows: &[handoff::Record],
    refusal: Refusal,
) -> Result<Answer> {
    let at = caller.at;
    let id = HandoffId(caller.id(tx.now(), "handoff"));
    let row = insert(tx, caller, id, offer, None).await?;
    handoff::settle(tx, id, State::Declined.as_str(), "system", Some(&refusal.code)).await?;
    engine::tell_declined(tx, &row, "system", &refusal.message);
    let told = rows.iter().filter(|row| row.reason.as_deref() == Some("ping_pong")).count();
    if told + 1 < domain::PING_PONG_STOPPED {
        let hint = refusal.hint.unwrap_or_default();
        return Ok(Answer::Failed(format!("{}; {hint}. The next time a person is asked.", refusal.message)));
    }
    let reason = format!("ping_pong: {}", refusal.message);
    advance::end_run(tx, at.run, run::State::Escalated, (None, Some(&reason)), "system").await?;
    Ok(Answer::Leave(reason))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settle {
    #[serde(default)]
    handoff: Option<HandoffId>,
    #[serde(default)]
    reason: String,
}

fn accept_schema() -> Value {
    object(
        &[],
        json!({"handoff": {"type": "string", "description": "the offer's id; the one you were asked about if absent"}}),
    )
}

fn decline_schema() -> Value {
    object(
        &["reason"],
        json!({
            "handoff": {"type": "string", "description": "the offer's id; the one you were asked about if absent"},
            "reason": {"type": "string", "description": "why not; the other agent reads it"}
        }),
    )
}

async fn accept(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: Settle = read("accept", args)?;
    let row = offered(tx, caller, args.handoff).await?;
    engine::accept(tx, &row, &caller.who()).await?;
    Ok(Answer::Done(
        "The task is yours; it comes to you as a task of its own. There is nothing more to do here.".into(),
    ))
}

async fn decline(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: Settle = read("decline", args)?;
    let row = offered(tx, caller, args.handoff).await?;
    engine::decline(tx, &row, &caller.who(), args.reason.trim()).await?;
    Ok(Answer::Done("You declined; the other agent was told.".into()))
}

/// The offer that the agent speaks of; it must have been made to it, in the same run.
async fn offered(tx: &mut Tx<'_>, caller: &Caller<'_>, named: Option<HandoffId>) -> Result<handoff::Record> {
    let row = match named {
        Some(id) => Some(handoff::hold(tx, id).await?),
        None => handoff::of_offer(tx, caller.at.task).await?,
    };
    let mine = row.filter(|row| row.receiver == caller.at.agent && row.run == caller.at.run);
    mine.ok_or_else(|| Refusal::new("no_offer", "nothing was offered to you here").into())
}

/// What becomes of offers when an attempt ends: those it made are withdrawn, the one it was to consider is declined.
pub(super) async fn left(tx: &mut Tx<'_>, left: &Left<'_>) -> Result<()> {
    for row in handoff::of_task(tx, left.task).await? {
        if row.state == State::Requested.as_str() {
            handoff::settle(tx, row.id, State::Withdrawn.as_str(), "system", Some("the attempt ended")).await?;
        }
    }
    if left.is_over
        && let Some(row) = handoff::of_offer(tx, left.task).await?
        && row.state == State::Requested.as_str()
    {
        engine::decline(tx, &row, &format!("agent:{}", left.agent), "it neither accepted nor declined").await?;
    }
    Ok(())
}
