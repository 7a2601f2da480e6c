-- Guards of runs: a write is compared with the run's generation, or with its lease, and no longer with an opening.

-- How often others changed a run's state or what it computes: whoever steps it is fenced by that. Of runs that were
-- changed so, apart from the run, whose table would be read as a whole if it got one more column.
CREATE TABLE generations (
    run INTEGER PRIMARY KEY REFERENCES runs (number) ON DELETE CASCADE,
    generation INTEGER NOT NULL
) STRICT;
