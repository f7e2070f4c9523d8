//! Search in messages: those that hold all words that are asked for, in any order and any case, the newest first.
//!
//! Rule: nothing is kept for it. An index of words would be written with every message, on the one thread that writes; a search
//! is rare, and reads the messages themselves, page by page, up to [`LOOKED_THROUGH`]. Words are compared here and not by the
//! database, whose idea of case ends with ASCII. Start at [`Words::of`].

use convoke_domain::id::{MessageId, RunId};
use convoke_domain::record::MessageRecord;
use convoke_domain::refusal::Refusal;
use convoke_store::message::{self, Record};

use crate::thread::{PAGE, Reader, message_record};
use crate::{Engine, Result};

/// Messages that one search looks through, from the newest.
pub const LOOKED_THROUGH: usize = 200_000;
/// Words of one search.
const WORDS: usize = 32;

/// What a message must hold.
#[derive(Debug, PartialEq, Eq)]
struct Words(Vec<String>);

impl Words {
    /// Splits what was typed at its spaces; what stands in double quotes stays together.
    fn of(typed: &str) -> std::result::Result<Self, Refusal> {
        let pieces = typed.split('"').enumerate();
        let words = pieces.flat_map(|(at, piece)| match at % 2 {
            1 => vec![piece.trim().to_lowercase()],
            _ => piece.split_whitespace().map(str::to_lowercase).collect(),
        });
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        if words.is_empty() || words.len() > WORDS {
            let message = format!("a search needs 1 to {WORDS} words, not {}", words.len());
            return Err(Refusal::new("bad_search", message));
        }
        Ok(Self(words))
    }

    fn are_in(&self, message: &Record) -> bool {
        let text = format!("{}\n{}", message.subject.as_deref().unwrap_or_default(), message.body).to_lowercase();
        self.0.iter().all(|word| text.contains(word.as_str()))
    }
}

impl Engine {
    /// Messages that hold all of these words, the newest first. Archived ones are found through their threads alone.
    pub async fn search_messages(
        &self,
        words: &str,
        run: Option<RunId>,
        reader: Reader,
        limit: i64,
    ) -> Result<Vec<MessageRecord>> {
        let (words, limit) = (Words::of(words)?, usize::try_from(limit.min(PAGE)).unwrap_or(0));
        let (mut found, mut before, mut looked) = (Vec::new(), None, 0);
        while found.len() < limit && looked < LOOKED_THROUGH {
            let page = self.page(run, before, reader.clone()).await?;
            let Some(last) = page.last() else { break };
            (before, looked) = (Some(last.id), looked + page.len());
            for row in page.into_iter().filter(|row| words.are_in(row)).take(limit - found.len()) {
                found.push(message_record(row, Vec::new())?);
            }
        }
        Ok(found)
    }

    async fn page(&self, run: Option<RunId>, before: Option<MessageId>, reader: Reader) -> Result<Vec<Record>> {
        self.read(reader, (run, before), |tx, (run, before), viewer| {
            Box::pin(async move { message::before(tx, *before, *run, viewer, PAGE).await })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_and_quotes_hold_together() {
        let words = |typed| Words::of(typed).map(|words| words.0).map_err(|refusal| refusal.code);
        assert_eq!(words("Disk \"is FULL\"  Ärger"), Ok(vec!["disk".into(), "is full".into(), "ärger".into()]));
        assert_eq!(words("\"open"), Ok(vec!["open".into()]));
        assert_eq!(words(" \"\" "), Err("bad_search".into()));
        assert_eq!(words(&"x ".repeat(WORDS + 1)), Err("bad_search".into()));
    }
}
