//! What falls due: questions, steps of flows and waits whose time has come.
//!
//! Rule: all of a look in one transaction; where that fails, each in one of its own, so that what cannot be ended holds up nothing
//! else. Start at [`Engine::fall_due`].

use convoke_domain::id::{MessageId, WorkspaceId};
use convoke_store::{Error, Result as Stored, Tx, UseCase, decision, frame, wait as row};

use crate::{Engine, Result, answer, flow, wait};

/// Things of each kind that are looked after in one transaction.
const BATCH: i64 = 256;
/// Things that were told of because they could not be ended, so that each is told of once.
const TOLD: usize = 1_000;

impl Engine {
    /// Ends what has fallen due while nobody was at work. Gives how many questions, approvals and waits that were.
    pub async fn fall_due(&self) -> Result<usize> {
        let mut ended = 0;
        loop {
            let some = self.end_due(self.ws()).await?;
            ended += some;
            if some < usize::try_from(BATCH).unwrap_or(usize::MAX) {
                return Ok(ended);
            }
        }
    }

    /// Ends what has fallen due in a workspace, as much as one look finds. Gives how many there were.
    pub(crate) async fn end_due(&self, ws: WorkspaceId) -> Stored<usize> {
        match self.store().run(All { ws }).await {
            Err(error) if is_of_the_data(&error) => {}
            ended => return ended,
        }
        let mut ended = 0;
        for due in self.store().run(Look { ws }).await? {
            match self.store().run(One { ws, due: due.clone(), why: None }).await {
                Ok(()) => ended += 1,
                Err(error) if is_of_the_data(&error) => ended += self.give_up(ws, due, &error).await?,
                Err(error) => return Err(error),
            }
        }
        Ok(ended)
    }

    /// Ends one thing with the error for which it cannot be ended otherwise.
    async fn give_up(&self, ws: WorkspaceId, due: Due, error: &Error) -> Stored<usize> {
        let name = due.to_string();
        let why = format!("wait_broken: its time came, and what that means could not be carried out: {error}");
        match self.store().run(One { ws, due, why: Some(why) }).await {
            Ok(()) => {
                tracing::error!(%error, what = name, "ended with an error, for it could not be ended otherwise");
                Ok(1)
            }
            Err(worse) if is_of_the_data(&worse) => {
                if self.tell_once(name.clone(), TOLD) {
                    tracing::error!(%error, %worse, what = name, "cannot be ended; the others go on without it");
                }
                Ok(0)
            }
            Err(worse) => Err(worse),
        }
    }
}

/// Whether an error is one of what is stored, and not of where it is stored.
const fn is_of_the_data(error: &Error) -> bool {
    match error {
        Error::Missing { .. }
        | Error::Refused(_)
        | Error::Conflict(_)
        | Error::LimitReached(_)
        | Error::Broken { .. } => true,
        Error::InUse { .. } | Error::ReadOnly { .. } | Error::Unavailable(_) | Error::Unknown(_) => false,
    }
}

/// Something whose time has come.
#[derive(Debug, Clone)]
enum Due {
    Question(MessageId),
    Step(frame::Due),
    Wait(row::Record),
}

impl std::fmt::Display for Due {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Question(id) => write!(out, "question {id}"),
            Self::Step(step) => write!(out, "step {} of {}", step.path, step.run),
            Self::Wait(wait) => write!(out, "wait of {} for {} {}", wait.task, wait.reason, wait.key),
        }
    }
}

impl Due {
    /// Whether it is still as it was found: what was ended before it may have ended it too.
    async fn stands(&self, tx: &mut Tx<'_>) -> Stored<bool> {
        Ok(match self {
            Self::Question(id) => decision::hold(tx, *id).await?.is_some_and(|found| found.standing == "open"),
            Self::Step(step) => frame::get(tx, step.run, &step.path).await?.is_some_and(|found| found.due.is_some()),
            Self::Wait(found) => {
                let all = row::of_key(tx, &found.reason, &found.key).await?;
                all.iter().any(|one| one.step() == found.step() && one.due == found.due)
            }
        })
    }

    /// Does what the end of its time means.
    async fn end(&self, tx: &mut Tx<'_>) -> Stored<()> {
        match self {
            Self::Question(id) => answer::is_due(tx, *id).await,
            Self::Step(step) => flow::fall_due(tx, step).await,
            Self::Wait(found) => wait::fall_due(tx, found).await,
        }
    }

    /// Ends it, whatever it means.
    async fn drop(&self, tx: &mut Tx<'_>, why: &str) -> Stored<()> {
        match self {
            Self::Question(id) => answer::give_up(tx, *id, why).await,
            Self::Step(step) => frame::still(tx, step.run, &step.path).await,
            Self::Wait(found) => wait::end(tx, found, wait::Outcome::Failed(why)).await,
        }
    }
}

/// Ends all that has fallen due.
struct All {
    ws: WorkspaceId,
}

impl UseCase for All {
    /// How many there were.
    type Out = usize;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<usize> {
        // First what a question's time means for those who wait for its answer, whose waits are not found any more then.
        let questions = questions(tx).await?;
        end_all(tx, &questions).await?;
        let steps = steps(tx).await?;
        end_all(tx, &steps).await?;
        let waits = waits(tx).await?;
        end_all(tx, &waits).await?;
        Ok(questions.len() + steps.len() + waits.len())
    }
}

async fn end_all(tx: &mut Tx<'_>, all: &[Due]) -> Stored<()> {
    for due in all {
        due.end(tx).await?;
    }
    Ok(())
}

async fn questions(tx: &mut Tx<'_>) -> Stored<Vec<Due>> {
    Ok(decision::due(tx, BATCH).await?.into_iter().map(|(id,)| Due::Question(id)).collect())
}

async fn steps(tx: &mut Tx<'_>) -> Stored<Vec<Due>> {
    Ok(frame::due(tx, BATCH).await?.into_iter().map(Due::Step).collect())
}

async fn waits(tx: &mut Tx<'_>) -> Stored<Vec<Due>> {
    Ok(row::due(tx, BATCH).await?.into_iter().map(Due::Wait).collect())
}

/// Looks for all that has fallen due.
struct Look {
    ws: WorkspaceId,
}

impl UseCase for Look {
    type Out = Vec<Due>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<Vec<Due>> {
        let mut all = questions(tx).await?;
        all.extend(steps(tx).await?);
        all.extend(waits(tx).await?);
        Ok(all)
    }
}

/// Ends one thing: as it should end, or for the reason why it cannot.
struct One {
    ws: WorkspaceId,
    due: Due,
    why: Option<String>,
}

impl UseCase for One {
    type Out = ();

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Stored<()> {
        if !self.due.stands(tx).await? {
            return Ok(());
        }
        match &self.why {
            None => self.due.end(tx).await,
            Some(why) => self.due.drop(tx, why).await,
        }
    }
}
