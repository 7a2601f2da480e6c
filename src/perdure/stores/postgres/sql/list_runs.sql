-- The runs of one kind and state that have a tag, between two places of an order. A page of a list is made of one such
-- query for each kind and state. `run_rows` fills in the order, and whether it is one owner's: $1.
SELECT {key}, tags.run
FROM tags {join}
WHERE {owner} tags.tag = $2 AND tags.kind = $3 AND tags.state = $4
    AND ({key}, tags.run) > ($5, $6) AND ({key}, tags.run) < ($7, $8)
    AND ($9::double precision IS NULL OR tags.created > $9) AND ($10::double precision IS NULL OR tags.created < $10)
    AND ($11::double precision IS NULL OR {updated} > $11) AND ($12::double precision IS NULL OR {updated} < $12)
    AND ($13::text IS NULL OR starts_with(tags.name, $13))
    AND (
        $14::text IS NULL OR strpos(lower(tags.name), $14) > 0
        OR tags.run IN (SELECT number FROM runs AS named WHERE strpos(lower(id), $14) > 0)
    )
    AND (
        $15::text IS NULL OR NOT EXISTS (
            SELECT 1 FROM jsonb_array_elements_text($15::jsonb) AS wanted
            WHERE NOT EXISTS (SELECT 1 FROM tags AS other WHERE other.run = tags.run AND other.tag = wanted)
        )
    )
ORDER BY {key} {direction}, tags.run {direction}
LIMIT $16
