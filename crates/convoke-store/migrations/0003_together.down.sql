-- == handoff ==

-- == approval ==

-- == agent ==

-- == context ==

-- == bus ==

-- == lock ==

-- == wait ==
DROP TABLE wait;
DROP INDEX task_parent;
DROP INDEX task_waiting;
ALTER TABLE task DROP COLUMN mail;
ALTER TABLE task DROP COLUMN depth;
ALTER TABLE task DROP COLUMN parent;
