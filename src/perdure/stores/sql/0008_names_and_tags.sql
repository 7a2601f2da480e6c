-- Names and tags of runs, and the rows from which lists of runs are read.

-- Of runs that have a name or tags, apart from the run: its table would be read as a whole if it got more columns, and
-- one damaged page would keep the store from being opened. The tags are a JSON array of texts, ascending.
CREATE TABLE labels (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    name TEXT NOT NULL,
    tags TEXT NOT NULL
) STRICT;

-- One row of each run for each of its tags, and one with an empty tag: what a list is filtered and ordered by. So
-- a page is read from an index whatever is asked for, and a step, which changes no column of an index, costs no more.
-- When a run was updated is right if its state is final; of others it is read from the run.
CREATE TABLE tags (
    run INTEGER NOT NULL REFERENCES runs (number) ON DELETE CASCADE,
    tag TEXT NOT NULL,
    owner TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (run, tag)
) STRICT, WITHOUT ROWID;

-- Each ends with the run, since that is part of the table's key.
CREATE INDEX tags_by_created ON tags (tag, kind, state, created);
CREATE INDEX tags_by_updated ON tags (tag, kind, state, updated);
CREATE INDEX tags_by_name ON tags (tag, kind, state, name);
CREATE INDEX tags_of_owner_by_created ON tags (owner, tag, kind, state, created);
CREATE INDEX tags_of_owner_by_updated ON tags (owner, tag, kind, state, updated);
CREATE INDEX tags_of_owner_by_name ON tags (owner, tag, kind, state, name);

-- The rows as they have to be.
CREATE VIEW tags_of_runs AS
SELECT
    number AS run, value AS tag, owner, kind, state, created, updated, coalesce(name, '') AS name
FROM runs
    LEFT JOIN labels ON labels.run = runs.number
    CROSS JOIN json_each(json_insert(iif(json_valid(tags), tags, '[]'), '$[#]', ''));

CREATE TRIGGER run_listed AFTER INSERT ON runs BEGIN
    INSERT INTO tags SELECT * FROM tags_of_runs WHERE run = NEW.number;
END;

CREATE TRIGGER run_listed_anew AFTER UPDATE OF state, version ON runs WHEN NEW.final OR NEW.state <> OLD.state BEGIN
    DELETE FROM tags WHERE run = NEW.number;
    INSERT INTO tags SELECT * FROM tags_of_runs WHERE run = NEW.number;
END;

CREATE TRIGGER label_listed AFTER INSERT ON labels BEGIN
    DELETE FROM tags WHERE run = NEW.run;
    INSERT INTO tags SELECT * FROM tags_of_runs WHERE run = NEW.run;
END;

CREATE TRIGGER label_listed_anew AFTER UPDATE ON labels BEGIN
    DELETE FROM tags WHERE run = NEW.run;
    INSERT INTO tags SELECT * FROM tags_of_runs WHERE run = NEW.run;
END;

-- Whether the runs have their rows that were kept before there were any. They get them when the file is opened, apart
-- from this migration: one whose record is damaged has none, and keeps no store from being opened.
ALTER TABLE meta ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;
