//! Memory that outlasts runs: entries on shelves, and an index of their terms, so that what answers a question is found
//! without reading what does not.

use convoke_domain::id::{MemoryId, RunId};
use convoke_domain::memory::Shelf;
use convoke_domain::relevance::{Corpus, Hit};
use convoke_domain::time::Timestamp;

use crate::{Json, Result, Tx, p, row};

row! {
    /// An entry.
    pub struct Record {
        /// Its id.
        pub id: MemoryId,
        /// `private`, `team` or `workspace`.
        pub scope: String,
        /// The agent or team whose it is; empty for the workspace's.
        pub owner: String,
        /// What is remembered.
        pub text: String,
        /// Words to find it by.
        pub tags: Json<Vec<String>>,
        /// Who wrote it last.
        pub author: String,
        /// The run it comes from, if any.
        pub run: Option<RunId>,
        /// What it comes from: `note`, or a finding as `finding:f0001`.
        pub source: String,
        /// How often it was written.
        pub version: i64,
        /// How many terms it has.
        pub length: i64,
        /// When it was written first.
        pub created_at: Timestamp,
        /// When it was written last.
        pub updated_at: Timestamp,
        /// When it falls away, if it does.
        pub expires_at: Option<Timestamp>,
    }
}

/// What is written.
#[derive(Debug, Clone)]
pub struct NewRow<'a> {
    /// Its id.
    pub id: MemoryId,
    /// Where it goes.
    pub shelf: &'a Shelf,
    /// What is remembered.
    pub text: &'a str,
    /// Words to find it by.
    pub tags: &'a [String],
    /// By which the same text is known again.
    pub digest: &'a str,
    /// Who writes.
    pub author: &'a str,
    /// The run it comes from, if any.
    pub run: Option<RunId>,
    /// What it comes from.
    pub source: &'a str,
    /// How many terms it has.
    pub length: i64,
    /// When it falls away, if it does.
    pub expires_at: Option<Timestamp>,
}

/// How much a shelf holds, and the right to change it until the end of the transaction.
pub async fn hold(tx: &mut Tx<'_>, shelf: &Shelf) -> Result<Corpus> {
    let (ws, scope) = (tx.ws(), shelf.scope.as_str());
    tx.put(
        "INSERT INTO memory_shelf (ws, scope, owner, texts, terms) VALUES ($1, $2, $3, 0, 0) ON CONFLICT DO NOTHING",
        p![ws, scope, &shelf.owner],
    )
    .await?;
    let sql = "SELECT texts, terms FROM memory_shelf WHERE ws = $1 AND scope = $2 AND owner = $3 /*pg FOR UPDATE*/";
    let (texts, terms) = tx.one(sql, p![ws, scope, &shelf.owner]).await?;
    Ok(Corpus { texts, terms })
}

/// How much a shelf holds.
pub async fn corpus(tx: &mut Tx<'_>, shelf: &Shelf) -> Result<Corpus> {
    let ws = tx.ws();
    let sql = "SELECT texts, terms FROM memory_shelf WHERE ws = $1 AND scope = $2 AND owner = $3";
    let found = tx.opt(sql, p![ws, shelf.scope.as_str(), &shelf.owner]).await?;
    Ok(found.map_or_else(Corpus::default, |(texts, terms)| Corpus { texts, terms }))
}

/// Adds to what a shelf holds.
pub async fn count(tx: &mut Tx<'_>, shelf: &Shelf, texts: i64, terms: i64) -> Result<()> {
    let ws = tx.ws();
    tx.put(
        "UPDATE memory_shelf SET texts = texts + $4, terms = terms + $5 WHERE ws = $1 AND scope = $2 AND owner = $3",
        p![ws, shelf.scope.as_str(), &shelf.owner, texts, terms],
    )
    .await?;
    Ok(())
}

/// Keeps an entry.
pub async fn insert(tx: &mut Tx<'_>, row: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "INSERT INTO memory (ws, id, scope, owner, text, tags, digest, author, run, source, version, length, created_at, updated_at, \
         expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1, $11, $12, $12, $13)",
        p![
            ws, row.id, row.shelf.scope.as_str(), &row.shelf.owner, row.text, Json(row.tags), row.digest, row.author, row.run, row.source,
            row.length, now, row.expires_at
        ],
    )
    .await?;
    Ok(())
}

/// Writes an entry anew, with the next version.
pub async fn update(tx: &mut Tx<'_>, row: &NewRow<'_>) -> Result<()> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.put(
        "UPDATE memory SET text = $3, tags = $4, digest = $5, author = $6, run = $7, source = $8, length = $9, updated_at = $10, \
         expires_at = $11, version = version + 1 WHERE ws = $1 AND id = $2",
        p![
            ws, row.id, row.text, Json(row.tags), row.digest, row.author, row.run, row.source, row.length, now,
            row.expires_at
        ],
    )
    .await?;
    Ok(())
}

/// Removes an entry.
pub async fn delete(tx: &mut Tx<'_>, id: MemoryId) -> Result<()> {
    let ws = tx.ws();
    tx.put("DELETE FROM memory WHERE ws = $1 AND id = $2", p![ws, id]).await?;
    Ok(())
}

/// Adds an entry's terms to the index of its shelf.
pub async fn index(tx: &mut Tx<'_>, shelf: &Shelf, id: MemoryId, terms: &[(String, i64)], length: i64) -> Result<()> {
    let (ws, scope) = (tx.ws(), shelf.scope.as_str());
    // In one order for all, so that two who write do not wait for each other.
    let mut terms: Vec<_> = terms.iter().collect();
    terms.sort();
    let postings: Vec<_> =
        terms.iter().map(|(term, count)| p![ws, scope, &shelf.owner, term, id, *count, length].to_vec()).collect();
    tx.batch(
        "INSERT INTO memory_term (ws, scope, owner, term, memory, count, length) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &postings,
    )
    .await?;
    let words: Vec<_> = terms.iter().map(|(term, _)| p![ws, scope, &shelf.owner, term].to_vec()).collect();
    tx.batch(
        "INSERT INTO memory_word (ws, scope, owner, term, texts) VALUES ($1, $2, $3, $4, 1) \
         ON CONFLICT (ws, scope, owner, term) DO UPDATE SET texts = memory_word.texts + 1",
        &words,
    )
    .await?;
    Ok(())
}

/// Takes an entry's terms out of the index of its shelf.
pub async fn unindex(tx: &mut Tx<'_>, shelf: &Shelf, id: MemoryId) -> Result<()> {
    let (ws, scope) = (tx.ws(), shelf.scope.as_str());
    let mut terms: Vec<(String,)> =
        tx.many("DELETE FROM memory_term WHERE ws = $1 AND memory = $2 RETURNING term", p![ws, id]).await?;
    terms.sort();
    let words: Vec<_> = terms.iter().map(|(term,)| p![ws, scope, &shelf.owner, term].to_vec()).collect();
    tx.batch(
        "UPDATE memory_word SET texts = texts - 1 WHERE ws = $1 AND scope = $2 AND owner = $3 AND term = $4",
        &words,
    )
    .await?;
    tx.batch(
        "DELETE FROM memory_word WHERE ws = $1 AND scope = $2 AND owner = $3 AND term = $4 AND texts <= 0",
        &words,
    )
    .await?;
    Ok(())
}

/// Which of these terms a shelf knows, with how many entries have each; the rarest first.
pub async fn words(tx: &mut Tx<'_>, shelf: &Shelf, terms: &[String]) -> Result<Vec<(String, i64)>> {
    let ws = tx.ws();
    tx.many(
        "SELECT term, texts FROM memory_word WHERE ws = $1 AND scope = $2 AND owner = $3 AND term IN \
         (/*lite SELECT value FROM json_each($4)*//*pg SELECT jsonb_array_elements_text(CAST(CAST($4 AS TEXT) AS jsonb))*/) \
         ORDER BY texts, term",
        p![ws, shelf.scope.as_str(), &shelf.owner, Json(terms)],
    )
    .await
}

/// The newest entries of a shelf that have a term.
pub async fn postings(tx: &mut Tx<'_>, shelf: &Shelf, term: &str, limit: i64) -> Result<Vec<(MemoryId, Hit)>> {
    let ws = tx.ws();
    let rows: Vec<(MemoryId, i64, i64)> = tx
        .many(
            "SELECT memory, count, length FROM memory_term WHERE ws = $1 AND scope = $2 AND owner = $3 AND term = $4 \
             ORDER BY memory DESC LIMIT $5",
            p![ws, shelf.scope.as_str(), &shelf.owner, term, limit],
        )
        .await?;
    Ok(rows.into_iter().map(|(id, count, length)| (id, Hit { count, length })).collect())
}

/// One entry.
pub async fn get(tx: &mut Tx<'_>, id: MemoryId) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, scope, owner, text, tags, author, run, source, version, length, created_at, updated_at, expires_at FROM memory \
         WHERE ws = $1 AND id = $2",
        p![ws, id],
    )
    .await
}

/// The entry of a shelf that says the same.
pub async fn same(tx: &mut Tx<'_>, shelf: &Shelf, digest: &str) -> Result<Option<Record>> {
    let ws = tx.ws();
    tx.opt(
        "SELECT id, scope, owner, text, tags, author, run, source, version, length, created_at, updated_at, expires_at FROM memory \
         WHERE ws = $1 AND scope = $2 AND owner = $3 AND digest = $4",
        p![ws, shelf.scope.as_str(), &shelf.owner, digest],
    )
    .await
}

/// Entries of a shelf, or of all, the newest first, before `before`.
pub async fn list(tx: &mut Tx<'_>, shelf: Option<&Shelf>, before: MemoryId, limit: i64) -> Result<Vec<Record>> {
    let ws = tx.ws();
    match shelf {
        Some(shelf) => {
            tx.many(
                "SELECT id, scope, owner, text, tags, author, run, source, version, length, created_at, updated_at, expires_at \
                 FROM memory WHERE ws = $1 AND scope = $2 AND owner = $3 AND id < $4 ORDER BY id DESC LIMIT $5",
                p![ws, shelf.scope.as_str(), &shelf.owner, before, limit],
            )
            .await
        }
        None => {
            tx.many(
                "SELECT id, scope, owner, text, tags, author, run, source, version, length, created_at, updated_at, expires_at \
                 FROM memory WHERE ws = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
                p![ws, before, limit],
            )
            .await
        }
    }
}

/// Entries whose time is up.
pub async fn expired(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<Record>> {
    let (ws, now) = (tx.ws(), tx.now());
    tx.many(
        "SELECT id, scope, owner, text, tags, author, run, source, version, length, created_at, updated_at, expires_at FROM memory \
         WHERE ws = $1 AND expires_at IS NOT NULL AND expires_at <= $2 ORDER BY expires_at LIMIT $3",
        p![ws, now, limit],
    )
    .await
}

/// How many entries come from a run.
pub async fn of_run(tx: &mut Tx<'_>, run: RunId) -> Result<i64> {
    let ws = tx.ws();
    tx.one("SELECT COUNT(*) AS count FROM memory WHERE ws = $1 AND run = $2", p![ws, run]).await
}
