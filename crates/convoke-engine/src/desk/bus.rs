//! The desk's tools for talking: send, broadcast, ask, answer, reply, wait_for, progress, escalate.
//!
//! Rule: who speaks is the caller; no argument says so. All of it passes the *say* door, [`crate::say::say`].

use std::collections::BTreeMap;
use std::time::Duration;

use convoke_domain::event::Kind as EventKind;
use convoke_domain::message::{self as domain, Ask, Kind, WAIT_MOST_S, WAIT_S, template};
use convoke_domain::refusal::Refusal;
use convoke_domain::task::{Priority, WaitReason};
use convoke_domain::team::EscalationPolicy;
use convoke_domain::thread::Party;
use convoke_store::thread::Viewer;
use convoke_store::{Error, Result, Tx, message as row, task};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Caller, Tool, Wait, object, read};
use crate::address::{self, message_id};
use crate::answer;
use crate::engine::emit;
use crate::escalate::{Stuck, next_step};
use crate::mail;
use crate::say::{NewMessage, Said, Speaker, Wanted, say, stop_pair, wait_key};

/// What `fields` are, for models; the templates are [`template::fields`].
const FIELDS: &str = "Fills in the template of the kind, so that nobody has to ask back: alert (impact, action, since?), finding (evidence, \
                      confidence?, impact?, next?), note (why?, next?). Those with ? may be left out.";
/// Characters of a progress note.
const PROGRESS_CHARS: usize = 500;

pub(super) const TOOLS: &[Tool] = &[
    Tool {
        id: "send",
        description: "Sends a message to one or more members of your run, or to a person. They read it before their next turn. \
                      Use it to tell somebody what they need to know; use `ask` when you need an answer.",
        schema: send_schema,
        call: |tx, caller, args| Box::pin(send(tx, caller, args)),
    },
    Tool {
        id: "broadcast",
        description: "Sends a message to everybody in your run. Use it for what all need to know, such as a finding that changes \
                      the picture; not for what concerns one member.",
        schema: broadcast_schema,
        call: |tx, caller, args| Box::pin(broadcast(tx, caller, args)),
    },
    Tool {
        id: "ask",
        description: "Asks a member of your run or a person a question, and waits for the answer, which is the result of this call. \
                      With `options` the answer is one of them; with a `default` that is taken when nobody answers in time.",
        schema: ask_schema,
        call: |tx, caller, args| Box::pin(ask(tx, caller, args)),
    },
    Tool {
        id: "answer",
        description: "Answers a question that you were asked. Name the question by the id at its head. A question is answered once.",
        schema: answer_schema,
        call: |tx, caller, args| Box::pin(answer_it(tx, caller, args)),
    },
    Tool {
        id: "reply",
        description: "Replies to a message that you were given, by the id at its head. A request gets one reply, which ends it.",
        schema: reply_schema,
        call: |tx, caller, args| Box::pin(reply(tx, caller, args)),
    },
    Tool {
        id: "wait_for",
        description: "Waits until a message for you comes, without using up your turns. Give `from` or `kind` to wait for certain \
                      messages only. Ends without one when the time is up.",
        schema: wait_schema,
        call: |tx, caller, args| Box::pin(wait_for(tx, caller, args)),
    },
    Tool {
        id: "progress",
        description: "Tells those who watch how far along your task is. It costs nothing and disturbs nobody.",
        schema: progress_schema,
        call: |tx, caller, args| Box::pin(progress(tx, caller, args)),
    },
    Tool {
        id: "escalate",
        description: "Asks somebody above you to decide what you cannot: the coordinator first, then a supervisor, then a person. \
                      The call waits for what they say. Use it when you are stuck or lack the authority, not for questions of fact.",
        schema: escalate_schema,
        call: |tx, caller, args| Box::pin(escalate(tx, caller, args)),
    },
];

fn to_schema() -> Value {
    json!({
        "description": "A member's name, `coordinator`, `user` for whoever started the run, or `user:NAME`; or a list of them",
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 100}],
    })
}

fn common() -> Value {
    json!({
        "message": {"type": "string", "description": "What you have to say, complete in itself"},
        "subject": {"type": "string", "maxLength": 200},
        "kind": {"enum": ["note", "finding", "alert"], "default": "note"},
        "priority": {"enum": ["critical", "high", "normal", "low"], "default": "normal"},
        "fields": {"type": "object", "additionalProperties": {"type": "string"}, "description": FIELDS},
        "cancels": {"type": "boolean", "default": false, "description": "Cuts the model calls that recipients are making, so that they read it at once; for the coordinator, with an alert"},
    })
}

fn send_schema() -> Value {
    let mut properties = common();
    properties["to"] = to_schema();
    properties["thread"] = json!({"type": "string", "description": "A thread you take part in; the direct thread with the recipient if left out"});
    object(&["to", "message"], properties)
}

fn broadcast_schema() -> Value {
    object(&["message"], common())
}

fn ask_schema() -> Value {
    let properties = json!({
        "to": to_schema(),
        "question": {"type": "string", "description": "The question, with all that is needed to answer it"},
        "options": {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 20},
        "default": {"type": "string", "description": "What is taken when nobody answers in time; one of the options"},
        "within_s": {"type": "integer", "minimum": 1, "maximum": WAIT_MOST_S, "description": "Seconds until then: 120 for agents, as long as it takes for people"},
        "impact": {"type": "string", "description": "What depends on the answer"},
        "kind": {"enum": ["question", "request"], "default": "question"},
        "wait": {"type": "boolean", "default": true, "description": "Wait for the answer; otherwise it comes as a message"},
    });
    object(&["to", "question"], properties)
}

fn answer_schema() -> Value {
    let properties = json!({
        "question": {"type": "string", "description": "The id at the head of the question, such as msg_…"},
        "choice": {"type": "string", "description": "Your answer; one of the options where there are any"},
        "rationale": {"type": "string", "description": "Why"},
    });
    object(&["question", "choice"], properties)
}

fn reply_schema() -> Value {
    let properties = json!({
        "to": {"type": "string", "description": "The id at the head of the message, such as msg_…"},
        "message": {"type": "string"},
    });
    object(&["to", "message"], properties)
}

fn wait_schema() -> Value {
    let properties = json!({
        "from": {"type": "string", "description": "Only messages of this sender: a member's name, or `user:NAME`"},
        "kind": {"type": "string", "description": "Only messages of this kind, such as finding"},
        "timeout_s": {"type": "integer", "minimum": 1, "maximum": WAIT_MOST_S, "default": WAIT_S},
    });
    object(&[], properties)
}

fn progress_schema() -> Value {
    let properties = json!({
        "percent": {"type": "integer", "minimum": 0, "maximum": 100},
        "text": {"type": "string", "maxLength": PROGRESS_CHARS},
    });
    object(&["text"], properties)
}

fn escalate_schema() -> Value {
    let properties = json!({
        "reason": {"type": "string", "description": "What must be decided, what you know, and what you would do"},
        "options": {"type": "array", "items": {"type": "string", "maxLength": 200}, "maxItems": 20},
        "to": {"enum": ["coordinator", "person"]},
    });
    object(&["reason"], properties)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum To {
    One(String),
    Many(Vec<String>),
}

impl To {
    fn names(self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name],
            Self::Many(names) => names,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendArgs {
    to: Option<To>,
    message: String,
    subject: Option<String>,
    #[serde(default = "note")]
    kind: Kind,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    cancels: bool,
    thread: Option<String>,
    fields: Option<BTreeMap<String, String>>,
}

impl SendArgs {
    /// The message, with the fields of its kind's template where they are given.
    fn message(self) -> Result<NewMessage, Refusal> {
        let body = match &self.fields {
            Some(fields) => template::fill(self.kind, &self.message, fields)?,
            None => self.message,
        };
        Ok(NewMessage {
            to: self.to.map(To::names).unwrap_or_default(),
            thread: self.thread,
            kind: self.kind,
            priority: self.priority,
            subject: self.subject,
            cancels: self.cancels,
            ..NewMessage::note("", body)
        })
    }
}

const fn note() -> Kind {
    Kind::Note
}

async fn send(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: SendArgs = read("send", args)?;
    let new = args.message()?;
    // A message that names nobody goes to everybody, which is another tool.
    if new.to.is_empty() {
        let refusal = Refusal::new("no_recipient", "the message names no recipient");
        return Err(refusal.hint("name somebody in `to`, or use `broadcast`").into());
    }
    post(tx, caller, &new).await
}

async fn broadcast(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: SendArgs = read("broadcast", args)?;
    if args.to.is_some() || args.thread.is_some() {
        return Err(Refusal::new("bad_arguments", "a broadcast goes to everybody; use `send` to name somebody").into());
    }
    post(tx, caller, &args.message()?).await
}

/// Posts a message whose kind the agent chose.
async fn post(tx: &mut Tx<'_>, caller: &Caller<'_>, new: &NewMessage) -> Result<Answer> {
    if !new.kind.is_free() {
        let text = format!("a message of the kind `{}` comes with its own tool", new.kind.as_str());
        return Err(Refusal::new("kind_not_free", text).hint("use note, finding or alert").into());
    }
    if new.cancels && (caller.at.agent != caller.spec.team.coordinator || new.kind != Kind::Alert) {
        let message = "only the coordinator may cut the calls of others, and only with an alert".to_owned();
        return Ok(Answer::Denied("coordinator", message));
    }
    match speak(tx, caller, new).await? {
        Ok(said) => Ok(Answer::Sent(sent(&said), said.cut)),
        Err(denied) => Ok(denied),
    }
}

/// Says it on behalf of the caller; a denial is the answer.
async fn speak(tx: &mut Tx<'_>, caller: &Caller<'_>, new: &NewMessage) -> Result<Result<Said, Answer>> {
    let who = Party::Agent(caller.at.agent.clone());
    let by = speaker(caller, &who);
    match say(tx, by, caller.id(tx.now(), "say"), new).await {
        Ok(said) => Ok(Ok(said)),
        Err(Error::Refused(refusal)) if refusal.code == "talk_not_permitted" => {
            Ok(Err(Answer::Denied("rules.talk", refusal.message)))
        }
        Err(Error::Refused(refusal)) if refusal.code == "ping_pong" => {
            if let [other] = new.to.as_slice() {
                stop_pair(tx, by, caller.id(tx.now(), "stop"), other, &refusal.message).await?;
            }
            Err(refusal.into())
        }
        Err(error) => Err(error),
    }
}

fn speaker<'a>(caller: &Caller<'a>, who: &'a Party) -> Speaker<'a> {
    Speaker { who, run: Some(caller.at.run), spec: Some(caller.spec), task: Some(caller.at.task) }
}

fn sent(said: &Said) -> String {
    let to = if said.to.is_empty() { "everybody in the thread".to_owned() } else { said.to.join(", ") };
    let told = said.told.as_ref().map(|told| format!(" {told}")).unwrap_or_default();
    format!("Stored as {} for {to}.{told}", said.message)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskArgs {
    to: To,
    question: String,
    #[serde(default)]
    options: Vec<String>,
    default: Option<String>,
    within_s: Option<u64>,
    impact: Option<String>,
    #[serde(default = "question")]
    kind: Kind,
    #[serde(default = "yes")]
    wait: bool,
}

const fn question() -> Kind {
    Kind::Question
}

const fn yes() -> bool {
    true
}

async fn ask(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: AskArgs = read("ask", args)?;
    if !args.kind.wants_answer() {
        return Err(Refusal::new("bad_arguments", "`kind` is question or request").into());
    }
    let terms = Ask { options: args.options, default: args.default, within_s: args.within_s, impact: args.impact };
    let new = NewMessage {
        to: args.to.names(),
        kind: args.kind,
        priority: Priority::High,
        ask: Some(terms),
        ..NewMessage::note("", args.question)
    };
    let said = match speak(tx, caller, &new).await? {
        Ok(said) => said,
        Err(denied) => return Ok(denied),
    };
    if !args.wait {
        return Ok(Answer::Done(format!("{} The answer comes as a message.", sent(&said))));
    }
    Ok(Answer::Wait(until_answered(&said)))
}

fn until_answered(said: &Said) -> Wait {
    let reason = if said.asks_person { WaitReason::Person } else { WaitReason::Answer };
    Wait { reason, key: said.message.to_string(), due: said.due }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnswerArgs {
    question: String,
    choice: String,
    rationale: Option<String>,
}

async fn answer_it(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: AnswerArgs = read("answer", args)?;
    let question = message_id(&args.question)?;
    let who = Party::Agent(caller.at.agent.clone());
    let given = answer::Answer {
        by: speaker(caller, &who),
        question,
        choice: &args.choice,
        rationale: args.rationale.as_deref(),
        id: caller.id(tx.now(), "answer"),
    };
    let said = answer::answer(tx, given).await?;
    Ok(Answer::Done(format!("Your answer is stored as {} and ends the question.", said.message)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyArgs {
    to: String,
    message: String,
}

async fn reply(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: ReplyArgs = read("reply", args)?;
    let (to, who) = (message_id(&args.to)?, caller.who());
    let found = row::get(tx, to, Viewer::Party(&who)).await?.ok_or_else(|| Error::missing("message", to))?;
    if Kind::parse(&found.kind).is_some_and(Kind::wants_answer) && found.sender != who {
        return answer_it(tx, caller, &json!({"question": args.to, "choice": args.message})).await;
    }
    let is_to_one = found.audience.is_some() && found.sender != who && found.sender != "system";
    let to = if is_to_one { vec![found.sender] } else { Vec::new() };
    let thread = Some(found.thread.to_string());
    let new = NewMessage { to, thread, reply_to: Some(found.id), ..NewMessage::note("", args.message) };
    post(tx, caller, &new).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WaitArgs {
    from: Option<String>,
    kind: Option<String>,
    timeout_s: Option<u64>,
}

async fn wait_for(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: WaitArgs = read("wait_for", args)?;
    let seconds = args.timeout_s.unwrap_or(WAIT_S);
    if !(1..=WAIT_MOST_S).contains(&seconds) {
        let message = format!("a wait takes 1 to {WAIT_MOST_S} s, not {seconds}");
        return Err(Refusal::new("bad_deadline", message).into());
    }
    if let Some(kind) = args.kind.as_deref().filter(|kind| Kind::parse(kind).is_none()) {
        return Err(Refusal::new("bad_arguments", format!("there is no kind of message `{kind}`")).into());
    }
    if let Some(from) = &args.from {
        let who = Party::Agent(caller.at.agent.clone());
        address::sender(tx, speaker(caller, &who), from).await?;
    }
    let wanted = Wanted { from: args.from, kind: args.kind };
    if task::hold(tx, caller.at.task).await?.mail > 0 && mail::has_come(tx, caller.at, &wanted).await? {
        return Ok(Answer::Done("There are messages for you already; they are given to you now.".to_owned()));
    }
    let due = Some(tx.now().after(Duration::from_secs(seconds)));
    let key = wait_key(caller.at.run, &caller.at.agent);
    Ok(Answer::Wait(Wait { reason: WaitReason::Message, key, due }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProgressArgs {
    percent: Option<u8>,
    text: String,
}

async fn progress(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: ProgressArgs = read("progress", args)?;
    if args.percent.is_some_and(|percent| percent > 100) {
        return Err(Refusal::new("bad_arguments", "percent is 0 to 100").into());
    }
    let text: String = args.text.chars().take(PROGRESS_CHARS).collect();
    task::set_progress(tx, caller.at.task, args.percent.map(i64::from), &text).await?;
    let on = ("task", caller.at.task.to_string());
    let payload = json!({"percent": args.percent, "text": text});
    emit(tx, EventKind::TaskProgress, on, (Some(caller.at.run), &caller.who()), payload);
    Ok(Answer::Done("Noted.".to_owned()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EscalateArgs {
    reason: String,
    #[serde(default)]
    options: Vec<String>,
    to: Option<String>,
}

/// The coordinator is asked first, then a supervisor, then a person; each once for a task, but for people.
async fn escalate(tx: &mut Tx<'_>, caller: &Caller<'_>, args: &Value) -> Result<Answer> {
    let args: EscalateArgs = read("escalate", args)?;
    // Refused before anything is put on record.
    domain::check(None, &args.reason)?;
    let terms = Ask { options: args.options, ..Ask::default() };
    terms.check()?;
    let stuck = Stuck { run: caller.at.run, task: caller.at.task, profile: caller.profile, reason: &args.reason };
    let agent = match args.to.as_deref() {
        Some("person") => None,
        _ => next_step(tx, &stuck, caller.spec).await?.agent().map(str::to_owned),
    };
    if agent.is_none() && caller.spec.team.rules.escalation_policy == EscalationPolicy::Never {
        let message = "the team never asks a person; decide with what you have, and say what is uncertain".to_owned();
        return Ok(Answer::Denied("rules.escalation_policy", message));
    }
    let to = agent.as_deref().unwrap_or("user");
    let new = NewMessage {
        kind: Kind::Question,
        priority: Priority::High,
        subject: Some("Escalation".to_owned()),
        ask: Some(terms),
        ..NewMessage::note(to, args.reason)
    };
    let said = match speak(tx, caller, &new).await? {
        Ok(said) => said,
        Err(denied) => return Ok(denied),
    };
    Ok(Answer::Wait(until_answered(&said)))
}
