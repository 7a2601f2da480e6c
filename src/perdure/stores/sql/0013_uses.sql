-- Uses of documents: whose each is, and when it was last used, so that one that nobody uses can be forgotten.

-- One row of each document that has an owner, apart from the document, whose blob is not written when it is used. The
-- stamp is another one after each use; accessed is Unix time, and lasts is in seconds.
CREATE TABLE uses (
    dialect TEXT NOT NULL,
    id TEXT NOT NULL,
    owner TEXT NOT NULL,
    stamp INTEGER NOT NULL,
    accessed REAL NOT NULL,
    lasts REAL NOT NULL,
    PRIMARY KEY (dialect, id),
    FOREIGN KEY (dialect, id) REFERENCES records (dialect, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- How many an owner has.
CREATE INDEX uses_by_owner ON uses (dialect, owner);
