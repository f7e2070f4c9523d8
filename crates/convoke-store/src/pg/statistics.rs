//! Statistics for the planner while tables are young.
//!
//! A plan that is made while a table is empty takes any index that begins with `ws`, for in an empty table all of them cost
//! the same, and it is kept: each look for one row then reads all rows of the workspace. The server's own routine (autovacuum)
//! repairs that within minutes; a store that fills a new database within seconds needs it at once. So tables that have doubled
//! since they were last looked at are analyzed, which makes every connection plan anew. Start at [`keep`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_postgres::Client;

use super::lane::Shared;
use super::trouble::error;
use crate::error::{Error, Result};

/// The wait between two looks while tables grow.
const OFTEN: Duration = Duration::from_millis(250);
/// The longest such wait: each look that finds nothing doubles it.
const SELDOM: Duration = Duration::from_secs(30);
/// The longest that one look, with all that follows from it, may take.
const LIMIT: Duration = Duration::from_secs(60);
/// Pages up to which a wrong plan does no harm.
const SMALL: i64 = 8;
/// A sample of 300 rows for each of these: enough to see that a workspace has many rows and an id one.
const TARGET: &str = "SET default_statistics_target = 10";
/// Our tables that have doubled since their size was last noted, which VACUUM and ANALYZE do.
const GROWN: &str =
    "SELECT quote_ident(c.relname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'ws'
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND pg_has_role(c.relowner, 'USAGE')
    AND pg_relation_size(c.oid) / current_setting('block_size')::bigint > 2 * GREATEST(c.relpages::bigint, $1)
    ORDER BY c.oid";

/// Looks after the statistics until `stop` is dropped. Whatever fails here costs time later and nothing else.
pub(super) async fn keep(shared: Arc<Shared>, mut stop: oneshot::Receiver<()>) {
    let (mut wait, mut seen, mut client) = (OFTEN, 0, None);
    loop {
        tokio::select! {
            _ = &mut stop => return,
            () = sleep(wait) => {}
        }
        let written = shared.written.load(Ordering::Relaxed);
        if std::mem::replace(&mut seen, written) == written {
            client = None;
            continue;
        }
        let looked = tokio::select! {
            _ = &mut stop => return,
            looked = timeout(LIMIT, look(&shared, &mut client)) => looked,
        };
        wait = match looked {
            Ok(Ok(true)) => OFTEN,
            Ok(Ok(false)) => (wait * 2).min(SELDOM),
            failed => {
                tracing::debug!(?failed, "the statistics of the database were not looked after");
                client = None;
                SELDOM
            }
        };
    }
}

/// Analyzes what has grown; `false` if nothing has.
async fn look(shared: &Shared, connected: &mut Option<Client>) -> Result<bool> {
    if connected.is_none() {
        let client = shared.target.connect().await?;
        client.batch_execute(TARGET).await.map_err(error)?;
        *connected = Some(client);
    }
    let client = connected.as_ref().ok_or_else(|| Error::broken("a connection that was made is not there"))?;
    let grown = client.query(GROWN, &[&SMALL]).await.map_err(error)?;
    for row in &grown {
        let table: &str = row.get(0);
        // Whoever holds the table now is moving the schema, or does the same.
        client.batch_execute(&format!("ANALYZE (SKIP_LOCKED) {table}")).await.map_err(error)?;
    }
    Ok(!grown.is_empty())
}
