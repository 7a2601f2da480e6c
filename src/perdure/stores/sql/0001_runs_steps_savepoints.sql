-- Runs with their step logs, savepoints and keys, and what dialects keep.

-- One row: the fence token of the last opening, the number of the last committed transaction, and the last
-- version of any record: a version is never used again, also not for a record that was deleted in between.
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    batch INTEGER NOT NULL,
    record_version INTEGER NOT NULL
) STRICT;

INSERT INTO meta (one, epoch, batch, record_version) VALUES (1, 0, 0, 0);

-- AUTOINCREMENT: a number is never used again, so that a page of runs goes on where the one before ended.
CREATE TABLE runs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    owner TEXT NOT NULL,
    state TEXT NOT NULL,
    final INTEGER NOT NULL,
    outcome TEXT,
    reason TEXT NOT NULL,
    position INTEGER NOT NULL,
    version INTEGER NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    parent TEXT,
    parent_position INTEGER
) STRICT;

CREATE INDEX runs_by_owner ON runs (owner);
CREATE INDEX runs_live ON runs (owner) WHERE final = 0;

-- Apart from the run, whose row is written with every step: a spec can be large.
CREATE TABLE specs (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    spec BLOB NOT NULL
) STRICT;

-- A key's checksum is over all its other columns: a damaged key would let a request be done twice.
CREATE TABLE run_keys (
    owner TEXT NOT NULL,
    text TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    body_hash BLOB NOT NULL,
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    checksum BLOB NOT NULL,
    PRIMARY KEY (owner, text, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX run_keys_by_run ON run_keys (run);

CREATE TABLE steps (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    inputs BLOB,
    outputs BLOB NOT NULL,
    PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;

-- A table of its own holds each key once; columns of steps with an index would hold it twice.
CREATE TABLE step_keys (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    text TEXT NOT NULL,
    ordinal INTEGER NOT NULL,
    body_hash BLOB NOT NULL,
    position INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    PRIMARY KEY (run, text, ordinal)
) STRICT, WITHOUT ROWID;

-- The blob comes last, so that reading the other columns never follows its overflow pages.
CREATE TABLE savepoints (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,
    position INTEGER NOT NULL,
    created REAL NOT NULL,
    name TEXT,
    pinned INTEGER NOT NULL,
    milestone INTEGER NOT NULL,
    blob BLOB NOT NULL,
    UNIQUE (run, timestamp)
) STRICT;

-- Those that retention may give up: it never walks over the milestones of a long run.
CREATE INDEX savepoints_passing ON savepoints (run, timestamp)
    WHERE milestone = 0 AND pinned = 0 AND name IS NULL AND timestamp <> 0;

CREATE TABLE records (
    dialect TEXT NOT NULL,
    id TEXT NOT NULL,
    version INTEGER NOT NULL,
    blob BLOB NOT NULL,
    UNIQUE (dialect, id)
) STRICT;
