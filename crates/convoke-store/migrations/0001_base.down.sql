DROP TABLE blob;
DROP TABLE event;
--postgres
DROP FUNCTION event_append_only;
--end
DROP TABLE ws_head;
DROP TABLE users;
DROP TABLE workspace;
DROP TABLE meta;
