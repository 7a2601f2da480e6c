"""The files of a folder are put back as they were at a savepoint, wherever that is done."""

import os
import random
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.cosimulated import MemoryBlobs, contents, looks

from perdure.artifacts import CalledOff
from perdure.drivers.experiments import saved_files
from perdure.drivers.experiments.files import Files, OpenFiles
from perdure.drivers.experiments.saved_files import (
    PIECE,
    SMALL,
    SMALL_ALTOGETHER,
    SavedFiles,
    blobs_of,
    lay_out,
    lost_files,
)
from perdure.drivers.experiments.script_position import FILES
from perdure.errors import ArtifactsUnavailable, FileLost
from perdure.state.codec import decode, encode
from perdure.state.savepoint import Savepoint

LARGE = bytes(range(251)) * (SMALL // 251 + 7)


def given_folder(root: Path, name: str) -> Path:
    """Return a fresh copy of an experiment."""
    folder = root / name
    (folder / "data").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "data" / "input.csv").write_text("1,2\n")
    return folder


class Run:
    """A run in a folder, whose files are kept in memory."""

    def __init__(
        self, folder: Path, blobs: MemoryBlobs | None = None, kept: Any = None, limit: int = 1 << 40
    ) -> None:
        self.folder, self.blobs, self.lines = folder, blobs or MemoryBlobs(), list[str]()
        self.files = Files(folder)
        self.saved = SavedFiles(self.blobs, self.blobs.use, folder, kept, limit)

    def save(self) -> Any:
        """Return what a savepoint holds of the files."""
        kept = encode({"files": self.files.snapshot(), "beginning": None})
        savepoint, lines = self.saved.save(Savepoint(timestamp=0, entities={FILES: kept}))
        self.lines += lines
        kept_files: Any = decode(savepoint.entities[FILES])
        assert savepoint.blobs == blobs_of(kept_files)
        return kept_files

    def put_back(self, kept: Any, again: Sequence[str] = ()) -> None:
        """Make the folder what it was."""
        laid_out = self.folder.with_name(f"{self.folder.name}-saved{random.random()}")
        lay_out(kept["files"], self.blobs, laid_out)
        self.files.put_back(kept["files"], laid_out, again)


def test_nothing_written_is_nothing_to_list(tmp_path: Path) -> None:
    assert Run(given_folder(tmp_path, "a")).save()["files"] == {
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
@given(before=changes, between=changes, after=changes, again=changes)
def test_a_folder_is_put_back_though_the_one_it_was_written_in_is_gone(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[tuple[str, Change]],
    between: list[tuple[str, Change]],
    after: list[tuple[str, Change]],
    again: list[tuple[str, Change]],
) -> None:
    root = tmp_path_factory.mktemp("files").resolve()
    run = Run(given_folder(root, "first"))
    given = contents(run.folder)
    apply(run.folder, before)
    first, looked = run.save(), looks(run.folder)
    apply(run.folder, between)
    second, looked_again = run.save(), looks(run.folder)
    apply(run.folder, after)
    run.save()
    for number, (kept, expected) in enumerate([(first, looked), (second, looked_again)]):
        mended = Run(given_folder(root, f"fresh{number}"), run.blobs, kept)
        # What the experiment came with is written in both or in none.
        known = [mended.folder / name for name in given]
        apply(
            mended.folder, [(name, it) for name, it in again if not _on_the_way(mended.folder / name, known)]
        )
        mended.put_back(kept)
        assert looks(mended.folder) == expected
        assert contents(mended.folder) == contents_of(mended.save(), mended, root / f"laid{number}", given)


def contents_of(kept: Any, run: Run, place: Path, given: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files as a savepoint has them, by a way of its own."""
    lay_out(kept["files"], run.blobs, place)
    unchanged = {name: content for name, content in given.items() if (run.folder / name).is_file()}
    links = {
        name: (run.folder / name).read_bytes()
        for name in contents(run.folder)
        if (run.folder / name).is_symlink()
    }
    return unchanged | contents(place) | links


def _on_the_way(path: Path, files: Iterable[Path]) -> bool:
    return any(file.is_relative_to(path) or path.is_relative_to(file) for file in files)


def test_a_large_file_that_is_changed_in_its_middle_cut_and_written_anew_is_put_back(tmp_path: Path) -> None:
    run, chance = Run(given_folder(tmp_path, "a")), random.Random(1)
    versions = [chance.randbytes(3 * PIECE + 12_345)]
    versions.append(versions[0][: PIECE + 9] + b"x" + versions[0][PIECE + 10 :])
    versions += [versions[1][: PIECE // 2], versions[1] + b"appended", b"", chance.randbytes(SMALL)]
    kept = []
    for version in versions:
        apply(run.folder, [("table.bin", version)])
        kept.append(run.save())
    shutil.rmtree(run.folder)
    for number, (state, version) in enumerate(zip(kept, versions, strict=True)):
        mended = Run(given_folder(tmp_path, f"again{number}"), run.blobs, state)
        mended.put_back(state)
        assert (mended.folder / "table.bin").read_bytes() == version
    # The second version differs in one piece.
    assert run.blobs.written < 2 * len(versions[0])


@settings(deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(0, 3 * SMALL), min_size=1, max_size=30))
def test_of_a_file_that_grows_only_what_is_new_is_stored(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    root = tmp_path_factory.mktemp("files")
    run, chance, kept = Run(given_folder(root, "run")), random.Random(1), []
    for size in sizes:
        with (run.folder / "log.txt").open("ab") as file:
            file.write(chance.randbytes(size))
        kept.append(run.save())
    assert run.blobs.written <= sum(sizes)
    mended = Run(given_folder(root, "again"), run.blobs, kept[-1])
    mended.put_back(kept[-1])
    assert (mended.folder / "log.txt").read_bytes() == (run.folder / "log.txt").read_bytes()
    # Whoever goes on from there cuts it where it was cut.
    written = run.blobs.written
    assert mended.save()["files"]["written"] == kept[-1]["files"]["written"]
    assert run.blobs.written == written


def test_a_file_that_grows_a_little_again_and_again_has_few_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_files, "MANY", 32)
    run, chance = Run(given_folder(tmp_path, "run")), random.Random(1)
    for _ in range(150):
        with (run.folder / "log.txt").open("ab") as file:
            file.write(chance.randbytes(SMALL))
        kept = run.save()
    assert len(kept["files"]["written"]["log.txt"]["pieces"]) < 45
    assert run.blobs.written < 2 * 150 * SMALL


def test_equal_content_is_stored_once(tmp_path: Path) -> None:
    run, content = Run(given_folder(tmp_path, "run")), random.Random(1).randbytes(PIECE)
    apply(run.folder, [("a.bin", content), ("b.bin", content)])
    run.save()
    apply(run.folder, [("a.bin", b"other"), ("c.bin", content)])
    run.save()
    assert run.blobs.written == PIECE


def opened_by(monkeypatch: pytest.MonkeyPatch, then: Callable[[str], None] = lambda path: None) -> list[str]:
    """Return the names of the files that are read from now on; `then` is called when one is opened."""
    names, opened = [], saved_files.opened

    def open(folder: Path, path: str) -> Any:
        names.append(path)
        then(path)
        return opened(folder, path)

    monkeypatch.setattr(saved_files, "opened", open)
    return names


def test_a_file_that_was_not_changed_is_not_read_again_unless_it_may_have_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = opened_by(monkeypatch)
    run = Run(given_folder(tmp_path, "run"))
    apply(run.folder, [("old.bin", LARGE), ("young.bin", LARGE)])
    os.utime(run.folder / "old.bin", (1, 1))
    soon = time.time_ns() + 3_600_000_000_000  # a time that no savepoint here can trust
    os.utime(run.folder / "young.bin", ns=(soon, soon))
    run.save()
    first = names.copy()
    other = LARGE[:-1] + b"!"
    (run.folder / "young.bin").write_bytes(other)  # of the same size, within the same tick of the clock
    os.utime(run.folder / "young.bin", ns=(soon, soon))
    kept = run.save()
    assert (first, names[len(first) :]) == (["old.bin", "young.bin"], ["young.bin"])
    mended = Run(given_folder(tmp_path, "again"), run.blobs, kept)
    mended.put_back(kept)
    assert contents(mended.folder)["young.bin"] == other
    assert contents(mended.folder)["old.bin"] == LARGE


def test_a_file_whose_time_of_change_is_set_back_is_read_again(tmp_path: Path) -> None:
    run = Run(given_folder(tmp_path, "run"))
    given = (run.folder / "config.json").stat()
    apply(run.folder, [("packed.bin", LARGE)])
    os.utime(run.folder / "packed.bin", (1, 1))  # as programs do whose output is to be reproducible
    run.save()
    touched = (run.folder / "packed.bin").stat().st_ctime_ns
    while (run.folder / "packed.bin").stat().st_ctime_ns == touched:
        apply(run.folder, [("packed.bin", LARGE[::-1]), ("config.json", b"[]")])
        os.utime(run.folder / "packed.bin", (1, 1))
        os.utime(run.folder / "config.json", ns=(given.st_atime_ns, given.st_mtime_ns))
    kept = run.save()
    mended = Run(given_folder(tmp_path, "again"), run.blobs, kept)
    mended.put_back(kept)
    assert contents(mended.folder)["packed.bin"] == LARGE[::-1]
    assert contents(mended.folder)["config.json"] == b"[]"


def test_what_a_fork_found_at_its_top_is_not_taken_from_what_its_process_sends(tmp_path: Path) -> None:
    run = Run(given_folder(tmp_path, "run"))
    apply(run.folder, [("a.bin", LARGE)])
    kept = run.save()
    fork = Run(given_folder(tmp_path, "fork"), run.blobs, {**kept, "beginning": kept})
    forged = {"size": 9, "mode": None, "tail": b"", "pieces": [[9, 12345, "0" * 64]]}
    sent = {"files": fork.files.snapshot(), "beginning": {"files": {"written": {"a.bin": forged}}}}
    savepoint, _ = fork.saved.save(Savepoint(timestamp=0, entities={FILES: encode(sent)}))
    saved: Any = decode(savepoint.entities[FILES])
    assert saved["beginning"] == kept
    assert savepoint.blobs == blobs_of(kept)


def test_a_file_that_is_written_while_it_is_copied_is_copied_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, chance = Run(given_folder(tmp_path, "run")), random.Random(1)
    apply(run.folder, [("a.bin", chance.randbytes(PIECE + 5))])
    later, pread, reads = chance.randbytes(2 * PIECE), os.pread, []

    def write_meanwhile(handle: int, count: int, at: int) -> bytes:
        found = pread(handle, count, at)
        if len(reads) == 0:
            (run.folder / "a.bin").write_bytes(later)
        reads.append(at)
        return found

    monkeypatch.setattr(os, "pread", write_meanwhile)
    kept = run.save()
    monkeypatch.undo()
    assert reads.count(0) == 2
    mended = Run(given_folder(tmp_path, "again"), run.blobs, kept)
    mended.put_back(kept)
    assert contents(mended.folder)["a.bin"] == later


def test_a_file_that_is_gone_since_it_was_listed_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(given_folder(tmp_path, "run"))
    apply(run.folder, [("a.bin", LARGE), ("b.bin", LARGE)])
    opened_by(monkeypatch, lambda path: (run.folder / "a.bin").unlink(missing_ok=True))
    assert list(run.save()["files"]["written"]) == ["b.bin"]


def test_holes_take_neither_time_nor_room(tmp_path: Path) -> None:
    run = Run(given_folder(tmp_path, "run"), limit=4 * PIECE)
    with (run.folder / "sparse.bin").open("wb") as file:
        file.write(b"begin")
        file.seek(1 << 38)
        file.write(b"middle" * 50_000)
        file.truncate(1 << 39)
    kept = run.save()
    assert run.blobs.written <= 4 * PIECE
    assert len(kept["files"]["written"]["sparse.bin"]["pieces"]) < 6
    mended = Run(given_folder(tmp_path, "again"), run.blobs, kept)
    mended.put_back(kept)
    found = mended.folder / "sparse.bin"
    assert found.stat().st_size == 1 << 39
    assert found.stat().st_blocks * 512 < 8 * PIECE
    with found.open("rb") as file:
        assert file.read(10) == b"begin" + bytes(5)
        file.seek(1 << 38)
        assert file.read(300_001) == b"middle" * 50_000 + b"\0"


def test_what_exceeds_the_limit_is_left_out_with_a_line_and_is_lost(tmp_path: Path) -> None:
    run, chance = Run(given_folder(tmp_path, "run"), limit=3 * SMALL), random.Random(1)
    large = chance.randbytes(3 * SMALL)
    apply(run.folder, [("a.txt", b"small"), ("b.bin", large), ("c.txt", b"small")])
    kept = run.save()
    run.save()
    assert lost_files(kept["files"]) == ["b.bin"]
    assert run.lines == [
        "Left out of savepoints: b.bin. It can't be read, or the files of a savepoint have more than "
        f"{3 * SMALL} bytes together (PERDURE_MAX_SAVEPOINT_BYTES)."
    ]
    mended = Run(given_folder(tmp_path, "again"), run.blobs, kept, limit=3 * SMALL)
    with pytest.raises(FileLost, match=r"b\.bin"):
        mended.put_back(kept)
    apply(mended.folder, [("b.bin", large)])
    with pytest.raises(FileLost, match=r"b\.bin"):
        mended.put_back(kept)
    mended.put_back(kept, again=["b.bin"])
    assert contents(mended.folder)["b.bin"] == large
    apply(mended.folder, [("b.bin", large[1:])])
    with pytest.raises(FileLost, match=r"b\.bin"):
        mended.put_back(kept, again=["b.bin"])
    mended.save()
    assert mended.lines == [], "it was said by the attempt before"


def test_savepoints_hold_so_much_of_files_and_no_more(tmp_path: Path) -> None:
    run, chance = Run(given_folder(tmp_path, "run")), random.Random(1)
    count = SMALL_ALTOGETHER // SMALL + 5
    given = {f"{number}.bin": chance.randbytes(SMALL - 1) for number in range(count)}
    apply(run.folder, list(given.items()))
    written = run.save()["files"]["written"]
    assert sum(len(was["tail"]) for was in written.values()) <= SMALL_ALTOGETHER
    mended = Run(given_folder(tmp_path, "again"), run.blobs)
    mended.put_back(run.save())
    assert given.items() <= contents(mended.folder).items()


class FailingBlobs(MemoryBlobs):
    """Blobs whose writes fail as often as a test says."""

    failures = 0

    def write(self, number: int, digest: str, data: bytes) -> None:
        if self.failures:
            self.failures -= 1
            raise ArtifactsUnavailable(reason="no answer")
        super().write(number, digest, data)


@pytest.mark.parametrize("failures", [1, 3, 100])
def test_a_savepoint_waits_until_all_is_stored_or_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    monkeypatch.setattr(saved_files, "BACKOFF_SECONDS", (0, 0, 0))
    blobs = FailingBlobs()
    run = Run(given_folder(tmp_path, "run"), blobs)
    apply(run.folder, [("a.bin", LARGE)])
    blobs.failures = failures
    if failures > 3:
        with pytest.raises(ArtifactsUnavailable):
            run.save()
        return
    run.save()
    assert sum(map(len, blobs.kept.values())) >= SMALL


@pytest.mark.parametrize("path", ["../stolen", "/tmp/perdure-stolen", "a/../../stolen", "", "a\0b"])
@pytest.mark.parametrize("folder", [False, True])
def test_a_savepoint_that_names_a_file_elsewhere_gets_nothing_written(
    tmp_path: Path, path: str, folder: bool
) -> None:
    """What a savepoint says is its simulation's word, which may have another user's rights."""
    file = {"size": 1, "mode": 0o644, "pieces": [], "tail": b"x"}
    kept = {"written": {} if folder else {path: file}, "folders": {path: 0o755} if folder else {}}
    with pytest.raises(FileLost, match="isn't within"):
        lay_out(kept, MemoryBlobs(), tmp_path / "saved")
    assert not list(tmp_path.glob("**/*stolen*"))


def test_a_savepoint_that_names_a_file_as_a_folder_is_refused(tmp_path: Path) -> None:
    file = {"size": 1, "mode": 0o644, "pieces": [], "tail": b"x"}
    with pytest.raises(FileLost, match="as a file and as a folder"):
        lay_out({"written": {"a": file, "a/b": file}, "folders": {}}, MemoryBlobs(), tmp_path / "saved")


def test_a_link_is_no_file_that_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(given_folder(tmp_path, "run"))
    apply(run.folder, [("a.bin", LARGE), ("sub/b.bin", LARGE)])
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "b.bin").write_bytes(b"secret")

    def exchange(path: str) -> None:
        if path == "a.bin":
            (run.folder / path).unlink()
            (run.folder / path).symlink_to(tmp_path / "secret" / "b.bin")
            shutil.rmtree(run.folder / "sub")
            (run.folder / "sub").symlink_to(tmp_path / "secret")

    opened_by(monkeypatch, exchange)
    kept = run.save()
    assert lost_files(kept["files"]) == list(kept["files"]["written"]) == ["a.bin", "sub/b.bin"]
    assert run.blobs.kept == {}
    assert len(run.lines) == 2


def test_laying_out_is_called_off_between_any_two_pieces(tmp_path: Path) -> None:
    run = Run(given_folder(tmp_path, "run"))
    apply(run.folder, [("a.bin", random.Random(1).randbytes(3 * PIECE))])
    kept, asked = run.save(), iter([False, True])
    with pytest.raises(CalledOff):
        lay_out(kept["files"], run.blobs, tmp_path / "saved", lambda: next(asked))


def test_small_files_of_earlier_versions_are_put_back_and_large_ones_are_lost(tmp_path: Path) -> None:
    was = {"size": 5, "hash": b"", "whole": True, "content": b"small", "mode": 0o640}
    large = {"size": 99_999, "hash": b"", "whole": True, "content": None, "mode": 0o640}
    files = {"written": {"a.txt": was}, "folders": {}, "links": {}, "removed": []}
    mended = Run(given_folder(tmp_path, "again"))
    mended.put_back({"files": files})
    assert looks(mended.folder)["a.txt"] == ("-rw-r-----", b"small")
    with pytest.raises(FileLost, match=r"b\.bin"):
        mended.put_back({"files": {**files, "written": {"b.bin": large}}})


def test_caches_and_what_is_no_file_are_left_alone(tmp_path: Path) -> None:
    folder = given_folder(tmp_path, "a")
    run = Run(folder)
    apply(folder, [("__pycache__/x.pyc", b"x")])
    os.mkfifo(folder / "pipe")
    (folder / os.fsdecode(b"f\xfcr")).mkdir()  # names in Latin-1, which a savepoint can't hold
    (folder / "link").symlink_to(os.fsdecode(b"f\xfcr"))
    state = run.save()
    assert not any(state["files"].values())
    run.put_back(state)
    assert (folder / "pipe").exists()
    assert (folder / "link").is_dir()
    assert (folder / "__pycache__" / "x.pyc").exists()


def test_a_link_is_put_back_as_it_says_and_followed_nowhere(tmp_path: Path) -> None:
    outside = tmp_path.resolve() / "outside"
    apply(outside, [("mine.txt", b"mine")])
    run = Run(given_folder(tmp_path, "run"))
    apply(run.folder, [("link.txt", Link(f"{outside}/mine.txt")), ("all", Link(str(outside)))])
    apply(run.folder, [("large.bin", LARGE), ("plain", b"theirs"), ("out/a.txt", b"a")])
    apply(run.folder, [("data/input.csv", b"theirs")])
    state = run.save()
    assert set(state["files"]["written"]) == {"large.bin", "plain", "out/a.txt", "data/input.csv"}
    # Links in the place of files and folders are replaced, not gone through.
    mended = Run(again := given_folder(tmp_path, "again"), run.blobs)
    removed(again / "data")
    apply(again, [("plain", Link(f"{outside}/mine.txt")), ("out", Link(str(outside)))])
    (again / "data").symlink_to(outside)
    mended.put_back(state)
    assert looks(outside) == {"mine.txt": (looks(outside)["mine.txt"][0], b"mine")}
    assert os.readlink(again / "link.txt") == f"{outside}/mine.txt"  # noqa: PTH115
    assert looks(again)["data/input.csv"] == looks(run.folder)["data/input.csv"]
    assert contents(again / "out") == {"a.txt": b"a"}


def test_what_was_written_in_a_folder_that_a_forks_experiment_lacks_is_put_back(tmp_path: Path) -> None:
    run, fresh = Run(given_folder(tmp_path, "run")), tmp_path / "fresh"
    apply(run.folder, [("data/deep/out.csv", b"1\n"), ("data/latest", Link("deep/out.csv"))])
    state = run.save()
    apply(fresh, [("other/main_script.py", b"")])
    mended = Run(fresh, run.blobs)
    apply(fresh, [("data/deep/out.csv", b"")])
    mended.put_back(state)
    assert contents(fresh)["data/deep/out.csv"] == b"1\n"
    assert (fresh / "data" / "latest").read_text() == "1\n"


@pytest.mark.parametrize("mode", ["w", "a", "r+", "wb"])
def test_what_is_open_for_writing_goes_on_at_the_end_of_what_was_put_back(tmp_path: Path, mode: str) -> None:
    run, fresh = Run(given_folder(tmp_path, "run")), given_folder(tmp_path, "fresh")
    apply(run.folder, [("out.csv", b"head\n1\n2\n")])
    state = run.save()
    mended = Run(fresh, run.blobs)
    apply(fresh, [("out.csv", b"")])
    with (fresh / "out.csv").open(mode) as file:
        head: Any = "head\n" if "b" not in mode else b"head\n"
        file.write(head)
        file.flush()
        mended.put_back(state)
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
