//! Floors: the least that a durable act can cost on this disk, without Convoke.
//!
//! [`bare_loop`] writes the same rows of the same lifecycles by hand: one thread, prepared statements, nothing between
//! it and SQLite, one commit for as many acts as are in flight. [`appended`] has no database: bytes at the end of a file.
//! What Convoke adds to the former: the queue and its answers, boxed use cases, the domain's rules, counters read before
//! they are changed, JSON made for each event, the hash chain.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use rusqlite::{Connection, OptionalExtension, params};

/// The same as the store's: WAL pages from which it is moved into the database under load.
const WAL_PAGES: i64 = 16_384;
/// Bytes that one act of a lifecycle leaves behind: a row of three or four hundred and an event of the same size.
const ACT_BYTES: usize = 700;
const WORKSPACE: [u8; 16] = 1_u128.to_be_bytes();
const TEXT: &str = "Look through what was recorded between 09:40 and 10:20 UTC for what changed first, compare it with the \
                    hour before, and say which of the changes can explain what customers saw, and why.";
const PAYLOAD: &str =
    r#"{"key":"0123-0123","title":"What changed first","stage":"work","round":1,"agent":"logs","state":"ready"}"#;
const NAME: &str = "task_01kaq3v9x8f6tv1k2m3n4p5q6r";

/// Lifecycles a second of the bare loop on the database of a store that was laid out and closed: `in_flight` are made in
/// one commit, claimed in the next, completed in the third.
pub fn bare_loop(database: &Path, in_flight: usize, lifecycles: usize) -> Result<f64> {
    let bare = Bare { db: open(database)? };
    let run: Vec<u8> = bare.db.query_row("SELECT id FROM run LIMIT 1", [], |row| row.get(0))?;
    let mut seq: i64 = bare.db.query_row("SELECT COALESCE(MAX(seq), 0) FROM event", [], |row| row.get(0))?;
    let mut made = 0_u64;
    let mut pass = || -> Result<()> {
        bare.commit(in_flight, &mut seq, |seq| {
            made += 1;
            bare.create(&run, made, seq)
        })?;
        let mut claimed = Vec::with_capacity(in_flight);
        bare.commit(in_flight, &mut seq, |seq| {
            claimed.push(bare.claim(&run, seq)?);
            Ok(())
        })?;
        let mut claimed = claimed.iter();
        bare.commit(in_flight, &mut seq, |seq| claimed.next().map_or(Ok(()), |id| bare.complete(&run, id, seq)))
    };
    pass()?;
    let passes = (lifecycles / in_flight).max(1);
    let start = Instant::now();
    for _ in 0..passes {
        pass()?;
    }
    Ok((passes * in_flight) as f64 / start.elapsed().as_secs_f64())
}

fn open(database: &Path) -> Result<Connection> {
    let db = Connection::open(database)?;
    db.set_prepared_statement_cache_capacity(64);
    let _: String = db.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    let _: i64 = db.query_row(&format!("PRAGMA wal_autocheckpoint={WAL_PAGES}"), [], |row| row.get(0))?;
    db.execute_batch(
        "PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;",
    )?;
    Ok(db)
}

struct Bare {
    db: Connection,
}

impl Bare {
    /// So many acts and one commit.
    fn commit(&self, acts: usize, seq: &mut i64, mut act: impl FnMut(&mut i64) -> Result<()>) -> Result<()> {
        self.exec("BEGIN IMMEDIATE", [])?;
        for _ in 0..acts {
            act(seq)?;
        }
        self.exec("UPDATE ws_head SET seq = ?1 WHERE ws = ?2", params![*seq, WORKSPACE])?;
        self.exec("COMMIT", [])
    }

    fn exec(&self, sql: &str, params: impl rusqlite::Params) -> Result<()> {
        self.db.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    fn event(&self, run: &[u8], kind: &str, seq: &mut i64) -> Result<()> {
        *seq += 1;
        let sql = "INSERT INTO event (ws, seq, at, kind, entity, entity_id, run, actor, payload, prev_hash, hash) \
                   VALUES (?1, ?2, ?2, ?3, 'task', ?4, ?5, 'system', ?6, ?7, ?7)";
        self.exec(sql, params![WORKSPACE, *seq, kind, NAME, run, PAYLOAD, [7_u8; 32]])
    }

    fn create(&self, run: &[u8], number: u64, seq: &mut i64) -> Result<()> {
        let id = (0xBA_u128 << 120 | u128::from(number)).to_be_bytes();
        let sql = "INSERT INTO task (ws, id, run, n, key, title, stage, round, agent, instructions, priority, state, rank, \
                   not_before, held, deps_left, parents, attempt, resume, retries_left, fence, timeout_us, created_at) \
                   VALUES (?1, ?2, ?3, ?4, ?5, 'What changed first', 'work', 1, 'logs', ?6, 'normal', 'ready', ?4, \
                   0, 0, 0, 0, 0, 0, 3, 0, 300000000, ?4)";
        self.exec(sql, params![WORKSPACE, id, run, number as i64, format!("bare-{number}"), TEXT])?;
        self.count(run, 1, 1)?;
        self.event(run, "task.created", seq)
    }

    fn claim(&self, run: &[u8], seq: &mut i64) -> Result<Vec<u8>> {
        let sql = "SELECT id FROM task WHERE ws = ?1 AND state = 'ready' AND held = 0 ORDER BY rank LIMIT 1";
        let found = self.db.prepare_cached(sql)?.query_row([WORKSPACE], |row| row.get(0)).optional()?;
        let id: Vec<u8> = found.ok_or_else(|| anyhow::anyhow!("the bare loop found no task to claim"))?;
        let sql = "UPDATE task SET state = 'running', attempt = 1, fence = 1, lease_owner = 'bare', lease_until = ?3, \
                   started_at = ?3 WHERE ws = ?1 AND id = ?2";
        self.exec(sql, params![WORKSPACE, id, *seq])?;
        let sql =
            "INSERT INTO attempt (ws, task, n, agent, state, started_at) VALUES (?1, ?2, 1, 'logs', 'running', ?3)";
        self.exec(sql, params![WORKSPACE, id, *seq])?;
        self.holds(1)?;
        self.event(run, "task.started", seq)?;
        Ok(id)
    }

    fn complete(&self, run: &[u8], id: &[u8], seq: &mut i64) -> Result<()> {
        let sql = "UPDATE attempt SET state = 'completed', finished_at = ?3 WHERE ws = ?1 AND task = ?2 AND n = 1";
        self.exec(sql, params![WORKSPACE, id, *seq])?;
        self.holds(-1)?;
        let sql = "UPDATE task SET state = 'completed', output = ?3, finished_at = ?4, lease_owner = NULL, \
                   lease_until = NULL WHERE ws = ?1 AND id = ?2";
        self.exec(sql, params![WORKSPACE, id, TEXT, *seq])?;
        self.count(run, 0, -1)?;
        self.event(run, "task.completed", seq)
    }

    fn count(&self, run: &[u8], made: i64, open: i64) -> Result<()> {
        let sql = "UPDATE run SET made_tasks = made_tasks + ?3, open_tasks = open_tasks + ?4 WHERE ws = ?1 AND id = ?2";
        self.exec(sql, params![WORKSPACE, run, made, open])
    }

    fn holds(&self, more: i64) -> Result<()> {
        let sql = "UPDATE agent SET running = running + ?2 WHERE ws = ?1 AND name = 'logs'";
        self.exec(sql, params![WORKSPACE, more])
    }
}

/// Lifecycles a second if an act were some bytes at the end of a file, with one `fdatasync` for as many as are in flight.
pub fn appended(file: &Path, in_flight: usize, lifecycles: usize) -> Result<f64> {
    let mut file = File::create(file)?;
    let acts = vec![7_u8; ACT_BYTES * in_flight];
    let passes = (lifecycles / in_flight).max(1);
    let start = Instant::now();
    for _ in 0..passes * 3 {
        file.write_all(&acts)?;
        file.sync_data()?;
    }
    Ok((passes * in_flight) as f64 / start.elapsed().as_secs_f64())
}
