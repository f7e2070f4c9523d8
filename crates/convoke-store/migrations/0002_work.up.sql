-- Definitions: every version is kept; `active` belongs to the name and is read from the latest version.
CREATE TABLE profile (
  ws {ID} NOT NULL, name TEXT NOT NULL, version {INT} NOT NULL, body TEXT NOT NULL, active {INT} NOT NULL,
  created_at {INT} NOT NULL, created_by TEXT NOT NULL,
  PRIMARY KEY (ws, name, version)
) {TABLE};
CREATE TABLE team (
  ws {ID} NOT NULL, name TEXT NOT NULL, version {INT} NOT NULL, body TEXT NOT NULL, active {INT} NOT NULL,
  created_at {INT} NOT NULL, created_by TEXT NOT NULL,
  PRIMARY KEY (ws, name, version)
) {TABLE};

-- Participants. `running` is the number of tasks held now; a claim never lets it pass `capacity`.
CREATE TABLE agent (
  ws {ID} NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, profile TEXT NOT NULL, profile_version {INT} NOT NULL,
  role TEXT NOT NULL, capabilities TEXT NOT NULL, tags TEXT NOT NULL, capacity {INT} NOT NULL, running {INT} NOT NULL,
  is_default {INT} NOT NULL, active {INT} NOT NULL, created_at {INT} NOT NULL, updated_at {INT} NOT NULL,
  PRIMARY KEY (ws, name)
) {HOT};

CREATE TABLE session (
  ws {ID} NOT NULL, id {ID} NOT NULL, title TEXT NOT NULL, created_at {INT} NOT NULL, created_by TEXT NOT NULL,
  PRIMARY KEY (ws, id)
) {TABLE};

-- `spec` is the digest of the blob that holds team, profiles and models as they were when the run started.
CREATE TABLE run (
  ws {ID} NOT NULL, id {ID} NOT NULL, session {ID} NOT NULL, team TEXT NOT NULL, team_version {INT} NOT NULL,
  spec TEXT NOT NULL, task TEXT NOT NULL, input TEXT, state TEXT NOT NULL, phase TEXT NOT NULL, reason TEXT,
  simulated {INT} NOT NULL, created_by TEXT NOT NULL, idem_key TEXT,
  open_tasks {INT} NOT NULL, made_tasks {INT} NOT NULL, created_at {INT} NOT NULL, started_at {INT}, finished_at {INT},
  deadline {INT} NOT NULL, timeout_us {INT} NOT NULL, output TEXT, error TEXT,
  PRIMARY KEY (ws, id)
) {WARM};
CREATE UNIQUE INDEX run_idem ON run (ws, idem_key) WHERE idem_key IS NOT NULL;
CREATE INDEX run_open ON run (ws, deadline) WHERE state IN ('initializing', 'running', 'aggregating');
CREATE INDEX run_unfinished ON run (ws, id) WHERE state IN ('initializing', 'running', 'aggregating', 'paused', 'waiting');

-- `rank` orders claims (see convoke_domain::task::rank). `resume` is 1 while the next claim continues the attempt.
CREATE TABLE task (
  ws {ID} NOT NULL, id {ID} NOT NULL, run {ID} NOT NULL, n {INT} NOT NULL, key TEXT NOT NULL, title TEXT NOT NULL,
  stage TEXT NOT NULL, round {INT} NOT NULL, agent TEXT NOT NULL, instructions TEXT NOT NULL, output_schema TEXT,
  priority TEXT NOT NULL, state TEXT NOT NULL, rank {INT} NOT NULL, not_before {INT} NOT NULL, held {INT} NOT NULL,
  deps_left {INT} NOT NULL, parents {INT} NOT NULL, attempt {INT} NOT NULL, resume {INT} NOT NULL, retries_left {INT} NOT NULL,
  fence {INT} NOT NULL, lease_owner TEXT, lease_until {INT}, timeout_us {INT} NOT NULL, waits_for TEXT,
  output TEXT, error TEXT, created_at {INT} NOT NULL, started_at {INT}, finished_at {INT},
  PRIMARY KEY (ws, id)
) {WARM};
CREATE UNIQUE INDEX task_name ON task (ws, run, stage, round, key);
CREATE INDEX task_ready ON task (ws, rank) WHERE state = 'ready' AND held = 0;
CREATE INDEX task_ready_agent ON task (ws, agent, rank) WHERE state = 'ready' AND held = 0;
CREATE INDEX task_delayed ON task (ws, not_before) WHERE state = 'ready' AND held = 0 AND not_before > 0;
CREATE INDEX task_leased ON task (ws, lease_until) WHERE state = 'running';
CREATE INDEX task_lease_owner ON task (ws, lease_owner) WHERE state = 'running';

CREATE TABLE edge (
  ws {ID} NOT NULL, parent {ID} NOT NULL, child {ID} NOT NULL, hard {INT} NOT NULL,
  PRIMARY KEY (ws, parent, child)
) {TABLE};
CREATE INDEX edge_child ON edge (ws, child, parent);

CREATE TABLE attempt (
  ws {ID} NOT NULL, task {ID} NOT NULL, n {INT} NOT NULL, agent TEXT NOT NULL, state TEXT NOT NULL,
  started_at {INT} NOT NULL, finished_at {INT}, error TEXT,
  PRIMARY KEY (ws, task, n)
) {TABLE};

-- The journal: written before the effect as `started`, again with its outcome.
CREATE TABLE step (
  ws {ID} NOT NULL, task {ID} NOT NULL, attempt {INT} NOT NULL, n {INT} NOT NULL, run {ID} NOT NULL,
  turn {INT} NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, call_id TEXT NOT NULL, input_hash TEXT NOT NULL,
  input TEXT, status TEXT NOT NULL, output TEXT, error TEXT, tries {INT} NOT NULL, fence {INT} NOT NULL,
  bound_cost {INT} NOT NULL, bound_tokens {INT} NOT NULL, scopes TEXT NOT NULL, tariff TEXT NOT NULL,
  started_at {INT} NOT NULL, finished_at {INT},
  PRIMARY KEY (ws, task, attempt, n)
) {TABLE};
CREATE INDEX step_run ON step (ws, run);
CREATE INDEX step_under_way ON step (ws, run) WHERE status = 'started';

-- Effects that must not be repeated blindly: recorded under a stable key before dispatch.
CREATE TABLE effect (
  ws {ID} NOT NULL, key TEXT NOT NULL, run {ID} NOT NULL, task {ID} NOT NULL, attempt {INT} NOT NULL, n {INT} NOT NULL,
  tool TEXT NOT NULL, args_hash TEXT NOT NULL, repeat_rule TEXT NOT NULL, state TEXT NOT NULL,
  dispatched_at {INT} NOT NULL, resolved_at {INT}, resolved_by TEXT, note TEXT,
  PRIMARY KEY (ws, key)
) {TABLE};
CREATE INDEX effect_run ON effect (ws, run);
CREATE INDEX effect_step ON effect (ws, task, attempt, n);
CREATE INDEX effect_unknown ON effect (ws, dispatched_at) WHERE state = 'unknown';

-- The ledger: one line for each bill, never changed.
CREATE TABLE usage (
  ws {ID} NOT NULL, task {ID} NOT NULL, attempt {INT} NOT NULL, n {INT} NOT NULL, try {INT} NOT NULL,
  run {ID} NOT NULL, agent TEXT NOT NULL, model TEXT NOT NULL, tariff TEXT NOT NULL, basis TEXT NOT NULL,
  response_id TEXT, input_tokens {INT} NOT NULL, cache_read_tokens {INT} NOT NULL, cache_write_tokens {INT} NOT NULL,
  output_tokens {INT} NOT NULL, reasoning_tokens {INT} NOT NULL, cost {INT} NOT NULL, bound_cost {INT} NOT NULL,
  scopes TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, task, attempt, n, try)
) {TABLE};
CREATE INDEX usage_run ON usage (ws, run);

CREATE TABLE budget (
  ws {ID} NOT NULL, scope TEXT NOT NULL, cap_cost {INT}, cap_tokens {INT}, reserved_cost {INT} NOT NULL,
  reserved_tokens {INT} NOT NULL, settled_cost {INT} NOT NULL, settled_tokens {INT} NOT NULL,
  overrun {INT} NOT NULL, warned {INT} NOT NULL,
  PRIMARY KEY (ws, scope)
) {HOT};
