"""Zips are read with suspicion, and written as streams."""

import io
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.zips import PENDULUM, opened, unzipped, zip_of

from perdure.artifacts.archive import Archive, zipped
from perdure.artifacts.fileset import Content, StoredFile
from perdure.errors import Invalid, InvalidArchive, InvalidName, LimitExceeded


def files_of(data: bytes, *, max_files: int = 100, max_bytes: int = 100_000_000) -> dict[str, bytes]:
    archive = Archive(opened(data), max_files=max_files, max_bytes=max_bytes)
    return {path: b"".join(chunks) for path, chunks in archive.files()}


def folders_of(data: bytes, *, max_files: int = 100) -> frozenset[str]:
    return Archive(opened(data), max_files=max_files, max_bytes=100).folders


def entry(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_files_come_with_their_paths() -> None:
    assert files_of(zip_of(PENDULUM)) == PENDULUM


def test_one_folder_around_everything_is_left_out() -> None:
    folder = {f"pendulum/{path}": data for path, data in PENDULUM.items()}
    assert files_of(zip_of(folder)) == PENDULUM


def test_a_folder_beside_a_file_stays() -> None:
    assert files_of(zip_of({"a/b": b"1", "c": b"2"})) == {"a/b": b"1", "c": b"2"}


def test_what_macos_adds_is_left_out() -> None:
    entries = [("__MACOSX/", b""), ("__MACOSX/._a", b"x"), (".DS_Store", b"x"), ("a", b"1")]
    assert files_of(zip_of(entries)) == {"a": b"1"}
    assert folders_of(zip_of(entries)) == set()


@pytest.mark.parametrize("around", ["", "experiment/"])
def test_folders_without_files_are_kept_by_their_paths(around: str) -> None:
    names = ["full/", "empty/", "empty/inner/", "full/void/", "emptyish/", "full-/", "a", "full/b"]
    made = zip_of([(around or "./", b""), *((f"{around}{name}", b"") for name in names)])
    assert folders_of(made) == {"empty/inner", "full/void", "emptyish", "full-"}
    assert set(files_of(made)) == {"a", "full/b"}


def test_folders_count_among_the_files_and_are_named_as_they_are() -> None:
    with pytest.raises(LimitExceeded):
        folders_of(zip_of([("a", b""), ("b/", b""), ("c/", b"")]), max_files=2)
    for name in ("../b/", "/b/", "b\n/"):
        with pytest.raises(InvalidArchive):
            folders_of(zip_of([("a", b""), (name, b"")]))
    with pytest.raises(InvalidName):
        folders_of(zip_of([("a", b""), ("a/b/", b"")]))


def test_folders_of_a_written_zip_are_read_back() -> None:
    made = b"".join(zipped(Content({"a": stored(1)}, frozenset({"b/c", "d"})), lambda file: [b"x"]))
    assert folders_of(made) == {"b/c", "d"}
    with zipfile.ZipFile(io.BytesIO(made)) as archive:
        assert all(archive.getinfo(name).is_dir() for name in ("b/c/", "d/"))
        assert stat.S_ISDIR(archive.getinfo("d/").external_attr >> 16)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../above",
        "a/../../above",
        "a/./b",
        "a//b",
        "C:/windows",
        "C:windows",
        "..",
        "a\x01b",
        "x" * 300,
        "/".join(["x" * 200] * 6),
    ],
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(InvalidArchive):
        files_of(zip_of([(name, b"x"), ("a", b"")]))


def test_a_backslash_is_refused() -> None:
    data = zip_of({"a_b": b"x", "c": b""}).replace(b"a_b", b"a\\b")
    with pytest.raises(InvalidArchive, match="separated by '/'"):
        files_of(data)


def test_a_name_that_goes_on_behind_a_nul_is_refused() -> None:
    data = zip_of({"a_b": b"x", "c": b""}).replace(b"a_b", b"a\0b")
    with pytest.raises(InvalidArchive, match="control"):
        files_of(data)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_special_files_are_refused(kind: int) -> None:
    with pytest.raises(InvalidArchive, match="link or a special file"):
        files_of(zip_of([(entry("a", kind | 0o777), b"/etc/passwd"), ("b", b"")]))


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_path_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidArchive, match="more than once"):
        files_of(zip_of([("a", b"1"), ("a", b"2")]))


def test_a_file_that_is_a_folder_too_is_refused() -> None:
    with pytest.raises(InvalidName, match="needs a folder"):
        files_of(zip_of({"a": b"1", "a/b": b"2", "c": b""}))


def test_too_many_files_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="PERDURE_MAX_EXPERIMENT_FILES"):
        files_of(zip_of({f"f{number}": b"" for number in range(11)}), max_files=10)


def test_too_many_bytes_are_refused_before_any_is_unpacked() -> None:
    with pytest.raises(LimitExceeded, match="PERDURE_MAX_EXPERIMENT_BYTES"):
        Archive(opened(zip_of({"a": bytes(2_000)})), max_files=10, max_bytes=1_999)


def test_a_bomb_is_refused_before_any_of_it_is_unpacked() -> None:
    with pytest.raises(InvalidArchive, match="200 times"):
        Archive(opened(zip_of({"zeros": bytes(30_000_000)})), max_files=10, max_bytes=10**12)


def test_a_size_that_lies_yields_no_more_than_it_says() -> None:
    data = bytearray(zip_of({"zeros": bytes(1_000_000)}))
    for signature, place in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        struct.pack_into("<L", data, data.index(signature) + place, 10)
    with pytest.raises(InvalidArchive):
        files_of(bytes(data))


def test_files_that_share_their_bytes_are_refused() -> None:
    """Overlapping entries make much of little (the bomb of D. Fifield, 2019)."""
    packed = zlib.compress(b"x" * 5_000_000)[2:-4]
    local = struct.pack(
        "<4s5H3L2H",
        b"PK\x03\x04",
        20,
        0,
        8,
        0,
        33,
        zlib.crc32(b"x" * 5_000_000),
        len(packed),
        5_000_000,
        1,
        0,
    )
    one = local + b"a" + packed
    directory = b"".join(
        struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            *(20, 20, 0, 8, 0, 33),
            *(zlib.crc32(b"x" * 5_000_000), len(packed), 5_000_000),
            *(1, 0, 0, 0, 0, 0, 0),
        )
        + bytes([97 + number])
        for number in range(3)
    )
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 3, 3, len(directory), len(one), 0)
    with pytest.raises(InvalidArchive, match=r"overlap|times its own size"):
        files_of(one + directory + end)


def test_a_directory_without_end_takes_little_memory() -> None:
    entries = zip_of({f"f{number}": b"" for number in range(60_000)})
    tracemalloc.start()
    try:
        with pytest.raises(Invalid):
            files_of(entries, max_files=10)
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


def test_encrypted_and_strangely_packed_files_are_refused() -> None:
    data = bytearray(zip_of({"a": b"x", "b": b""}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InvalidArchive, match="encrypted"):
        files_of(bytes(data))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"x")
    with pytest.raises(InvalidArchive, match="deflate"):
        files_of(packed.getvalue())


def test_an_empty_zip_is_refused() -> None:
    with pytest.raises(InvalidArchive, match="no files"):
        files_of(zip_of({}))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_what_is_no_zip_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArchive):
        files_of(data)


WHOLE = zip_of({**PENDULUM, "data.bin": bytes(range(256)) * 20})


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.integers(0, 255))
def test_a_changed_byte_is_noticed_or_harmless(at: int, value: int) -> None:
    data = bytearray(WHOLE)
    data[at] = value
    try:
        files = files_of(bytes(data))
    except Invalid:
        return
    assert set(files.values()) <= {*PENDULUM.values(), bytes(range(256)) * 20}


@settings(deadline=None)
@given(st.integers(0, len(WHOLE) - 1))
def test_a_zip_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(InvalidArchive):
        files_of(WHOLE[:length])


def stored(size: int, modified: float = 1.7e9) -> StoredFile:
    return StoredFile(size, "", modified, "")


def test_a_written_zip_is_read_back() -> None:
    files = {path: stored(len(data)) for path, data in PENDULUM.items()}
    contents = iter(PENDULUM.values())
    made = b"".join(zipped(Content(files), lambda file: [next(contents)]))
    assert unzipped(made) == PENDULUM


def test_a_zip_of_nothing_is_a_zip() -> None:
    assert unzipped(b"".join(zipped(Content({}), lambda file: []))) == {}


@pytest.mark.parametrize("modified", [0.0, 1.7e9, 1e11])
def test_times_that_no_zip_can_tell_are_brought_near(modified: float) -> None:
    assert unzipped(b"".join(zipped(Content({"a": stored(1, modified)}), lambda file: [b"x"]))) == {"a": b"x"}


def test_a_large_zip_takes_little_memory() -> None:
    part = bytes(range(256)) * 4_000

    def read(file: StoredFile) -> Iterator[bytes]:
        for _ in range(100):
            yield part

    tracemalloc.start()
    try:
        size = sum(len(chunk) for chunk in zipped(Content({"large": stored(100 * len(part))}), read))
        assert size > 100_000
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_a_zip_whose_file_fails_has_no_end() -> None:
    def read(file: StoredFile) -> Iterator[bytes]:
        yield b"x"
        raise ConnectionError

    made = []
    with pytest.raises(ConnectionError):
        for chunk in zipped(Content({"a": stored(2)}), read):
            made.append(chunk)  # noqa: PERF402
    with pytest.raises(zipfile.BadZipFile):
        unzipped(b"".join(made))
