//! Statements that were sent without waiting for their answers, in the order in which the server carries them out.
//!
//! Rule: whoever looks at an answer looks first at those of all that was sent before. After a failure PostgreSQL refuses
//! whatever follows in the transaction, so only the first failure says what was wrong. Start at [`Sent::send`].

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio_postgres::{Error as PgError, Row as PgRow};

use super::conn::Answer;

/// Statements that may be on their way at the same time.
pub(super) const PIPELINE: usize = 64;

pub(super) type Coming = Pin<Box<dyn Future<Output = Result<Answer, PgError>> + Send>>;

/// What an answer is for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum For {
    /// It began the transaction; its rows are the heads.
    Begin,
    /// Only that it worked matters.
    Nobody,
    /// Somebody comes for the rows with this number.
    Ticket(u64),
}

struct One {
    sql: &'static str,
    meant: For,
    coming: Coming,
    /// Once it has come.
    answer: Option<Result<Answer, PgError>>,
}

/// The statements of a transaction that were only sent.
#[derive(Default)]
pub(super) struct Sent {
    queue: VecDeque<One>,
    tickets: u64,
}

/// The first of them that failed.
pub(super) struct Failure {
    pub(super) sql: &'static str,
    /// It was the beginning of the transaction.
    pub(super) began: bool,
    pub(super) cause: PgError,
}

impl Sent {
    /// Sends a statement: polled once, it is on its way.
    pub(super) fn send(&mut self, sql: &'static str, meant: For, mut coming: Coming) {
        // Nobody is to be woken by its answer before somebody waits for it.
        let answer = match coming.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        };
        self.queue.push_back(One { sql, meant, coming, answer });
    }

    /// A number to come back with.
    pub(super) fn ticket(&mut self) -> u64 {
        self.tickets += 1;
        self.tickets
    }

    /// True if no more should be sent before some were answered.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= PIPELINE
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Waits for all answers. Gives the rows of the transaction's beginning, if that was among them.
    pub(super) async fn settle(&mut self) -> Result<Vec<PgRow>, Failure> {
        for one in &mut self.queue {
            if one.answer.is_none() {
                one.answer = Some(one.coming.as_mut().await);
            }
        }
        let (mut kept, mut heads) = (VecDeque::new(), Vec::new());
        for mut one in std::mem::take(&mut self.queue) {
            match (one.meant, one.answer.take()) {
                (meant, Some(Err(cause))) => {
                    return Err(Failure { sql: one.sql, began: meant == For::Begin, cause });
                }
                (For::Begin, Some(Ok(answer))) => heads = answer.rows,
                (For::Ticket(_), Some(Ok(answer))) => kept.push_back(One { answer: Some(Ok(answer)), ..one }),
                (For::Nobody, _) | (_, None) => {}
            }
        }
        self.queue = kept;
        Ok(heads)
    }

    /// The answer under a number, once all have come.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Answer> {
        let at = self.queue.iter().position(|one| one.meant == For::Ticket(ticket))?;
        self.queue.remove(at)?.answer?.ok()
    }

    /// Nobody comes for what was asked so far.
    pub(super) fn forget_tickets(&mut self) {
        for one in &mut self.queue {
            if matches!(one.meant, For::Ticket(_)) {
                one.meant = For::Nobody;
            }
        }
    }

    /// Forgets everything; the connection reads and drops what still comes.
    pub(super) fn clear(&mut self) {
        self.queue.clear();
    }
}
