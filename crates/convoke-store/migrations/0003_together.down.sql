-- == handoff ==
DROP TABLE handoff;

-- == approval ==

-- == agent ==

-- == context ==
DROP TABLE memory_shelf;
DROP TABLE memory_word;
DROP TABLE memory_term;
DROP TABLE memory;
DROP TABLE context_size;
DROP TABLE context_history;
DROP TABLE context;

-- == bus ==
ALTER TABLE task DROP COLUMN progress;
ALTER TABLE task DROP COLUMN percent;
ALTER TABLE run DROP COLUMN talks;
DROP TABLE addressee;
DROP TABLE question;
DROP TABLE receipt;
DROP TABLE message;
DROP TABLE participant;
DROP TABLE thread;

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
