//! One SQL text for both databases, and the small changes each needs.
//!
//! - Parameters are `$1`, `$2`, … In SQLite `$1` would be a *named* parameter, numbered by first appearance, so that
//!   `SET a=$2 WHERE id=$1` bound by position would write the wrong rows; there it becomes `?1`.
//! - `/*pg FOR UPDATE*/` is a comment for SQLite and ` FOR UPDATE ` for PostgreSQL; `/*lite …*/` the other way round.
//! - What an aggregate gives differs: write `CAST(SUM(x) AS BIGINT)` and `CAST($1 AS BIGINT)` where the type is not
//!   plain from a column.

/// The text for SQLite.
pub fn for_sqlite(sql: &str) -> String {
    rewrite(sql, "/*lite ", "?")
}

/// The text for PostgreSQL.
pub fn for_postgres(sql: &str) -> String {
    rewrite(sql, "/*pg ", "$")
}

/// The text for PostgreSQL in a transaction that only reads: it may take no locks and needs none, so marked ones
/// (`/*pg FOR …*/`) are left out.
pub fn for_postgres_reader(sql: &str) -> String {
    for_postgres(&sql.replace("/*pg FOR ", "/* FOR "))
}

/// Copies `sql`, opening the comments that start with `marker` and giving parameters the prefix `dollar`; what stands in
/// quotes is left alone.
fn rewrite(sql: &str, marker: &str, dollar: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let taken = if first == '\'' || first == '"' {
            let end = rest[1..].find(first).map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..end]);
            end
        } else if let Some(inner) = rest.strip_prefix(marker) {
            let end = inner.find("*/").unwrap_or(inner.len());
            out.push_str(&rewrite(&inner[..end], marker, dollar));
            (marker.len() + end + 2).min(rest.len())
        } else if rest.starts_with("--") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '$' && rest[1..].starts_with(|next: char| next.is_ascii_digit()) {
            out.push_str(dollar);
            1
        } else {
            out.push(first);
            first.len_utf8()
        };
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_and_marked_comments_follow_the_database() {
        let sql = "UPDATE t SET a=$2, b='$1 /*pg x*/' WHERE id=$1 /*lite INDEXED BY i*//*pg FOR UPDATE*/ /* note */";
        assert_eq!(for_sqlite(sql), "UPDATE t SET a=?2, b='$1 /*pg x*/' WHERE id=?1 INDEXED BY i ");
        assert_eq!(for_postgres(sql), "UPDATE t SET a=$2, b='$1 /*pg x*/' WHERE id=$1 FOR UPDATE ");
        assert_eq!(for_postgres_reader("SELECT /*pg 1*/ FROM t /*pg FOR UPDATE*/"), "SELECT 1 FROM t ");
    }

    #[test]
    fn unfinished_quotes_and_comments_end_with_the_text() {
        for sql in ["'abc", "/*pg abc", "/* abc", "$", "é$1", "-- it's"] {
            for_postgres(sql);
            for_sqlite(sql);
        }
        assert_eq!(for_sqlite("'it''s $1' $1"), "'it''s $1' ?1");
    }
}
