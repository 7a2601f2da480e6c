-- The runs of one kind and state that have a tag, between two places of an order. A page of a list is made of one such
-- query for each kind and state. `run_rows` fills in the order, the index that serves it, and whether it is one
-- owner's: ?1. A text is searched with LIKE, which takes half the time of instr and lower.
SELECT {key}, tags.run
FROM tags INDEXED BY {index} {join}
WHERE {owner} tags.tag = ?2 AND tags.kind = ?3 AND tags.state = ?4
    AND ({key}, tags.run) > (?5, ?6) AND ({key}, tags.run) < (?7, ?8)
    AND (?9 IS NULL OR tags.created > ?9) AND (?10 IS NULL OR tags.created < ?10)
    AND (?11 IS NULL OR {updated} > ?11) AND (?12 IS NULL OR {updated} < ?12)
    AND (?13 IS NULL OR substr(tags.name, 1, length(?13)) = ?13)
    AND (
        ?14 IS NULL
        OR tags.name LIKE '%' || replace(replace(replace(?14, '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\'
        OR tags.run IN (
            SELECT number FROM runs AS named
            WHERE id LIKE '%' || replace(replace(replace(?14, '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\'
        )
    )
    AND (
        ?15 IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(?15) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM tags AS other WHERE other.run = tags.run AND other.tag = wanted.value)
        )
    )
ORDER BY {key} {direction}, tags.run {direction}
LIMIT ?16
