//! Events: the append-only record of what happened. Each change of state emits one in the same transaction.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::id::RunId;
use crate::time::Timestamp;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)+) => {
        /// What happened. The text form is stable; `docs/reference/events.md` lists all.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $($(#[doc = $doc])* $name,)+ }

        impl Kind {
            /// All kinds, with the sentence that documents each.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, concat!($($doc,)+)),)+];

            /// The text form, such as `task.completed`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }

            /// Reads the text form.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$name),)+ _ => None }
            }
        }
    };
}

kinds! {
    /// A workspace was made.
    WorkspaceCreated = "workspace.created",
    /// A user was added.
    UserCreated = "user.created",
    /// A user's role was changed.
    UserRoleChanged = "user.role_changed",
    /// A profile was saved as a new version.
    ProfileSaved = "profile.saved",
    /// A profile was made choosable again.
    ProfileActivated = "profile.activated",
    /// A profile was kept but will not be chosen.
    ProfileDeactivated = "profile.deactivated",
    /// An agent was registered.
    AgentRegistered = "agent.registered",
    /// An agent's capabilities, capacity or profile version changed.
    AgentUpdated = "agent.updated",
    /// An agent can do other things than before.
    AgentCapabilitiesChanged = "agent.capabilities_changed",
    /// An agent was activated, held back, let go or retired.
    AgentStatusChanged = "agent.status_changed",
    /// An agent can be reached again, is not well, or was not heard of for too long.
    AgentHealthChanged = "agent.health_changed",
    /// A person gave an agent another rank in the workspace.
    AgentRoleChanged = "agent.role_changed",
    /// Another agent is the workspace's default.
    AgentDefaultChanged = "agent.default_changed",
    /// A run has one more agent, with the rights that the event lists.
    AgentSpawned = "agent.spawned",
    /// A spawned agent has ended: its task, its run, its time without work, or a person did it.
    AgentRetired = "agent.retired",
    /// A person stopped an agent and all that it had spawned.
    AgentKilled = "agent.killed",
    /// An agent that is stuck asked the next one up; for the audit.
    AgentEscalated = "agent.escalated",
    /// Somebody asked for what they may not do, with the rule that denied it.
    AuthorityDenied = "authority.denied",
    /// A person gave an agent a right for a time.
    GrantGiven = "grant.given",
    /// A person took a right back.
    GrantRevoked = "grant.revoked",
    /// The time of a grant is up.
    GrantExpired = "grant.expired",
    /// A pattern was saved as a new version.
    PatternSaved = "pattern.saved",
    /// A team was saved as a new version.
    TeamSaved = "team.saved",
    /// A team was made choosable again.
    TeamActivated = "team.activated",
    /// A team was kept but will not be chosen.
    TeamDeactivated = "team.deactivated",
    /// A session was opened.
    SessionCreated = "session.created",
    /// A run was accepted.
    RunCreated = "run.created",
    /// A run's first task was claimed.
    RunStarted = "run.started",
    /// A run entered another phase.
    RunPhaseChanged = "run.phase_changed",
    /// A named part of a run has ended.
    RunPhaseEnded = "run.phase_ended",
    /// Steps at the same time began.
    SplitCreated = "coordination.split.created",
    /// A run waits for enough of several steps.
    SyncCreated = "coordination.sync.created",
    /// Enough of them completed, or no longer can.
    SyncReady = "coordination.sync.ready",
    /// Results were brought together.
    JoinCreated = "coordination.join.created",
    /// One result was made of several.
    MergeCompleted = "coordination.merge.completed",
    /// A round of a loop began.
    RoundStarted = "coordination.round.started",
    /// A case of a branch was taken.
    BranchTaken = "coordination.branch.taken",
    /// Ballots were asked for.
    VoteOpened = "coordination.vote.opened",
    /// Ballots were counted.
    VoteCounted = "coordination.vote.counted",
    /// Reviewers came to a verdict, or to the end of their rounds.
    ReviewEnded = "coordination.review.ended",
    /// A value says how far those who were asked agree.
    AgreementMeasured = "coordination.agreement.measured",
    /// A value says how good somebody's work was.
    WorkScored = "coordination.work.scored",
    /// A gate was tried.
    GateChecked = "coordination.gate.checked",
    /// A step was left out, or the run went on without it.
    StepSkipped = "coordination.step.skipped",
    /// A run was paused, by a person or by its budget.
    RunPaused = "run.paused",
    /// A paused or waiting run goes on.
    RunResumed = "run.resumed",
    /// A run waits for a person.
    RunWaiting = "run.waiting",
    /// A run ended with a result.
    RunCompleted = "run.completed",
    /// A run ended without a result.
    RunFailed = "run.failed",
    /// A run was cancelled.
    RunCancelled = "run.cancelled",
    /// A run was handed to a person.
    RunEscalated = "run.escalated",
    /// A task was created.
    TaskCreated = "task.created",
    /// A task's dependencies are met.
    TaskReady = "task.ready",
    /// A task was claimed by a worker: an attempt runs.
    TaskStarted = "task.started",
    /// A task's lease was taken over; its attempt goes on under a higher fencing token.
    TaskTakenOver = "task.taken_over",
    /// A task that ran was put back, because its worker stopped (`yielded`) or was gone (`lease_lapsed`), or its agent was (`agent_gone`); its attempt goes on.
    TaskRequeued = "task.requeued",
    /// A task waits for a person, a message or a timer.
    TaskWaiting = "task.waiting",
    /// What a task waited for has come; its attempt goes on.
    TaskWoken = "task.woken",
    /// A failed attempt will be tried again.
    TaskRetried = "task.retried",
    /// An agent is stuck with a task and asks the next one up.
    TaskEscalated = "task.escalated",
    /// A task was given to another agent: its fallback, who was handed it, or who came to relief.
    TaskReassigned = "task.reassigned",
    /// A task ended with a result.
    TaskCompleted = "task.completed",
    /// A task ended without a result.
    TaskFailed = "task.failed",
    /// A task was cancelled.
    TaskCancelled = "task.cancelled",
    /// A person answered a task that was given to people.
    TaskAnswered = "task.answered",
    /// A step was journaled before its effect.
    StepStarted = "step.started",
    /// A step's outcome was journaled.
    StepCompleted = "step.completed",
    /// A step failed.
    StepFailed = "step.failed",
    /// A tool call was denied, with the rule that denied it.
    ToolDenied = "tool.denied",
    /// The outcome of a tool call is not known; a person must say.
    EffectUnknown = "effect.unknown",
    /// A person said what became of a tool call.
    EffectResolved = "effect.resolved",
    /// A tool call waits for approval.
    ApprovalRequested = "approval.requested",
    /// A person answered what waits for approval; more answers may be needed.
    ApprovalAnswered = "approval.answered",
    /// A tool call may be made, once.
    ApprovalApproved = "approval.approved",
    /// A person said no to a tool call.
    ApprovalRejected = "approval.rejected",
    /// Nobody approved a tool call in time, or its task ended before.
    ApprovalExpired = "approval.expired",
    /// A tool call that was approved is made.
    ApprovalExecuted = "approval.executed",
    /// 80 percent of a budget are used.
    BudgetWarning = "budget.warning",
    /// A budget did not admit a call.
    BudgetExhausted = "budget.exhausted",
    /// A bill was above its reserved bound.
    BudgetOverrun = "budget.overrun",
    /// A cap was changed.
    BudgetChanged = "budget.changed",
    /// Unspent budget was moved from one agent to another.
    BudgetMoved = "budget.moved",
    /// An agent gave a part of its task to another and waits for the result.
    CollabStarted = "agent.collab.started",
    /// The part has ended.
    CollabEnded = "agent.collab.ended",
    /// An agent offers to hand its task over.
    HandoffRequested = "agent.handoff.requested",
    /// The task is the receiver's now, with all that belongs to it.
    HandoffAccepted = "agent.handoff.accepted",
    /// The task stays where it is: the receiver said no, or nothing in time, or the runtime stopped it.
    HandoffDeclined = "agent.handoff.declined",
    /// An agent repeats itself and was told so.
    LoopDetected = "loop.detected",
    /// A message was stored; its body is in its thread.
    AgentMessageSent = "agent.message.sent",
    /// Messages were given to an agent before a model call.
    AgentMessageDelivered = "agent.message.delivered",
    /// Two agents wrote to and fro without end and were stopped.
    AgentMessageStopped = "agent.message.stopped",
    /// A thread was opened.
    ThreadOpened = "thread.opened",
    /// A thread was closed: nothing is posted to it any more.
    ThreadClosed = "thread.closed",
    /// A closed thread goes on.
    ThreadReopened = "thread.reopened",
    /// A thread's messages were put away; a summary is kept.
    ThreadArchived = "thread.archived",
    /// A person read private threads on behalf of the audit.
    ThreadAudited = "thread.audited",
    /// A question or a request was put.
    QuestionAsked = "question.asked",
    /// A question or a request was answered.
    QuestionAnswered = "question.answered",
    /// A question's time came, and its default was taken.
    QuestionDefaulted = "question.defaulted",
    /// A question's time came, and nobody had answered.
    QuestionExpired = "question.expired",
    /// A question needs no answer any more.
    QuestionWithdrawn = "question.withdrawn",
    /// What was decided was replaced.
    QuestionOverridden = "question.overridden",
    /// An agent told how far along its task is.
    TaskProgress = "task.progress",
    /// A task got locks, at once or after it had waited.
    LockAcquired = "lock.acquired",
    /// A task waits for locks.
    LockWaiting = "lock.waiting",
    /// A task let go of locks, or ended.
    LockReleased = "lock.released",
    /// The lease of a lock ran out: its holder was not heard of.
    LockExpired = "lock.expired",
    /// A person took a lock away.
    LockForced = "lock.forced",
    /// A write was refused because its lock was missing, another's, or over.
    LockRefused = "lock.refused",
    /// A variable of a run's shared context was written or removed.
    ContextChanged = "context.changed",
    /// A finding was added to a run's shared context.
    FindingAdded = "finding.added",
    /// Older turns of an attempt were left out, because it filled its model's window.
    ContextCompacted = "context.compacted",
    /// It is known what became of agents' work: a vote, a review, an answer that was compared with the right one.
    OutcomeRecorded = "outcome.recorded",
    /// An entry was added to memory.
    MemoryAdded = "memory.added",
    /// An entry of memory was written anew.
    MemoryChanged = "memory.changed",
    /// An entry of memory was forgotten, by somebody or because its time was up.
    MemoryForgotten = "memory.forgotten",
    /// A person said how well a run, an agent's part in it, or a task was.
    RatingGiven = "rating.given",
    /// A person said something else of it than before.
    RatingChanged = "rating.changed",
}

/// An event that is about to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// What happened.
    pub kind: Kind,
    /// What it happened to: the noun.
    pub entity: &'static str,
    /// What it happened to: its id or name as text.
    pub entity_id: String,
    /// The run it belongs to, if any.
    pub run: Option<RunId>,
    /// Who did it: `user:NAME`, `agent:NAME` or `system`.
    pub actor: String,
    /// Details; an object.
    pub payload: Value,
}

/// An event as it was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Place in the workspace's record: from 1, without gaps, in commit order.
    pub seq: i64,
    /// The workspace.
    pub workspace: Uuid,
    /// When it was committed.
    pub at: Timestamp,
    /// What happened, as text.
    pub kind: String,
    /// What it happened to: the noun.
    pub entity: String,
    /// What it happened to: its id or name.
    pub entity_id: String,
    /// The run it belongs to, if any.
    pub run: Option<RunId>,
    /// Who did it.
    pub actor: String,
    /// Details.
    pub payload: Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_read_back_and_are_documented() {
        for (kind, doc) in Kind::ALL {
            assert_eq!(Kind::parse(kind.as_str()), Some(*kind));
            assert!(doc.trim().ends_with('.'), "{kind:?} needs a sentence");
        }
        assert_eq!(Kind::parse("no.such"), None);
    }
}
