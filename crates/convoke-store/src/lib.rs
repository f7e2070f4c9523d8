//! What is kept: the only SQL of Convoke, on SQLite and PostgreSQL.
