-- The named queries of the SQLite store: a line with the name, one with what it does, then the statement. Columns that
-- several queries read are defined before them under a name; a query names them in braces.

-- columns: run
runs.id, kind, runs.owner, spec, state, outcome, reason, position, version, created, updated, runs.parent,
    parent_position, number, coalesce(generation, 0), coalesce(name, ''), coalesce(tags, '[]'), identity

-- columns: found
number, state, position, version, coalesce((SELECT generation FROM generations WHERE run = number), 0), lease, lines

-- columns: execution
number, id, kind, owner, lease, executions.run, timeout, wanted, attempt, seconds, deaths, holder, fence, lease_until,
    progress, (SELECT needs FROM needs WHERE run = number), (SELECT computed_by FROM needs WHERE run = number),
    coalesce((SELECT coalesce(version, -1) FROM stored_files WHERE run = number), 0), executions.checksum

-- name: begin
-- Begin the transaction of a batch
BEGIN IMMEDIATE;

-- name: commit
-- Commit the transaction of a batch
COMMIT;

-- name: rollback
-- Roll back the transaction of a batch
ROLLBACK;

-- name: copy_store
-- Write a copy of the database to a file that is empty or doesn't exist
VACUUM INTO ?1;

-- name: read_meta
-- Read the store's identity, and the numbers of its last opening and its last transaction
SELECT store, opening, batch FROM meta;

-- name: write_probe
-- Write bytes without a meaning, to probe the disk
INSERT OR REPLACE INTO probe (one, content) VALUES (1, ?1);

-- name: set_batch
-- Number the transaction, so that its commit can be verified
UPDATE meta SET batch = ?1;

-- name: newest_change
-- Read the time of a run's last change
SELECT max(updated) FROM runs;

-- name: next_opening
-- Count the opening, so that a server which had opened the file before writes nothing more
UPDATE meta SET opening = opening + 1, batch = batch + 1 RETURNING store, opening, batch;

-- name: next_run_numbers
-- Read the numbers of the next runs, as many as are asked for; numbers are never reused
WITH RECURSIVE following (number) AS (
    SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'runs'
    UNION ALL
    SELECT number + 1 FROM following LIMIT ?1
)
SELECT number FROM following;

-- name: insert_run
-- Insert a new run
INSERT INTO runs (
    number, id, kind, owner, state, final, outcome, reason, position, version, created, updated, parent,
    parent_position, identity
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15);

-- name: insert_spec
-- Insert the spec of a new run
INSERT INTO specs (run, spec) VALUES (?1, ?2);

-- name: insert_run_key
-- Record the key with which an owner created a run
INSERT INTO run_keys (owner, text, ordinal, body_hash, run, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: find_run_key
-- Find the run of an owner's key; its columns are NULL if the run is missing
SELECT body_hash, run_keys.run, checksum, {run}
FROM run_keys
    LEFT JOIN runs ON runs.number = run_keys.run
    LEFT JOIN specs ON specs.run = run_keys.run
    LEFT JOIN generations ON generations.run = run_keys.run
    LEFT JOIN labels ON labels.run = run_keys.run
WHERE run_keys.owner = ?1 AND text = ?2 AND ordinal = ?3;

-- name: find_run
-- Find a run by its id, without its spec; a subquery takes a quarter of the time of a join
SELECT {found} FROM runs WHERE id = ?1;

-- name: find_owner
-- Find the owner of a run by its id, as bytes, since a name may be damaged UTF-8
SELECT CAST(owner AS BLOB) FROM runs WHERE id = ?1;

-- name: find_run_id
-- Find the id of a run by its number
SELECT id FROM runs WHERE number = ?1;

-- name: list_parents
-- Find the forks of an owner, or of all, each with its parent, in the order of their creation
SELECT id, parent FROM runs WHERE parent IS NOT NULL AND (?1 IS NULL OR owner = ?1) ORDER BY number;

-- name: read_run
-- Read a run by its id
SELECT {run}
FROM runs
    JOIN specs ON specs.run = runs.number
    LEFT JOIN generations ON generations.run = runs.number
    LEFT JOIN labels ON labels.run = runs.number
WHERE id = ?1;

-- name: read_run_by_number
-- Read a run by its number
SELECT {run}
FROM runs
    JOIN specs ON specs.run = runs.number
    LEFT JOIN generations ON generations.run = runs.number
    LEFT JOIN labels ON labels.run = runs.number
WHERE number = ?1;

-- name: list_versions
-- Read the versions of the runs whose ids are in a JSON array; the renewal of a lease doesn't change a version
SELECT runs.id, number, version, position, lines, fence, wanted, attempt, seconds, deaths, progress
FROM json_each(?1)
    CROSS JOIN runs ON runs.id = value
    LEFT JOIN executions ON executions.run = runs.number;

-- name: list_run_numbers
-- Read the numbers of all runs from an index, which is readable even if runs are damaged
SELECT number FROM runs INDEXED BY runs_by_owner;

-- name: list_kinds_and_states
-- Find the kinds and states of runs with a tag, each by a lookup after the previous one
WITH RECURSIVE found (run, kind, state) AS (
    SELECT run, kind, state FROM (
        SELECT run, kind, state FROM tags INDEXED BY tags_by_created
        WHERE tag = ?1
        ORDER BY kind, state LIMIT 1
    )
    UNION ALL
    SELECT following.run, following.kind, following.state
    FROM found CROSS JOIN tags AS following ON following.tag = ?1 AND following.run = (
        SELECT run FROM tags INDEXED BY tags_by_created
        -- With the plus signs the texts have no affinity, so that all three columns are compared in the index.
        WHERE tag = ?1 AND (kind, state, created) > (+found.kind, +found.state, 9e999)
        ORDER BY kind, state LIMIT 1
    )
)
SELECT kind, state FROM found;

-- name: list_kinds_and_states_of_owner
-- Find the kinds and states of an owner's runs with a tag, as list_kinds_and_states does
WITH RECURSIVE found (run, kind, state) AS (
    SELECT run, kind, state FROM (
        SELECT run, kind, state FROM tags INDEXED BY tags_of_owner_by_created
        WHERE tag = ?1 AND owner = ?2
        ORDER BY kind, state LIMIT 1
    )
    UNION ALL
    SELECT following.run, following.kind, following.state
    FROM found CROSS JOIN tags AS following ON following.tag = ?1 AND following.run = (
        SELECT run FROM tags INDEXED BY tags_of_owner_by_created
        WHERE tag = ?1 AND owner = ?2 AND (kind, state, created) > (+found.kind, +found.state, 9e999)
        ORDER BY kind, state LIMIT 1
    )
)
SELECT kind, state FROM found;

-- name: count_tagged
-- Count the runs with a tag, up to a limit
SELECT count(*) FROM (SELECT 1 FROM tags INDEXED BY tags_by_created WHERE tag = ?1 LIMIT ?2);

-- name: count_tagged_of_owner
-- Count an owner's runs with a tag, up to a limit
SELECT count(*) FROM (
    SELECT 1 FROM tags INDEXED BY tags_of_owner_by_created WHERE tag = ?1 AND owner = ?3 LIMIT ?2
);

-- name: read_runs
-- Read the runs whose numbers are in a JSON array, in its order
SELECT {run}
FROM json_each(?1) AS asked
    CROSS JOIN runs ON runs.number = asked.value
    JOIN specs ON specs.run = runs.number
    LEFT JOIN generations ON generations.run = runs.number
    LEFT JOIN labels ON labels.run = runs.number
ORDER BY asked.key;

-- name: list_rows_of_run
-- Read the rows of lists for one run
SELECT tag, owner, kind, state, created, updated, name FROM tags WHERE run = ?1;

-- name: list_wrong_rows
-- Find the runs whose rows of lists are wrong
SELECT id FROM runs WHERE number IN (
    SELECT run FROM (
        SELECT run, tag, tags_of_runs.owner, tags_of_runs.kind, tags_of_runs.state, tags_of_runs.created,
            iif(final, tags_of_runs.updated, 0), name
        FROM tags_of_runs JOIN runs AS listed ON listed.number = run
        EXCEPT
        SELECT run, tag, tags.owner, tags.kind, tags.state, tags.created, iif(final, tags.updated, 0), name
        FROM tags JOIN runs AS listed ON listed.number = run
    )
    UNION
    SELECT run FROM (SELECT run, tag FROM tags EXCEPT SELECT run, tag FROM tags_of_runs)
) ORDER BY number;

-- name: clear_rows
-- Delete the rows of lists
DELETE FROM tags;

-- name: fill_rows
-- Insert the rows of lists for all runs
INSERT INTO tags SELECT * FROM tags_of_runs;

-- name: fill_rows_of_run
-- Insert the rows of lists for one run
INSERT INTO tags SELECT * FROM tags_of_runs WHERE run = ?1;

-- name: are_rows_filled
-- Read whether all runs have rows of lists
SELECT listed FROM meta;

-- name: note_rows_filled
-- Record that all runs have rows of lists
UPDATE meta SET listed = 1;

-- name: count_live_runs_of_owner
-- Count the runs of an owner that are not in a final state
SELECT count(*) FROM runs WHERE owner = ?1 AND final = 0;

-- name: read_owner
-- Read the number of an owner's runs, the bytes of their results, and whether that sum was stored or computed now
SELECT runs, CASE WHEN bytes IS NULL AND ?2 THEN (
        SELECT coalesce(sum(length(results.result)), 0)
        FROM runs CROSS JOIN results ON results.run = runs.number
        WHERE runs.owner = ?1
    ) ELSE bytes END, bytes IS NOT NULL OR NOT ?2
FROM owners WHERE owner = ?1;

-- name: count_results
-- Sum the bytes of the results of an owner's runs that are from a schema without counts
UPDATE owners SET bytes = (
    SELECT coalesce(sum(length(results.result)), 0)
    FROM runs CROSS JOIN results ON results.run = runs.number
    WHERE runs.owner = ?1
)
WHERE owner = ?1 AND bytes IS NULL;

-- name: list_owners
-- Read the counts of all owners; names may be damaged UTF-8
SELECT CAST(owner AS BLOB), runs, bytes FROM owners;

-- name: count_owners
-- Count the runs of all owners, and the bytes of their results, from the rows themselves
SELECT CAST(runs.owner AS BLOB), count(*), coalesce(sum(length(results.result)), 0)
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
    state = coalesce(?2, state), final = coalesce(?3, final), outcome = coalesce(?4, outcome),
    reason = coalesce(?5, reason), version = version + 1, updated = coalesce(?6, updated)
WHERE number = ?1;

-- name: raise_generation
-- Raise the generation of a run, which fences writers without a lease
INSERT INTO generations (run, generation) VALUES (?1, 1)
ON CONFLICT (run) DO UPDATE SET generation = generation + 1;

-- name: put_label
-- Set a run's name and tags; a NULL leaves them unchanged
INSERT INTO labels (run, name, tags) VALUES (?1, coalesce(?2, ''), coalesce(?3, '[]'))
ON CONFLICT (run) DO UPDATE SET name = coalesce(?2, name), tags = coalesce(?3, tags);

-- name: change_spec
-- Change a run's spec
UPDATE specs SET spec = ?2 WHERE run = ?1;

-- name: delete_run
-- Delete a run, with its steps, savepoints and keys
DELETE FROM runs WHERE number = ?1;

-- name: advance_run
-- Record the length of a run's log
UPDATE runs SET position = ?2, updated = ?3 WHERE number = ?1;

-- name: insert_step
-- Add a step to a log
INSERT INTO steps (run, position, inputs, outputs) VALUES (?1, ?2, ?3, ?4);

-- name: insert_step_key
-- Record the key of a step
INSERT INTO step_keys (run, text, ordinal, body_hash, position, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6);

-- name: find_step_key
-- Find the step of a run's key; subqueries take a ninth of the time of joins
SELECT run, body_hash, position, checksum,
    (SELECT inputs FROM steps WHERE steps.run = step_keys.run AND steps.position = step_keys.position),
    (SELECT outputs FROM steps WHERE steps.run = step_keys.run AND steps.position = step_keys.position)
FROM step_keys
WHERE run = (SELECT number FROM runs WHERE id = ?1) AND text = ?2 AND ordinal = ?3;

-- name: find_step
-- Read whether a run has a step
SELECT 1 FROM runs JOIN steps ON steps.run = runs.number WHERE runs.id = ?1 AND steps.position = ?2;

-- name: count_steps
-- Count the existing ones of a run's first steps
SELECT count(*) FROM runs JOIN steps ON steps.run = runs.number WHERE runs.id = ?1 AND steps.position <= ?2;

-- name: list_step_keys_of_run
-- Read the keys of a run's steps after a position
SELECT run, text, ordinal, body_hash, step_keys.position, checksum
FROM runs JOIN step_keys ON step_keys.run = runs.number
WHERE runs.id = ?1 AND step_keys.position > ?2
ORDER BY step_keys.position;

-- name: find_creation_key
-- Find the key with which a run was created
SELECT run, run_keys.owner, text, ordinal, body_hash, checksum
FROM runs JOIN run_keys ON run_keys.run = runs.number
WHERE runs.id = ?1;

-- name: list_steps
-- Read the steps of a run after a position, each with the run's number of steps; for none, one row without a step
SELECT steps.position, inputs, outputs, runs.position
FROM runs LEFT JOIN steps ON steps.run = runs.number AND steps.position > ?2
WHERE runs.id = ?1
ORDER BY steps.position
LIMIT ?3;

-- name: repair_step
-- Replace the blobs of a step
UPDATE steps SET inputs = ?3, outputs = ?4 WHERE run = ?1 AND position = ?2;

-- name: copy_steps
-- Copy the first steps of a run to another
INSERT INTO steps (run, position, inputs, outputs)
SELECT ?1, position, inputs, outputs FROM steps WHERE run = ?2 AND position <= ?3 ORDER BY position;

-- name: copy_savepoints
-- Copy savepoint 0, the milestones, and the newest savepoint before a step of a run to another, without marks
INSERT INTO savepoints (run, timestamp, position, created, name, pinned, milestone, blob)
SELECT ?1, timestamp, position, created, NULL, 0, milestone, blob FROM savepoints
WHERE run = ?2 AND position <= ?3 AND (
    milestone <> 0 OR timestamp = 0
    OR timestamp = (SELECT max(timestamp) FROM savepoints WHERE run = ?2 AND position < ?3)
)
ORDER BY timestamp;

-- name: copy_savepoint_blobs
-- Let the savepoints of a run that were copied from another name the blobs that those name
INSERT INTO savepoint_blobs (run, timestamp, blob)
SELECT ?1, timestamp, savepoint_blobs.blob
FROM savepoints CROSS JOIN savepoint_blobs USING (timestamp)
WHERE savepoints.run = ?1 AND savepoint_blobs.run = ?2;

-- name: put_savepoint
-- Insert or replace a savepoint; the marks of a former one with its timestamp stay
INSERT INTO savepoints (run, timestamp, position, created, name, pinned, milestone, blob, lines)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, (SELECT lines FROM runs WHERE number = ?1))
ON CONFLICT (run, timestamp) DO UPDATE SET
    position = excluded.position, created = excluded.created, blob = excluded.blob, lines = excluded.lines,
    name = coalesce(excluded.name, name), pinned = max(pinned, excluded.pinned),
    milestone = max(milestone, excluded.milestone);

-- name: prune_savepoints
-- Delete savepoints by retention: unmarked ones before the newest ?2 + 1, except the new one
DELETE FROM savepoints
WHERE run = ?1 AND milestone = 0 AND pinned = 0 AND name IS NULL AND timestamp <> 0 AND timestamp <> ?3
    AND timestamp < (SELECT timestamp FROM savepoints WHERE run = ?1 ORDER BY timestamp DESC LIMIT 1 OFFSET ?2);

-- name: mark_savepoint
-- Name and pin a savepoint, or undo that
UPDATE savepoints SET name = ?3, pinned = ?4 WHERE run = ?1 AND timestamp = ?2;

-- name: find_savepoint
-- Describe a savepoint of a run
SELECT timestamp, savepoints.position, savepoints.created, length(blob), name, pinned, milestone
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = ?1 AND timestamp = ?2;

-- name: find_savepoint_named
-- Find another savepoint of a run with a name
SELECT timestamp
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = ?1 AND name = ?2 AND timestamp <> ?3;

-- name: list_savepoints
-- Describe the savepoints of a run
SELECT timestamp, savepoints.position, savepoints.created, length(blob), savepoints.name, pinned, milestone
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = ?1
ORDER BY timestamp;

-- name: read_savepoint
-- Read a savepoint
SELECT timestamp, savepoints.position, milestone, blob
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = ?1 AND timestamp = ?2;

-- name: find_blobs
-- Find the blobs of an owner by hashes of a JSON array
SELECT number, hash, stored FROM blobs
WHERE owner = ?1 AND dying = 0 AND hash IN (SELECT value FROM json_each(?2));

-- name: next_blob_numbers
-- Read the numbers of the next blobs, as many as are asked for; none is used again
WITH RECURSIVE following (number) AS (
    SELECT coalesce(max(seq), 0) + 1 FROM sqlite_sequence WHERE name = 'blobs'
    UNION ALL
    SELECT number + 1 FROM following LIMIT ?1
)
SELECT number FROM following;

-- name: insert_blob
-- Keep a new blob, whose object is written next
INSERT INTO blobs (number, owner, hash, size, used) VALUES (?1, ?2, ?3, ?4, unixepoch('subsec'));

-- name: use_blob
-- Note that a blob is used
UPDATE blobs SET used = unixepoch('subsec') WHERE number = ?1;

-- name: count_blobs
-- Count those of the blobs with numbers of a JSON array that may be named
SELECT count(*) FROM blobs WHERE dying = 0 AND number IN (SELECT value FROM json_each(?1));

-- name: name_blobs
-- Let a savepoint name blobs with the numbers of a JSON array
INSERT INTO savepoint_blobs (run, timestamp, blob) SELECT ?1, ?2, value FROM json_each(?3);

-- name: note_blobs_stored
-- Note that the objects of blobs with the numbers of a JSON array are there
UPDATE blobs SET stored = 1 WHERE stored = 0 AND number IN (SELECT value FROM json_each(?1));

-- name: list_unnamed_blobs
-- Find blobs that no savepoint has named for so many seconds, and those that are dying
SELECT number, owner, hash, stored FROM blobs
WHERE dying = 1 OR (
    used <= unixepoch('subsec') - ?1 AND NOT EXISTS (SELECT 1 FROM savepoint_blobs WHERE blob = number)
)
LIMIT ?2;

-- name: condemn_blob
-- Let nobody use a blob any more
UPDATE blobs SET dying = 1 WHERE number = ?1;

-- name: delete_blob
-- Forget a blob
DELETE FROM blobs WHERE number = ?1;

-- name: insert_unstored
-- Note that a run writes files, none of which are stored yet
INSERT INTO stored_files (run) VALUES (?1);

-- name: set_stored
-- Note the version of what is stored of a run; the first one stays
INSERT INTO stored_files (run, version) VALUES (?1, ?2)
ON CONFLICT (run) DO UPDATE SET version = ?2 WHERE coalesce(version, 0) = 0;

-- name: list_unstored
-- Read the ids of the runs that have ended and aren't stored yet
SELECT id FROM stored_files CROSS JOIN runs ON number = run WHERE stored_files.version IS NULL AND final = 1 ORDER BY run;

-- name: insert_execution
-- Insert a new execution
INSERT INTO executions (
    run, timeout, wanted, attempt, seconds, deaths, holder, fence, lease_until, progress, checksum
) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11);

-- name: change_execution
-- Replace an execution
UPDATE executions SET
    timeout = ?2, wanted = ?3, attempt = ?4, seconds = ?5, deaths = ?6, holder = ?7, fence = ?8,
    lease_until = ?9, progress = ?10, checksum = ?11
WHERE run = ?1;

-- name: insert_needs
-- Set the needs of a run
INSERT INTO needs (run, needs) VALUES (?1, ?2);

-- name: set_computed_by
-- Set what a run is computed by
INSERT INTO needs (run, needs, computed_by) VALUES (?1, '', ?2)
ON CONFLICT (run) DO UPDATE SET computed_by = excluded.computed_by;

-- name: bind_needs
-- Set the needs of a run to what it is computed by
UPDATE needs SET needs = computed_by WHERE run = ?1;

-- name: set_lease
-- Set the fencing token of a lease in the run, where steps are checked
UPDATE runs SET lease = ?2 WHERE number = ?1 AND lease IS NOT ?2;

-- name: read_execution
-- Read a run's execution and result by its id, if it has them
SELECT {execution}, answered, result, results.checksum
FROM runs
    LEFT JOIN executions ON executions.run = runs.number
    LEFT JOIN results ON results.run = runs.number
WHERE id = ?1;

-- name: find_execution
-- Read a run's execution by its id, without its result, if it has one
SELECT {execution}, NULL, NULL, NULL
FROM runs LEFT JOIN executions ON executions.run = runs.number
WHERE id = ?1;

-- name: read_execution_by_number
-- Read a run's execution and result by its number, if it has them
SELECT {execution}, answered, result, results.checksum
FROM runs
    LEFT JOIN executions ON executions.run = runs.number
    LEFT JOIN results ON results.run = runs.number
WHERE number = ?1;

-- name: list_executed
-- Read the numbers of the unfinished runs that have an execution, in the order of creation
SELECT number FROM runs INDEXED BY runs_executed WHERE final = 0 AND lease IS NOT NULL ORDER BY number;

-- name: list_queue_of_runs
-- Read the correct rows of the queue for a range of runs, with the turns of a rebuilt queue
SELECT *, dense_rank() OVER (PARTITION BY kind, owner ORDER BY run) FROM queue_of_runs WHERE run BETWEEN ?1 AND ?2;

-- name: insert_queued
-- Insert a run into the queue
INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10);

-- name: clear_queue
-- Delete the queue
DELETE FROM queue;

-- name: fill_queue
-- Build the queue from the runs and executions
INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
SELECT *, dense_rank() OVER (PARTITION BY kind, owner ORDER BY run) FROM queue_of_runs;

-- name: list_waiting_groups
-- Find the groups with tags of a JSON array in which a run has no lease, each by a lookup after the previous one
WITH RECURSIVE found (tag, kind, wanted, state, short, needs, leased_until) AS (
    SELECT first.tag, kind, wanted, state, short, needs, leased_until
    FROM json_each(?1) AS asked CROSS JOIN queue AS first ON first.tag = asked.value AND first.run = (
        SELECT run FROM queue INDEXED BY queue_by_group
        WHERE tag = asked.value
        ORDER BY kind, wanted, state, short, needs, leased_until LIMIT 1
    )
    UNION ALL
    SELECT following.tag, following.kind, following.wanted, following.state, following.short, following.needs,
        following.leased_until
    FROM found CROSS JOIN queue AS following ON following.tag = found.tag AND following.run = (
        SELECT run FROM queue INDEXED BY queue_by_group
        -- With the plus signs the texts have no affinity, so that all columns are compared in the index.
        WHERE tag = found.tag AND (kind, wanted, state, short, needs, leased_until)
            > (+found.kind, +found.wanted, +found.state, +found.short, +found.needs, 9e999)
        ORDER BY kind, wanted, state, short, needs, leased_until LIMIT 1
    )
)
SELECT CAST(tag AS BLOB), CAST(kind AS BLOB), CAST(wanted AS BLOB), CAST(state AS BLOB), short, CAST(needs AS BLOB)
FROM found WHERE leased_until <= ?2;

-- name: list_unleased
-- Read the ids of the first runs of a group without a lease
SELECT id
FROM queue INDEXED BY queue_by_group CROSS JOIN runs ON runs.number = queue.run
WHERE tag = ?1 AND queue.kind = ?2 AND wanted = ?3 AND queue.state = ?4 AND short = ?5 AND needs = ?6
    AND leased_until <= ?7
ORDER BY leased_until, turn, run
LIMIT ?8;

-- name: find_claimable
-- Find, in groups of a JSON array, the next run without a lease, and in each group the run whose lease ends first
WITH asked AS MATERIALIZED (
    SELECT
        value ->> 0 AS tag, value ->> 1 AS kind, value ->> 2 AS wanted, value ->> 3 AS state, value ->> 4 AS short,
        value ->> 5 AS needs
    FROM json_each(?1)
), waiting AS (
    SELECT queue.run, turn, leased_until
    FROM asked CROSS JOIN queue ON queue.tag = asked.tag AND queue.run = (
        SELECT run FROM queue INDEXED BY queue_by_group
        WHERE tag = asked.tag AND kind = asked.kind AND wanted = asked.wanted AND state = asked.state
            AND short = asked.short AND needs = asked.needs AND leased_until = 0
        ORDER BY turn, run LIMIT 1
    )
    ORDER BY turn, queue.run LIMIT 1
), leased AS (
    SELECT queue.run, turn, leased_until
    FROM asked CROSS JOIN queue ON queue.tag = asked.tag AND queue.run = (
        SELECT run FROM queue INDEXED BY queue_by_group
        WHERE tag = asked.tag AND kind = asked.kind AND wanted = asked.wanted AND state = asked.state
            AND short = asked.short AND needs = asked.needs AND leased_until > 0
        ORDER BY leased_until LIMIT 1
    )
)
SELECT first.run, leased_until, {found}, {execution}, NULL, NULL, NULL
FROM (SELECT * FROM waiting UNION ALL SELECT * FROM leased) AS first
    LEFT JOIN runs ON runs.number = first.run
    LEFT JOIN executions ON executions.run = first.run
ORDER BY turn, first.run;

-- name: forget_queued
-- Remove a run from the queue
DELETE FROM queue WHERE run = ?1;

-- name: forget_leased
-- Remove the runs with a lease from the queue
DELETE FROM queue WHERE leased_until > 0;

-- name: fill_queue_of_run
-- Insert a run into the queue as its execution says, before the others
INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
SELECT *, 0 FROM queue_of_runs WHERE run = ?1;

-- name: count_waiting_before
-- Count the runs of the same kind that wait before one; no row if it doesn't wait itself
SELECT (
    SELECT count(*) FROM queue AS earlier INDEXED BY queue_by_kind
    WHERE earlier.tag = '' AND earlier.kind = queue.kind AND earlier.wanted = 'started' AND earlier.leased_until = 0
        AND earlier.run < queue.run
) + (
    SELECT count(*) FROM queue AS earlier INDEXED BY queue_by_kind
    WHERE earlier.tag = '' AND earlier.kind = queue.kind AND earlier.wanted = 'started' AND earlier.leased_until > 0
        AND earlier.leased_until <= ?2 AND earlier.run < queue.run
)
FROM runs CROSS JOIN queue ON queue.run = runs.number AND queue.tag = ''
WHERE runs.id = ?1 AND wanted = 'started' AND leased_until <= ?2;

-- name: count_queue
-- Count the runs in the queue by kind, owner, and whether they are paused, worked on, or wait
SELECT
    kind, owner,
    CASE WHEN wanted = 'paused' THEN 'paused' WHEN leased_until > ?1 THEN 'working' ELSE 'waiting' END AS place,
    count(*)
FROM queue
WHERE tag = ''
GROUP BY kind, owner, place;

-- name: count_waiting
-- Count the runs that wait for a worker by tag and kind, with the last change of the one that changed longest ago
SELECT tag, queue.kind, count(*), min(updated)
FROM queue JOIN runs ON runs.number = queue.run
WHERE wanted = 'started' AND leased_until <= ?1
GROUP BY tag, queue.kind
ORDER BY tag, queue.kind;

-- name: list_wrong_queue
-- Find the numbers of runs whose rows in the queue are wrong
WITH kept AS (
    SELECT run, tag, kind, owner, wanted, state, short, needs, leased_until FROM queue
)
SELECT run FROM (SELECT * FROM kept EXCEPT SELECT * FROM queue_of_runs)
UNION
SELECT run FROM (SELECT * FROM queue_of_runs EXCEPT SELECT * FROM kept);

-- name: list_leased
-- Read the ids of the unfinished runs with a lease
SELECT id FROM runs INDEXED BY runs_executed WHERE final = 0 AND lease IS NOT NULL AND lease <> 0;

-- name: list_all_executed
-- Read the numbers of all runs that have an execution, or should have one
SELECT run FROM executions UNION SELECT number FROM runs WHERE lease IS NOT NULL;

-- name: insert_result
-- Insert the result of a run
INSERT INTO results (run, result, checksum) VALUES (?1, ?2, ?3);

-- name: note_result
-- Record that a run has a result
UPDATE executions SET answered = 1 WHERE run = ?1;

-- name: list_largest_results
-- Read the bytes of an owner's largest results, if their sum has reached a limit; the results aren't read
SELECT runs.id, length(results.result) AS size
FROM owners CROSS JOIN runs ON runs.owner = owners.owner CROSS JOIN results ON results.run = runs.number
WHERE owners.owner = ?1 AND ?2 IS NOT NULL AND (owners.bytes >= ?2 OR owners.bytes IS NULL)
ORDER BY size DESC
LIMIT 3;

-- name: count_log_lines
-- Record the number of a run's last output line
UPDATE runs SET lines = ?2 WHERE number = ?1;

-- name: insert_log_line
-- Insert an output line of a run
INSERT INTO log_lines (run, number, time, level, text, bytes, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7);

-- name: find_last_log_line
-- Read the total bytes of a run's output lines
SELECT bytes FROM log_lines
WHERE run = (SELECT number FROM runs WHERE id = ?1)
ORDER BY number DESC LIMIT 1;

-- name: prune_log_bytes
-- Delete the output lines of a run up to the first that ends at or after some bytes, but not beyond a number
DELETE FROM log_lines WHERE run = ?1 AND number <= min(?3, (
    SELECT number FROM log_lines WHERE run = ?1 AND bytes >= ?2 ORDER BY number LIMIT 1
));

-- name: prune_log_lines
-- Delete the output lines of a run up to a number
DELETE FROM log_lines WHERE run = ?1 AND number <= ?2;

-- name: find_lines_at_savepoint
-- Read the number of the last output line before a savepoint
SELECT savepoints.lines
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = ?1 AND timestamp = ?2;

-- name: cut_log_lines
-- Delete the output lines of a run after a number
DELETE FROM log_lines WHERE run = ?1 AND number > ?2;

-- name: list_log_lines
-- Read the output lines of a run after a number, each with the run's number and the number of its last line
SELECT runs.number, runs.lines, log_lines.number, time, level, text, bytes, checksum
FROM runs LEFT JOIN log_lines ON log_lines.run = runs.number AND log_lines.number > ?2
WHERE runs.id = ?1
ORDER BY log_lines.number
LIMIT ?3;

-- name: read_counter
-- Read the counter of the versions of documents and the tokens of leases
SELECT record_version FROM meta;

-- name: set_counter
-- Set the counter of the versions of documents and the tokens of leases
UPDATE meta SET record_version = ?1;

-- name: find_document
-- Find the version of a document of a dialect
SELECT version FROM records WHERE dialect = ?1 AND id = ?2;

-- name: find_used_document
-- Find the version and the last use of a document of a dialect
SELECT version, owner, stamp, accessed, lasts FROM records LEFT JOIN uses USING (dialect, id)
WHERE dialect = ?1 AND id = ?2;

-- name: put_use
-- Insert or replace the last use of a document
INSERT INTO uses (dialect, id, owner, stamp, accessed, lasts) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (dialect, id) DO UPDATE SET
    owner = excluded.owner, stamp = excluded.stamp, accessed = excluded.accessed, lasts = excluded.lasts;

-- name: touch_use
-- Record the time of a document's last use
UPDATE uses SET stamp = ?3, accessed = ?4 WHERE dialect = ?1 AND id = ?2;

-- name: count_uses
-- Count the documents of an owner, except those whose last use is in a list
SELECT count(*) - (
    SELECT count(*) FROM json_each(?3)
    CROSS JOIN uses ON dialect = ?1 AND uses.id = json_each.key AND stamp = json_each.value AND owner = ?2
)
FROM uses WHERE dialect = ?1 AND owner = ?2;

-- name: list_uses
-- Read the last uses of all documents of a dialect
SELECT id, owner, stamp, accessed, lasts FROM uses WHERE dialect = ?1;

-- name: put_document
-- Insert or replace a document of a dialect
INSERT INTO records (dialect, id, version, blob, checksum) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (dialect, id) DO UPDATE SET
    version = excluded.version, blob = excluded.blob, checksum = excluded.checksum;

-- name: delete_document
-- Delete a document of a dialect
DELETE FROM records WHERE dialect = ?1 AND id = ?2;

-- name: read_document
-- Read a document of a dialect
SELECT dialect, id, version, blob, checksum, owner, stamp, accessed, lasts
FROM records LEFT JOIN uses USING (dialect, id) WHERE dialect = ?1 AND id = ?2;

-- name: list_documents
-- Read all documents of a dialect
SELECT dialect, id, version, blob, checksum, owner, stamp, accessed, lasts
FROM records LEFT JOIN uses USING (dialect, id) WHERE dialect = ?1 ORDER BY id;

-- name: list_documents_of_owner
-- Read an owner's documents of a dialect
SELECT dialect, id, version, blob, checksum, owner, stamp, accessed, lasts
FROM uses CROSS JOIN records USING (dialect, id) WHERE dialect = ?1 AND owner = ?2 ORDER BY id;

-- name: list_document_ids
-- Read the ids of all documents from an index, which is readable even if documents are damaged
SELECT dialect, id FROM records ORDER BY dialect, id;

-- name: check_file
-- Look for damaged pages and indexes; a single row with ok if there are none
PRAGMA integrity_check(100000);

-- name: check_table
-- Look for damaged pages of a table and its indexes; a single row with ok if there are none
SELECT quick_check FROM pragma_quick_check(?1);

-- name: list_definitions
-- Read the statements that create a table and its indexes
SELECT sql FROM sqlite_schema WHERE tbl_name = ?1 AND type IN ('table', 'index') AND sql IS NOT NULL ORDER BY type DESC;

-- name: forget_definitions
-- Remove a table and its indexes from the schema; their pages stay unchanged
DELETE FROM sqlite_schema WHERE tbl_name = ?1 AND type IN ('table', 'index');

-- name: check_references
-- Look for rows whose run is missing
PRAGMA foreign_key_check;

-- name: list_step_keys
-- Read the keys of all steps; texts may be damaged UTF-8
SELECT run, CAST(text AS BLOB), ordinal, body_hash, position, checksum FROM step_keys;

-- name: list_run_keys
-- Read the keys of all runs; texts may be damaged UTF-8
SELECT run, CAST(owner AS BLOB), CAST(text AS BLOB), ordinal, body_hash, checksum FROM run_keys;

-- name: list_whole_savepoints
-- Read the savepoints of a run with all their columns
SELECT timestamp, savepoints.position, savepoints.created, savepoints.name, pinned, milestone, blob, savepoints.lines
FROM runs JOIN savepoints ON savepoints.run = runs.number
WHERE runs.id = ?1
ORDER BY timestamp;

-- name: list_savepoint_blobs
-- Read the numbers of the blobs that the savepoints of a run name
SELECT timestamp, blob
FROM runs JOIN savepoint_blobs ON savepoint_blobs.run = runs.number
WHERE runs.id = ?1
ORDER BY timestamp, blob;

-- name: replace_run
-- Replace what can change of a run's record
UPDATE runs SET
    state = ?2, final = ?3, outcome = ?4, reason = ?5, position = ?6, version = ?7, updated = ?8
WHERE number = ?1;

-- name: set_generation
-- Set the generation of a run
INSERT INTO generations (run, generation) VALUES (?1, ?2)
ON CONFLICT (run) DO UPDATE SET generation = excluded.generation;

-- name: clear_run_key
-- Delete the key with which a run was created
DELETE FROM run_keys WHERE run = ?1;

-- name: clear_savepoints
-- Delete the savepoints of a run
DELETE FROM savepoints WHERE run = ?1;

-- name: insert_whole_savepoint
-- Insert a savepoint with all its columns
INSERT INTO savepoints (run, timestamp, position, created, name, pinned, milestone, blob, lines)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9);

-- name: clear_execution
-- Delete the execution of a run, with its result
DELETE FROM executions WHERE run = ?1;

-- name: clear_needs
-- Delete the needs of a run
DELETE FROM needs WHERE run = ?1;

-- name: insert_whole_needs
-- Set the needs of a run, and what it is computed by
INSERT INTO needs (run, needs, computed_by) VALUES (?1, ?2, ?3);

-- name: clear_stored
-- Delete whether the files of a run are stored
DELETE FROM stored_files WHERE run = ?1;

-- name: list_blobs
-- Read blobs after a number, except those that are being removed
SELECT number, owner, hash, size, stored FROM blobs WHERE number > ?1 AND dying = 0 ORDER BY number LIMIT ?2;

-- name: list_dialects
-- Read which dialects have documents
SELECT DISTINCT dialect FROM records ORDER BY dialect;

-- name: read_counters
-- Read the last numbers of runs, of blobs, and of versions of documents and tokens of leases
SELECT
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0),
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'blobs'), 0),
    record_version
FROM meta;

-- name: raise_run_numbers
-- Let the numbers of runs go on after a number; the sequence has no row before the first run
INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq)
SELECT
    (SELECT rowid FROM sqlite_sequence WHERE name = 'runs'),
    'runs',
    max(?1, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'runs'), 0));

-- name: raise_blob_numbers
-- Let the numbers of blobs go on after a number
UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'blobs';

-- name: raise_counter
-- Let the counter of the versions of documents and the tokens of leases go on after a number
UPDATE meta SET record_version = max(record_version, ?1);
