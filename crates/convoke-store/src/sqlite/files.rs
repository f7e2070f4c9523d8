//! Copying a SQLite database while it is in use, and making a data folder from such a copy.

use std::fs::File;
use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::conn::{Conn, error};
use super::engine::{Open, how_to_read};
use super::{FILE, lock, schema};
use crate::error::{Error, Result};
use crate::{meta, migrate, pg};

/// The copy while it is not complete.
const UNFINISHED: &str = "convoke.db.unfinished";

/// Copies one snapshot of the database at `from` into the folder `to`, which must be empty or missing.
pub(crate) fn backup(from: &Path, open: Open, to: &Path) -> Result<()> {
    make_empty(to)?;
    let unfinished = to.join(UNFINISHED);
    copy(&open(from)?, &unfinished)?;
    sound(&unfinished)?;
    settle(to)
}

/// Makes the data folder `into`, which must be empty or missing, from the backup in the folder `from`.
pub(crate) fn restore(from: &Path, into: &Path) -> Result<()> {
    let source = from.join(FILE);
    if !source.exists() {
        if from.join(pg::BACKUP).exists() {
            let from = from.display();
            return Err(Error::Unavailable(format!(
                "{from} is a backup of a PostgreSQL store and cannot become a data folder; restore it into PostgreSQL"
            )));
        }
        return Err(Error::missing("backup", from.display()));
    }
    make_empty(into)?;
    let _lock = lock::take(into)?;
    let unfinished = into.join(UNFINISHED);
    // A backup may lie where nothing can be written.
    let how = how_to_read(from, &source).ok();
    let open = how.as_ref().map_or(Conn::reader as Open, |(_, how)| how.open);
    copy(&open(&source)?, &unfinished)?;
    sound(&unfinished)?;
    raise_epoch(&unfinished)?;
    settle(into)
}

/// Makes a folder, or makes sure that it is empty.
pub(crate) fn make_empty(dir: &Path) -> Result<()> {
    let failed = |cause| Error::broken_by(format!("cannot use the folder {}", dir.display()), cause);
    std::fs::create_dir_all(dir).map_err(failed)?;
    if std::fs::read_dir(dir).map_err(failed)?.next().is_some() {
        let dir = dir.display();
        return Err(Error::Unavailable(format!(
            "the folder {dir} is not empty; name a new one, nothing is overwritten"
        )));
    }
    Ok(())
}

/// One step, so that the copy is one snapshot however much is written meanwhile.
fn copy(source: &Conn, to: &Path) -> Result<()> {
    let mut target = Connection::open(to).map_err(error)?;
    let copying = Backup::new(&source.db, &mut target).map_err(error)?;
    match copying.step(-1).map_err(error)? {
        StepResult::Done => Ok(()),
        _ => Err(Error::Unavailable("the database is held by another program; close it and try again".to_owned())),
    }
}

fn sound(file: &Path) -> Result<()> {
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(error)?;
    let verdict: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(error)?;
    if verdict == "ok" { Ok(()) } else { Err(Error::broken(format!("{} is damaged: {verdict}", file.display()))) }
}

fn raise_epoch(file: &Path) -> Result<()> {
    let conn = Conn::writer(file)?;
    let found = schema::version(&conn)?;
    migrate::refuse_newer(found)?;
    if found == 0 {
        return Err(Error::broken("the backup holds no Convoke data"));
    }
    let sql = "UPDATE meta SET value=CAST(CAST(value AS INTEGER)+1 AS TEXT) WHERE key=?1";
    conn.db.execute(sql, [meta::FENCING_EPOCH]).map_err(error)?;
    conn.pragmas("PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Gives the copy its name when all of it is on the disk.
fn settle(dir: &Path) -> Result<()> {
    let (from, to) = (dir.join(UNFINISHED), dir.join(FILE));
    let done = File::open(&from).and_then(|file| file.sync_all()).and_then(|()| std::fs::rename(&from, &to));
    let done = done.and_then(|()| lock::sync_dir(dir));
    done.map_err(|cause| Error::broken_by(format!("cannot finish {}", to.display()), cause))
}
