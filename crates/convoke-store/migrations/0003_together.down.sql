-- == handoff ==
DROP TABLE handoff;

-- == approval ==

-- == agent ==

-- == context ==

-- == bus ==

-- == lock ==
DROP TABLE lock_count;
DROP TABLE lock;

-- == wait ==
DROP TABLE wait;
DROP INDEX task_parent;
DROP INDEX task_waiting;
ALTER TABLE task DROP COLUMN ties;
ALTER TABLE task DROP COLUMN mail;
ALTER TABLE task DROP COLUMN depth;
ALTER TABLE task DROP COLUMN parent;
