-- One row that holds nothing: it is written to find out whether as much as a step can be written.
CREATE TABLE probe (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    content BLOB NOT NULL
) STRICT;
