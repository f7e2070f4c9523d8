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

-- == frame ==
-- How far the steps of a run's flow have come, by path. `state` is JSON and small; a result of its own stands beside it.
CREATE TABLE frame (
  ws {ID} NOT NULL, run {ID} NOT NULL, path TEXT NOT NULL, state TEXT NOT NULL, result TEXT, due {INT},
  PRIMARY KEY (ws, run, path)
) {TABLE};
CREATE INDEX frame_due ON frame (ws, due) WHERE due IS NOT NULL;
CREATE INDEX frame_run_due ON frame (ws, run, due) WHERE due IS NOT NULL;
