-- The named queries of the PostgreSQL store, in the form of those of the SQLite store, of which most are the same.

-- columns: run
runs.id, kind, runs.owner, spec, state, outcome, reason, position, version, created, updated, runs.parent,
    parent_position, number, coalesce(generation, 0), coalesce(name, ''), coalesce(tags, '[]'), identity

-- columns: execution
number, id, kind, owner, lease, executions.run, timeout, wanted, attempt, seconds, deaths, holder, fence, lease_until,
    progress, (SELECT needs FROM needs WHERE run = number), (SELECT computed_by FROM needs WHERE run = number),
    coalesce((SELECT coalesce(version, -1) FROM stored_files WHERE run = number), 0), executions.checksum

-- name: next_run_numbers
-- Take the numbers of the next runs, as many as are asked for; numbers are never reused
SELECT nextval('run_numbers') FROM generate_series(1, $1);

-- name: insert_run
-- Insert a new run
INSERT INTO runs (
    number, id, kind, owner, state, final, outcome, reason, position, version, created, updated, parent,
    parent_position, identity
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15);

-- name: insert_spec
-- Insert the spec of a new run
INSERT INTO specs (run, spec) VALUES ($1, $2);

-- name: insert_run_key
-- Record the key with which an owner created a run
INSERT INTO run_keys (owner, text, ordinal, body_hash, run, checksum) VALUES ($1, $2, $3, $4, $5, $6);

-- name: find_run_key
-- Find the run of an owner's key; its columns are NULL if the run is missing
SELECT body_hash, run_keys.run, checksum, {run}
FROM run_keys
    LEFT JOIN runs ON runs.number = run_keys.run
    LEFT JOIN specs ON specs.run = run_keys.run
    LEFT JOIN generations ON generations.run = run_keys.run
    LEFT JOIN labels ON labels.run = run_keys.run
WHERE run_keys.owner = $1 AND text = $2 AND ordinal = $3;

-- name: find_run
-- Find a run by its id, without its spec
SELECT number, state, position, version,
    coalesce((SELECT generation FROM generations WHERE run = number), 0), lease, lines
FROM runs WHERE id = $1;

-- name: find_owner
-- Find the owner of a run by its id, as bytes
SELECT convert_to(owner, 'UTF8') FROM runs WHERE id = $1;

-- name: find_run_id
-- Find the id of a run by its number
SELECT id FROM runs WHERE number = $1;

-- name: list_parents
-- Find the forks of an owner, or of all, each with its parent, in the order of their creation
SELECT id, parent FROM runs WHERE parent IS NOT NULL AND ($1::text IS NULL OR owner = $1) ORDER BY number;

-- name: read_run
-- Read a run by its id
SELECT {run}
FROM runs
    JOIN specs ON specs.run = runs.number
    LEFT JOIN generations ON generations.run = runs.number
    LEFT JOIN labels ON labels.run = runs.number
WHERE id = $1;

-- name: read_run_by_number
-- Read a run by its number
SELECT {run}
FROM runs
    JOIN specs ON specs.run = runs.number
    LEFT JOIN generations ON generations.run = runs.number
    LEFT JOIN labels ON labels.run = runs.number
WHERE number = $1;

-- name: list_versions
-- Read the versions of the runs whose ids are in a JSON array; the renewal of a lease doesn't change a version
SELECT runs.id, number, version, position, lines, fence, wanted, attempt, seconds, deaths, progress
FROM jsonb_array_elements_text($1::jsonb) AS asked
    JOIN runs ON runs.id = asked
    LEFT JOIN executions ON executions.run = runs.number;

-- name: list_run_numbers
-- Read the numbers of all runs
SELECT number FROM runs;

-- name: list_kinds_and_states
-- Find the kinds and states of runs with a tag, each by a lookup after the previous one
WITH RECURSIVE found AS (
    (SELECT kind, state FROM tags WHERE tag = $1 ORDER BY kind, state LIMIT 1)
    UNION ALL
    SELECT following.kind, following.state
    FROM found CROSS JOIN LATERAL (
        SELECT kind, state FROM tags
        WHERE tag = $1 AND (kind, state) > (found.kind, found.state)
        ORDER BY kind, state LIMIT 1
    ) AS following
)
SELECT kind, state FROM found;

-- name: list_kinds_and_states_of_owner
-- Find the kinds and states of an owner's runs with a tag, as list_kinds_and_states does
WITH RECURSIVE found AS (
    (SELECT kind, state FROM tags WHERE tag = $1 AND owner = $2 ORDER BY kind, state LIMIT 1)
    UNION ALL
    SELECT following.kind, following.state
    FROM found CROSS JOIN LATERAL (
        SELECT kind, state FROM tags
        WHERE tag = $1 AND owner = $2 AND (kind, state) > (found.kind, found.state)
        ORDER BY kind, state LIMIT 1
    ) AS following
)
SELECT kind, state FROM found;

-- name: count_tagged
-- Count the runs with a tag, up to a limit
SELECT count(*) FROM (SELECT 1 FROM tags WHERE tag = $1 LIMIT $2) AS counted;

-- name: count_tagged_of_owner
-- Count an owner's runs with a tag, up to a limit
SELECT count(*) FROM (
    SELECT 1 FROM tags WHERE tag = $1 AND owner = $3 LIMIT $2
) AS counted;

-- name: read_runs
-- Read the runs whose numbers are in a JSON array, in its order
SELECT {run}
FROM jsonb_array_elements_text($1::jsonb) WITH ORDINALITY AS asked (value, key)
    JOIN runs ON runs.number = asked.value::bigint
    JOIN specs ON specs.run = runs.number
    LEFT JOIN generations ON generations.run = runs.number
    LEFT JOIN labels ON labels.run = runs.number
ORDER BY asked.key;

-- name: list_rows_of_run
-- Read the rows of lists for one run
SELECT tag, owner, kind, state, created, updated, name FROM tags WHERE run = $1;

-- name: list_wrong_rows
-- Find the runs whose rows of lists are wrong
SELECT id FROM runs WHERE number IN (
    SELECT run FROM (
        SELECT run, tag, tags_of_runs.owner, tags_of_runs.kind, tags_of_runs.state, tags_of_runs.created,
            CASE WHEN final THEN tags_of_runs.updated ELSE 0 END, name
        FROM tags_of_runs JOIN runs AS listed ON listed.number = run
        EXCEPT
        SELECT run, tag, tags.owner, tags.kind, tags.state, tags.created,
            CASE WHEN final THEN tags.updated ELSE 0 END, name
        FROM tags JOIN runs AS listed ON listed.number = run
    ) AS missing
    UNION
    SELECT run FROM (SELECT run, tag FROM tags EXCEPT SELECT run, tag FROM tags_of_runs) AS surplus
) ORDER BY number;

-- name: clear_rows
-- Delete the rows of lists
DELETE FROM tags;

-- name: fill_rows
-- Insert the rows of lists for all runs
INSERT INTO tags SELECT * FROM tags_of_runs;

-- name: count_live_runs_of_owner
-- Count the runs of an owner that are not in a final state
SELECT count(*) FROM runs WHERE owner = $1 AND NOT final;

-- name: read_owner
-- Read the number of an owner's runs, the bytes of their results, and that this sum is stored
SELECT runs, bytes, true FROM owners WHERE owner = $1 AND $2::boolean IS NOT NULL;

-- name: list_owners
-- Read the counts of all owners
SELECT convert_to(owner, 'UTF8'), runs, bytes FROM owners;

-- name: count_owners
-- Count the runs of all owners, and the bytes of their results, from the rows themselves
SELECT convert_to(runs.owner, 'UTF8'), count(*), coalesce(sum(length(results.result)), 0)::bigint
FROM runs LEFT JOIN results ON results.run = runs.number
GROUP BY runs.owner;

-- name: clear_owners
-- Delete the counts of all owners
DELETE FROM owners;

-- name: fill_owners
-- Insert the counts of all owners from the rows
INSERT INTO owners (owner, runs, bytes)
SELECT runs.owner, count(*), coalesce(sum(length(results.result)), 0)
FROM runs LEFT JOIN results ON results.run = runs.number
GROUP BY runs.owner;

-- name: change_run
-- Change a run's record; a NULL leaves a column unchanged
UPDATE runs SET
    state = coalesce($2, state), final = coalesce($3::boolean, final), outcome = coalesce($4, outcome),
    reason = coalesce($5, reason), version = version + 1, updated = coalesce($6::double precision, updated)
WHERE number = $1;

-- name: raise_generation
-- Raise the generation of a run, which fences writers without a lease
INSERT INTO generations (run, generation) VALUES ($1, 1)
ON CONFLICT (run) DO UPDATE SET generation = generations.generation + 1;

-- name: put_label
-- Set a run's name and tags; a NULL leaves them unchanged
INSERT INTO labels (run, name, tags) VALUES ($1, coalesce($2::text, ''), coalesce($3::text, '[]'))
ON CONFLICT (run) DO UPDATE SET name = coalesce($2::text, labels.name), tags = coalesce($3::text, labels.tags);

-- name: change_spec
-- Change a run's spec
UPDATE specs SET spec = $2 WHERE run = $1;

-- name: delete_run
-- Delete a run, with its steps, savepoints and keys
DELETE FROM runs WHERE number = $1;

-- name: advance_run
-- Record the length of a run's log
UPDATE runs SET position = $2, updated = $3 WHERE number = $1;

-- name: insert_step
-- Add a step to a log
INSERT INTO steps (run, position, inputs, outputs) VALUES ($1, $2, $3, $4);

-- name: insert_step_key
-- Record the key of a step
INSERT INTO step_keys (run, text, ordinal, body_hash, position, checksum) VALUES ($1, $2, $3, $4, $5, $6);

-- name: find_step_key
-- Find the step of a run's key
SELECT run, body_hash, position, checksum,
    (SELECT inputs FROM steps WHERE steps.run = step_keys.run AND steps.position = step_keys.position),
    (SELECT outputs FROM steps WHERE steps.run = step_keys.run AND steps.position = step_keys.position)
FROM step_keys
WHERE run = (SELECT number FROM runs WHERE id = $1) AND text = $2 AND ordinal = $3;

-- name: find_step
-- Read whether a run has a step
SELECT 1 FROM runs JOIN steps ON steps.run = runs.number WHERE runs.id = $1 AND steps.position = $2;

-- name: count_steps
-- Count the existing ones of a run's first steps
SELECT count(*) FROM runs JOIN steps ON steps.run = runs.number WHERE runs.id = $1 AND steps.position <= $2;

-- name: list_step_keys_of_run
-- Read the keys of a run's steps after a position
SELECT run, text, ordinal, body_hash, step_keys.position, checksum
FROM runs JOIN step_keys ON step_keys.run = runs.number
WHERE runs.id = $1 AND step_keys.position > $2
ORDER BY step_keys.position;

-- name: find_creation_key
-- Find the key with which a run was created
SELECT run, run_keys.owner, text, ordinal, body_hash, checksum
FROM runs JOIN run_keys ON run_keys.run = runs.number
WHERE runs.id = $1;

-- name: list_steps
-- Read the steps of a run after a position, each with the run's number of steps; for none, one row without a step
SELECT steps.position, inputs, outputs, runs.position
FROM runs LEFT JOIN steps ON steps.run = runs.number AND steps.position > $2
WHERE runs.id = $1
ORDER BY steps.position
LIMIT $3;

-- name: repair_step
-- Replace the blobs of a step
UPDATE steps SET inputs = $3, outputs = $4 WHERE run = $1 AND position = $2;

-- name: copy_steps
-- Copy the first steps of a run to another
INSERT INTO steps (run, position, inputs, outputs)
SELECT $1, position, inputs, outputs FROM steps WHERE run = $2 AND position <= $3 ORDER BY position;

-- name: copy_savepoints
-- Copy savepoint 0, the milestones, and the newest savepoint before a step of a run to another, without marks
INSERT INTO savepoints (run, timestamp, position, created, name, pinned, milestone, blob)
SELECT $1, timestamp, position, created, NULL, false, milestone, blob FROM savepoints
WHERE run = $2 AND position <= $3 AND (
    milestone OR timestamp = 0
    OR timestamp = (SELECT max(timestamp) FROM savepoints WHERE run = $2 AND position < $3)
)
ORDER BY timestamp;

-- name: copy_savepoint_blobs
-- Let the savepoints of a run that were copied from another name the blobs that those name
INSERT INTO savepoint_blobs (run, timestamp, blob)
SELECT $1, timestamp, savepoint_blobs.blob
FROM savepoints JOIN savepoint_blobs USING (timestamp)
WHERE savepoints.run = $1 AND savepoint_blobs.run = $2;

-- name: put_savepoint
-- Insert or replace a savepoint; the marks of a former one with its timestamp stay
INSERT INTO savepoints (run, timestamp, position, created, name, pinned, milestone, blob, lines)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, (SELECT lines FROM runs WHERE number = $1))
ON CONFLICT (run, timestamp) DO UPDATE SET
    position = excluded.position, created = excluded.created, blob = excluded.blob, lines = excluded.lines,
    name = coalesce(excluded.name, savepoints.name), pinned = savepoints.pinned OR excluded.pinned,
    milestone = savepoints.milestone OR excluded.milestone;

-- name: prune_savepoints
-- Delete savepoints by retention: unmarked ones before the newest $2 + 1, except the new one
DELETE FROM savepoints
WHERE run = $1 AND NOT milestone AND NOT pinned AND name IS NULL AND timestamp <> 0 AND timestamp <> $3
    AND timestamp < (SELECT timestamp FROM savepoints WHERE run = $1 ORDER BY timestamp DESC LIMIT 1 OFFSET $2);

-- name: mark_savepoint
-- Name and pin a savepoint, or undo that
UPDATE savepoints SET name = $3, pinned = $4 WHERE run = $1 AND timestamp = $2;

-- name: find_savepoint
-- Describe a savepoint of a run
SELECT timestamp, savepoints.position, savepoints.created, length(blob), name, pinned, milestone
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = $1 AND timestamp = $2::bigint;

-- name: find_savepoint_named
-- Find another savepoint of a run with a name
SELECT timestamp
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = $1 AND name = $2::text AND timestamp <> $3;

-- name: list_savepoints
-- Describe the savepoints of a run
SELECT timestamp, savepoints.position, savepoints.created, length(blob), savepoints.name, pinned, milestone
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = $1
ORDER BY timestamp;

-- name: read_savepoint
-- Read a savepoint
SELECT timestamp, savepoints.position, milestone, blob
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = $1 AND timestamp = $2::bigint;

-- name: find_blobs
-- Find the blobs of an owner by hashes of a JSON array
SELECT number, hash, stored FROM blobs
WHERE owner = $1 AND NOT dying AND hash IN (SELECT jsonb_array_elements_text($2::jsonb) COLLATE "C");

-- name: next_blob_numbers
-- Take the numbers of the next blobs, as many as are asked for; none is used again
SELECT nextval('blob_numbers') FROM generate_series(1, $1);

-- name: insert_blob
-- Keep a new blob, whose object is written next
INSERT INTO blobs (number, owner, hash, size, used) VALUES ($1, $2, $3, $4, unix_time());

-- name: use_blob
-- Note that a blob is used
UPDATE blobs SET used = unix_time() WHERE number = $1;

-- name: count_blobs
-- Count those of the blobs with numbers of a JSON array that may be named
SELECT count(*) FROM blobs WHERE NOT dying AND number IN (SELECT jsonb_array_elements_text($1::jsonb)::bigint);

-- name: name_blobs
-- Let a savepoint name blobs with the numbers of a JSON array
INSERT INTO savepoint_blobs (run, timestamp, blob) SELECT $1::bigint, $2::bigint, jsonb_array_elements_text($3::jsonb)::bigint;

-- name: note_blobs_stored
-- Note that the objects of blobs with the numbers of a JSON array are there
UPDATE blobs SET stored = true
WHERE NOT stored AND number IN (SELECT jsonb_array_elements_text($1::jsonb)::bigint);

-- name: list_unnamed_blobs
-- Find blobs that no savepoint has named for so many seconds, and those that are dying
SELECT number, owner, hash, stored FROM blobs
WHERE dying OR (
    used <= unix_time() - $1::double precision AND NOT EXISTS (SELECT 1 FROM savepoint_blobs WHERE blob = number)
)
LIMIT $2;

-- name: condemn_blob
-- Let nobody use a blob any more
UPDATE blobs SET dying = true WHERE number = $1;

-- name: delete_blob
-- Forget a blob
DELETE FROM blobs WHERE number = $1;

-- name: insert_unstored
-- Note that a run writes files, none of which are stored yet
INSERT INTO stored_files (run) VALUES ($1);

-- name: set_stored
-- Note the version of what is stored of a run; the first one stays
INSERT INTO stored_files (run, version) VALUES ($1, $2)
ON CONFLICT (run) DO UPDATE SET version = $2 WHERE coalesce(stored_files.version, 0) = 0;

-- name: list_unstored
-- Read the ids of the runs that have ended and aren't stored yet
SELECT id FROM stored_files JOIN runs ON number = run WHERE stored_files.version IS NULL AND final ORDER BY run;

-- name: insert_execution
-- Insert a new execution
INSERT INTO executions (
    run, timeout, wanted, attempt, seconds, deaths, holder, fence, lease_until, progress, checksum
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11);

-- name: change_execution
-- Replace an execution
UPDATE executions SET
    timeout = $2, wanted = $3, attempt = $4, seconds = $5, deaths = $6, holder = $7, fence = $8,
    lease_until = $9, progress = $10, checksum = $11
WHERE run = $1;

-- name: insert_needs
-- Set the needs of a run
INSERT INTO needs (run, needs) VALUES ($1, $2);

-- name: set_computed_by
-- Set what a run is computed by
INSERT INTO needs (run, needs, computed_by) VALUES ($1, '', $2)
ON CONFLICT (run) DO UPDATE SET computed_by = excluded.computed_by;

-- name: bind_needs
-- Set the needs of a run to what it is computed by
UPDATE needs SET needs = computed_by WHERE run = $1;

-- name: set_lease
-- Set the fencing token of a lease in the run, where steps are checked
UPDATE runs SET lease = $2 WHERE number = $1 AND lease IS DISTINCT FROM $2;

-- name: read_execution
-- Read a run's execution and result by its id, if it has them
SELECT {execution}, answered, result, results.checksum
FROM runs
    LEFT JOIN executions ON executions.run = runs.number
    LEFT JOIN results ON results.run = runs.number
WHERE id = $1;

-- name: find_execution
-- Read a run's execution by its id, without its result, if it has one
SELECT {execution}, NULL, NULL, NULL
FROM runs LEFT JOIN executions ON executions.run = runs.number
WHERE id = $1;

-- name: read_execution_by_number
-- Read a run's execution and result by its number, if it has them
SELECT {execution}, answered, result, results.checksum
FROM runs
    LEFT JOIN executions ON executions.run = runs.number
    LEFT JOIN results ON results.run = runs.number
WHERE number = $1;

-- name: list_executed
-- Read the numbers of the unfinished runs that have an execution, in the order of creation
SELECT number FROM runs WHERE NOT final AND lease IS NOT NULL ORDER BY number;

-- name: clear_queue
-- Delete the queue
DELETE FROM queue;

-- name: fill_queue
-- Build the queue from the runs and executions
INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
SELECT *, dense_rank() OVER (PARTITION BY kind, owner ORDER BY run) FROM queue_of_runs;

-- name: list_waiting_groups
-- Find the groups with tags of a JSON array in which a run has no lease, each by a lookup after the previous one
WITH RECURSIVE found AS (
    SELECT first.*
    FROM jsonb_array_elements_text($1::jsonb) AS asked CROSS JOIN LATERAL (
        SELECT tag, kind, wanted, state, short, needs, leased_until FROM queue
        WHERE tag = asked
        ORDER BY kind, wanted, state, short, needs, leased_until LIMIT 1
    ) AS first
    UNION ALL
    SELECT following.*
    FROM found CROSS JOIN LATERAL (
        SELECT tag, kind, wanted, state, short, needs, leased_until FROM queue
        WHERE tag = found.tag AND (kind, wanted, state, short, needs, leased_until)
            > (found.kind, found.wanted, found.state, found.short, found.needs, 'infinity'::double precision)
        ORDER BY kind, wanted, state, short, needs, leased_until LIMIT 1
    ) AS following
)
SELECT tag, kind, wanted, state, short, needs FROM found WHERE leased_until <= $2;

-- name: list_unleased
-- Read the ids of the first runs of a group without a lease
SELECT id
FROM queue JOIN runs ON runs.number = queue.run
WHERE tag = $1 AND queue.kind = $2 AND wanted = $3 AND queue.state = $4 AND short = $5::integer::boolean
    AND needs = $6
    AND leased_until <= $7
ORDER BY leased_until, turn, run
LIMIT $8;

-- name: find_claimable
-- Lock and read, in groups of a JSON array, the next run without a lease, and in each group one whose lease has ended
SELECT
    queued, leased_until, number, state, position, version, generation, lease, lines, number, id, kind, owner, lease,
    run, timeout, wanted, attempt, seconds, deaths, holder, fence, lease_until, progress, needs, computed_by, stored,
    checksum, NULL, NULL, NULL
FROM claimable($1::jsonb);

-- name: forget_queued
-- Remove a run from the queue
DELETE FROM queue WHERE run = $1;

-- name: fill_queue_of_run
-- Insert a run into the queue as its execution says, before the others
INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
SELECT *, 0 FROM queue_of_runs WHERE run = $1;

-- name: count_waiting_before
-- Count the runs of the same kind that wait before one; no row if it doesn't wait itself
SELECT (
    SELECT count(*) FROM queue AS earlier
    WHERE earlier.tag = '' AND earlier.kind = queue.kind AND earlier.wanted = 'started' AND earlier.leased_until = 0
        AND earlier.run < queue.run
) + (
    SELECT count(*) FROM queue AS earlier
    WHERE earlier.tag = '' AND earlier.kind = queue.kind AND earlier.wanted = 'started' AND earlier.leased_until > 0
        AND earlier.leased_until <= $2 AND earlier.run < queue.run
)
FROM runs JOIN queue ON queue.run = runs.number AND queue.tag = ''
WHERE runs.id = $1 AND wanted = 'started' AND leased_until <= $2;

-- name: count_queue
-- Count the runs in the queue by kind, owner, and whether they are paused, worked on, or wait
SELECT
    kind, owner,
    CASE WHEN wanted = 'paused' THEN 'paused' WHEN leased_until > $1 THEN 'working' ELSE 'waiting' END AS place,
    count(*)
FROM queue
WHERE tag = ''
GROUP BY kind, owner, place;

-- name: count_waiting
-- Count the runs that wait for a worker by tag and kind, with the last change of the one that changed longest ago
SELECT tag, queue.kind, count(*), min(updated)
FROM queue JOIN runs ON runs.number = queue.run
WHERE wanted = 'started' AND leased_until <= $1
GROUP BY tag, queue.kind
ORDER BY tag, queue.kind;

-- name: list_wrong_queue
-- Find the numbers of runs whose rows in the queue are wrong
WITH kept AS (
    SELECT run, tag, kind, owner, wanted, state, short, needs, leased_until FROM queue
)
SELECT run FROM (SELECT * FROM kept EXCEPT SELECT * FROM queue_of_runs) AS surplus
UNION
SELECT run FROM (SELECT * FROM queue_of_runs EXCEPT SELECT * FROM kept) AS missing;

-- name: list_all_executed
-- Read the numbers of all runs that have an execution, or should have one
SELECT run FROM executions UNION SELECT number FROM runs WHERE lease IS NOT NULL;

-- name: insert_result
-- Insert the result of a run
INSERT INTO results (run, result, checksum) VALUES ($1, $2, $3);

-- name: note_result
-- Record that a run has a result
UPDATE executions SET answered = true WHERE run = $1;

-- name: list_largest_results
-- Read the bytes of an owner's largest results, if their sum has reached a limit; the results aren't read
SELECT runs.id, length(results.result) AS size
FROM owners JOIN runs ON runs.owner = owners.owner JOIN results ON results.run = runs.number
WHERE owners.owner = $1 AND owners.bytes >= $2::bigint
ORDER BY size DESC
LIMIT 3;

-- name: count_log_lines
-- Record the number of a run's last output line
UPDATE runs SET lines = $2 WHERE number = $1;

-- name: insert_log_line
-- Insert an output line of a run
INSERT INTO log_lines (run, number, time, level, text, bytes, checksum) VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: find_last_log_line
-- Read the total bytes of a run's output lines
SELECT bytes FROM log_lines
WHERE run = (SELECT number FROM runs WHERE id = $1)
ORDER BY number DESC LIMIT 1;

-- name: prune_log_bytes
-- Delete the output lines of a run up to the first that ends at or after some bytes, but not beyond a number
DELETE FROM log_lines WHERE run = $1 AND number <= least($3, (
    SELECT number FROM log_lines WHERE run = $1 AND bytes >= $2 ORDER BY number LIMIT 1
));

-- name: prune_log_lines
-- Delete the output lines of a run up to a number
DELETE FROM log_lines WHERE run = $1 AND number <= $2;

-- name: find_lines_at_savepoint
-- Read the number of the last output line before a savepoint
SELECT savepoints.lines
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = $1 AND timestamp = $2::bigint;

-- name: cut_log_lines
-- Delete the output lines of a run after a number
DELETE FROM log_lines WHERE run = $1 AND number > $2;

-- name: list_log_lines
-- Read the output lines of a run after a number, each with the run's number and the number of its last line
SELECT runs.number, runs.lines, log_lines.number, time, level, text, bytes, checksum
FROM runs LEFT JOIN log_lines ON log_lines.run = runs.number AND log_lines.number > $2
WHERE runs.id = $1
ORDER BY log_lines.number
LIMIT $3;

-- name: read_counter
-- Count the versions of documents and the tokens of leases; returns the number before, as a counter without gaps would
SELECT nextval('counter') - 1;

-- name: find_document
-- Find the version of a document of a dialect
SELECT version FROM records WHERE dialect = $1 AND id = $2;

-- name: find_used_document
-- Find the version and the last use of a document of a dialect
SELECT version, owner, stamp, accessed, lasts FROM records LEFT JOIN uses USING (dialect, id)
WHERE dialect = $1 AND id = $2;

-- name: put_use
-- Insert or replace the last use of a document
INSERT INTO uses (dialect, id, owner, stamp, accessed, lasts) VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (dialect, id) DO UPDATE SET
    owner = excluded.owner, stamp = excluded.stamp, accessed = excluded.accessed, lasts = excluded.lasts;

-- name: touch_use
-- Record the time of a document's last use
UPDATE uses SET stamp = $3, accessed = $4 WHERE dialect = $1 AND id = $2;

-- name: count_uses
-- Count the documents of an owner, except those whose last use is in a list
SELECT count(*) - (
    SELECT count(*) FROM jsonb_each_text($3::jsonb) AS idle
    JOIN uses ON dialect = $1 AND uses.id = idle.key AND stamp = idle.value::bigint AND owner = $2
)
FROM uses WHERE dialect = $1 AND owner = $2;

-- name: list_uses
-- Read the last uses of all documents of a dialect
SELECT id, owner, stamp, accessed, lasts FROM uses WHERE dialect = $1;

-- name: put_document
-- Insert or replace a document of a dialect
INSERT INTO records (dialect, id, version, blob, checksum) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (dialect, id) DO UPDATE SET
    version = excluded.version, blob = excluded.blob, checksum = excluded.checksum;

-- name: delete_document
-- Delete a document of a dialect
DELETE FROM records WHERE dialect = $1 AND id = $2;

-- name: read_document
-- Read a document of a dialect
SELECT dialect, id, version, blob, checksum, owner, stamp, accessed, lasts
FROM records LEFT JOIN uses USING (dialect, id) WHERE dialect = $1 AND id = $2;

-- name: list_documents
-- Read all documents of a dialect
SELECT dialect, id, version, blob, checksum, owner, stamp, accessed, lasts
FROM records LEFT JOIN uses USING (dialect, id) WHERE dialect = $1 ORDER BY id;

-- name: list_documents_of_owner
-- Read an owner's documents of a dialect
SELECT dialect, id, version, blob, checksum, owner, stamp, accessed, lasts
FROM uses JOIN records USING (dialect, id) WHERE dialect = $1 AND owner = $2 ORDER BY id;

-- name: list_document_ids
-- Read the ids of all documents
SELECT dialect, id FROM records ORDER BY dialect, id;

-- name: check_table
-- Say ok of a derived table: PostgreSQL reports a damaged page when it is read
SELECT 'ok' WHERE $1::text IS NOT NULL;

-- name: list_step_keys
-- Read the keys of all steps
SELECT run, text, ordinal, body_hash, position, checksum FROM step_keys;

-- name: list_run_keys
-- Read the keys of all runs
SELECT run, owner, text, ordinal, body_hash, checksum FROM run_keys;

-- name: begin
-- Begin a transaction, each of whose statements sees what has been committed before it
BEGIN ISOLATION LEVEL READ COMMITTED;

-- name: begin_snapshot
-- Begin a transaction whose statements all see the same moment
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- name: lock_derived_tables
-- Let nobody else write the derived tables until the end of the transaction; this takes no snapshot yet
LOCK TABLE queue, tags, owners IN EXCLUSIVE MODE;

-- name: read_backend
-- Read the number of the server's process
SELECT pg_backend_pid();

-- name: begin_reading
-- Begin a transaction of reads that all see the same moment
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: commit
-- Commit a transaction
COMMIT;

-- name: rollback
-- Roll back a transaction
ROLLBACK;

-- name: enter
-- Take the locks of a transaction, and read its number and its time
SELECT transaction, now FROM enter($1, $2);

-- name: note_commit
-- Record which transaction is committed in a slot of a process
INSERT INTO commits (slot, token, made) VALUES ($1, $2, unix_time())
ON CONFLICT (slot) DO UPDATE SET token = excluded.token, made = excluded.made;

-- name: find_outcome
-- Read whether the server is a standby, and whether a transaction was the last one that was committed in its slot
SELECT pg_is_in_recovery(), EXISTS (SELECT 1 FROM commits WHERE slot = $1 AND token = $2);

-- name: end_transaction
-- End the connection of a lost transaction unless it is committing; no row if it has ended and this is no standby
SELECT CASE
    WHEN wait_event = 'SyncRep' OR state = 'active' AND query ILIKE 'commit%' THEN false
    ELSE pg_terminate_backend(pid)
END
FROM pg_stat_activity WHERE backend_xid = (($1::text::numeric) % 4294967296)::text::xid
UNION ALL SELECT false WHERE pg_is_in_recovery();

-- name: read_clock
-- Read the time of the database
SELECT unix_time();

-- name: read_revision
-- Read which transactions have ended
SELECT pg_current_snapshot()::text;

-- name: read_store
-- Read the name of the store
SELECT store FROM meta;

-- name: read_size
-- Read the bytes of the database
SELECT pg_database_size(current_database());

-- name: see_opening
-- Record that a process has the store open, and which migration it knows
INSERT INTO openings (opening, version, seen) VALUES ($1, $2, unix_time())
ON CONFLICT (opening) DO UPDATE SET version = excluded.version, seen = excluded.seen;

-- name: forget_opening
-- Forget a process that doesn't have the store open any more, and those that weren't seen for a day
WITH gone AS (DELETE FROM openings WHERE opening = $1 OR seen < unix_time() - 86400)
DELETE FROM commits WHERE starts_with(slot, $1) OR made < unix_time() - 86400;

-- name: list_other_openings
-- Find the other openings of the store that were seen within some seconds
SELECT opening FROM openings
WHERE opening <> $1 AND seen > unix_time() - $2::double precision
ORDER BY opening;

-- name: limit_idle
-- Let the server end the transaction if its client is silent for that many milliseconds
SELECT set_config('idle_in_transaction_session_timeout', $1, true);

-- name: limit_statements
-- Let the server end the transaction if a statement of it takes that many milliseconds
SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $1, true);

-- name: lock_migrations
-- Let nobody else migrate the database until the end of the transaction
SELECT pg_advisory_xact_lock(hashtextextended('perdure migrations', 0));

-- name: look_at_database
-- Read the encoding of the database, whether it has a store, and whether it has no tables at all
SELECT
    current_setting('server_encoding'), to_regclass('perdure_migrations') IS NOT NULL,
    NOT EXISTS (
        SELECT 1 FROM pg_class
        WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
    );

-- name: create_migrations
-- Create the table of the migrations that were applied
CREATE TABLE perdure_migrations (
    version bigint PRIMARY KEY,
    name text NOT NULL,
    post boolean NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);

-- name: list_migrations
-- Read the numbers of the migrations that were applied, and whether each is one after the deployment
SELECT version, post FROM perdure_migrations ORDER BY version;

-- name: find_older_opening
-- Find a process that has the store open, was seen within some seconds, and doesn't know a migration
SELECT 1 FROM openings WHERE version < $1 AND seen > unix_time() - $2::double precision LIMIT 1;

-- name: note_migration
-- Record that a migration was applied
INSERT INTO perdure_migrations (version, name, post) VALUES ($1, $2, $3);

-- name: notify
-- Send the notifications in a JSON array to all processes that listen
SELECT pg_notify('perdure', payload) FROM jsonb_array_elements_text($1::jsonb) AS payload;

-- name: listen
-- Receive notifications on this connection; once more, to find out whether it is alive
LISTEN perdure;

-- name: list_whole_savepoints
-- Read the savepoints of a run with all their columns
SELECT timestamp, savepoints.position, savepoints.created, savepoints.name, pinned, milestone, blob, savepoints.lines
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = $1
ORDER BY timestamp;

-- name: list_savepoint_blobs
-- Read the numbers of the blobs that the savepoints of a run name
SELECT timestamp, blob
FROM runs JOIN savepoint_blobs ON savepoint_blobs.run = runs.number
WHERE runs.id = $1
ORDER BY timestamp, blob;

-- name: replace_run
-- Replace what can change of a run's record
UPDATE runs SET
    state = $2, final = $3, outcome = $4, reason = $5, position = $6, version = $7, updated = $8
WHERE number = $1;

-- name: set_generation
-- Set the generation of a run
INSERT INTO generations (run, generation) VALUES ($1, $2)
ON CONFLICT (run) DO UPDATE SET generation = excluded.generation;

-- name: clear_run_key
-- Delete the key with which a run was created
DELETE FROM run_keys WHERE run = $1;

-- name: clear_savepoints
-- Delete the savepoints of a run
DELETE FROM savepoints WHERE run = $1;

-- name: insert_whole_savepoint
-- Insert a savepoint with all its columns
INSERT INTO savepoints (run, timestamp, position, created, name, pinned, milestone, blob, lines)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: clear_execution
-- Delete the execution of a run, with its result
DELETE FROM executions WHERE run = $1;

-- name: clear_needs
-- Delete the needs of a run
DELETE FROM needs WHERE run = $1;

-- name: insert_whole_needs
-- Set the needs of a run, and what it is computed by
INSERT INTO needs (run, needs, computed_by) VALUES ($1, $2, $3);

-- name: clear_stored
-- Delete whether the files of a run are stored
DELETE FROM stored_files WHERE run = $1;

-- name: list_blobs
-- Read blobs after a number, except those that are being removed
SELECT number, owner, hash, size, stored FROM blobs WHERE number > $1 AND NOT dying ORDER BY number LIMIT $2;

-- name: list_dialects
-- Read which dialects have documents
SELECT DISTINCT dialect FROM records ORDER BY dialect;

-- name: read_counters
-- Read the last numbers of runs, of blobs, and of versions of documents and tokens of leases
SELECT
    (SELECT last_value - (NOT is_called)::int FROM run_numbers),
    (SELECT last_value - (NOT is_called)::int FROM blob_numbers),
    (SELECT last_value - (NOT is_called)::int FROM counter);

-- name: raise_run_numbers
-- Let the numbers of runs go on after a number
SELECT setval('run_numbers', greatest($1::bigint, (SELECT last_value FROM run_numbers)));

-- name: raise_blob_numbers
-- Let the numbers of blobs go on after a number
SELECT setval('blob_numbers', greatest($1::bigint, (SELECT last_value FROM blob_numbers)));

-- name: raise_counter
-- Let the counter of the versions of documents and the tokens of leases go on after a number
SELECT setval('counter', greatest($1::bigint, (SELECT last_value FROM counter)));
