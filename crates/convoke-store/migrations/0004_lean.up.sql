-- Fewer trees to change for each task. A running task is in one index for the worker that holds it and for leases that
-- have run out. On SQLite a small row lives in the tree of its key, not in a table of its own beside it.
DROP INDEX task_leased;
DROP INDEX task_lease_owner;
CREATE INDEX task_running ON task (ws, lease_owner, lease_until) WHERE state = 'running';

--sqlite
CREATE TABLE edge_keyed (
  ws {ID} NOT NULL, parent {ID} NOT NULL, child {ID} NOT NULL, hard {INT} NOT NULL,
  PRIMARY KEY (ws, parent, child)
) STRICT, WITHOUT ROWID;
INSERT INTO edge_keyed SELECT * FROM edge;
DROP TABLE edge;
ALTER TABLE edge_keyed RENAME TO edge;
CREATE INDEX edge_child ON edge (ws, child, parent);

CREATE TABLE attempt_keyed (
  ws {ID} NOT NULL, task {ID} NOT NULL, n {INT} NOT NULL, agent TEXT NOT NULL, state TEXT NOT NULL,
  started_at {INT} NOT NULL, finished_at {INT}, error TEXT,
  PRIMARY KEY (ws, task, n)
) STRICT, WITHOUT ROWID;
INSERT INTO attempt_keyed SELECT * FROM attempt;
DROP TABLE attempt;
ALTER TABLE attempt_keyed RENAME TO attempt;

CREATE TABLE budget_keyed (
  ws {ID} NOT NULL, scope TEXT NOT NULL, cap_cost {INT}, cap_tokens {INT}, reserved_cost {INT} NOT NULL,
  reserved_tokens {INT} NOT NULL, settled_cost {INT} NOT NULL, settled_tokens {INT} NOT NULL,
  overrun {INT} NOT NULL, warned {INT} NOT NULL, moved_cost {INT} NOT NULL DEFAULT 0, moved_tokens {INT} NOT NULL DEFAULT 0,
  PRIMARY KEY (ws, scope)
) STRICT, WITHOUT ROWID;
INSERT INTO budget_keyed SELECT * FROM budget;
DROP TABLE budget;
ALTER TABLE budget_keyed RENAME TO budget;
--end
