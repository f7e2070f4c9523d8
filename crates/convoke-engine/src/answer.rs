//! Questions and requests: each has one end. It is answered, its default is taken when its time comes, it expires, or nobody
//! needs it any more.
//!
//! Rule: whatever ends a question wakes who waits for it and calls off the side tasks that were made to answer, in the same
//! transaction. Start at [`answer`].

use std::pin::Pin;
use std::time::Duration;

use convoke_domain::event::Kind as EventKind;
use convoke_domain::id::{MessageId, RunId, TaskId};
use convoke_domain::message::{Ask, Conclusion, Kind, REASON_BYTES, Standing, conclude};
use convoke_domain::pattern::SideStage;
use convoke_domain::refusal::Refusal;
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{Priority, WaitReason};
use convoke_domain::thread::Party;
use convoke_domain::time::Timestamp;
use convoke_store::decision::{self, End, NewRow, Record};
use convoke_store::thread::Held;
use convoke_store::{Error, Result, Tx, blob, message as row, run, task, thread};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::advance::{self, SideTask};
use crate::desk::Left;
use crate::engine::emit;
use crate::letter::{line, quoted};
use crate::say::{NewMessage, Said, Speaker, say};
use crate::wait::{self, Outcome};

/// Tasks above a side task that answers; a question asked deeper waits for its time.
const REPLY_DEPTH: i64 = 3;
/// The longest that a side task which answers may take.
const REPLY_TIME: Duration = Duration::from_secs(300);
/// Questions looked after in one transaction.
const BATCH: i64 = 256;
/// Open questions of one run that are withdrawn with it.
const OF_RUN: i64 = 100_000;

/// A question that is being put.
pub(crate) struct Question<'a> {
    pub by: Speaker<'a>,
    pub id: MessageId,
    pub place: &'a Held,
    pub terms: &'a Ask,
    pub due: Option<Timestamp>,
}

impl Question<'_> {
    /// Stores it with its addressees, and gives those who do nothing at the moment a task in which they answer.
    pub(crate) async fn open(&self, tx: &mut Tx<'_>, new: &NewMessage, to: (&[Party], &[String])) -> Result<()> {
        let (asker, (parties, names)) = (self.by.who.to_string(), to);
        let stored = NewRow {
            id: self.id,
            thread: self.place.id,
            run: self.by.run,
            task: self.by.task,
            kind: new.kind.as_str(),
            asked_by: &asker,
            asked: &new.body,
            audience: &json!(names).to_string(),
            terms: &serde_json::to_string(self.terms)?,
            due: self.due,
        };
        decision::insert(tx, &stored).await?;
        for name in names {
            decision::insert_addressee(tx, self.id, name, self.by.run).await?;
        }
        let due = self.due.map(|at| at.to_string());
        let payload = json!({"kind": new.kind, "to": names, "options": self.terms.options.len(), "due": due});
        emit(tx, EventKind::QuestionAsked, ("question", self.id.to_string()), (self.by.run, &asker), payload);
        let Some(run) = self.by.run else { return Ok(()) };
        for party in parties.iter().filter(|party| matches!(party, Party::Agent(_))) {
            attend(tx, run, self.id, party.name()).await?;
        }
        Ok(())
    }
}

/// Makes a side task in which `agent` answers, unless it is at work or about to be.
async fn attend(tx: &mut Tx<'_>, run: RunId, id: MessageId, agent: &str) -> Result<()> {
    let open = row::open_tasks(tx, run, agent).await?;
    if let Some((busy, _)) = open.iter().find(|(_, state)| matches!(state.as_str(), "running" | "ready")) {
        // If it ends without an answer, the question is looked after then.
        return task::tie(tx, *busy).await;
    }
    let Some(question) = decision::hold(tx, id).await? else { return Ok(()) };
    let above = match question.task {
        Some(asker) => task::brief(tx, asker).await?,
        None => task::first_of_run(tx, run).await?,
    };
    let Some(above) = above.filter(|above| above.depth < REPLY_DEPTH) else { return Ok(()) };
    let terms: Ask = serde_json::from_str(&question.terms)?;
    let (key, title) = (format!("{id}/{agent}"), format!("Answer {}", line(&question.asked_by)));
    let left = question.due.map_or(REPLY_TIME, |due| due.since(tx.now()).min(REPLY_TIME));
    let new = SideTask {
        parent: above.id,
        depth: above.depth + 1,
        stage: SideStage::Reply,
        key: &key,
        title: &title,
        instructions: &instructions(&question, &terms),
        agent,
        output_schema: schema(&terms),
        priority: Priority::High,
        timeout: left.max(Duration::from_secs(1)),
    };
    let spec = spec_of(tx, run).await?;
    match advance::add_side_task(tx, run, &spec, &new).await {
        Ok(made) => {
            let who = format!("agent:{agent}");
            decision::set_reply_task(tx, id, &who, made).await?;
            row::delivered(tx, id, &who, Some((made, 1))).await
        }
        // A run that may make no more tasks lets the question wait for its time.
        Err(Error::Refused(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

pub(crate) async fn spec_of(tx: &mut Tx<'_>, id: RunId) -> Result<RunSpec> {
    let held = run::hold(tx, id).await?;
    let body = blob::get(tx, held.spec.parse()?).await?;
    Ok(serde_json::from_slice(&body)?)
}

fn instructions(question: &Record, terms: &Ask) -> String {
    let what = if question.kind == Kind::Request.as_str() { "requests of" } else { "asks" };
    let mut text = format!("{} {what} you:\n\n{}\n\n", line(&question.asked_by), quoted(&question.asked));
    if !terms.options.is_empty() {
        text.push_str("Choose one of these:\n");
        terms.options.iter().for_each(|option| text.push_str(&format!("- {}\n", line(option))));
        text.push('\n');
    }
    text.push_str("Answer from what you know and can find out. Your answer goes to them as it is.");
    text
}

/// A question with options wants one of them.
fn schema(terms: &Ask) -> Option<String> {
    if terms.options.is_empty() {
        return None;
    }
    let schema = json!({
        "type": "object", "required": ["choice"], "additionalProperties": false,
        "properties": {"choice": {"enum": terms.options}, "rationale": {"type": "string"}},
    });
    Some(schema.to_string())
}

/// An answer on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answer<'a> {
    /// Who answers: as it authenticated.
    pub by: Speaker<'a>,
    /// What is answered.
    pub question: MessageId,
    /// What is chosen or said.
    pub choice: &'a str,
    /// Why.
    pub rationale: Option<&'a str>,
    /// The id of the message that answers.
    pub id: Uuid,
}

/// Answers a question or a request, once and for all.
pub(crate) async fn answer(tx: &mut Tx<'_>, given: Answer<'_>) -> Result<Said> {
    let held = decision::hold(tx, given.question).await?;
    let question = held.ok_or_else(|| Error::missing("question", given.question))?;
    let who = given.by.who.to_string();
    // An agent that goes by the same name in another run works under other rules, and was not asked.
    let is_elsewhere = matches!(given.by.who, Party::Agent(_)) && given.by.run != question.run;
    if is_elsewhere || !decision::addressees(tx, question.id).await?.iter().any(|(name, _)| *name == who) {
        let message = format!("`{who}` was not asked {}", question.id);
        return Err(Refusal::new("not_addressee", message).hint("only those who were asked can answer").into());
    }
    let standing = ending(&question, Conclusion::Answer)?;
    let terms: Ask = serde_json::from_str(&question.terms)?;
    terms.check_choice(given.choice)?;
    if given.rationale.is_some_and(|why| why.len() > REASON_BYTES) {
        return Err(Refusal::new("message_too_large", format!("the rationale may have {REASON_BYTES} bytes")).into());
    }
    let said = tell_asker(tx, given.by, given.id, &question, (given.choice, given.rationale)).await?;
    let how = End {
        standing: standing.as_str(),
        choice: Some(given.choice),
        rationale: given.rationale,
        by: Some(&who),
        answer: Some(said.message),
    };
    let text = answer_text(&who, &question, given.choice, given.rationale);
    settle(tx, &question, &how, Outcome::Done(&text)).await?;
    Ok(said)
}

/// The end that `conclusion` would be, if the question has none.
fn ending(question: &Record, conclusion: Conclusion) -> Result<Standing> {
    let standing = Standing::parse(&question.standing);
    let standing = standing
        .ok_or_else(|| Error::broken(format!("question {} has no standing `{}`", question.id, question.standing)))?;
    Ok(conclude(standing, conclusion).map_err(|refusal| {
        let by = question.answered_by.as_deref().unwrap_or("nobody");
        let message = format!("{} {} is {} by {by}; it has one end", question.kind, question.id, question.standing);
        Refusal { message, ..refusal }
    })?)
}

async fn tell_asker(
    tx: &mut Tx<'_>,
    by: Speaker<'_>,
    id: Uuid,
    question: &Record,
    (choice, rationale): (&str, Option<&str>),
) -> Result<Said> {
    let body = rationale.map_or_else(|| choice.to_owned(), |why| format!("{choice}\n\nBecause: {why}"));
    let body: String = body.chars().take(convoke_domain::message::BODY_BYTES / 4).collect();
    let kind = Kind::parse(&question.kind).unwrap_or(Kind::Question).answer();
    let new = NewMessage {
        thread: Some(question.thread.to_string()),
        kind,
        priority: Priority::High,
        reply_to: Some(question.id),
        ..NewMessage::note(question.asked_by.clone(), body)
    };
    // The answer belongs to the run in which was asked, whoever gives it.
    say(tx, Speaker { run: question.run, ..by }, id, &new).await
}

fn answer_text(who: &str, question: &Record, choice: &str, rationale: Option<&str>) -> String {
    let mut text = format!("{} answers {}:\n{}", line(who), question.id, quoted(choice));
    if let Some(why) = rationale {
        text.push_str(&format!("\nBecause:\n{}", quoted(why)));
    }
    text
}

/// Ends a question of a run that goes on.
async fn settle(tx: &mut Tx<'_>, question: &Record, how: &End<'_>, outcome: Outcome<'_>) -> Result<()> {
    let made = close(tx, question, how, outcome).await?;
    match question.run {
        Some(run) => call_off(tx, run, &made).await,
        None => Ok(()),
    }
}

/// Ends a question: the log, whoever waits for it, the record. Gives the side tasks that were made to answer it.
async fn close(tx: &mut Tx<'_>, question: &Record, how: &End<'_>, outcome: Outcome<'_>) -> Result<Vec<TaskId>> {
    let replies = decision::addressees(tx, question.id).await?;
    decision::end(tx, question.id, how).await?;
    let key = question.id.to_string();
    let mut woken = wait::fulfil(tx, WaitReason::Answer, &key, outcome).await?;
    woken.extend(wait::fulfil(tx, WaitReason::Person, &key, outcome).await?);
    if let (Some(message), Some(task)) = (how.answer, woken.first()) {
        // Whoever waited has it as the result of its call.
        row::delivered(tx, message, &question.asked_by, Some((*task, 0))).await?;
    }
    let kind = match how.standing {
        "answered" => EventKind::QuestionAnswered,
        "defaulted" => EventKind::QuestionDefaulted,
        "expired" => EventKind::QuestionExpired,
        _ => EventKind::QuestionWithdrawn,
    };
    let is_open = thread::hold(tx, question.thread).await?.is_some_and(|thread| !thread.is_private);
    let choice = how.choice.filter(|choice| is_open && choice.len() <= convoke_domain::message::OPTION_CHARS);
    let payload = json!({"kind": question.kind, "by": how.by, "choice": choice});
    emit(tx, kind, ("question", key), (question.run, how.by.unwrap_or("system")), payload);
    Ok(replies.into_iter().filter_map(|(_, task)| task).collect())
}

/// Calls off the side tasks that were made to answer; if nothing else was open, their run goes on without them. Boxed,
/// because their end looks after questions again.
fn call_off<'t>(
    tx: &'t mut Tx<'_>,
    run: RunId,
    made: &'t [TaskId],
) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 't>> {
    Box::pin(async move {
        if made.is_empty() || !task::open(tx, run).await?.iter().any(|open| made.contains(&open.id)) {
            return Ok(());
        }
        advance::cancel_open(tx, run, Some(made), "system").await?;
        // Whoever ended a task of the run counts it after this, so that the last one asks the pattern, and once.
        if run::count_tasks(tx, run, 0, 0).await? == 0 {
            let spec = spec_of(tx, run).await?;
            advance::decide_next(tx, run, &spec).await?;
        }
        Ok(())
    })
}

/// A question's time has come: its default is taken, or it expires.
pub(crate) async fn fall_due(tx: &mut Tx<'_>, id: MessageId, why: &str) -> Result<()> {
    let Some(question) = decision::hold(tx, id).await? else { return Ok(()) };
    if question.standing != Standing::Open.as_str() {
        return Ok(());
    }
    let terms: Ask = serde_json::from_str(&question.terms)?;
    let conclusion = if terms.default.is_some() { Conclusion::Default } else { Conclusion::Expire };
    let standing = ending(&question, conclusion)?;
    let rationale =
        format!("{why}; {}", if terms.default.is_some() { "the default was taken" } else { "there is no default" });
    let said = match &terms.default {
        Some(default) => {
            let by = Speaker { who: &Party::System, run: question.run, spec: None, task: None };
            let id = convoke_domain::id::derive(tx.now(), &[question.id.0.as_bytes(), b"default"]);
            match tell_asker(tx, by, id, &question, (default, Some(&rationale))).await {
                Ok(said) => Some(said.message),
                // A thread that was closed or put away meanwhile takes no message; the log has it.
                Err(Error::Refused(_) | Error::Missing { .. }) => None,
                Err(error) => return Err(error),
            }
        }
        None => None,
    };
    let choice = terms.default.as_deref();
    let how = End {
        standing: standing.as_str(),
        choice,
        rationale: Some(&rationale),
        by: choice.map(|_| "system"),
        answer: said,
    };
    let text = match choice {
        Some(choice) => format!("{why}. By default:\n{}", quoted(choice)),
        None => format!("{why}, and the question has no default"),
    };
    let outcome = if choice.is_some() { Outcome::Done(&text) } else { Outcome::Failed(&text) };
    settle(tx, &question, &how, outcome).await
}

/// Ends a question whose time has come.
pub(crate) async fn is_due(tx: &mut Tx<'_>, id: MessageId) -> Result<()> {
    fall_due(tx, id, "nobody answered in time").await
}

/// Ends a question that cannot be ended as it should: its record alone, and whoever waits for it is told why.
pub(crate) async fn give_up(tx: &mut Tx<'_>, id: MessageId, why: &str) -> Result<()> {
    let how = End { standing: Standing::Expired.as_str(), choice: None, rationale: Some(why), by: None, answer: None };
    decision::end(tx, id, &how).await?;
    let key = id.to_string();
    wait::fulfil(tx, WaitReason::Answer, &key, Outcome::Failed(why)).await?;
    wait::fulfil(tx, WaitReason::Person, &key, Outcome::Failed(why)).await?;
    emit(tx, EventKind::QuestionExpired, ("question", key), (None, "system"), json!({"error": why}));
    Ok(())
}

/// Nobody needs this answer any more. Gives the side tasks that were made for it.
async fn withdraw(tx: &mut Tx<'_>, id: MessageId) -> Result<Vec<TaskId>> {
    let Some(question) = decision::hold(tx, id).await? else { return Ok(Vec::new()) };
    let Ok(standing) = ending(&question, Conclusion::Withdraw) else { return Ok(Vec::new()) };
    let how = End { standing: standing.as_str(), choice: None, rationale: None, by: None, answer: None };
    close(tx, &question, &how, Outcome::Failed("the question was withdrawn")).await
}

/// A run ends: nobody needs its answers any more. The side tasks are called off with all others, by whoever ends the run.
pub(crate) async fn run_ends(tx: &mut Tx<'_>, run: RunId) -> Result<()> {
    if !run::talks(tx, run).await? {
        return Ok(());
    }
    for (id,) in decision::open_of_run(tx, run, OF_RUN).await? {
        withdraw(tx, id).await?;
    }
    Ok(())
}

/// An attempt has ended: what it read counts as read, or is read again by the next; its questions are withdrawn; what it was
/// to answer is answered; and what its agent was asked meanwhile gets a task of its own.
pub(crate) async fn left(tx: &mut Tx<'_>, left: &Left<'_>) -> Result<()> {
    if !run::talks(tx, left.run).await? {
        return Ok(());
    }
    if left.is_over || left.handed_to.is_some() {
        row::saw(tx, left.task).await?;
        thread::saw(tx, left.task).await?;
    } else {
        let again = row::given(tx, left.task).await?;
        let rewound = thread::rewind(tx, left.task).await?;
        task::add_mail(tx, left.task, again.saturating_add(i64::try_from(rewound).unwrap_or(0))).await?;
    }
    for (id,) in decision::open_of_task(tx, left.run, left.task).await? {
        let made = withdraw(tx, id).await?;
        call_off(tx, left.run, &made).await?;
    }
    if !left.is_over {
        return Ok(());
    }
    if let Some((question, _)) = decision::of_reply_task(tx, left.task).await? {
        replied(tx, left, question).await?;
    }
    let who = format!("agent:{}", left.agent);
    for (id,) in decision::unattended(tx, &who, left.run, BATCH).await? {
        attend(tx, left.run, id, left.agent).await?;
    }
    Ok(())
}

/// An agent that was asked while it worked has parked its task: it answers in one of its own, or two that ask each other would both
/// wait until their time is up.
pub(crate) async fn parked(tx: &mut Tx<'_>, run: RunId, agent: &str) -> Result<()> {
    if !run::talks(tx, run).await? {
        return Ok(());
    }
    for (id,) in decision::unattended(tx, &format!("agent:{agent}"), run, BATCH).await? {
        attend(tx, run, id, agent).await?;
    }
    Ok(())
}

/// A side task that was made to answer has ended: its result is the answer.
async fn replied(tx: &mut Tx<'_>, left: &Left<'_>, id: MessageId) -> Result<()> {
    let Some(question) = decision::hold(tx, id).await?.filter(|found| found.standing == "open") else { return Ok(()) };
    let Some(done) = task::brief(tx, left.task).await? else { return Ok(()) };
    let Some(output) = done.output.filter(|_| done.state == "completed") else {
        let others = decision::addressees(tx, id).await?.len() > 1;
        if others || done.state == "cancelled" {
            return Ok(());
        }
        let why = format!("`{}` could not answer: {}", left.agent, done.error.unwrap_or_default());
        return fall_due(tx, id, &why).await;
    };
    let who = Party::Agent(left.agent.to_owned());
    let by = Speaker { who: &who, run: question.run, spec: None, task: Some(left.task) };
    let (choice, rationale) = read(&output, &question)?;
    let seed = convoke_domain::id::derive(tx.now(), &[id.0.as_bytes(), left.task.0.as_bytes()]);
    let given = Answer { by, question: id, choice: &choice, rationale: rationale.as_deref(), id: seed };
    match answer(tx, given).await {
        Ok(_) => Ok(()),
        Err(Error::Refused(refusal)) => fall_due(tx, id, &refusal.message).await,
        Err(error) => Err(error),
    }
}

/// What a side task's result says: a choice with its reason where there were options, else the whole text.
fn read(output: &str, question: &Record) -> Result<(String, Option<String>)> {
    let terms: Ask = serde_json::from_str(&question.terms)?;
    let cut = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
    if terms.options.is_empty() {
        return Ok((cut(output, convoke_domain::message::BODY_BYTES / 4), None));
    }
    let parsed: Value = serde_json::from_str(output).unwrap_or_default();
    let choice = parsed["choice"].as_str().unwrap_or(output).to_owned();
    Ok((choice, parsed["rationale"].as_str().map(|why| cut(why, REASON_BYTES))))
}
