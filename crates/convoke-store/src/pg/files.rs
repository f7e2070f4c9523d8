//! A backup of a PostgreSQL database as one portable file, and filling a database from it.
//!
//! The file is text: a line that names the format, a line of JSON with the schema version and the tables in the order in
//! which they were made (so that what is referred to comes first), then for each table its rows as `COPY … TO STDOUT`
//! writes them, ended by `\.`, and last the SHA-256 of all lines before. It holds every row as of one moment, and it does
//! not depend on the version of the server.

use std::path::Path;
use std::pin::pin;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, StreamExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio_postgres::{Client, CopyInSink};

use super::connect::Target;
use super::trouble::error;
use super::{Engine, PgOptions, schema};
use crate::error::{Error, Result};
use crate::{meta, migrate, sqlite};

/// The copy inside a backup folder.
pub(crate) const FILE: &str = "convoke.postgresql";
/// The copy while it is not complete.
const UNFINISHED: &str = "convoke.postgresql.unfinished";
const FORMAT: &str = "convoke backup of postgresql 1";
const END: &str = "\\.";
/// Rows are sent to the server in pieces of about this size.
const PIECE: usize = 64 * 1024;

/// What a backup holds.
#[derive(Serialize, Deserialize)]
struct Contents {
    schema_version: u32,
    tables: Vec<Table>,
}

#[derive(Serialize, Deserialize)]
struct Table {
    name: String,
    columns: Vec<String>,
}

impl Table {
    /// The table and its columns, for COPY. The names are quoted: in a file they are only what somebody wrote.
    fn copied(&self) -> String {
        let quoted = |name: &String| format!("\"{}\"", name.replace('"', "\"\""));
        let columns: Vec<String> = self.columns.iter().map(quoted).collect();
        format!("{} ({})", quoted(&self.name), columns.join(", "))
    }
}

fn failed(what: &str, path: &Path) -> impl Fn(std::io::Error) -> Error + Send + Sync + use<> {
    let what = format!("cannot {what} {}", path.display());
    move |cause| Error::broken_by(what.clone(), cause)
}

/// Writes one snapshot into the folder `to`, which must be empty or missing.
pub(crate) async fn backup(engine: &Engine, to: &Path) -> Result<()> {
    sqlite::make_empty(to)?;
    let (unfinished, done) = (to.join(UNFINISHED), to.join(FILE));
    let client = engine.target.connect().await?;
    // A copy may take as long as it takes.
    let begin = "SET statement_timeout=0; SET idle_in_transaction_session_timeout=0;
        BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    client.batch_execute(begin).await.map_err(error)?;
    let contents = contents(&client).await?;
    let mut file = Hashed::create(&unfinished).await?;
    file.line(FORMAT.as_bytes()).await?;
    file.line(&serde_json::to_vec(&contents)?).await?;
    for table in &contents.tables {
        copy_out(&client, table, &mut file).await?;
    }
    // Ended here and not with the connection: that is closed some time after it was dropped, and till then its transaction
    // would keep locks on every table.
    client.batch_execute("COMMIT").await.map_err(error)?;
    file.finish().await?;
    check(&unfinished).await?;
    let renamed = fs::rename(&unfinished, &done).await.and_then(|()| sqlite::sync_dir(to));
    renamed.map_err(failed("finish", &done))
}

async fn contents(client: &Client) -> Result<Contents> {
    let schema_version = schema::version(client).await?;
    let sql = "SELECT c.relname::text, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' GROUP BY c.oid, c.relname ORDER BY c.oid";
    let rows = client.query(sql, &[]).await.map_err(error)?;
    let tables = rows.iter().map(|row| Table { name: row.get(0), columns: row.get(1) }).collect();
    Ok(Contents { schema_version, tables })
}

async fn copy_out(client: &Client, table: &Table, file: &mut Hashed) -> Result<()> {
    let rows = client.copy_out(&format!("COPY {} TO STDOUT", table.copied())).await.map_err(error)?;
    let mut rows = pin!(rows);
    while let Some(piece) = rows.next().await {
        file.write(&piece.map_err(error)?).await?;
    }
    file.line(END.as_bytes()).await
}

/// A file that knows the hash of what was written.
struct Hashed {
    file: BufWriter<File>,
    hash: Sha256,
    failed: Box<dyn Fn(std::io::Error) -> Error + Send + Sync>,
}

impl Hashed {
    async fn create(path: &Path) -> Result<Self> {
        let failed = failed("write", path);
        let file = BufWriter::new(File::create_new(path).await.map_err(&failed)?);
        Ok(Self { file, hash: Sha256::new(), failed: Box::new(failed) })
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(&self.failed)
    }

    async fn line(&mut self, text: &[u8]) -> Result<()> {
        self.write(text).await?;
        self.write(b"\n").await
    }

    /// Adds the hash, and returns when all is on the disk.
    async fn finish(mut self) -> Result<()> {
        let hash = hex(self.hash.clone());
        self.line(hash.as_bytes()).await?;
        self.file.flush().await.map_err(&self.failed)?;
        self.file.get_ref().sync_all().await.map_err(&self.failed)
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The lines of a backup.
struct Lines {
    file: BufReader<File>,
    line: Vec<u8>,
    failed: Box<dyn Fn(std::io::Error) -> Error + Send + Sync>,
}

impl Lines {
    async fn open(path: &Path) -> Result<Self> {
        let failed = failed("read", path);
        let file = BufReader::new(File::open(path).await.map_err(&failed)?);
        Ok(Self { file, line: Vec::new(), failed: Box::new(failed) })
    }

    /// The next line with its end, or nothing at the end of the file.
    async fn next(&mut self) -> Result<Option<&[u8]>> {
        self.line.clear();
        let count = self.file.read_until(b'\n', &mut self.line).await.map_err(&self.failed)?;
        Ok((count > 0).then_some(&self.line[..]))
    }

    async fn text(&mut self) -> Result<String> {
        let line = self.next().await?.ok_or_else(|| Error::broken("the backup ends too early"))?;
        String::from_utf8(line.to_vec())
            .map(|line| line.trim_end().to_owned())
            .map_err(|cause| Error::broken_by("the backup is not text", cause))
    }
}

/// Fills a database, whose schema must be empty, from the backup in the folder `from`.
pub(crate) async fn restore(from: &Path, url: &str, options: PgOptions) -> Result<()> {
    let path = find(from)?;
    check(&path).await?;
    let target = Target::new(url, options)?;
    let client = target.connect().await?;
    schema::alone(&client, &target).await?;
    schema::make(&client, &target).await?;
    refuse_used(&client).await?;
    let mut lines = Lines::open(&path).await?;
    lines.text().await?;
    let contents: Contents = serde_json::from_str(&lines.text().await?)?;
    migrate::refuse_newer(contents.schema_version)?;
    if contents.schema_version == 0 {
        return Err(Error::broken("the backup holds no Convoke data"));
    }
    let filled = fill(&client, &contents, &mut lines).await;
    if filled.is_err() {
        // The schema was empty before, so it is emptied again; the first failure is the one to tell.
        let _ = client.batch_execute("ROLLBACK").await;
        let _ = schema::migrate(&client, 0).await;
    }
    filled
}

fn find(from: &Path) -> Result<std::path::PathBuf> {
    let path = from.join(FILE);
    if path.exists() {
        return Ok(path);
    }
    let dir = from.display();
    if from.join(sqlite::FILE).exists() {
        return Err(Error::Unavailable(format!(
            "{dir} is a backup of a SQLite store and cannot go into PostgreSQL; restore it into a data folder"
        )));
    }
    Err(Error::missing("backup", dir))
}

/// Reads the whole file once, before anything is changed.
async fn check(path: &Path) -> Result<()> {
    let damaged = || Error::broken(format!("{} is damaged or not complete; use another backup", path.display()));
    let mut lines = Lines::open(path).await?;
    if lines.text().await? != FORMAT {
        return Err(Error::broken(format!("{} is not a backup that this program knows", path.display())));
    }
    let mut hash = Sha256::new();
    hash.update(FORMAT.as_bytes());
    hash.update(b"\n");
    let mut last = Vec::new();
    while let Some(line) = lines.next().await? {
        hash.update(&last);
        last.clear();
        last.extend_from_slice(line);
    }
    if last.trim_ascii_end() == hex(hash).as_bytes() { Ok(()) } else { Err(damaged()) }
}

async fn refuse_used(client: &Client) -> Result<()> {
    let sql =
        "SELECT current_schema()::text, COUNT(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace";
    let row = client.query_one(sql, &[]).await.map_err(error)?;
    let (name, count): (Option<String>, i64) = (row.get(0), row.get(1));
    match name {
        Some(_) if count == 0 => Ok(()),
        Some(name) => {
            Err(Error::Unavailable(format!("the schema `{name}` is not empty; name a new one, nothing is overwritten")))
        }
        None => Err(Error::Unavailable("the database has no schema to restore into; name one".to_owned())),
    }
}

async fn fill(client: &Client, contents: &Contents, lines: &mut Lines) -> Result<()> {
    schema::migrate(client, contents.schema_version).await?;
    client.batch_execute("BEGIN; DELETE FROM meta").await.map_err(error)?;
    for table in &contents.tables {
        copy_in(client, table, lines).await?;
    }
    let sql = "UPDATE meta SET value=CAST(CAST(value AS BIGINT)+1 AS TEXT) WHERE key=$1";
    client.execute(sql, &[&meta::FENCING_EPOCH]).await.map_err(error)?;
    client.batch_execute("COMMIT").await.map_err(error)
}

async fn copy_in(client: &Client, table: &Table, lines: &mut Lines) -> Result<()> {
    let sql = format!("COPY {} FROM STDIN", table.copied());
    let sink: CopyInSink<Bytes> = client.copy_in(&sql).await.map_err(error)?;
    let mut sink = pin!(sink);
    let mut piece = BytesMut::new();
    loop {
        let line = lines.next().await?.ok_or_else(|| Error::broken("the backup ends too early"))?;
        if line.trim_ascii_end() == END.as_bytes() {
            break;
        }
        piece.extend_from_slice(line);
        if piece.len() >= PIECE {
            sink.feed(piece.split().freeze()).await.map_err(error)?;
        }
    }
    sink.feed(piece.freeze()).await.map_err(error)?;
    sink.finish().await.map_err(error).map(drop)
}
