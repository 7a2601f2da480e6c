"""YAML is read back as the data that it was made of."""

from typing import Any

import yaml as reader
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.deployment.yaml import yaml

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\u2028\u2029")
)
LINES = st.lists(TEXT.map(lambda line: f"x{line.rstrip()}"), min_size=1).map(
    lambda lines: "\n".join(lines) + "\n"
)
SCALARS = st.one_of(TEXT, LINES, st.integers(), st.booleans(), st.none())
DATA = st.recursive(SCALARS, lambda items: st.lists(items) | st.dictionaries(TEXT, items), max_leaves=8)


@settings(max_examples=50)
@given(st.dictionaries(TEXT, DATA, min_size=1, max_size=5))
def test_what_is_written_is_read_back(data: dict[str, Any]) -> None:
    assert reader.load(yaml(data), reader.CSafeLoader) == data


def test_words_that_yaml_takes_for_other_values_are_quoted() -> None:
    for word in ("true", "No", "on", "NULL", "~", "1.5", "5000:5000", "0x1F", "", "- a", "a: b", "a #b", "y"):
        assert reader.load(yaml({"key": word, word: "value"}), reader.CSafeLoader) == {
            "key": word,
            word: "value",
        }
