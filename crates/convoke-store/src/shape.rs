//! The shape of the schema as it stands against the one that the migrations make: what is missing, or is another thing.
//!
//! The migrations are played into an empty SQLite database in memory. On PostgreSQL names are compared, for types and
//! triggers have other words there. What somebody has added is left alone. Start at [`Store::verify_shape`].

use std::collections::BTreeMap;

use convoke_domain::id::WorkspaceId;

use crate::error::{Error, Result};
use crate::migrate::LATEST;
use crate::store::{Engine, Store};
use crate::tx::Tx;
use crate::use_case::UseCase;
use crate::verify::{MAX_PROBLEMS, Problem};
use crate::{p, sqlite};

/// The name of the check.
pub(crate) const CHECK: &str = "schema";

/// A part: its noun, its table, its name, and what it is.
pub(crate) type Part = (String, String, String, String);

/// Tables, columns, indexes, keys and triggers of a SQLite database.
pub(crate) const OF_SQLITE: &str = r#"
    WITH own AS (SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'),
    indexes AS (
        SELECT own.name AS tab, i.name AS name, i.origin AS origin, iif(i."unique", ' unique', '') AS single,
            (SELECT group_concat(coalesce(part.name, '…'), ', ')
                FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) part) AS cols
        FROM own, pragma_index_list(own.name) i)
    SELECT 'table', name, name, '' FROM own
    UNION ALL SELECT 'column', own.name, own.name || '.' || c.name, c.type || iif(c."notnull", ' NOT NULL', '')
        FROM own, pragma_table_info(own.name) c
    UNION ALL SELECT 'index', tab, name, tab || '(' || cols || ')' || single FROM indexes WHERE origin = 'c'
    UNION ALL SELECT 'key', tab, tab || '(' || cols || ')', '' FROM indexes WHERE origin <> 'c'
    UNION ALL SELECT 'trigger', tbl_name, name, sql FROM sqlite_master WHERE type = 'trigger'"#;

/// The same of a PostgreSQL schema, without types and triggers.
const OF_POSTGRES: &str = "
    WITH own AS (SELECT oid, CAST(relname AS TEXT) AS name FROM pg_class
        WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r'),
    indexes AS (
        SELECT own.name AS tab, CAST(c.relname AS TEXT) AS name, i.indisunique AS single,
            (SELECT string_agg(coalesce(CAST(a.attname AS TEXT), '…'), ', ' ORDER BY k.n)
                FROM unnest(CAST(i.indkey AS smallint[])) WITH ORDINALITY AS k(att, n)
                LEFT JOIN pg_attribute a ON a.attrelid = own.oid AND a.attnum = k.att AND k.att > 0) AS cols
        FROM own JOIN pg_index i ON i.indrelid = own.oid JOIN pg_class c ON c.oid = i.indexrelid)
    SELECT 'table', name, name, '' FROM own
    UNION ALL SELECT 'column', own.name, own.name || '.' || CAST(a.attname AS TEXT), ''
        FROM own JOIN pg_attribute a ON a.attrelid = own.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'index', tab, name, tab || '(' || cols || ')' || CASE WHEN single THEN ' unique' ELSE '' END
        FROM indexes
    UNION ALL SELECT 'key', tab, tab || '(' || cols || ')', '' FROM indexes WHERE single";

impl Store {
    /// What of the schema is missing, or is another thing than the migrations make.
    pub(crate) async fn verify_shape(&self) -> Result<Vec<Problem>> {
        if self.schema_version().await? != LATEST {
            return Ok(Vec::new());
        }
        let expected = tokio::task::spawn_blocking(sqlite::fresh_parts).await;
        let expected = expected.map_err(|cause| Error::broken_by("the schema cannot be made", cause))??;
        Ok(match self.engine() {
            Engine::Lite(_) => compare(expected, self.read(Parts(OF_SQLITE)).await?),
            Engine::Pg(_) => compare(names(expected), self.read(Parts(OF_POSTGRES)).await?),
        })
    }
}

/// What of it can be compared with PostgreSQL.
fn names(mut parts: Vec<Part>) -> Vec<Part> {
    parts.retain(|(noun, ..)| noun != "trigger");
    parts.iter_mut().filter(|(noun, ..)| noun == "column").for_each(|(.., what)| what.clear());
    parts
}

fn compare(expected: Vec<Part>, found: Vec<Part>) -> Vec<Problem> {
    let found: BTreeMap<(String, String), String> =
        found.into_iter().map(|(noun, _, name, what)| ((noun, name), what)).collect();
    let has_table = |table: String| found.contains_key(&("table".to_owned(), table));
    let wrong = expected.into_iter().filter_map(|(noun, table, name, what)| {
        let (place, is_table) = (format!("{noun} {name}"), noun == "table");
        let what = match found.get(&(noun, name)) {
            Some(other) if *other == what => return None,
            Some(other) => format!("it is `{other}` and should be `{what}`; restore a backup"),
            // The table says it all.
            None if !is_table && !has_table(table) => return None,
            None => "it is missing; restore a backup".to_owned(),
        };
        Some(Problem { check: CHECK, place, what })
    });
    wrong.take(MAX_PROBLEMS).collect()
}

/// True if other checks would ask for what is not there.
pub(crate) fn is_gone(problem: &Problem) -> bool {
    problem.check == CHECK && ["table ", "column "].iter().any(|noun| problem.place.starts_with(noun))
}

struct Parts(&'static str);

impl UseCase for Parts {
    type Out = Vec<Part>;

    fn ws(&self) -> WorkspaceId {
        WorkspaceId::DEFAULT
    }

    async fn run(&self, tx: &mut Tx<'_>) -> Result<Vec<Part>> {
        tx.many(self.0, p![]).await
    }
}
