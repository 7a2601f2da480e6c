-- How many runs each owner has, and how many bytes their results: whoever makes a run asks for both.

-- The bytes are NULL of an owner whose runs were kept before there was this table, until they are first asked for:
-- reading all of a store whose pages may be damaged must not be what opening it takes.
CREATE TABLE owners (
    owner TEXT PRIMARY KEY,
    runs INTEGER NOT NULL,
    bytes INTEGER
) STRICT, WITHOUT ROWID;

INSERT INTO owners (owner, runs, bytes) SELECT owner, count(*), NULL FROM runs GROUP BY owner;

CREATE TRIGGER run_counted AFTER INSERT ON runs BEGIN
    INSERT INTO owners (owner, runs, bytes) VALUES (NEW.owner, 1, 0)
    ON CONFLICT (owner) DO UPDATE SET runs = runs + 1;
END;

-- The result goes first: once the run is gone, nobody knows whose it was.
CREATE TRIGGER run_discounted BEFORE DELETE ON runs BEGIN
    DELETE FROM results WHERE run = OLD.number;
    UPDATE owners SET runs = runs - 1 WHERE owner = OLD.owner;
    DELETE FROM owners WHERE owner = OLD.owner AND runs = 0;
END;

CREATE TRIGGER result_counted AFTER INSERT ON results BEGIN
    UPDATE owners SET bytes = bytes + length(NEW.result)
    WHERE owner = (SELECT owner FROM runs WHERE number = NEW.run);
END;

CREATE TRIGGER result_discounted BEFORE DELETE ON results BEGIN
    UPDATE owners SET bytes = bytes - length(OLD.result)
    WHERE owner = (SELECT owner FROM runs WHERE number = OLD.run);
END;
