"""Limits reach the guard as it takes them."""

from perdure.execution.child_limits import ChildLimits


def test_no_limits_are_dashes() -> None:
    assert ChildLimits().arguments() == ["-", "-", "-", "-", "-", "-"]


def test_limits_stand_in_the_order_that_the_guard_takes() -> None:
    limits = ChildLimits(
        seconds=1.5, cpu_seconds=2, memory=3 << 30, open_files=64, file_bytes=1000, folder_bytes=2000
    )
    assert limits.arguments() == ["1.5", "2", "3221225472", "64", "1000", "2000"]
