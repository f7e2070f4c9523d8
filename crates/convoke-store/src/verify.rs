//! Checking what is kept: every event against its hash chain, every blob against its name, the database against its own
//! rules, the schema against the migrations, and the checks in [`CHECKS`]. Reads only; work goes on meanwhile.

use std::future::Future;
use std::pin::Pin;

use convoke_domain::id::WorkspaceId;
use uuid::Uuid;

use crate::blob::BlobHash;
use crate::chain::{Hash, Link, START};
pub use crate::check::CHECKS;
use crate::error::Result;
use crate::store::{Engine, Store};
use crate::tx::Tx;
use crate::use_case::UseCase;
use crate::{p, row, shape};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The check that found it.
    pub check: &'static str,
    /// Where, such as `ws_… event 17`.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

/// What a verification saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many events were checked.
    pub events: u64,
    /// What was found; empty is good.
    pub problems: Vec<Problem>,
}

/// A check over the tables of one workspace, in one snapshot of its own.
pub type Check = for<'a> fn(&'a mut Tx<'_>) -> Pin<Box<dyn Future<Output = Result<Vec<Problem>>> + Send + 'a>>;

/// Problems reported per check; more would say nothing new.
pub(crate) const MAX_PROBLEMS: usize = 100;
/// Events per snapshot.
const PAGE: usize = 1_000;
/// Blobs per snapshot; at most 16 MiB each.
const BLOB_PAGE: usize = 8;

impl Store {
    /// Checks the hash chain of every workspace.
    pub async fn verify_chain(&self) -> Result<Report> {
        let mut report = Report::default();
        let mut after = Uuid::nil();
        while let Some(ws) = self.read(NextWorkspace(after)).await? {
            self.verify_workspace(WorkspaceId(ws), &mut report).await?;
            after = ws;
        }
        Ok(report)
    }

    /// Checks everything: the chains, the database, the blobs, and [`CHECKS`].
    pub async fn verify(&self) -> Result<Report> {
        let mut report = self.verify_chain().await?;
        match self.engine() {
            Engine::Lite(_) => report.problems.extend(self.read(SqliteItself).await?),
            Engine::Pg(_) => report.problems.extend(self.read(PostgresItself).await?),
        }
        report.problems.extend(self.verify_shape().await?);
        if report.problems.iter().any(shape::is_gone) {
            return Ok(report);
        }
        let mut after = Uuid::nil();
        while let Some(ws) = self.read(NextWorkspace(after)).await? {
            for (_, check) in CHECKS {
                report.problems.extend(self.read(Checked { check: *check, ws: WorkspaceId(ws) }).await?);
            }
            self.verify_blobs(WorkspaceId(ws), &mut report).await?;
            after = ws;
        }
        Ok(report)
    }

    /// Every blob holds what its name says.
    async fn verify_blobs(&self, ws: WorkspaceId, report: &mut Report) -> Result<()> {
        let mut after = Vec::new();
        while report.problems.len() < MAX_PROBLEMS {
            let page = self.read(Blobs { ws, after }).await?;
            report.problems.extend(page.damaged.into_iter().map(|place| Problem {
                check: "blobs",
                place: format!("{ws} blob {place}"),
                what: "it does not hold what its name says; restore it from a backup".to_owned(),
            }));
            let Some(last) = page.last else { return Ok(()) };
            after = last;
        }
        Ok(())
    }

    async fn verify_workspace(&self, ws: WorkspaceId, report: &mut Report) -> Result<()> {
        let (mut seq, mut hash) = (0, START);
        loop {
            let page = self.read(Page { ws, after: seq }).await?;
            for event in &page.events {
                report.events += 1;
                let found = event.wrong(seq, &hash);
                (seq, hash) = (event.seq, event.hash);
                if let Some(what) = found {
                    report.problems.push(Problem { check: "chain", place: format!("{ws} event {seq}"), what });
                }
                if report.problems.len() >= MAX_PROBLEMS {
                    return Ok(());
                }
            }
            if page.events.len() < PAGE {
                if page.head != Some((seq, hash)) {
                    let head = page.head.map_or(0, |(seq, _)| seq);
                    let what = format!("the record ends at {seq}, but {head} was the last number given");
                    report.problems.push(Problem { check: "chain", place: ws.to_string(), what });
                }
                return Ok(());
            }
        }
    }
}

struct Linked {
    ws: Uuid,
    seq: i64,
    at: i64,
    kind: String,
    entity: String,
    entity_id: String,
    run: Option<Uuid>,
    actor: String,
    payload: String,
    prev_hash: Hash,
    hash: Hash,
}

row!(Linked { ws, seq, at, kind, entity, entity_id, run, actor, payload, prev_hash, hash });

impl Linked {
    /// What is wrong with this event after the one with `seq` and `hash`.
    fn wrong(&self, seq: i64, hash: &Hash) -> Option<String> {
        let link = Link {
            ws: self.ws,
            seq: self.seq,
            at: self.at,
            kind: &self.kind,
            entity: &self.entity,
            entity_id: &self.entity_id,
            run: self.run,
            actor: &self.actor,
            payload: &self.payload,
        };
        if self.seq != seq + 1 {
            Some(format!("{} events before it are gone", self.seq - seq - 1))
        } else if self.prev_hash != *hash {
            Some("it does not follow the event before it".to_owned())
        } else if link.hash(hash) != self.hash {
            Some("its content is not what was recorded".to_owned())
        } else {
            None
        }
    }
}

struct Page {
    ws: WorkspaceId,
    after: i64,
}

struct Seen {
    events: Vec<Linked>,
    head: Option<(i64, Hash)>,
}

impl UseCase for Page {
    type Out = Seen;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Seen> {
        let sql = "SELECT ws, seq, at, kind, entity, entity_id, run, actor, payload, prev_hash, hash FROM event
            WHERE ws=$1 AND seq>$2 ORDER BY seq LIMIT $3";
        let events = tx.many(sql, p![self.ws, self.after, PAGE]).await?;
        let head = tx.opt("SELECT seq, hash FROM ws_head WHERE ws=$1", p![self.ws]).await?;
        Ok(Seen { events, head })
    }
}

struct Blobs {
    ws: WorkspaceId,
    after: Vec<u8>,
}

/// What a page of blobs told: the names of those that are damaged, and the last name of all.
struct SeenBlobs {
    damaged: Vec<String>,
    last: Option<Vec<u8>>,
}

impl UseCase for Blobs {
    type Out = SeenBlobs;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<SeenBlobs> {
        let sql = "SELECT hash, body FROM blob WHERE ws=$1 AND hash>$2 ORDER BY hash LIMIT $3";
        let blobs: Vec<(Vec<u8>, Vec<u8>)> = tx.many(sql, p![self.ws, &self.after, BLOB_PAGE]).await?;
        let hex = |name: &[u8]| name.iter().map(|byte| format!("{byte:02x}")).collect();
        let damaged = blobs.iter().filter(|(name, body)| *name != BlobHash::of(body).0);
        let damaged = damaged.map(|(name, _)| hex(name)).collect();
        Ok(SeenBlobs { damaged, last: blobs.into_iter().last().map(|(name, _)| name) })
    }
}

/// The next workspace that has events or a head, by id.
struct NextWorkspace(Uuid);

impl UseCase for NextWorkspace {
    type Out = Option<Uuid>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Option<Uuid>> {
        let event: Option<Uuid> = tx.opt("SELECT ws FROM event WHERE ws>$1 ORDER BY ws LIMIT 1", p![self.0]).await?;
        let head: Option<Uuid> = tx.opt("SELECT ws FROM ws_head WHERE ws>$1 ORDER BY ws LIMIT 1", p![self.0]).await?;
        Ok(event.into_iter().chain(head).min())
    }
}

struct Checked {
    check: Check,
    ws: WorkspaceId,
}

impl UseCase for Checked {
    type Out = Vec<Problem>;

    fn ws(&self) -> WorkspaceId {
        self.ws
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
        (self.check)(tx).await
    }
}

/// What of PostgreSQL's own rules can be out of force.
struct PostgresItself;

impl UseCase for PostgresItself {
    type Out = Vec<Problem>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
        let sql = "SELECT 'index', c.relname, 'it is not valid; build it anew with REINDEX' FROM pg_index i
                JOIN pg_class c ON c.oid = i.indexrelid WHERE c.relnamespace = current_schema()::regnamespace
                AND NOT (i.indisvalid AND i.indisready)
            UNION ALL SELECT 'constraint', conname, 'it was never checked against all rows; use VALIDATE CONSTRAINT'
                FROM pg_constraint WHERE connamespace = current_schema()::regnamespace AND NOT convalidated
            UNION ALL SELECT 'trigger', 'event_no_change', 'it is missing or off, so events can be changed'
                WHERE NOT EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass('event')
                    AND tgname = 'event_no_change' AND tgenabled IN ('O', 'A'))
            LIMIT $1";
        let found: Vec<(String, String, String)> = tx.many(sql, p![MAX_PROBLEMS]).await?;
        let problem = |(noun, name, what)| Problem { check: "integrity", place: format!("{noun} {name}"), what };
        Ok(found.into_iter().map(problem).collect())
    }
}

/// SQLite's own two checks.
struct SqliteItself;

impl UseCase for SqliteItself {
    type Out = Vec<Problem>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Problem>> {
        let mut problems = Vec::new();
        for what in tx.many::<String>("PRAGMA integrity_check(100)", p![]).await? {
            if what != "ok" {
                problems.push(Problem { check: "integrity", place: "database".to_owned(), what });
            }
        }
        type Dangling = (String, Option<i64>, String, i64);
        let dangling: Vec<Dangling> = tx.many("PRAGMA foreign_key_check", p![]).await?;
        for (table, row, parent, _) in dangling.into_iter().take(MAX_PROBLEMS) {
            let place = format!("{table} row {}", row.unwrap_or_default());
            problems.push(Problem { check: "foreign keys", place, what: format!("its {parent} does not exist") });
        }
        Ok(problems)
    }
}
