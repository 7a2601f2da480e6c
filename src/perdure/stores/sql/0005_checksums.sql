-- Checksums over what had none, and which results there are. NULL is of a row that was kept before there were any:
-- reading all of a store whose pages may be damaged must not be what opening it takes.

-- Over what of a run never changes: its row is written with every step.
ALTER TABLE runs ADD COLUMN identity BLOB;

-- Whether there is a result: one that is lost isn't the same as none.
ALTER TABLE executions ADD COLUMN answered INTEGER;

-- The bytes of all lines of the run up to this one, by which they are bounded; 0 of a line that was kept before.
ALTER TABLE log_lines ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
ALTER TABLE log_lines ADD COLUMN checksum BLOB;

ALTER TABLE records ADD COLUMN checksum BLOB;
