-- Patterns that a workspace keeps by name, as `profile` and `team` are kept: every version, the latest counts.
CREATE TABLE pattern (
  ws {ID} NOT NULL, name TEXT NOT NULL, version {INT} NOT NULL, body TEXT NOT NULL, active {INT} NOT NULL,
  created_at {INT} NOT NULL, created_by TEXT NOT NULL,
  PRIMARY KEY (ws, name, version)
) {TABLE};
