-- Which store this is, and who has it open: what the tail beside the file, and every transaction, is compared with.

-- Random, made once; a copy of the file has the same.
ALTER TABLE meta ADD COLUMN store BLOB NOT NULL DEFAULT x'';

UPDATE meta SET store = randomblob(16);

-- The fencing token of the last opening: whoever opened before may write nothing more.
ALTER TABLE meta ADD COLUMN opening INTEGER NOT NULL DEFAULT 0;
