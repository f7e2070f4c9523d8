-- What agents and people need to work together: a section for each noun.

-- == wait ==
-- Tasks that no pattern made have a parent. `ties` is 1 once there may be something to let go of when an attempt ends. `mail` counts messages that were not yet given to the task's agent.
ALTER TABLE task ADD COLUMN parent {ID};
ALTER TABLE task ADD COLUMN depth {INT} NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN mail {INT} NOT NULL DEFAULT 0;
ALTER TABLE task ADD COLUMN ties {INT} NOT NULL DEFAULT 0;
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
-- One row for each resource that a task holds (`waits` 0, `until` its lease) or waits for (`waits` 1, `until` its deadline).
CREATE TABLE lock (
  ws {ID} NOT NULL, kind TEXT NOT NULL, path TEXT NOT NULL, mode TEXT NOT NULL, waits {INT} NOT NULL, run {ID} NOT NULL,
  task {ID} NOT NULL, agent TEXT NOT NULL, token {INT} NOT NULL, is_first {INT} NOT NULL, priority TEXT NOT NULL,
  ticket {INT} NOT NULL, since {INT} NOT NULL, until {INT} NOT NULL,
  PRIMARY KEY (ws, kind, path, task, waits)
) {WARM};
CREATE INDEX lock_task ON lock (ws, task);
CREATE INDEX lock_until ON lock (ws, waits, until);

-- The counters of a workspace's locks; `token` and `ticket` never go back.
CREATE TABLE lock_count (
  ws {ID} NOT NULL, token {INT} NOT NULL, ticket {INT} NOT NULL, granted {INT} NOT NULL, waits {INT} NOT NULL,
  died {INT} NOT NULL, busy {INT} NOT NULL, expired {INT} NOT NULL, forced {INT} NOT NULL, stale {INT} NOT NULL,
  avoided {INT} NOT NULL, waited_us {INT} NOT NULL, longest_us {INT} NOT NULL,
  PRIMARY KEY (ws)
) {HOT};

-- == bus ==
-- `last_n` numbers the messages of a thread; `pace` is what its limits are decided from; `archive` lists the blobs that hold
-- the messages of a thread that was put away.
CREATE TABLE thread (
  ws {ID} NOT NULL, id {ID} NOT NULL, channel TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL, run {ID}, task {ID},
  is_private {INT} NOT NULL, status TEXT NOT NULL, last_n {INT} NOT NULL, pace TEXT NOT NULL, created_at {INT} NOT NULL,
  created_by TEXT NOT NULL, last_at {INT} NOT NULL, summary TEXT, archive TEXT,
  PRIMARY KEY (ws, id)
) {HOT};
CREATE UNIQUE INDEX thread_channel ON thread (ws, channel);
CREATE INDEX thread_run ON thread (ws, run) WHERE run IS NOT NULL;
CREATE INDEX thread_age ON thread (ws, last_at) WHERE status <> 'archived';

-- Who takes part. `cursor` is the last message to all that was given to them, `back` where it stood before `task` read on,
-- `seen` the last that they have read.
CREATE TABLE participant (
  ws {ID} NOT NULL, thread {ID} NOT NULL, who TEXT NOT NULL, run {ID}, cursor {INT} NOT NULL, back {INT} NOT NULL, seen {INT} NOT NULL,
  task {ID}, joined_at {INT} NOT NULL,
  PRIMARY KEY (ws, thread, who)
) {TABLE};
CREATE INDEX participant_who ON participant (ws, who, run);
CREATE INDEX participant_task ON participant (ws, task) WHERE task IS NOT NULL;

-- One row for each message, however many read it. `audience` names the recipients as a JSON list; without one it is for all.
CREATE TABLE message (
  ws {ID} NOT NULL, id {ID} NOT NULL, thread {ID} NOT NULL, n {INT} NOT NULL, run {ID}, task {ID}, sender TEXT NOT NULL,
  audience TEXT, kind TEXT NOT NULL, priority TEXT NOT NULL, subject TEXT, body TEXT NOT NULL, reply_to {ID}, hops {INT} NOT NULL,
  cancels {INT} NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, id)
) {TABLE};
CREATE UNIQUE INDEX message_place ON message (ws, thread, n);
CREATE INDEX message_run ON message (ws, run, id) WHERE run IS NOT NULL;

-- How far an addressed message has come with each recipient. `task` and `attempt` say whose context it went into.
CREATE TABLE receipt (
  ws {ID} NOT NULL, message {ID} NOT NULL, who TEXT NOT NULL, thread {ID} NOT NULL, n {INT} NOT NULL, run {ID}, priority TEXT NOT NULL,
  state TEXT NOT NULL, task {ID}, attempt {INT} NOT NULL, at {INT} NOT NULL, delivered_at {INT}, read_at {INT}, answered_at {INT},
  PRIMARY KEY (ws, message, who)
) {TABLE};
CREATE INDEX receipt_queued ON receipt (ws, who, at) WHERE state = 'queued';
CREATE INDEX receipt_task ON receipt (ws, task) WHERE task IS NOT NULL;

-- Questions and requests, and what became of them: the decision log. `reply_task` lists side tasks that were made to answer.
CREATE TABLE question (
  ws {ID} NOT NULL, id {ID} NOT NULL, thread {ID} NOT NULL, run {ID}, task {ID}, kind TEXT NOT NULL, asked_by TEXT NOT NULL,
  asked TEXT NOT NULL, audience TEXT NOT NULL, terms TEXT NOT NULL, standing TEXT NOT NULL, due {INT}, choice TEXT, rationale TEXT,
  answered_by TEXT, answer {ID}, asked_at {INT} NOT NULL, ended_at {INT},
  PRIMARY KEY (ws, id)
) {WARM};
CREATE INDEX question_due ON question (ws, due) WHERE standing = 'open' AND due IS NOT NULL;
CREATE INDEX question_open ON question (ws, asked_at) WHERE standing = 'open';
CREATE INDEX question_run ON question (ws, run) WHERE run IS NOT NULL;

CREATE TABLE addressee (
  ws {ID} NOT NULL, question {ID} NOT NULL, who TEXT NOT NULL, run {ID}, standing TEXT NOT NULL, reply_task {ID},
  PRIMARY KEY (ws, question, who)
) {TABLE};
CREATE INDEX addressee_open ON addressee (ws, who) WHERE standing = 'open';
CREATE INDEX addressee_task ON addressee (ws, reply_task) WHERE reply_task IS NOT NULL;

-- Something was said in the run, so that its agents have to look for messages.
ALTER TABLE run ADD COLUMN talks {INT} NOT NULL DEFAULT 0;

-- How far along a task is, as its agent says.
ALTER TABLE task ADD COLUMN percent {INT};
ALTER TABLE task ADD COLUMN progress TEXT;

-- == context ==
-- Shared context of a run as it stands: variables by name, findings by number. A variable without a value was removed.
CREATE TABLE context (
  ws {ID} NOT NULL, run {ID} NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, version {INT} NOT NULL, value TEXT,
  author TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, run, kind, name)
) {TABLE};
-- Every version that a variable had.
CREATE TABLE context_history (
  ws {ID} NOT NULL, run {ID} NOT NULL, name TEXT NOT NULL, version {INT} NOT NULL, value TEXT, author TEXT NOT NULL,
  at {INT} NOT NULL,
  PRIMARY KEY (ws, run, name, version)
) {TABLE};
-- How much the context of a run holds; whoever writes holds this row.
CREATE TABLE context_size (
  ws {ID} NOT NULL, run {ID} NOT NULL, entries {INT} NOT NULL, findings {INT} NOT NULL, bytes {INT} NOT NULL,
  written {INT} NOT NULL,
  PRIMARY KEY (ws, run)
) {HOT};

-- Memory that outlasts runs. A shelf is a scope and its owner: an agent, a team, or nobody for the workspace's.
CREATE TABLE memory (
  ws {ID} NOT NULL, id {ID} NOT NULL, scope TEXT NOT NULL, owner TEXT NOT NULL, text TEXT NOT NULL, tags TEXT NOT NULL,
  digest TEXT NOT NULL, author TEXT NOT NULL, run {ID}, source TEXT NOT NULL, version {INT} NOT NULL, length {INT} NOT NULL,
  created_at {INT} NOT NULL, updated_at {INT} NOT NULL, expires_at {INT},
  PRIMARY KEY (ws, id)
) {TABLE};
CREATE UNIQUE INDEX memory_same ON memory (ws, scope, owner, digest);
CREATE INDEX memory_shelved ON memory (ws, scope, owner, id);
CREATE INDEX memory_expiry ON memory (ws, expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX memory_run ON memory (ws, run) WHERE run IS NOT NULL;
-- Which entries of a shelf have a term, how often, and how many terms they have in all.
CREATE TABLE memory_term (
  ws {ID} NOT NULL, scope TEXT NOT NULL, owner TEXT NOT NULL, term TEXT NOT NULL, memory {ID} NOT NULL, count {INT} NOT NULL,
  length {INT} NOT NULL,
  PRIMARY KEY (ws, scope, owner, term, memory)
) {TABLE};
CREATE INDEX memory_term_of ON memory_term (ws, memory);
-- How many entries of a shelf have a term.
CREATE TABLE memory_word (
  ws {ID} NOT NULL, scope TEXT NOT NULL, owner TEXT NOT NULL, term TEXT NOT NULL, texts {INT} NOT NULL,
  PRIMARY KEY (ws, scope, owner, term)
) {WARM};
-- How much a shelf holds; whoever writes to it holds this row.
CREATE TABLE memory_shelf (
  ws {ID} NOT NULL, scope TEXT NOT NULL, owner TEXT NOT NULL, texts {INT} NOT NULL, terms {INT} NOT NULL,
  PRIMARY KEY (ws, scope, owner)
) {HOT};

-- == agent ==
-- `health` is apart from `status`. `beats` is 1 once an agent has sent a heartbeat by itself; the others are heard of when
-- their worker renews a lease. `away` is 1 while it gets no task. `run` is the run that a temporary agent ends with.
ALTER TABLE agent ADD COLUMN status TEXT NOT NULL DEFAULT 'idle';
ALTER TABLE agent ADD COLUMN health TEXT NOT NULL DEFAULT 'unknown';
ALTER TABLE agent ADD COLUMN heartbeat {INT};
ALTER TABLE agent ADD COLUMN beats {INT} NOT NULL DEFAULT 0;
ALTER TABLE agent ADD COLUMN away {INT} NOT NULL DEFAULT 0;
ALTER TABLE agent ADD COLUMN standing TEXT NOT NULL DEFAULT 'worker';
ALTER TABLE agent ADD COLUMN run {ID};
CREATE UNIQUE INDEX agent_default ON agent (ws) WHERE is_default = 1;

-- Agents that a run has beside its team, with the rights they were born with. `parent` is nobody if a person spawned it.
CREATE TABLE spawned (
  ws {ID} NOT NULL, run {ID} NOT NULL, name TEXT NOT NULL, n {INT} NOT NULL, parent TEXT, depth {INT} NOT NULL,
  profile TEXT NOT NULL, models TEXT NOT NULL, task {ID} NOT NULL, living {INT} NOT NULL, created_by TEXT NOT NULL,
  created_at {INT} NOT NULL, ended_at {INT},
  PRIMARY KEY (ws, run, name)
) {TABLE};

-- Rights that a person gave to an agent for a time. `ended` is 1 once its end was told of.
CREATE TABLE agent_grant (
  ws {ID} NOT NULL, id {ID} NOT NULL, agent TEXT NOT NULL, run {ID}, right_name TEXT NOT NULL, reason TEXT NOT NULL,
  given_by TEXT NOT NULL, given_at {INT} NOT NULL, until {INT} NOT NULL, ended {INT} NOT NULL, revoked_at {INT},
  revoked_by TEXT,
  PRIMARY KEY (ws, id)
) {TABLE};
CREATE INDEX agent_grant_open ON agent_grant (ws, agent) WHERE ended = 0;

-- Who was asked when an agent was stuck, in order.
CREATE TABLE escalation (
  ws {ID} NOT NULL, task {ID} NOT NULL, n {INT} NOT NULL, run {ID} NOT NULL, agent TEXT NOT NULL, rung TEXT NOT NULL,
  asked TEXT NOT NULL, reason TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, task, n)
) {TABLE};

-- What was moved to a budget from others (or away, below 0), on top of the cap that a profile states.
ALTER TABLE budget ADD COLUMN moved_cost {INT} NOT NULL DEFAULT 0;
ALTER TABLE budget ADD COLUMN moved_tokens {INT} NOT NULL DEFAULT 0;

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
-- Offers to hand a task over. `offer` is the task in which an agent considers it.
CREATE TABLE handoff (
  ws {ID} NOT NULL, id {ID} NOT NULL, run {ID} NOT NULL, task {ID} NOT NULL, attempt {INT} NOT NULL,
  giver TEXT NOT NULL, receiver TEXT NOT NULL, packet TEXT NOT NULL, state TEXT NOT NULL, reason TEXT, offer {ID},
  requested_at {INT} NOT NULL, due {INT}, settled_at {INT}, settled_by TEXT, returned {INT} NOT NULL,
  PRIMARY KEY (ws, id)
) {TABLE};
CREATE INDEX handoff_task ON handoff (ws, task, requested_at);
CREATE INDEX handoff_run ON handoff (ws, run, id);
CREATE INDEX handoff_offer ON handoff (ws, offer) WHERE offer IS NOT NULL;
CREATE INDEX handoff_open ON handoff (ws, id) WHERE state = 'requested';
