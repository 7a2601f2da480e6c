"""What a child's folders hold is counted as the disk holds it, and walked through in pieces."""

import time
from pathlib import Path

import pytest

from perdure.execution import guard

MEGABYTE = 1_000_000


def held(*folders: Path) -> int:
    return sum(guard.held_by([str(folder) for folder in folders]))


def test_files_of_all_folders_count_together_and_are_found_however_deep(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    deep = one.joinpath(*map(str, range(50)))
    for folder in (deep, other):
        folder.mkdir(parents=True)
        (folder / "x").write_bytes(b"1" * MEGABYTE)
    empty = 60 * 16_384  # folders take some room themselves
    assert 2 * MEGABYTE <= held(one, other) <= 2 * MEGABYTE + empty
    assert held(tmp_path / "none") == 0


def test_holes_links_and_further_names_of_a_file_take_no_room(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (outside / "x").write_bytes(b"1" * MEGABYTE)
    (inside / "link").symlink_to(outside)
    (inside / "file link").symlink_to(outside / "x")
    with (inside / "hole").open("wb") as file:
        file.truncate(1 << 40)
    (inside / "y").write_bytes(b"1" * MEGABYTE)
    for number in range(20):
        (inside / str(number)).hardlink_to(inside / "y")
    assert MEGABYTE <= held(inside) < 2 * MEGABYTE


def test_a_walk_goes_on_where_it_was_and_begins_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PIECE", 1.5)  # one file at a time, as the clock goes here
    for name in "abc":
        (tmp_path / name).write_bytes(b"1" * MEGABYTE)
    folders = guard.Folders([str(tmp_path)], 4 * MEGABYTE)

    def look() -> bool:
        folders.next_look = 0.0
        return folders.too_large()

    monkeypatch.setattr(time, "monotonic", _Ticks(1.0))
    assert not any(look() for _ in range(20))
    (tmp_path / "d").write_bytes(b"1" * MEGABYTE)
    (tmp_path / "e").write_bytes(b"1" * MEGABYTE)
    assert any(look() for _ in range(20))


def test_a_full_folder_is_looked_at_more_often_than_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"1" * MEGABYTE)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)  # however slow this machine is

    def rest(limit: int) -> float:
        folders = guard.Folders([str(tmp_path)], limit)
        assert not folders.too_large()
        return folders.next_look - 100.0

    assert rest(2 * MEGABYTE) < guard.LONGEST_REST / 2 < rest(1 << 40)


class _Ticks:
    """A clock that goes on by itself between two looks, so that each piece is one file."""

    def __init__(self, step: float) -> None:
        self._now, self._step = 0.0, step

    def __call__(self) -> float:
        self._now += self._step
        return self._now
