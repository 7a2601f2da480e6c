-- How many lines a run had written at each of its savepoints: what it wrote after one is cut when work goes on there.

-- The number of the last line that it wrote, which may be cut or given up by now: the next one has the next number.
ALTER TABLE runs ADD COLUMN lines INTEGER NOT NULL DEFAULT 0;

UPDATE runs SET lines = (SELECT coalesce(max(number), 0) FROM log_lines WHERE run = runs.number)
WHERE lease IS NOT NULL;

-- Nobody knows which lines came after the savepoints that there are: all of them stay.
ALTER TABLE savepoints ADD COLUMN lines INTEGER NOT NULL DEFAULT 0;

UPDATE savepoints SET lines = (SELECT lines FROM runs WHERE number = run)
WHERE run IN (SELECT number FROM runs WHERE lease IS NOT NULL);
