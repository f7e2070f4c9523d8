-- What agents and people need to work together: a section for each noun.

-- == wait ==
-- Tasks that no pattern made have a parent. `mail` counts messages that were not yet given to the task's agent.
ALTER TABLE task ADD COLUMN parent {ID};
ALTER TABLE task ADD COLUMN depth {INT} NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN mail {INT} NOT NULL DEFAULT 0;
CREATE INDEX task_waiting ON task (ws, run) WHERE state = 'waiting';
CREATE INDEX task_parent ON task (ws, parent) WHERE parent IS NOT NULL;

-- A step of which the result comes later: `reason` and `key` say what brings it, `due` when it comes at the latest.
CREATE TABLE wait (
  ws {ID} NOT NULL, task {ID} NOT NULL, attempt {INT} NOT NULL, n {INT} NOT NULL, run {ID} NOT NULL,
  reason TEXT NOT NULL, key TEXT NOT NULL, due {INT}, created_at {INT} NOT NULL,
  PRIMARY KEY (ws, task, attempt, n)
) {TABLE};
CREATE INDEX wait_key ON wait (ws, reason, key);
CREATE INDEX wait_due ON wait (ws, due) WHERE due IS NOT NULL;

-- == lock ==

-- == bus ==

-- == context ==

-- == agent ==

-- == approval ==

-- == handoff ==
