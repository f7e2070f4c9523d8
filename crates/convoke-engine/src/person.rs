//! Tasks that people do: an agent of kind `human` stands for them. Such a task is parked when it is claimed; a person's answer
//! ends its attempt as a model's would.
//!
//! Rule: for the moment of the answer the person is the worker: the task is claimed for them and journaled in one transaction.

use std::sync::Arc;
use std::time::Duration;

use convoke_domain::choice;
use convoke_domain::event::Kind;
use convoke_domain::flow::planned;
use convoke_domain::id::{RunId, TaskId, WorkspaceId};
use convoke_domain::pattern::{RunView, Stage, coordinator_worker};
use convoke_domain::profile::AgentKind;
use convoke_domain::refusal::Refusal;
use convoke_domain::run::{Command as RunCommand, State, decide};
use convoke_domain::spec::RunSpec;
use convoke_domain::task::{self as domain, Command, WaitReason};
use convoke_domain::team::{OnExhausted, Planning};
use convoke_domain::time::Timestamp;
use convoke_domain::user::{self, Role};
use convoke_store::{Result as Stored, Tx, UseCase, agent, run, task};
use serde_json::{Value, json};

use crate::approval::role_of;
use crate::claim::Assignment;
use crate::engine::emit;
use crate::journal::{End, Journal};
use crate::run::state_of;
use crate::schema::Schemas;
use crate::user::recorded;
use crate::{Engine, Result, wait};

/// The longest answer, in bytes.
pub(crate) const ANSWER_BYTES: usize = 256 * 1024;
/// The claim of a person lasts as long as its transaction; this is what is written into the row.
const LEASE: Duration = Duration::from_secs(60);

/// What a person says to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskAnswer {
    /// This is the result.
    Done(String),
    /// It will not be done, for this reason.
    Declined(String),
}

impl TaskAnswer {
    /// Refuses what says nothing, and what says too much.
    fn check(&self) -> std::result::Result<(), Refusal> {
        let (Self::Done(text) | Self::Declined(text)) = self;
        if text.len() > ANSWER_BYTES {
            let message = format!("the answer has {} bytes; at most {ANSWER_BYTES} are allowed", text.len());
            return Err(Refusal::new("answer_too_long", message).hint("put long material into a file"));
        }
        if !text.trim().is_empty() {
            return Ok(());
        }
        Err(match self {
            Self::Done(_) => Refusal::new("empty_message", "the answer is empty")
                .hint("say what the result is; or `--decline WHY`, if there is none"),
            Self::Declined(_) => Refusal::new("empty_message", "it is not said why it is declined")
                .hint("give the reason: `--decline WHY`; whoever reads the run looks for it"),
        })
    }
}

/// Whether an agent is a person. The task of a model that asked a person waits for one too, and is not theirs to do.
fn is_human(spec: &RunSpec, agent: &str) -> bool {
    spec.profiles.get(agent).is_some_and(|profile| profile.agent_kind == AgentKind::Human)
}

/// Whether a user may do the tasks of an agent.
pub(crate) fn may_do(spec: &RunSpec, agent: &str, name: &str, role: Role) -> bool {
    let users = spec.profiles.get(agent).map(|profile| profile.users.as_slice()).unwrap_or_default();
    is_human(spec, agent)
        && role.may_answer()
        && (users.is_empty() || users.iter().any(|entry| user::means(entry, name, role)))
}

/// Checks an answer against its schema, and a plan against the team; gives it as it shall be kept.
pub(crate) fn fits(
    schemas: &Schemas,
    spec: &RunSpec,
    (stage, key, schema): (&str, &str, Option<&str>),
    run_task: &str,
    answer: &str,
) -> Result<String, String> {
    let Some(schema) = schema else {
        return if answer.trim().is_empty() { Err("it is empty".into()) } else { Ok(answer.to_owned()) };
    };
    let answer = schemas.check(schema, answer).or_else(|why| {
        let form: Option<Value> = serde_json::from_str(schema).ok();
        let plain = form.and_then(|form| choice::formed(&form, answer)).ok_or(why)?;
        schemas.check(schema, &plain.to_string())
    })?;
    if stage == Stage::Plan.as_str() && spec.team.rules.planning == Planning::Plan {
        let members = spec.members();
        let view = RunView { team: &spec.team, members: &members, task: run_task, tasks: &[] };
        coordinator_worker::read_plan(&view, &answer)?;
    }
    if let (true, Some(flow)) = (stage == Stage::Step.as_str(), spec.team.flow.as_ref().or(spec.flow.as_ref()))
        && let Some(wrong) = planned::flaw(flow, key, schema, &answer)
    {
        return Err(format!("the plan cannot be used: {wrong}"));
    }
    Ok(answer)
}

impl Engine {
    /// A person answers a task that was given to people. Gives its run, which goes on.
    pub async fn answer_task(&self, id: TaskId, answer: TaskAnswer, who: &str) -> Result<RunId> {
        answer.check()?;
        let given = self.store().read(Look { ws: self.ws(), id }).await?;
        let spec = self.spec(&given.spec).await?;
        let end = match answer {
            TaskAnswer::Done(text) => {
                let form = (given.stage.as_str(), given.key.as_str(), given.output_schema.as_deref());
                let output = fits(self.schemas(), &spec, form, &given.run_task, &text)
                    .map_err(|reason| misfit((id, &text), given.output_schema.as_deref(), &reason))?;
                End::Completed { output }
            }
            TaskAnswer::Declined(reason) => End::Failed {
                code: "declined".to_owned(),
                message: format!("{}: {reason}", who.trim_start_matches("user:")),
                can_pass: false,
                not_before: Timestamp::default(),
            },
        };
        self.store().run(Answer { ws: self.ws(), id, spec, who: who.to_owned(), end }).await??;
        self.wake().notify_one();
        Ok(given.run)
    }
}

impl Engine {
    /// A person closes a run that was handed to people: with a result, or without one.
    pub async fn close_run(&self, run: RunId, answer: TaskAnswer, who: &str) -> Result<()> {
        answer.check()?;
        let close = Close { ws: self.ws(), run, answer, who: who.to_owned() };
        self.govern(user::name_of(who).unwrap_or(who), "close runs", close).await
    }
}

struct Close {
    ws: WorkspaceId,
    run: RunId,
    answer: TaskAnswer,
    who: String,
}

impl UseCase for Close {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        let held = run::hold(tx, self.run).await?;
        let state = state_of(&held)?;
        if state != State::Escalated {
            let message = format!("run {} was not handed to a person: it is {}", self.run, state.as_str());
            return Err(Refusal::new("not_waiting", message)
                .hint("`convoke inbox` lists what waits for an answer")
                .into());
        }
        let on = ("run", self.run.to_string());
        match &self.answer {
            TaskAnswer::Done(output) => {
                let next = decide(state, RunCommand::Complete)?;
                run::end(tx, self.run, next.as_str(), Some(output), None).await?;
                emit(tx, Kind::RunCompleted, on, (Some(self.run), &self.who), json!({"error": null}));
            }
            TaskAnswer::Declined(reason) => {
                let (next, error) = (decide(state, RunCommand::Fail)?, format!("declined: {reason}"));
                run::end(tx, self.run, next.as_str(), None, Some(&error)).await?;
                emit(tx, Kind::RunFailed, on, (Some(self.run), &self.who), json!({"error": error}));
            }
        }
        Ok(())
    }
}

fn misfit((id, said): (TaskId, &str), schema: Option<&str>, reason: &str) -> Refusal {
    let form = schema.and_then(|schema| serde_json::from_str(schema).ok()).unwrap_or(Value::Null);
    let options = choice::options(&form);
    let misfits = || format!("the answer does not fit the form that the task asks for: {reason}");
    if options.is_empty() {
        return Refusal::new("schema_mismatch", misfits()).hint("`convoke inbox --json` shows the JSON Schema");
    }
    let all = options.iter().map(|option| format!("`{option}`")).collect::<Vec<_>>().join(", ");
    let message = match choice::is_json(said) {
        true => misfits(),
        false => format!("the answer names none of the options, which are {all}"),
    };
    let hint = format!("`convoke answer {id} OPTION`, with one of {all}; a reason may follow behind a comma");
    Refusal::new("schema_mismatch", message).hint(hint)
}

struct Look {
    ws: WorkspaceId,
    id: TaskId,
}

impl UseCase for Look {
    type Out = task::Given;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<task::Given> {
        task::given(tx, self.id).await
    }
}

struct Answer {
    ws: WorkspaceId,
    id: TaskId,
    spec: Arc<RunSpec>,
    who: String,
    end: End,
}

impl UseCase for Answer {
    /// The refusal of somebody who may not is on record, so the transaction commits.
    type Out = std::result::Result<(), Refusal>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Self::Out> {
        let given = task::given(tx, self.id).await?;
        if let Err(error) = self.check(tx, &given).await {
            return recorded(tx, &self.who, given.run, error).map(Err);
        }
        let declined = matches!(self.end, End::Failed { .. });
        let payload = json!({"key": given.key, "declined": declined});
        emit(tx, Kind::TaskAnswered, ("task", self.id.to_string()), (Some(given.run), &self.who), payload);
        wait::wake(tx, given.run, self.id).await?;
        wait::give_time(tx, self.id).await?;
        domain::decide(domain::State::Ready, Command::Claim)?;
        let fence = given.fence + 1;
        task::start(tx, self.id, given.attempt, fence, (&self.who, tx.now().after(LEASE))).await?;
        agent::count(tx, &given.agent, 1).await?;
        self.journal(given, fence).record(tx).await?;
        Ok(Ok(()))
    }
}

impl Answer {
    /// Whether this person may answer, and the task still waits for it.
    async fn check(&self, tx: &mut Tx<'_>, given: &task::Given) -> Stored<()> {
        let Some(name) = user::name_of(&self.who) else {
            let message = format!("`{}` is no person, and the task is a person's to do", self.who);
            return Err(Refusal::new("not_a_person", message).into());
        };
        let Some(role) = role_of(tx, &self.who).await? else {
            let message = format!("there is no user `{name}`");
            let hint = format!("an owner adds one: `convoke users add {name}`");
            return Err(Refusal::new("unknown_user", message).hint(hint).into());
        };
        if !is_human(&self.spec, &given.agent) {
            let message = format!("task `{}` is `{}`'s to do, who is no person", given.key, given.agent);
            let hint = "`convoke inbox` lists what waits for an answer, such as what it has asked";
            return Err(Refusal::new("not_waiting", message).hint(hint).into());
        }
        if !may_do(&self.spec, &given.agent, name, role) {
            let message = format!("the tasks of `{}` are not those of user `{name}` ({})", given.agent, role.as_str());
            let hint = "`users` in the profile says whose they are; a viewer answers nothing";
            return Err(Refusal::new("role_denied", message).hint(hint).into());
        }
        if given.state != "waiting" || given.waits_for.as_deref() != Some(WaitReason::Person.as_str()) {
            let message = format!("task `{}` does not wait for a person: it is {}", given.key, given.state);
            return Err(Refusal::new("not_waiting", message)
                .hint("`convoke inbox` lists what waits for an answer")
                .into());
        }
        Ok(())
    }

    fn journal(&self, given: task::Given, fence: i64) -> Journal {
        let at = Assignment {
            ws: self.ws,
            task: self.id,
            run: given.run,
            key: given.key,
            title: given.title,
            stage: given.stage,
            round: given.round,
            agent: given.agent,
            instructions: given.instructions,
            output_schema: given.output_schema,
            attempt: given.attempt,
            continued: true,
            has_inputs: given.parents > 0,
            fence,
            timeout: LEASE,
            spec: given.spec,
            run_task: given.run_task,
            input: given.input,
            session: given.session,
            has_mail: false,
            has_grants: false,
        };
        Journal {
            ws: self.ws,
            at,
            spec: Arc::clone(&self.spec),
            finish: Vec::new(),
            begin: Vec::new(),
            repeated: None,
            after_crash: false,
            on_exhausted: OnExhausted::Pause,
            end: Some(self.end.clone()),
            claim: None,
        }
    }
}
