-- Everything: runs with their step logs, savepoints, keys and executions, documents of dialects, blobs, and the tables
-- that are derived from them by triggers. It is the schema of the SQLite store, see there for what each table holds.

-- One row: a random name of the store.
CREATE TABLE meta (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    store bytea NOT NULL DEFAULT uuid_send(gen_random_uuid())
);

INSERT INTO meta DEFAULT VALUES;

-- Numbers that are never used again. One that was taken for a refused write is missing.
CREATE SEQUENCE run_numbers;
CREATE SEQUENCE counter;

-- Several stores may share a storage: the numbers of their blobs begin far apart.
DO $$ BEGIN
    EXECUTE format('CREATE SEQUENCE blob_numbers START %s', 1 + floor(random() * (1::bigint << 52))::bigint);
END $$;

-- Every step updates its run: there is room on the page for the new version of the row, and no index has to change.
CREATE TABLE runs (
    number bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    kind text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    final boolean NOT NULL,
    outcome text COLLATE "C",
    reason text COLLATE "C" NOT NULL,
    position bigint NOT NULL,
    version bigint NOT NULL,
    created double precision NOT NULL,
    updated double precision NOT NULL,
    parent text COLLATE "C",
    parent_position bigint,
    lease bigint,
    lines bigint NOT NULL DEFAULT 0,
    identity bytea
) WITH (fillfactor = 50);

CREATE INDEX runs_by_owner ON runs (owner);
CREATE INDEX runs_live ON runs (owner) WHERE NOT final;
CREATE INDEX runs_executed ON runs (number) WHERE NOT final AND lease IS NOT NULL;

CREATE TABLE specs (
    run bigint PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    spec bytea NOT NULL
);

CREATE TABLE generations (
    run bigint PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    generation bigint NOT NULL
);

CREATE TABLE labels (
    run bigint PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL,
    tags text COLLATE "C" NOT NULL
);

CREATE TABLE run_keys (
    owner text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    body_hash bytea NOT NULL,
    run bigint NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    checksum bytea NOT NULL,
    PRIMARY KEY (owner, text, ordinal)
);

CREATE INDEX run_keys_by_run ON run_keys (run);

-- Without a foreign key, which each step would look up, as in step_keys and log_lines: a trigger deletes the rows of a
-- deleted run.
CREATE TABLE steps (
    run bigint NOT NULL,
    position bigint NOT NULL,
    inputs bytea,
    outputs bytea NOT NULL,
    PRIMARY KEY (run, position)
);

CREATE TABLE step_keys (
    run bigint NOT NULL,
    text text COLLATE "C" NOT NULL,
    ordinal bigint NOT NULL,
    body_hash bytea NOT NULL,
    position bigint NOT NULL,
    checksum bytea NOT NULL,
    PRIMARY KEY (run, text, ordinal)
);

CREATE TABLE savepoints (
    run bigint NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    timestamp bigint NOT NULL,
    position bigint NOT NULL,
    created double precision NOT NULL,
    name text COLLATE "C",
    pinned boolean NOT NULL,
    milestone boolean NOT NULL,
    blob bytea NOT NULL,
    lines bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (run, timestamp)
);

-- What is compressed already isn't compressed again.
ALTER TABLE specs ALTER COLUMN spec SET STORAGE EXTERNAL;
ALTER TABLE steps ALTER COLUMN inputs SET STORAGE EXTERNAL, ALTER COLUMN outputs SET STORAGE EXTERNAL;
ALTER TABLE savepoints ALTER COLUMN blob SET STORAGE EXTERNAL;

CREATE INDEX savepoints_passing ON savepoints (run, timestamp)
    WHERE NOT milestone AND NOT pinned AND name IS NULL AND timestamp <> 0;

CREATE TABLE executions (
    run bigint PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    timeout double precision,
    wanted text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    seconds double precision NOT NULL,
    deaths bigint NOT NULL,
    holder text COLLATE "C" NOT NULL,
    fence bigint NOT NULL,
    lease_until double precision NOT NULL,
    progress bytea,
    checksum bytea NOT NULL,
    answered boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

CREATE TABLE needs (
    run bigint PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    needs text COLLATE "C" NOT NULL,
    computed_by text COLLATE "C" NOT NULL DEFAULT ''
);

CREATE TABLE results (
    run bigint PRIMARY KEY REFERENCES executions (run) ON DELETE CASCADE,
    result bytea NOT NULL,
    checksum bytea NOT NULL
);

CREATE TABLE log_lines (
    run bigint NOT NULL,
    number bigint NOT NULL,
    time double precision NOT NULL,
    level text COLLATE "C" NOT NULL,
    text text COLLATE "C" NOT NULL,
    bytes bigint NOT NULL,
    checksum bytea,
    PRIMARY KEY (run, number)
);

CREATE TABLE stored_files (
    run bigint PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    version bigint
);

CREATE INDEX stored_files_missing ON stored_files (run) WHERE version IS NULL;

CREATE TABLE records (
    dialect text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    blob bytea NOT NULL,
    checksum bytea,
    PRIMARY KEY (dialect, id)
);

-- The stamp changes with each use, and is in no index.
CREATE TABLE uses (
    dialect text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    stamp bigint NOT NULL,
    accessed double precision NOT NULL,
    lasts double precision NOT NULL,
    PRIMARY KEY (dialect, id),
    FOREIGN KEY (dialect, id) REFERENCES records (dialect, id) ON DELETE CASCADE
) WITH (fillfactor = 50);

CREATE INDEX uses_by_owner ON uses (dialect, owner);

CREATE TABLE blobs (
    number bigint PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    hash text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    stored boolean NOT NULL DEFAULT false,
    dying boolean NOT NULL DEFAULT false,
    used double precision NOT NULL
);

CREATE UNIQUE INDEX blobs_by_hash ON blobs (owner, hash) WHERE NOT dying;

CREATE TABLE savepoint_blobs (
    run bigint NOT NULL,
    timestamp bigint NOT NULL,
    blob bigint NOT NULL REFERENCES blobs (number),
    PRIMARY KEY (run, timestamp, blob),
    FOREIGN KEY (run, timestamp) REFERENCES savepoints (run, timestamp) ON DELETE CASCADE
);

CREATE INDEX savepoint_blobs_by_blob ON savepoint_blobs (blob);

-- Which processes have the store open, the newest migration that each of them knows, and when it was last seen.
CREATE TABLE openings (
    opening text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    seen double precision NOT NULL
);

-- The last transaction that was committed in each slot of a process: a process that has lost the answer to a commit
-- finds its outcome here. The numbers of transactions don't say it, since those lost in a crash are used again.
CREATE TABLE commits (
    slot text COLLATE "C" PRIMARY KEY,
    token text COLLATE "C" NOT NULL,
    made double precision NOT NULL
) WITH (fillfactor = 20);

CREATE FUNCTION unix_time() RETURNS double precision LANGUAGE sql VOLATILE AS
    'SELECT extract(epoch FROM clock_timestamp())::double precision';

-- The key of the lock of a run, a document, an owner or the like.
CREATE FUNCTION lock_key(name text) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    $$ SELECT hashtextextended('perdure ' || name, 0) $$;

-- Begins a transaction: takes its locks in the given order, and returns its number and the time when it has them.
-- `names` are separated by the character 31, each after a = for an exclusive lock or a ~ for a shared one. A
-- transaction whose client is silent for `patience` is rolled back.
CREATE FUNCTION enter(
    names text, patience text, OUT transaction text, OUT now double precision
) LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', patience, true);
    FOREACH name IN ARRAY string_to_array(names, chr(31)) LOOP
        IF left(name, 1) = '=' THEN
            PERFORM pg_advisory_xact_lock(lock_key(substr(name, 2)));
        ELSE
            PERFORM pg_advisory_xact_lock_shared(lock_key(substr(name, 2)));
        END IF;
    END LOOP;
    transaction := pg_current_xact_id()::text;
    now := unix_time();
END $$;

-- Steps, their keys and lines go with their run.
CREATE FUNCTION run_deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM steps WHERE run = OLD.number;
    DELETE FROM step_keys WHERE run = OLD.number;
    DELETE FROM log_lines WHERE run = OLD.number;
    RETURN NULL;
END $$;

CREATE TRIGGER run_deleted AFTER DELETE ON runs FOR EACH ROW EXECUTE FUNCTION run_deleted();

-- How many runs each owner has, and how many bytes their results.
CREATE TABLE owners (
    owner text COLLATE "C" PRIMARY KEY,
    runs bigint NOT NULL,
    bytes bigint NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION run_counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO owners (owner, runs, bytes) VALUES (NEW.owner, 1, 0)
    ON CONFLICT (owner) DO UPDATE SET runs = owners.runs + 1;
    RETURN NULL;
END $$;

CREATE TRIGGER run_counted AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION run_counted();

-- The result goes first: once the run is gone, nobody knows whose it was.
CREATE FUNCTION run_discounted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM results WHERE run = OLD.number;
    UPDATE owners SET runs = runs - 1 WHERE owner = OLD.owner;
    DELETE FROM owners WHERE owner = OLD.owner AND runs = 0;
    RETURN OLD;
END $$;

CREATE TRIGGER run_discounted BEFORE DELETE ON runs FOR EACH ROW EXECUTE FUNCTION run_discounted();

CREATE FUNCTION result_counted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE owners SET bytes = bytes + length(NEW.result)
    WHERE owner = (SELECT owner FROM runs WHERE number = NEW.run);
    RETURN NULL;
END $$;

CREATE TRIGGER result_counted AFTER INSERT ON results FOR EACH ROW EXECUTE FUNCTION result_counted();

CREATE FUNCTION result_discounted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE owners SET bytes = bytes - length(OLD.result)
    WHERE owner = (SELECT owner FROM runs WHERE number = OLD.run);
    RETURN OLD;
END $$;

CREATE TRIGGER result_discounted BEFORE DELETE ON results FOR EACH ROW EXECUTE FUNCTION result_discounted();

-- The rows from which lists of runs are read.
CREATE TABLE tags (
    run bigint NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    tag text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    created double precision NOT NULL,
    updated double precision NOT NULL,
    name text COLLATE "C" NOT NULL,
    PRIMARY KEY (run, tag)
);

CREATE INDEX tags_by_created ON tags (tag, kind, state, created, run);
CREATE INDEX tags_by_updated ON tags (tag, kind, state, updated, run);
CREATE INDEX tags_by_name ON tags (tag, kind, state, name, run);
CREATE INDEX tags_of_owner_by_created ON tags (owner, tag, kind, state, created, run);
CREATE INDEX tags_of_owner_by_updated ON tags (owner, tag, kind, state, updated, run);
CREATE INDEX tags_of_owner_by_name ON tags (owner, tag, kind, state, name, run);

CREATE VIEW tags_of_runs AS
SELECT
    number AS run, tag, owner, kind, state, created, updated, coalesce(name, '' COLLATE "C") AS name
FROM runs
    LEFT JOIN labels ON labels.run = runs.number
    CROSS JOIN LATERAL (
        SELECT '' COLLATE "C" AS tag
        UNION ALL
        SELECT jsonb_array_elements_text(coalesce(tags, '[]')::jsonb) COLLATE "C"
    ) AS each;

CREATE FUNCTION list_run(listed bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM tags WHERE run = listed;
    INSERT INTO tags SELECT * FROM tags_of_runs WHERE run = listed;
END $$;

CREATE FUNCTION run_listed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM list_run(NEW.number);
    RETURN NULL;
END $$;

CREATE TRIGGER run_listed AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION run_listed();

CREATE TRIGGER run_listed_anew AFTER UPDATE OF state, version ON runs
FOR EACH ROW WHEN (NEW.final OR NEW.state <> OLD.state) EXECUTE FUNCTION run_listed();

CREATE FUNCTION label_listed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    PERFORM list_run(NEW.run);
    RETURN NULL;
END $$;

CREATE TRIGGER label_listed AFTER INSERT OR UPDATE ON labels FOR EACH ROW EXECUTE FUNCTION label_listed();

-- The queue: one row of each unfinished run with an execution for each of its tags, and one with an empty tag.
CREATE TABLE queue (
    run bigint NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    tag text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    wanted text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    short boolean NOT NULL,
    needs text COLLATE "C" NOT NULL,
    leased_until double precision NOT NULL,
    turn bigint NOT NULL,
    PRIMARY KEY (run, tag)
) WITH (
    -- Each claim leaves a dead row at the front of the queue, over which the next one has to pass.
    autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 500
);

CREATE INDEX queue_by_group ON queue (tag, kind, wanted, state, short, needs, leased_until, turn, run);
CREATE INDEX queue_by_kind ON queue (kind, wanted, leased_until, run) WHERE tag = '';
CREATE INDEX queue_by_owner ON queue (kind, owner, turn) WHERE tag = '';

CREATE VIEW queue_of_runs AS
SELECT
    number AS run, tag, kind, owner, wanted, state, coalesce(timeout <= 10.0, false) AS short,
    coalesce(needs, '' COLLATE "C") AS needs,
    CASE WHEN fence > 0 THEN lease_until ELSE 0.0 END AS leased_until
FROM runs
    JOIN executions ON executions.run = number
    LEFT JOIN needs ON needs.run = number
    LEFT JOIN labels ON labels.run = number
    CROSS JOIN LATERAL (
        SELECT '' COLLATE "C" AS tag
        UNION ALL
        SELECT jsonb_array_elements_text(coalesce(tags, '[]')::jsonb) COLLATE "C"
    ) AS each
WHERE NOT final AND lease IS NOT NULL;

-- Owners take turns: a new run's comes after its owner's last one, and in the round after the one that is worked on;
-- where none is, in that of the run which waits longest.
CREATE FUNCTION execution_queued() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
    SELECT
        number, tag, kind, owner, NEW.wanted, state, coalesce(NEW.timeout <= 10.0, false),
        coalesce((SELECT needs FROM needs WHERE run = number), ''),
        CASE WHEN NEW.fence > 0 THEN NEW.lease_until ELSE 0.0 END,
        1 + greatest(
            coalesce((
                SELECT max(turn) FROM queue
                WHERE queue.tag = '' AND queue.kind = runs.kind AND queue.owner = runs.owner
            ), 0),
            coalesce(
                (
                    SELECT max(turn) FROM queue
                    WHERE queue.tag = '' AND queue.kind = runs.kind AND wanted = 'started' AND leased_until > 0
                ), (
                    SELECT turn - 1 FROM queue
                    WHERE queue.tag = '' AND queue.kind = runs.kind AND wanted = 'started' AND leased_until = 0
                    ORDER BY run LIMIT 1
                ),
                0
            )
        )
    FROM runs CROSS JOIN LATERAL (
        SELECT '' AS tag
        UNION ALL
        SELECT jsonb_array_elements_text(coalesce((SELECT tags FROM labels WHERE run = number), '[]')::jsonb)
    ) AS each
    WHERE number = NEW.run AND NOT final;
    RETURN NULL;
END $$;

CREATE TRIGGER execution_queued AFTER INSERT ON executions FOR EACH ROW EXECUTE FUNCTION execution_queued();

CREATE FUNCTION execution_queued_anew() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE queue SET
        wanted = NEW.wanted, leased_until = CASE WHEN NEW.fence > 0 THEN NEW.lease_until ELSE 0.0 END
    WHERE run = NEW.run;
    RETURN NULL;
END $$;

-- A report changes none of these.
CREATE TRIGGER execution_queued_anew AFTER UPDATE OF wanted, fence, lease_until ON executions
FOR EACH ROW WHEN (
    NEW.wanted <> OLD.wanted OR NEW.fence <> OLD.fence OR NEW.lease_until <> OLD.lease_until
) EXECUTE FUNCTION execution_queued_anew();

CREATE FUNCTION run_queued_anew() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.final THEN
        DELETE FROM queue WHERE run = NEW.number;
    ELSE
        UPDATE queue SET state = NEW.state WHERE run = NEW.number;
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER run_queued_anew AFTER UPDATE OF state, final ON runs
FOR EACH ROW WHEN (NEW.lease IS NOT NULL AND (NEW.final OR NEW.state <> OLD.state))
EXECUTE FUNCTION run_queued_anew();

CREATE FUNCTION label_queued() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM queue WHERE run = NEW.run AND tag <> '';
    INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
    SELECT run, each, kind, owner, wanted, state, short, needs, leased_until, turn
    FROM queue CROSS JOIN jsonb_array_elements_text(NEW.tags::jsonb) AS each
    WHERE run = NEW.run AND tag = '';
    RETURN NULL;
END $$;

CREATE TRIGGER label_queued AFTER INSERT OR UPDATE OF tags ON labels FOR EACH ROW EXECUTE FUNCTION label_queued();

CREATE FUNCTION needs_queued_anew() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE queue SET needs = NEW.needs WHERE run = NEW.run;
    RETURN NULL;
END $$;

CREATE TRIGGER needs_queued_anew AFTER UPDATE OF needs ON needs
FOR EACH ROW WHEN (NEW.needs <> OLD.needs) EXECUTE FUNCTION needs_queued_anew();

-- A queued run with its execution.
CREATE VIEW queued_runs AS
SELECT
    queue.run AS queued, leased_until, runs.state, position, version,
    coalesce((SELECT generation FROM generations WHERE run = number), 0) AS generation, lines, number, id,
    runs.kind, runs.owner, lease, executions.run, timeout, executions.wanted, attempt, seconds, deaths, holder,
    fence, lease_until, progress,
    (SELECT needs FROM needs WHERE run = number) AS needs,
    (SELECT computed_by FROM needs WHERE run = number) AS computed_by,
    coalesce((SELECT coalesce(stored_files.version, -1) FROM stored_files WHERE run = number), 0) AS stored,
    executions.checksum
FROM queue
    LEFT JOIN runs ON number = queue.run
    LEFT JOIN executions ON executions.run = queue.run
WHERE queue.tag = '';

-- The runs that a worker may claim next: of some groups, which are a JSON array, the waiting run whose turn it is, and
-- in each group the run whose lease ended first. They are locked as `enter` does; runs that another transaction has
-- locked are skipped. What has changed until the lock was taken is seen, since each statement here looks anew.
CREATE FUNCTION claimable(groups jsonb) RETURNS SETOF queued_runs LANGUAGE plpgsql AS $$
DECLARE
    candidate record;
    done text[] := '{}';
BEGIN
    FOR candidate IN
        SELECT first.run, first.asked, id
        FROM (
            SELECT found.run, turn, '' AS asked
            FROM jsonb_array_elements(groups) AS wished CROSS JOIN LATERAL (
                SELECT queue.run, turn FROM queue
                WHERE tag = wished ->> 0 AND kind = wished ->> 1 AND wanted = wished ->> 2
                    AND state = wished ->> 3 AND short = (wished ->> 4)::integer::boolean
                    AND needs = wished ->> 5 AND leased_until = 0
                ORDER BY turn, queue.run LIMIT 64
            ) AS found
            UNION ALL
            SELECT found.run, turn, wished::text
            FROM jsonb_array_elements(groups) AS wished CROSS JOIN LATERAL (
                SELECT queue.run, turn FROM queue
                WHERE tag = wished ->> 0 AND kind = wished ->> 1 AND wanted = wished ->> 2
                    AND state = wished ->> 3 AND short = (wished ->> 4)::integer::boolean
                    AND needs = wished ->> 5 AND leased_until > 0 AND leased_until <= unix_time()
                ORDER BY leased_until LIMIT 64
            ) AS found
        ) AS first JOIN runs ON number = first.run
        ORDER BY turn, first.run
    LOOP
        CONTINUE WHEN candidate.asked = ANY (done)
            OR NOT pg_try_advisory_xact_lock(lock_key('run ' || candidate.id));
        RETURN QUERY SELECT * FROM queued_runs WHERE queued = candidate.run AND leased_until <= unix_time()
            AND EXISTS (
                SELECT 1 FROM queue CROSS JOIN jsonb_array_elements(groups) AS wished
                WHERE queue.run = candidate.run AND tag = wished ->> 0 AND kind = wished ->> 1
                    AND wanted = wished ->> 2 AND state = wished ->> 3
                    AND short = (wished ->> 4)::integer::boolean AND needs = wished ->> 5
            );
        IF FOUND THEN
            done := done || candidate.asked;
        END IF;
    END LOOP;
END $$;

-- The hour for which a blob stays counts from when no savepoint names it any more.
CREATE FUNCTION blob_let_go() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    UPDATE blobs SET used = unix_time() WHERE number = OLD.blob;
    RETURN NULL;
END $$;

CREATE TRIGGER blob_let_go AFTER DELETE ON savepoint_blobs FOR EACH ROW EXECUTE FUNCTION blob_let_go();

-- What takes the place of a savepoint names blobs of its own.
CREATE FUNCTION savepoint_replaced() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    DELETE FROM savepoint_blobs WHERE run = NEW.run AND timestamp = NEW.timestamp;
    RETURN NULL;
END $$;

CREATE TRIGGER savepoint_replaced AFTER UPDATE OF blob ON savepoints
FOR EACH ROW EXECUTE FUNCTION savepoint_replaced();
