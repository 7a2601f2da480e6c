-- Executions: work on runs that an executor places, with leases, results and log lines.

-- NULL for a run that no executor works on: its writers carry the fence token of the store's opening. Else the
-- token of its lease, which they carry instead, and 0 without one. It is here, and not only with the execution,
-- so that the statement which moves a run on checks it too.
ALTER TABLE runs ADD COLUMN lease INTEGER;

CREATE INDEX runs_executed ON runs (number) WHERE final = 0 AND lease IS NOT NULL;

-- A checksum is over all other columns of its row: a damaged attempt or wanted state would be acted upon.
CREATE TABLE executions (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    timeout REAL,
    wanted TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    seconds REAL NOT NULL,
    deaths INTEGER NOT NULL,
    holder TEXT NOT NULL,
    fence INTEGER NOT NULL,
    lease_until REAL NOT NULL,
    progress BLOB,
    checksum BLOB NOT NULL
) STRICT;

-- Apart from the execution, whose row is written with every report: a result can be large.
CREATE TABLE results (
    run INTEGER PRIMARY KEY REFERENCES executions (run) ON DELETE CASCADE,
    result BLOB NOT NULL,
    checksum BLOB NOT NULL
) STRICT;

CREATE TABLE log_lines (
    run INTEGER NOT NULL REFERENCES executions (run) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    time REAL NOT NULL,
    level TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
