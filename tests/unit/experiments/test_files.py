"""The files of a folder are put back as they were at a savepoint."""

import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cosimulated import contents, looks

from perdure.drivers.experiments.files import SMALL, SMALL_ALTOGETHER, Files, OpenFiles, lacking, take
from perdure.errors import FileLost
from perdure.state.codec import decode, encode

LARGE = bytes(range(251)) * (SMALL // 251 + 7)


def given_folder(root: Path, name: str) -> Path:
    """Return a fresh copy of an experiment."""
    folder = root / name
    (folder / "data").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "data" / "input.csv").write_text("1,2\n")
    return folder


def taken(files: Files) -> Any:
    return decode(encode(files.snapshot()))


def test_nothing_written_is_nothing_to_tell(tmp_path: Path) -> None:
    assert taken(Files(given_folder(tmp_path, "a"))) == {
        "written": {},
        "folders": {},
        "links": {},
        "removed": [],
    }


@dataclass(frozen=True)
class Folder:
    """What a name becomes in a change: a folder of this mode."""

    mode: int


@dataclass(frozen=True)
class Link:
    """What a name becomes in a change: a link that says this."""

    text: str


@dataclass(frozen=True)
class Mode:
    """The mode that what has the name is given."""

    mode: int


Change = bytes | str | Folder | Link | Mode | None
names = st.sampled_from(
    ["config.json", "data", "data/input.csv", "out.csv", "out", "data/deep", "data/deep/out.bin", "log.txt"]
)
texts = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(["large", "larger"]),
    st.none(),
    st.sampled_from([0o755, 0o700, 0o500, 0o770]).flatmap(lambda m: st.sampled_from([Folder(m), Mode(m)])),
    st.sampled_from(["config.json", "..", "gone", "/etc/hosts", "data"]).map(Link),
)
changes = st.lists(st.tuples(names, texts), max_size=8)


def _plain(path: Path) -> bool:
    return not any(way.is_symlink() for way in (path, *path.parents))


def removed(path: Path) -> None:
    """Remove what has a name, and what is in its way there."""
    for way in (*reversed(path.parents), path):
        if way.is_symlink() or way.is_file():
            way.unlink()
        elif way.is_dir() and way == path:
            shutil.rmtree(way)


def apply(folder: Path, steps: Sequence[tuple[str, Change]]) -> None:
    for name, change in steps:
        path = folder / name
        if isinstance(change, Mode):
            if path.exists() and _plain(path):
                path.chmod(change.mode)
            continue
        # A file is written in place, as it mostly is.
        if not _plain(path) or not path.is_file() or not isinstance(change, bytes | str):
            removed(path)
        if change is None:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        match change:
            case Folder():
                path.mkdir()
                path.chmod(change.mode)
            case Link():
                path.symlink_to(change.text)
            case _:
                texts = {"large": LARGE, "larger": LARGE + b"more"}
                path.write_bytes(texts[change] if isinstance(change, str) else change)


@settings(deadline=None, max_examples=150)
@given(before=changes, after=changes, again=changes)
def test_a_folder_is_put_back_from_the_former_one(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[str, Change]],
    after: list[tuple[str, Change]],
    again: list[tuple[str, Change]],
) -> None:
    root = tmp_path_factory.mktemp("files").resolve()
    former, fresh = given_folder(root, "former"), given_folder(root, "fresh")
    files, given = Files(former), contents(former)
    apply(former, before)
    taken(files)
    state, expected = taken(files), looks(former)
    # What comes after the savepoint appends to large files, and does with all else what it wants.
    large = [path for path in former.rglob("*") if _is_large(path)]
    apply(former, [(name, it) for name, it in after if not _on_the_way(former / name, large)])
    for path in large:
        path.write_bytes(path.read_bytes() + b"appended")
    mended = Files(fresh)
    # What the experiment came with is written in both or in none.
    apply(
        fresh, [(name, it) for name, it in again if not _on_the_way(fresh / name, map(fresh.joinpath, given))]
    )
    mended.put_back(state, former)
    assert looks(fresh) == expected
    assert taken(mended) == state


def _on_the_way(path: Path, files: Iterable[Path]) -> bool:
    return any(file.is_relative_to(path) or path.is_relative_to(file) for file in files)


def _is_large(path: Path) -> bool:
    return path.is_file() and not path.is_symlink() and path.stat().st_size > SMALL


def test_small_files_need_no_former_folder(tmp_path: Path) -> None:
    former, fresh = given_folder(tmp_path, "former"), given_folder(tmp_path, "fresh")
    files = Files(former)
    apply(former, [("out.csv", b"1\n2\n"), ("config.json", b"[]"), ("data/input.csv", None)])
    state = taken(files)
    Files(fresh).put_back(state, None)
    assert contents(fresh) == {"out.csv": b"1\n2\n", "config.json": b"[]"}


@pytest.mark.parametrize("former_has", [None, b"short", b"x" * len(LARGE)])
def test_a_large_file_that_is_not_there_any_more_is_named(tmp_path: Path, former_has: bytes | None) -> None:
    former, fresh = given_folder(tmp_path, "former"), given_folder(tmp_path, "fresh")
    files = Files(former)
    apply(former, [("video.bin", LARGE)])
    state = taken(files)
    apply(former, [("video.bin", former_has)])
    with pytest.raises(FileLost, match=r"video\.bin"):
        Files(fresh).put_back(state, former)


@pytest.mark.parametrize("grown", [b"", b"appended"])
def test_a_large_file_that_was_changed_in_its_middle_is_never_put_back_wrong(
    tmp_path: Path, grown: bytes
) -> None:
    former, fresh = given_folder(tmp_path, "former"), given_folder(tmp_path, "fresh")
    files = Files(former)
    content = bytes(3 * SMALL)
    apply(former, [("table.bin", content)])
    before = taken(files)
    changed = content[: SMALL + 9] + b"x" + content[SMALL + 10 :]
    apply(former, [("table.bin", changed + grown)])
    with pytest.raises(FileLost, match=r"table\.bin"):
        Files(fresh).put_back(before, former)
    # The next savepoint tells of the change, so that what lacks it is seen to be another file.
    mended = Files(given_folder(tmp_path, "again"))
    apply(tmp_path / "again", [("table.bin", content + grown)])
    mended.put_back(taken(files), former)
    assert contents(tmp_path / "again")["table.bin"] == changed + grown


def test_so_much_is_read_at_a_savepoint_and_the_rest_at_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.drivers.experiments.files.WHOLE", 4 * SMALL)
    monkeypatch.setattr("perdure.drivers.experiments.files.WHOLE_ALTOGETHER", 4 * SMALL)
    folder = given_folder(tmp_path, "a")
    files = Files(folder)
    apply(folder, [(name, bytes(2 * SMALL)) for name in ("a", "b", "c", "d")])
    apply(folder, [("huge", bytes(5 * SMALL))])
    for name in ("a", "b", "c", "d", "huge"):
        os.utime(folder / name, (1, 1))  # settled long ago: what was read of them isn't read again
    counts = [sum(was["whole"] for was in taken(files)["written"].values()) for _ in range(4)]
    assert counts == [2, 4, 4, 4]
    assert not taken(files)["written"]["huge"]["whole"]


@settings(deadline=None, max_examples=60)
@given(before=st.binary(max_size=40), cut=st.integers(1, 400), data=st.data())
def test_a_file_is_taken_as_it_was_of_one_that_grew_and_of_no_other(
    tmp_path_factory: pytest.TempPathFactory, before: bytes, cut: int, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("files")
    folder = given_folder(root, "run")
    files = Files(folder)
    content = before + LARGE
    apply(folder, [("data/out.bin", content), ("small.txt", b"small")])
    wanted = lacking(taken(files))
    assert list(wanted) == ["data/out.bin"]
    was, target = wanted["data/out.bin"], root / "former" / "data" / "out.bin"
    grown = content + data.draw(st.binary(max_size=40))
    chunks = [grown[at : at + cut * 1000] for at in range(0, len(grown), cut * 1000)]
    assert take(chunks, was, target)
    assert target.read_bytes() == content
    at = data.draw(st.sampled_from([0, 1, SMALL - 1, len(content) - SMALL, len(content) - 1]))
    for other in (content[:-1], content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :], b""):
        assert not take([other], was, target)
        assert not target.exists()


def test_savepoints_hold_so_much_of_files_and_no_more(tmp_path: Path) -> None:
    folder = given_folder(tmp_path, "a")
    files = Files(folder)
    count = SMALL_ALTOGETHER // SMALL + 5
    apply(folder, [(f"{number}.bin", bytes(SMALL)) for number in range(count)])
    written = taken(files)["written"]
    assert len(written) == count
    assert sum(len(was["content"] or b"") for was in written.values()) <= SMALL_ALTOGETHER


def test_caches_and_what_is_no_file_are_left_alone(tmp_path: Path) -> None:
    folder = given_folder(tmp_path, "a")
    files = Files(folder)
    apply(folder, [("__pycache__/x.pyc", b"x")])
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"f\xfcr")).mkdir()  # names in Latin-1, which a savepoint can't hold
    (folder / "link").symlink_to(os.fsdecode(b"f\xfcr"))
    state = taken(files)
    assert not any(state.values())
    files.put_back(state, None)
    assert (folder / "pipe").exists()
    assert (folder / "link").is_dir()
    assert (folder / "__pycache__" / "x.pyc").exists()


def test_a_link_is_put_back_as_it_says_and_followed_nowhere(tmp_path: Path) -> None:
    outside = tmp_path.resolve() / "outside"
    apply(outside, [("mine.txt", b"mine")])
    former, fresh = given_folder(tmp_path, "former"), given_folder(tmp_path, "fresh")
    files = Files(former)
    apply(former, [("link.txt", Link(f"{outside}/mine.txt")), ("all", Link(str(outside)))])
    apply(former, [("large.bin", LARGE), ("plain", b"theirs"), ("out/a.txt", b"a")])
    state = taken(files)
    assert set(state["written"]) == {"large.bin", "plain", "out/a.txt"}
    # What is a link by now is another file, whatever it leads to.
    (former / "large.bin").rename(outside / "large.bin")
    (former / "large.bin").symlink_to(outside / "large.bin")
    with pytest.raises(FileLost, match=r"large\.bin"):
        Files(fresh).put_back(state, former)
    (former / "large.bin").unlink()
    (outside / "large.bin").rename(former / "large.bin")
    # Links in the place of files and folders are replaced, not gone through.
    mended = Files(again := given_folder(tmp_path, "again"))
    removed(again / "data")
    apply(again, [("plain", Link(f"{outside}/mine.txt")), ("out", Link(str(outside)))])
    (again / "data").symlink_to(outside)
    state["removed"] = []
    apply(former, [("data/input.csv", b"1,2\n")])
    state["written"]["data/input.csv"] = {**state["written"]["plain"], "mode": 0o640}
    mended.put_back(state, former)
    assert looks(outside) == {"mine.txt": (looks(outside)["mine.txt"][0], b"mine")}
    assert os.readlink(again / "link.txt") == f"{outside}/mine.txt"  # noqa: PTH115
    assert looks(again)["data/input.csv"] == ("-rw-r-----", b"theirs")
    assert contents(again / "out") == {"a.txt": b"a"}


def test_what_was_written_in_a_folder_that_a_forks_experiment_lacks_is_put_back(tmp_path: Path) -> None:
    former, fresh = given_folder(tmp_path, "former"), tmp_path / "fresh"
    files = Files(former)
    apply(former, [("data/deep/out.csv", b"1\n"), ("data/latest", Link("deep/out.csv"))])
    state = taken(files)
    apply(fresh, [("other/main_script.py", b"")])
    mended = Files(fresh)
    apply(fresh, [("data/deep/out.csv", b"")])
    mended.put_back(state, former)
    assert contents(fresh)["data/deep/out.csv"] == b"1\n"
    assert (fresh / "data" / "latest").read_text() == "1\n"


@pytest.mark.parametrize("mode", ["w", "a", "r+", "wb"])
def test_what_is_open_for_writing_goes_on_at_the_end_of_what_was_put_back(tmp_path: Path, mode: str) -> None:
    former, fresh = given_folder(tmp_path, "former"), given_folder(tmp_path, "fresh")
    files = Files(former)
    apply(former, [("out.csv", b"head\n1\n2\n")])
    state = taken(files)
    mended = Files(fresh)
    apply(fresh, [("out.csv", b"")])
    with (fresh / "out.csv").open(mode) as file:
        head: Any = "head\n" if "b" not in mode else b"head\n"
        file.write(head)
        file.flush()
        mended.put_back(state, former)
        file.write(head)
    assert (fresh / "out.csv").read_bytes() == b"head\n1\n2\nhead\n"


def test_what_a_script_opens_for_writing_is_known(tmp_path: Path) -> None:
    folder = given_folder(tmp_path, "a").resolve()
    runs = True
    with OpenFiles(folder, lambda: runs) as opened:
        (folder / "data" / ".." / "own.txt").write_text("the script's")
        (folder / "config.json").read_text()
        (folder / ".." / "elsewhere.txt").write_text("outside")
        runs = False
        (folder / "engine.txt").write_text("an engine's")
        assert opened.scripts == {"own.txt"}


def test_open_files_of_the_folder_are_flushed_and_closed(tmp_path: Path) -> None:
    folder = given_folder(tmp_path, "a").resolve()
    outside = (tmp_path / "outside.txt").open("w")
    with OpenFiles(folder) as opened:
        inside = (folder / "out.txt").open("w")
        by_name: Any = open(file=str(folder / "other.txt"), mode="wb")  # noqa: PTH123, SIM115 - by its name
        read = (folder / "config.json").open()
        by_number: Any = open(os.dup(outside.fileno()), "w")  # noqa: PTH123, SIM115 - by a number
        elsewhere = (tmp_path / "elsewhere.txt").open("w")
        for file in (inside, elsewhere):
            file.write("held back")
        by_name.write(b"held back")
        opened.flush()
        assert contents(folder)["out.txt"] == contents(folder)["other.txt"] == b"held back"
        assert (tmp_path / "elsewhere.txt").read_text() == ""
    assert inside.closed
    assert by_name.closed
    assert not read.closed
    for file in (read, by_number, elsewhere, outside):
        assert not file.closed
        file.close()
    assert open.__module__ in ("io", "_io")
