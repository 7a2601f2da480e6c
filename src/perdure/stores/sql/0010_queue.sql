-- The queue: what has to be known of every unfinished run that has an execution, without a look at the executions.

-- One row of each. It is filled when the file is opened, apart from this migration, which would otherwise read pages
-- that may be damaged. Without a lease leased_until is 0.
CREATE TABLE queue (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    wanted TEXT NOT NULL,
    leased_until REAL NOT NULL
) STRICT;

-- How many runs wait before one is counted in it: in one range those that have no lease, in another those whose ended.
CREATE INDEX queue_by_kind ON queue (kind, wanted, leased_until, run);

-- The rows as they have to be.
CREATE VIEW queue_of_runs AS
SELECT number AS run, kind, owner, wanted, iif(fence > 0, lease_until, 0.0) AS leased_until
FROM runs INDEXED BY runs_executed CROSS JOIN executions ON executions.run = number
WHERE final = 0 AND lease IS NOT NULL;

CREATE TRIGGER execution_queued AFTER INSERT ON executions BEGIN
    INSERT INTO queue (run, kind, owner, wanted, leased_until)
    SELECT number, kind, owner, NEW.wanted, iif(NEW.fence > 0, NEW.lease_until, 0.0)
    FROM runs WHERE number = NEW.run AND final = 0;
END;

-- A report changes neither.
CREATE TRIGGER execution_queued_anew AFTER UPDATE OF wanted, fence, lease_until ON executions
WHEN NEW.wanted <> OLD.wanted OR NEW.fence <> OLD.fence OR NEW.lease_until <> OLD.lease_until BEGIN
    UPDATE queue SET wanted = NEW.wanted, leased_until = iif(NEW.fence > 0, NEW.lease_until, 0.0)
    WHERE run = NEW.run;
END;

CREATE TRIGGER run_left_queue AFTER UPDATE OF final ON runs WHEN NEW.final BEGIN
    DELETE FROM queue WHERE run = NEW.number;
END;
