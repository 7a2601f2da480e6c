-- Blobs of artifacts that savepoints name, and whether what a run wrote is stored.

-- One row of each blob of an owner; the object in the artifacts is named by hash and number, which none has again. It is
-- stored once a savepoint has named it. A dying one is being removed, and nobody uses it any more.
CREATE TABLE blobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    owner TEXT NOT NULL,
    hash TEXT NOT NULL,
    size INTEGER NOT NULL,
    stored INTEGER NOT NULL DEFAULT 0,
    dying INTEGER NOT NULL DEFAULT 0,
    used REAL NOT NULL
) STRICT;

-- Several stores may share a storage: their numbers begin far apart, so that none removes an object of another one.
INSERT INTO sqlite_sequence (name, seq) VALUES ('blobs', abs(random() % (1 << 52)));

CREATE UNIQUE INDEX blobs_by_hash ON blobs (owner, hash) WHERE dying = 0;

CREATE TABLE savepoint_blobs (
    run INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    blob INTEGER NOT NULL REFERENCES blobs (number),
    PRIMARY KEY (run, timestamp, blob),
    FOREIGN KEY (run, timestamp) REFERENCES savepoints (run, timestamp) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX savepoint_blobs_by_blob ON savepoint_blobs (blob);

-- The hour for which a blob stays counts from when no savepoint names it any more.
CREATE TRIGGER blob_let_go AFTER DELETE ON savepoint_blobs BEGIN
    UPDATE blobs SET used = unixepoch('subsec') WHERE number = OLD.blob;
END;

-- What takes the place of a savepoint names blobs of its own.
CREATE TRIGGER savepoint_replaced AFTER UPDATE OF blob ON savepoints BEGIN
    DELETE FROM savepoint_blobs WHERE run = NEW.run AND timestamp = NEW.timestamp;
END;

-- One row of each run that writes files: the version of what is stored of them, 0 if that is nothing; NULL before.
CREATE TABLE stored_files (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    version INTEGER
) STRICT;

CREATE INDEX stored_files_missing ON stored_files (run) WHERE version IS NULL;

-- Runs that have ended have no row: they aren't all read here. What one wrote is stored if its folder is still there.
INSERT INTO stored_files (run) SELECT number FROM runs WHERE kind = 'experiment' AND final = 0 AND lease IS NOT NULL;
