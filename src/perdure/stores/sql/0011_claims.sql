-- The queue anew, with all that a worker asks for when it claims the next run.

-- What a run needs to be computed, if that isn't nothing. Apart from the execution, as labels are from runs.
CREATE TABLE needs (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    needs TEXT NOT NULL
) STRICT;

DROP TRIGGER execution_queued;
DROP TRIGGER execution_queued_anew;
DROP TRIGGER run_left_queue;
DROP VIEW queue_of_runs;
DROP TABLE queue;

-- One row of each run for each of its tags, and one with an empty tag. It is filled when the file is opened. Without a
-- lease leased_until is 0. Whose turn is smaller comes first.
CREATE TABLE queue (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    wanted TEXT NOT NULL,
    state TEXT NOT NULL,
    short INTEGER NOT NULL,
    needs TEXT NOT NULL,
    leased_until REAL NOT NULL,
    turn INTEGER NOT NULL,
    PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;

-- The groups of runs that workers tell apart, and in each the next run. Like the others it ends with the run.
CREATE INDEX queue_by_group ON queue (tag, kind, wanted, state, short, needs, leased_until, turn);

-- How many runs wait before one is counted in it: in one range those that have no lease, in another those whose ended.
CREATE INDEX queue_by_kind ON queue (kind, wanted, leased_until, run) WHERE tag = '';

CREATE INDEX queue_by_owner ON queue (kind, owner, turn) WHERE tag = '';

-- The rows as they have to be, but for the turns.
CREATE VIEW queue_of_runs AS
SELECT
    number AS run, value AS tag, kind, owner, wanted, state, coalesce(timeout <= 10.0, 0) AS short,
    coalesce(needs, '') AS needs, iif(fence > 0, lease_until, 0.0) AS leased_until
FROM runs INDEXED BY runs_executed
    CROSS JOIN executions ON executions.run = number
    LEFT JOIN needs ON needs.run = number
    LEFT JOIN labels ON labels.run = number
    CROSS JOIN json_each(json_insert(iif(json_valid(tags), tags, '[]'), '$[#]', ''))
WHERE final = 0 AND lease IS NOT NULL;

-- Owners take turns: a new run's comes after its owner's last one, and in the round after the one that is worked on;
-- where none is, in that of the run which waits longest.
CREATE TRIGGER execution_queued AFTER INSERT ON executions BEGIN
    INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
    SELECT
        number, value, kind, owner, NEW.wanted, state, coalesce(NEW.timeout <= 10.0, 0),
        coalesce((SELECT needs FROM needs WHERE run = number), ''), iif(NEW.fence > 0, NEW.lease_until, 0.0),
        1 + max(
            coalesce((
                SELECT max(turn) FROM queue INDEXED BY queue_by_owner
                WHERE tag = '' AND queue.kind = runs.kind AND queue.owner = runs.owner
            ), 0),
            coalesce(
                (
                    SELECT max(turn) FROM queue INDEXED BY queue_by_kind
                    WHERE tag = '' AND queue.kind = runs.kind AND wanted = 'started' AND leased_until > 0
                ), (
                    SELECT turn - 1 FROM queue INDEXED BY queue_by_kind
                    WHERE tag = '' AND queue.kind = runs.kind AND wanted = 'started' AND leased_until = 0
                    ORDER BY run LIMIT 1
                ),
                0
            )
        )
    FROM runs CROSS JOIN json_each(json_insert(
        coalesce((SELECT iif(json_valid(tags), tags, '[]') FROM labels WHERE run = number), '[]'), '$[#]', ''
    ))
    WHERE number = NEW.run AND final = 0;
END;

-- A report changes neither.
CREATE TRIGGER execution_queued_anew AFTER UPDATE OF wanted, fence, lease_until ON executions
WHEN NEW.wanted <> OLD.wanted OR NEW.fence <> OLD.fence OR NEW.lease_until <> OLD.lease_until BEGIN
    UPDATE queue SET wanted = NEW.wanted, leased_until = iif(NEW.fence > 0, NEW.lease_until, 0.0)
    WHERE run = NEW.run;
END;

CREATE TRIGGER run_queued_anew AFTER UPDATE OF state ON runs
WHEN NEW.state <> OLD.state AND NEW.final = 0 AND NEW.lease IS NOT NULL BEGIN
    UPDATE queue SET state = NEW.state WHERE run = NEW.number;
END;

CREATE TRIGGER run_left_queue AFTER UPDATE OF final ON runs WHEN NEW.final BEGIN
    DELETE FROM queue WHERE run = NEW.number;
END;

CREATE TRIGGER label_queued_anew AFTER UPDATE OF tags ON labels WHEN NEW.tags <> OLD.tags BEGIN
    DELETE FROM queue WHERE run = NEW.run AND tag <> '';
    INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
    SELECT run, value, kind, owner, wanted, state, short, needs, leased_until, turn
    FROM queue CROSS JOIN json_each(iif(json_valid(NEW.tags), NEW.tags, '[]'))
    WHERE run = NEW.run AND tag = '';
END;

CREATE TRIGGER label_queued AFTER INSERT ON labels BEGIN
    INSERT INTO queue (run, tag, kind, owner, wanted, state, short, needs, leased_until, turn)
    SELECT run, value, kind, owner, wanted, state, short, needs, leased_until, turn
    FROM queue CROSS JOIN json_each(iif(json_valid(NEW.tags), NEW.tags, '[]'))
    WHERE run = NEW.run AND tag = '';
END;
