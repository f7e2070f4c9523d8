-- What everything else stands on: the store's own facts, tenants, people, events, blobs.

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) {TABLE};
INSERT INTO meta (key, value) VALUES ('schema_version', '1'), ('fencing_epoch', '1');

CREATE TABLE workspace (
    id         {ID} NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at {INT} NOT NULL
) {TABLE};

CREATE TABLE users (
    ws         {ID} NOT NULL REFERENCES workspace (id),
    id         {ID} NOT NULL,
    name       TEXT NOT NULL,
    role       TEXT NOT NULL CHECK (role IN ('owner', 'operator', 'approver', 'viewer')),
    created_at {INT} NOT NULL,
    PRIMARY KEY (ws, id),
    UNIQUE (ws, name)
) {TABLE};

-- The last number and hash of each workspace.
CREATE TABLE ws_head (
    ws   {ID} NOT NULL PRIMARY KEY REFERENCES workspace (id),
    seq  {INT} NOT NULL,
    hash {BYTES} NOT NULL
) {HOT};

-- The workspace is checked through ws_head once, not by a foreign key for every event.
CREATE TABLE event (
    ws        {ID} NOT NULL,
    seq       {INT} NOT NULL,
    at        {INT} NOT NULL,
    kind      TEXT NOT NULL,
    entity    TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    run       {ID},
    actor     TEXT NOT NULL,
    payload   TEXT NOT NULL,
    prev_hash {BYTES} NOT NULL,
    hash      {BYTES} NOT NULL,
    PRIMARY KEY (ws, seq)
) {TABLE};
CREATE INDEX event_run ON event (ws, run, seq) WHERE run IS NOT NULL;

--sqlite
CREATE TRIGGER event_no_update BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
CREATE TRIGGER event_no_delete BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
--end
--postgres
CREATE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'events are append-only' USING ERRCODE = 'integrity_constraint_violation'; END $$;
CREATE TRIGGER event_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON event
    FOR EACH STATEMENT EXECUTE FUNCTION event_append_only();
--end

-- Large texts and results, each once per workspace, named by their SHA-256.
CREATE TABLE blob (
    ws         {ID} NOT NULL REFERENCES workspace (id),
    hash       {BYTES} NOT NULL,
    size       {INT} NOT NULL,
    body       {BYTES} NOT NULL,
    created_at {INT} NOT NULL,
    PRIMARY KEY (ws, hash)
) {TABLE};
