-- What patterns and those who look at their runs need: a section for each noun.

-- == overridden ==
-- Decisions that were replaced, as they stood before, in their order.
CREATE TABLE overridden (
  ws {ID} NOT NULL, question {ID} NOT NULL, n {INT} NOT NULL, standing TEXT NOT NULL, choice TEXT, rationale TEXT, answered_by TEXT,
  answer {ID}, ended_at {INT},
  PRIMARY KEY (ws, question, n)
) {TABLE};
