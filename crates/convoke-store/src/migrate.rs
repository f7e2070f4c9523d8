//! The schema and its way forward and back. Rule: each step is written once, in `migrations/NNNN_name.up.sql` and
//! `.down.sql`, with these words replaced for the database at hand:
//!
//! | written | SQLite | PostgreSQL |
//! |---|---|---|
//! | `{ID}` | `BLOB` (16 bytes) | `uuid` |
//! | `{BYTES}` | `BLOB` | `bytea` |
//! | `{INT}` | `INTEGER` | `BIGINT` |
//! | `{REAL}` | `REAL` | `DOUBLE PRECISION` |
//! | `{TABLE}` after the closing bracket | `STRICT` | nothing |
//! | `{WARM}` instead, for large rows that are updated | `STRICT` | `WITH (fillfactor = 70)` |
//! | `{HOT}` instead, for few rows that are updated all the time | `STRICT` | `WITH (fillfactor = 20)` |
//! | `TEXT` as the type of a column | `TEXT` | `TEXT COLLATE "C"`: SQLite's order, by bytes |
//!
//! Flags are `{INT}` 0/1, times `{INT}` microseconds, JSON `TEXT`. Lines between `--sqlite` or
//! `--postgres` and `--end` are for that database alone. Never `DEFERRABLE`: such a key fails at COMMIT and would take
//! unrelated neighbours in the batch with it.

use crate::blob::BlobHash;
use crate::error::{Error, Result};

/// One step of the schema.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// The version that the schema has after this step.
    pub version: u32,
    /// What it brings.
    pub name: &'static str,
    /// The way forward.
    pub up: &'static str,
    /// The way back.
    pub down: &'static str,
}

macro_rules! migrations {
    ($($version:literal $name:literal,)+) => {
        &[$(Migration {
            version: $version,
            name: $name,
            up: include_str!(concat!("../migrations/", $name, ".up.sql")),
            down: include_str!(concat!("../migrations/", $name, ".down.sql")),
        },)+]
    };
}

/// All steps, in order, numbered from 1.
pub const MIGRATIONS: &[Migration] = migrations! {
    1 "0001_base",
    2 "0002_work",
    3 "0003_together",
    4 "0004_lean",
    5 "0005_patterns",
    6 "0006_pattern",
};

/// The schema version that this program needs.
pub const LATEST: u32 = MIGRATIONS.len() as u32;

/// Which words and blocks of a migration apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    fn words(self) -> [(&'static str, &'static str); 8] {
        match self {
            Self::Sqlite => [
                ("{ID}", "BLOB"),
                ("{BYTES}", "BLOB"),
                ("{INT}", "INTEGER"),
                ("{REAL}", "REAL"),
                ("{TABLE}", "STRICT"),
                ("{WARM}", "STRICT"),
                ("{HOT}", "STRICT"),
                (" TEXT", " TEXT"),
            ],
            Self::Postgres => [
                ("{ID}", "uuid"),
                ("{BYTES}", "bytea"),
                ("{INT}", "BIGINT"),
                ("{REAL}", "DOUBLE PRECISION"),
                ("{TABLE}", ""),
                // Free room in each page keeps an update of a hot row in its page, without touching the indexes.
                ("{WARM}", "WITH (fillfactor = 70)"),
                ("{HOT}", "WITH (fillfactor = 20)"),
                (" TEXT", " TEXT COLLATE \"C\""),
            ],
        }
    }

    fn block(self) -> &'static str {
        match self {
            Self::Sqlite => "--sqlite",
            Self::Postgres => "--postgres",
        }
    }
}

/// The text of a migration for one database.
pub(crate) fn text(sql: &str, dialect: Dialect) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut block: Option<&str> = None;
    for line in sql.lines() {
        match line.trim() {
            "--end" => block = None,
            start @ ("--sqlite" | "--postgres") => block = Some(start),
            _ if block.is_none_or(|block| block == dialect.block()) => {
                out.push_str(line);
                out.push('\n');
            }
            _ => {}
        }
    }
    dialect.words().iter().fold(out, |text, (word, meaning)| text.replace(word, meaning))
}

/// The steps from one version to another, in order, each with the version that holds after it.
pub(crate) fn way(from: u32, to: u32, dialect: Dialect) -> Result<Vec<(u32, String)>> {
    refuse_newer(from)?;
    if to > LATEST {
        return Err(Error::Unavailable(format!("schema version {to} is not known; this program knows 0 to {LATEST}")));
    }
    let steps = MIGRATIONS.iter().map(|step| (step.version, step));
    Ok(if to >= from {
        steps.filter(|(v, _)| *v > from && *v <= to).map(|(v, step)| (v, text(step.up, dialect))).collect()
    } else {
        let back = steps.rev().filter(|(v, _)| *v <= from && *v > to);
        back.map(|(v, step)| (v - 1, text(step.down, dialect))).collect()
    })
}

/// What the steps up to `version` say, as a digest: two programs that call different schemas by one number are told apart.
pub(crate) fn digest(version: u32) -> String {
    let steps = MIGRATIONS.iter().filter(|step| step.version <= version);
    BlobHash::of(steps.map(|step| step.up).collect::<String>().as_bytes()).to_string()
}

/// The statement that keeps [`digest`] beside the version.
pub(crate) fn note(version: u32) -> String {
    let digest = digest(version);
    format!(
        "UPDATE meta SET value='{version}' WHERE key='schema_version';\n\
         INSERT INTO meta (key, value) VALUES ('schema_digest', '{digest}') ON CONFLICT (key) DO UPDATE SET value=excluded.value;"
    )
}

/// Refuses data whose schema goes by the right number and is another one all the same.
pub(crate) fn refuse_foreign(version: u32, found: Option<&str>) -> Result<()> {
    if version == 0 || version > LATEST || found == Some(digest(version).as_str()) {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "this data was made by an unreleased build of Convoke whose schema version {version} was another one; \
         use that build, or begin with another data folder or database"
    )))
}

/// An older program must not touch what a newer one wrote.
pub(crate) fn refuse_newer(found: u32) -> Result<()> {
    if found <= LATEST {
        return Ok(());
    }
    Err(Error::Unavailable(format!(
        "this data has schema version {found}, written by a newer Convoke; this program knows up to {LATEST}. \
         Use the newer program, or let it go back with `convoke db migrate --to {LATEST}`"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_without_gaps_and_leave_no_word_unreplaced() {
        for (at, step) in MIGRATIONS.iter().enumerate() {
            assert_eq!(step.version as usize, at + 1);
            assert!(step.name.starts_with(&format!("{:04}_", step.version)), "{}", step.name);
            for sql in [step.up, step.down] {
                assert!(!sql.to_uppercase().contains("DEFERRABLE"), "{} must not defer keys", step.name);
                for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                    let sql = text(sql, dialect);
                    let word = sql.split('{').skip(1).find(|after| after.starts_with(|c: char| c.is_ascii_uppercase()));
                    assert_eq!(word, None, "{}", step.name);
                }
            }
        }
    }

    #[test]
    fn the_way_back_is_the_way_there_reversed() {
        let versions = |from, to| -> Vec<u32> {
            way(from, to, Dialect::Sqlite).expect("a known way").into_iter().map(|(version, _)| version).collect()
        };
        assert_eq!(versions(0, LATEST), (1..=LATEST).collect::<Vec<_>>());
        assert_eq!(versions(LATEST, 0), (0..LATEST).rev().collect::<Vec<_>>());
        assert!(versions(1, 1).is_empty());
    }

    #[test]
    fn blocks_belong_to_one_database() {
        let sql = "a {ID}\n--sqlite\nb\n--end\n--postgres\nc\n--end\nd";
        assert_eq!(text(sql, Dialect::Sqlite), "a BLOB\nb\nd\n");
        assert_eq!(text(sql, Dialect::Postgres), "a uuid\nc\nd\n");
        assert_eq!(
            text("a TEXT, b TEXT NOT NULL", Dialect::Postgres),
            "a TEXT COLLATE \"C\", b TEXT COLLATE \"C\" NOT NULL\n"
        );
    }
}
