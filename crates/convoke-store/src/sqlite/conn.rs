//! One SQLite connection: its settings, its statements, and what its errors mean.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use convoke_domain::event::{Event, NewEvent};
use convoke_domain::id::WorkspaceId;
use convoke_domain::time::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{CachedStatement, Connection, ErrorCode, OpenFlags, ToSql, ffi};
use uuid::Uuid;

use crate::chain::{Head, Heads, START, link};
use crate::error::{Error, Result};
use crate::param::P;
use crate::row::{Cell, FromRow, Row, Source};
use crate::{p, sql};

/// Prepared statements kept per connection; more texts than this exist only if one is built at run time.
const STATEMENTS: usize = 512;
/// How long a statement waits for a lock that only another process (a backup tool, a shell) can hold.
const BUSY: Duration = Duration::from_secs(5);
/// The page cache of the writer, in KiB; it fills as needed.
const CACHE_KIB: i32 = 16 * 1024;

/// A connection with its statement texts and, for the writer, the heads of the event chains.
pub(crate) struct Conn {
    pub(crate) db: Connection,
    /// The text as SQLite wants it, by the address of the text as written.
    texts: HashMap<(usize, usize), Box<str>>,
    pub(crate) heads: Option<Heads>,
    pub(crate) recorded: Vec<Event>,
    pub(crate) wrote: bool,
}

/// Makes the file, readable by its owner alone: prompts and results are in it. SQLite gives its log the same rights.
fn make_private(path: &Path) -> Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let made = options.open(path).map(drop);
    made.map_err(|cause| Error::Unavailable(format!("cannot write {}: {cause}; look at its rights", path.display())))
}

/// What a path may not hold in a URI as it is.
const IN_URI: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

impl Conn {
    /// The connection that writes.
    pub(crate) fn writer(path: &Path) -> Result<Self> {
        make_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut conn = Self::open(path, flags)?;
        let mode: String = conn.db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0)).map_err(error)?;
        if mode != "wal" {
            let path = path.display();
            return Err(Error::Unavailable(format!("{path} cannot use write-ahead logging (it says `{mode}`)")));
        }
        conn.pragmas(&format!(
            "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0;
             PRAGMA cache_size=-{CACHE_KIB}; PRAGMA temp_store=MEMORY;"
        ))?;
        conn.heads = Some(Heads::default());
        Ok(conn)
    }

    /// The connection that moves the log into the database, and does nothing else.
    pub(crate) fn mover(path: &Path) -> Result<Self> {
        let conn = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        conn.pragmas("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;")?;
        Ok(conn)
    }

    /// A database of its own that is gone with the connection.
    pub(crate) fn in_memory() -> Result<Self> {
        Self::open(Path::new(":memory:"), OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// A connection that reads only.
    pub(crate) fn reader(path: &Path) -> Result<Self> {
        let conn = Self::open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        conn.pragmas("PRAGMA query_only=ON;")?;
        Ok(conn)
    }

    /// A connection that takes the file as it is and makes none beside it: for folders that cannot be written. Right only as long
    /// as nobody writes it.
    pub(crate) fn still(path: &Path) -> Result<Self> {
        let Some(text) = path.to_str() else {
            return Err(Error::Unavailable(format!("the path {} is not text in UTF-8", path.display())));
        };
        let uri = format!("file:{}?immutable=1", utf8_percent_encode(text, IN_URI));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let conn = Self::open(Path::new(&uri), flags)?;
        conn.pragmas("PRAGMA query_only=ON;")?;
        Ok(conn)
    }

    fn open(path: &Path, access: OpenFlags) -> Result<Self> {
        let db = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(|cause| Error::broken_by(format!("cannot open {}", path.display()), cause))?;
        db.busy_timeout(BUSY).map_err(error)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS);
        // A name in double quotes that is no column is an error, as it is in PostgreSQL.
        for option in [DbConfig::SQLITE_DBCONFIG_DQS_DML, DbConfig::SQLITE_DBCONFIG_DQS_DDL] {
            db.set_db_config(option, false).map_err(error)?;
        }
        // A plan is made once, from the text alone. Otherwise each new value of a parameter that a partial index's WHERE
        // is compared with makes SQLite prepare the statement anew: half of the writer's time (measured).
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(error)?;
        let conn = Self { db, texts: HashMap::new(), heads: None, recorded: Vec::new(), wrote: false };
        conn.pragmas("PRAGMA trusted_schema=OFF; PRAGMA mmap_size=0;")?;
        Ok(conn)
    }

    /// Runs fixed text of several statements.
    pub(crate) fn pragmas(&self, text: &str) -> Result<()> {
        self.db.execute_batch(text).map_err(error)
    }

    pub(crate) fn exec(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<u64> {
        let mut statement = self.prepare(sql, params)?;
        let (changed, writes) = (statement.raw_execute().map_err(error)?, !statement.readonly());
        drop(statement);
        self.wrote |= writes;
        Ok(changed as u64)
    }

    pub(crate) fn many<T: FromRow>(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<Vec<T>> {
        let mut statement = self.prepare(sql, params)?;
        let writes = !statement.readonly();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        // Stepping to the end matters: only then is a statement with RETURNING complete.
        let result = loop {
            match rows.next().map_err(error) {
                Ok(Some(row)) => match T::from_row(&Row { source: Source::Lite(row) }) {
                    Ok(row) => found.push(row),
                    Err(error) => break Err(error),
                },
                Ok(None) => break Ok(found),
                Err(error) => break Err(error),
            }
        };
        drop(rows);
        drop(statement);
        self.wrote |= writes;
        result
    }

    fn prepare(&mut self, sql: &'static str, params: &[P<'_>]) -> Result<CachedStatement<'_>> {
        let key = (sql.as_ptr().addr(), sql.len());
        let text = self.texts.entry(key).or_insert_with(|| sql::for_sqlite(sql).into());
        let mut statement = self.db.prepare_cached(text).map_err(error)?;
        if statement.parameter_count() != params.len() {
            let (wanted, given) = (statement.parameter_count(), params.len());
            return Err(Error::broken(format!("the statement has {wanted} parameters, {given} were given")));
        }
        for (at, param) in params.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, param).map_err(error)?;
        }
        Ok(statement)
    }

    /// Numbers, chains and writes events, and keeps them for the live feed.
    pub(crate) fn record(&mut self, ws: WorkspaceId, now: Timestamp, events: Vec<NewEvent>) -> Result<()> {
        let mut head = self.head(ws)?;
        for event in events {
            head = self.append(ws, now, head, event)?;
        }
        if let Some(heads) = &mut self.heads {
            heads.set(ws.0, head);
        }
        Ok(())
    }

    fn head(&mut self, ws: WorkspaceId) -> Result<Head> {
        let Some(heads) = &self.heads else {
            return Err(Error::broken("a use case that was only to read recorded an event; run it instead"));
        };
        if let Some(head) = heads.get(ws.0) {
            return Ok(head);
        }
        let found: Vec<(i64, crate::chain::Hash)> = self.many("SELECT seq, hash FROM ws_head WHERE ws=$1", p![ws])?;
        if let Some((seq, hash)) = found.first().copied() {
            return Ok(Head { seq, hash });
        }
        // Here, so that a workspace that does not exist fails this use case and not the batch.
        self.exec("INSERT INTO ws_head (ws, seq, hash) VALUES ($1, 0, $2)", p![ws, &START])?;
        Ok(Head { seq: 0, hash: START })
    }

    fn append(&mut self, ws: WorkspaceId, now: Timestamp, head: Head, event: NewEvent) -> Result<Head> {
        let link = link(ws, now, head, event);
        let (event, next) = (&link.event, link.head());
        let sql = "INSERT INTO event (ws, seq, at, kind, entity, entity_id, run, actor, payload, prev_hash, hash)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let (kind, entity, id, actor) = (&event.kind, &event.entity, &event.entity_id, &event.actor);
        let payload = &link.payload;
        let params = p![ws, event.seq, now, kind, entity, id, event.run, actor, payload, &link.before, &link.hash];
        self.exec(sql, params)?;
        self.recorded.push(link.event);
        Ok(next)
    }

    /// Writes the heads that moved, once per workspace and batch.
    pub(crate) fn keep_heads(&mut self) -> Result<()> {
        let moved: Vec<(Uuid, Head)> = self.heads.as_ref().map(Heads::moved).unwrap_or_default();
        for (ws, head) in moved {
            self.exec("UPDATE ws_head SET seq=$2, hash=$3 WHERE ws=$1", p![ws, head.seq, &head.hash])?;
        }
        Ok(())
    }
}

impl ToSql for P<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            P::Null => ToSqlOutput::Owned(Value::Null),
            P::Int(value) => ToSqlOutput::Owned(Value::Integer(*value)),
            P::Real(value) => ToSqlOutput::Owned(Value::Real(*value)),
            P::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            P::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            P::Uuid(id) => ToSqlOutput::Borrowed(ValueRef::Blob(id.as_bytes())),
        })
    }
}

/// One value of a row.
pub(crate) fn cell<'r>(row: &'r rusqlite::Row<'_>, at: usize) -> Result<Cell<'r>> {
    Ok(match row.get_ref(at).map_err(error)? {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(value) => Cell::Int(value),
        ValueRef::Real(value) => Cell::Real(value),
        ValueRef::Text(bytes) => Cell::Text(
            std::str::from_utf8(bytes)
                .map_err(|cause| Error::broken_by(format!("column {} is not valid UTF-8", at + 1), cause))?,
        ),
        ValueRef::Blob(bytes) => Cell::Bytes(bytes),
    })
}

/// What an error of SQLite means.
pub(crate) fn error(error: rusqlite::Error) -> Error {
    let (code, text) = match &error {
        rusqlite::Error::SqliteFailure(failure, text) => (failure, text.clone().unwrap_or_else(|| failure.to_string())),
        _ => return Error::broken_by("SQLite did not do it", error),
    };
    match code.code {
        ErrorCode::ConstraintViolation if code.extended_code == ffi::SQLITE_CONSTRAINT_DATATYPE => {
            Error::broken_by("a value has the wrong type for its column", error)
        }
        ErrorCode::ConstraintViolation => Error::Conflict(text),
        ErrorCode::DiskFull => {
            Error::Unavailable("the disk is full; nothing of this was stored. Free space and try again".into())
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::Unavailable(format!("the database is held by another program ({text}); close it and try again"))
        }
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Error::broken_by(
            "the database is damaged; restore a backup into another folder with `convoke db restore`, and keep this one",
            error,
        ),
        ErrorCode::CannotOpen => {
            let why = "it needs room in its folder, and the right to make files there";
            Error::Unavailable(format!("the database cannot be opened ({text}): {why}"))
        }
        ErrorCode::ReadOnly => Error::broken_by("a use case that was only to read tried to write", error),
        _ => Error::broken_by("SQLite did not do it", error),
    }
}
