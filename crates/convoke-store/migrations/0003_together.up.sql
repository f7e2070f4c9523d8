-- Agents and people work together. Each noun has its section.

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

-- One person, one vote; one place, one vote: `place` is the approver in whose place a deputy answered.
CREATE TABLE approval_vote (
  ws {ID} NOT NULL, approval {ID} NOT NULL, place TEXT NOT NULL, voter TEXT NOT NULL, choice TEXT NOT NULL,
  note TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, approval, place)
) {TABLE};
CREATE UNIQUE INDEX approval_voter ON approval_vote (ws, approval, voter);
