DROP INDEX task_running;
CREATE INDEX task_leased ON task (ws, lease_until) WHERE state = 'running';
CREATE INDEX task_lease_owner ON task (ws, lease_owner) WHERE state = 'running';

--sqlite
CREATE TABLE edge_wide (
  ws {ID} NOT NULL, parent {ID} NOT NULL, child {ID} NOT NULL, hard {INT} NOT NULL,
  PRIMARY KEY (ws, parent, child)
) STRICT;
INSERT INTO edge_wide SELECT * FROM edge;
DROP TABLE edge;
ALTER TABLE edge_wide RENAME TO edge;
CREATE INDEX edge_child ON edge (ws, child, parent);

CREATE TABLE attempt_wide (
  ws {ID} NOT NULL, task {ID} NOT NULL, n {INT} NOT NULL, agent TEXT NOT NULL, state TEXT NOT NULL,
  started_at {INT} NOT NULL, finished_at {INT}, error TEXT,
  PRIMARY KEY (ws, task, n)
) STRICT;
INSERT INTO attempt_wide SELECT * FROM attempt;
DROP TABLE attempt;
ALTER TABLE attempt_wide RENAME TO attempt;

CREATE TABLE budget_wide (
  ws {ID} NOT NULL, scope TEXT NOT NULL, cap_cost {INT}, cap_tokens {INT}, reserved_cost {INT} NOT NULL,
  reserved_tokens {INT} NOT NULL, settled_cost {INT} NOT NULL, settled_tokens {INT} NOT NULL,
  overrun {INT} NOT NULL, warned {INT} NOT NULL, moved_cost {INT} NOT NULL DEFAULT 0, moved_tokens {INT} NOT NULL DEFAULT 0,
  PRIMARY KEY (ws, scope)
) STRICT;
INSERT INTO budget_wide SELECT * FROM budget;
DROP TABLE budget;
ALTER TABLE budget_wide RENAME TO budget;
--end
