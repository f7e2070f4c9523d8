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
-- Leave for one tool call: `digest` names its exact arguments, `rule` says as JSON who answers, `creator` started the run.
CREATE TABLE approval (
  ws {ID} NOT NULL, id {ID} NOT NULL, run {ID} NOT NULL, task {ID} NOT NULL, attempt {INT} NOT NULL, n {INT} NOT NULL,
  agent TEXT NOT NULL, tool TEXT NOT NULL, args TEXT NOT NULL, digest TEXT NOT NULL, reason TEXT, confidence {INT},
  rule TEXT NOT NULL, creator TEXT NOT NULL, state TEXT NOT NULL, decided_by TEXT, note TEXT,
  created_at {INT} NOT NULL, expires_at {INT}, decided_at {INT}, used_at {INT},
  PRIMARY KEY (ws, id)
) {WARM};
CREATE INDEX approval_pending ON approval (ws, id) WHERE state = 'pending';
CREATE INDEX approval_step ON approval (ws, task, attempt, n, id);
CREATE INDEX approval_run ON approval (ws, run, id);

CREATE INDEX run_for_people ON run (ws, id) WHERE state IN ('escalated', 'paused');

-- One person, one vote; one place, one vote: `place` is the approver in whose place a deputy answered.
CREATE TABLE approval_vote (
  ws {ID} NOT NULL, approval {ID} NOT NULL, place TEXT NOT NULL, voter TEXT NOT NULL, choice TEXT NOT NULL,
  note TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, approval, place)
) {TABLE};
CREATE UNIQUE INDEX approval_voter ON approval_vote (ws, approval, voter);

-- == handoff ==
