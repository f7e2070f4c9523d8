-- == handoff ==

-- == approval ==
DROP TABLE approval_vote;
DROP INDEX run_for_people;
DROP TABLE approval;

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
