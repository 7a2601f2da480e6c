"""What an owner's runs may come to."""

import pytest

from perdure.errors import ResultBytesExceeded
from perdure.stores.quota import check_result_bytes


def sizes() -> dict[str, int]:
    return {"a": 1, "b": 5, "c": 2, "d": 3}


def test_sizes_of_results_are_not_read_below_the_limit() -> None:
    def unread() -> dict[str, int]:
        pytest.fail("the sizes were read")

    check_result_bytes("ann", 11, 12, unread)


def test_the_largest_results_are_named_at_the_limit() -> None:
    with pytest.raises(ResultBytesExceeded) as refused:
        check_result_bytes("ann", 11, 11, sizes)
    assert refused.value.values["runs"] == ["b", "d", "c"]
