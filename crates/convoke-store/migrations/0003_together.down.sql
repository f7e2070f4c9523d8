-- == handoff ==
DROP TABLE handoff;

-- == approval ==
DROP TABLE approval_vote;
DROP INDEX run_for_people;
DROP TABLE approval;

-- == agent ==
ALTER TABLE budget DROP COLUMN moved_tokens;
ALTER TABLE budget DROP COLUMN moved_cost;
DROP TABLE escalation;
DROP TABLE agent_grant;
DROP TABLE spawned;
DROP INDEX agent_default;
ALTER TABLE agent DROP COLUMN run;
ALTER TABLE agent DROP COLUMN standing;
ALTER TABLE agent DROP COLUMN away;
ALTER TABLE agent DROP COLUMN beats;
ALTER TABLE agent DROP COLUMN heartbeat;
ALTER TABLE agent DROP COLUMN health;
ALTER TABLE agent DROP COLUMN status;

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
