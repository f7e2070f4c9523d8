-- What patterns and those who look at their runs need: a section for each noun.

-- == rating ==
-- What a person thinks of a run (`what` is 'run'), of an agent's part in it ('agent:NAME'), or of a task (its id): the last word of each.
CREATE TABLE rating (
  ws {ID} NOT NULL, run {ID} NOT NULL, what TEXT NOT NULL, who TEXT NOT NULL, task {ID}, agent TEXT,
  stars {INT} NOT NULL CHECK (stars BETWEEN 1 AND 5), note TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, run, what, who)
) {TABLE};
CREATE INDEX rating_agent ON rating (ws, agent, at) WHERE agent IS NOT NULL;
CREATE INDEX run_team ON run (ws, team, id);

-- == outcome ==
-- What became of an agent's work: how right it was (`value`, 0 to 1), how that is known (`kind`), what it is about (`subject`), and what
-- the agent chose, where it did. Recorded again, an outcome takes the place of the first.
CREATE TABLE outcome (
  ws {ID} NOT NULL, subject TEXT NOT NULL, agent TEXT NOT NULL, capability TEXT NOT NULL, kind TEXT NOT NULL,
  value {REAL} NOT NULL CHECK (value BETWEEN 0 AND 1), choice TEXT, run {ID}, at {INT} NOT NULL,
  PRIMARY KEY (ws, subject, agent, capability, kind)
) {TABLE};
CREATE INDEX outcome_agent ON outcome (ws, agent, at);

-- == frame ==
-- How far the steps of a run's flow have come, by path. `state` is JSON and small; a result of its own stands beside it.
CREATE TABLE frame (
  ws {ID} NOT NULL, run {ID} NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL, result TEXT, due {INT},
  PRIMARY KEY (ws, run, path)
) {TABLE};
CREATE INDEX frame_due ON frame (ws, due) WHERE due IS NOT NULL;
CREATE INDEX frame_run_due ON frame (ws, run, due) WHERE due IS NOT NULL;

-- == overridden ==
-- Decisions that were replaced, as they stood before, in their order.
CREATE TABLE overridden (
  ws {ID} NOT NULL, question {ID} NOT NULL, n {INT} NOT NULL, standing TEXT NOT NULL, choice TEXT, rationale TEXT, answered_by TEXT,
  answer {ID}, ended_at {INT},
  PRIMARY KEY (ws, question, n)
) {TABLE};

-- == scale ==
-- Members of a run that have a rule of scale, while the run goes on. `denied` is the rule by which no further agent came, once that is on record.
CREATE TABLE scaled (
  ws {ID} NOT NULL, run {ID} NOT NULL, member TEXT NOT NULL, denied TEXT,
  PRIMARY KEY (ws, run, member)
) {TABLE};
-- Spawned agents that came to a member's relief, and since when one has been without work.
CREATE TABLE relief (
  ws {ID} NOT NULL, run {ID} NOT NULL, name TEXT NOT NULL, member TEXT NOT NULL, idle_since {INT},
  PRIMARY KEY (ws, run, name)
) {TABLE};

-- == stopped ==
-- Agents that a person has stopped in a run: they get no further task there.
CREATE TABLE stopped (
  ws {ID} NOT NULL, run {ID} NOT NULL, agent TEXT NOT NULL, who TEXT NOT NULL, at {INT} NOT NULL,
  PRIMARY KEY (ws, run, agent)
) {TABLE};

-- == figures ==
-- What the work took that is rated; empty where that is not known.
ALTER TABLE rating ADD COLUMN capability TEXT NOT NULL DEFAULT '';
