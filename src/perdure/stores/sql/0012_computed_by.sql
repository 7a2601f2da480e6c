-- What a run was last computed by. With its first savepoint it becomes what the run needs.
ALTER TABLE needs ADD COLUMN computed_by TEXT NOT NULL DEFAULT '';

CREATE TRIGGER needs_queued_anew AFTER UPDATE OF needs ON needs WHEN NEW.needs <> OLD.needs BEGIN
    UPDATE queue SET needs = NEW.needs WHERE run = NEW.run;
END;
