-- The named queries of the adapter for PostgreSQL. The table is that of BPTK-Py.

-- columns: instance
state, instance_id, time, "timeout.weeks", "timeout.days", "timeout.hours", "timeout.minutes", "timeout.seconds",
    "timeout.milliseconds", "timeout.microseconds", step

-- name: prepare_alone
-- Of servers that open a table at the same time, let one prepare it
SELECT pg_advisory_xact_lock(hashtextextended('perdure.external_state', 0));

-- name: create_table
-- Create the table unless it exists
CREATE TABLE IF NOT EXISTS state (
    state text,
    instance_id text,
    time text,
    "timeout.weeks" double precision,
    "timeout.days" double precision,
    "timeout.hours" double precision,
    "timeout.minutes" double precision,
    "timeout.seconds" double precision,
    "timeout.milliseconds" double precision,
    "timeout.microseconds" double precision,
    step double precision
);

-- name: has_whole_numbers
-- Read whether a table of BPTK-Py still has columns for whole numbers
SELECT EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = to_regclass('state') AND atttypid = 'bigint'::regtype
);

-- name: allow_fractions
-- Let steps and timeouts be fractions
ALTER TABLE state
    ALTER COLUMN "timeout.weeks" TYPE double precision,
    ALTER COLUMN "timeout.days" TYPE double precision,
    ALTER COLUMN "timeout.hours" TYPE double precision,
    ALTER COLUMN "timeout.minutes" TYPE double precision,
    ALTER COLUMN "timeout.seconds" TYPE double precision,
    ALTER COLUMN "timeout.milliseconds" TYPE double precision,
    ALTER COLUMN "timeout.microseconds" TYPE double precision,
    ALTER COLUMN step TYPE double precision;

-- name: is_unique
-- Read whether each instance has at most one row
SELECT EXISTS (
    SELECT FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = indkey[0]
    WHERE indrelid = to_regclass('state') AND indisunique AND indnkeyatts = 1 AND attname = 'instance_id'
        AND indpred IS NULL
);

-- name: delete_duplicates
-- Keep the row of the latest step of each instance; BPTK-Py inserts two if two servers save one for the first time
DELETE FROM state USING (
    SELECT ctid AS place, row_number() OVER (
        PARTITION BY instance_id ORDER BY step DESC NULLS LAST, time DESC, ctid DESC
    ) AS number FROM state
) AS ranked
WHERE state.ctid = place AND number > 1;

-- name: make_unique
-- Let each instance have at most one row
CREATE UNIQUE INDEX ON state (instance_id);

-- name: load
-- Read an instance with its version: the transaction that wrote the row, which differs after each change
SELECT xmin::text, {instance} FROM state WHERE instance_id = %s;

-- name: list
-- Read all instances
SELECT xmin::text, {instance} FROM state ORDER BY instance_id;

-- name: insert
-- Insert an instance unless there is one; return its version
INSERT INTO state ({instance}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (instance_id) DO NOTHING RETURNING xmin::text;

-- name: update
-- Replace an instance if it has a version; return its new one
UPDATE state SET ({instance}) = ROW (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
WHERE instance_id = %s AND xmin = %s::xid RETURNING xmin::text;

-- name: delete
-- Delete an instance
DELETE FROM state WHERE instance_id = %s;

-- name: delete_unchanged
-- Delete an instance if it has a version; return whether that was so
DELETE FROM state WHERE instance_id = %s AND xmin = %s::xid RETURNING xmin::text;

-- name: exists
-- Read whether there is an instance
SELECT true FROM state WHERE instance_id = %s;
