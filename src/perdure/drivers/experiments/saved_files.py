"""The files of savepoints: what an attempt had written is kept in the artifacts, and laid out from there.

A savepoint lists the files that were written, as `Files.snapshot` found them. Here each becomes what it takes
to write it again: pieces, which are blobs of the artifacts or zeros, and its end, which is in the savepoint.
A file is cut where it was cut before, so that of one that grows only the end is new, and of one that changes
only the pieces that differ. All blobs are durable before the savepoint is committed.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from msgspec.structs import replace

from perdure.artifacts import Blobs, CalledOff
from perdure.artifacts.outputs import data_from, opened
from perdure.drivers.experiments.files import PERMISSIONS
from perdure.drivers.experiments.script_position import FILES
from perdure.errors import ArtifactsUnavailable, FileLost, NoSavepoint
from perdure.state.codec import State, decode, encode
from perdure.state.savepoint import Savepoint
from perdure.stores.base import Store
from perdure.stores.commands import Blob
from perdure.stores.savepoints import newest_savepoint

__all__ = ["MAX_SAVEPOINT_BYTES", "SavedFiles", "blobs_of", "files_at", "lay_out", "lost_files", "pieces_of"]

MAX_SAVEPOINT_BYTES = 4_000_000_000

SMALL = 64 * 1024  # bytes at the end of a file that are in the savepoint; a piece has as many, or more
SMALL_ALTOGETHER = 1 << 20  # bytes that are in a savepoint
PIECE = 1 << 20  # bytes, as a rule, but at the end of what was written at once
MANY = 256  # small pieces of a file after which it is cut anew from the first of them on
BATCH = 32 << 20  # bytes of pieces that are in memory
SETTLED = 50_000_000  # nanoseconds after which the time of a change shows whether another one followed
COPIES = 5  # of a file that is written while it is copied; the last one counts
THREADS = 8  # a storage far away takes its time for each blob
BACKOFF_SECONDS = (0.2, 0.4, 0.8, 1.6)


class Piece(NamedTuple):
    """A part of a file: its bytes, the number of the blob, and its SHA-256; zeros have the number 0."""

    size: int
    number: int
    digest: str


class _Written(NamedTuple):
    """A file as it is written again: its pieces, and its end. Without pieces it is lost."""

    size: int
    mode: int | None
    pieces: tuple[Piece, ...] | None
    tail: bytes = b""

    def to_state(self) -> State:
        pieces: State = None if self.pieces is None else [[*piece] for piece in self.pieces]
        return {"size": self.size, "mode": self.mode, "pieces": pieces, "tail": self.tail}


_Stamp: TypeAlias = tuple[int, int, int, int]
"""A file's size, when it and its inode were changed, and its number: what says whether it was changed."""


def files_at(store: Store, run_id: str) -> Any:
    """Return what the newest intact savepoint of a run says of its files; None if there is none."""
    with suppress(NoSavepoint):
        return decode(newest_savepoint(store, run_id).entities[FILES])
    return None


def pieces_of(kept: Any) -> Iterator[Piece]:
    """Yield the pieces of all files that the files of a savepoint name."""
    beginning = kept["beginning"]
    for files in (kept["files"], *([beginning["files"]] if beginning else [])):
        for was in files["written"].values():
            yield from _read(was).pieces or ()


def blobs_of(kept: Any) -> frozenset[int]:
    """Return the numbers of the blobs that the files of a savepoint name."""
    return frozenset(piece.number for piece in pieces_of(kept) if piece.number)


def lost_files(files: Any) -> list[str]:
    """Return the paths of the files that a savepoint names without what they held."""
    return [path for path, was in files["written"].items() if _read(was).pieces is None]


def _read(was: Mapping[str, Any]) -> _Written:
    """Return a file that a savepoint names; earlier versions had small ones only, each as a whole."""
    if "pieces" not in was:
        content = was["content"]
        return _Written(was["size"], was["mode"], None if content is None else (), content or b"")
    pieces = was["pieces"]
    return _Written(
        was["size"],
        was["mode"],
        None if pieces is None else tuple(Piece(*piece) for piece in pieces),
        was["tail"],
    )


class SavedFiles:
    """Keeps the files of one attempt's savepoints; blocking, and called by one thread at a time.

    Parameters
    ----------
    blobs
        Where blobs are kept.
    use
        Notes in the store that blobs with these hashes and sizes are used, as `UseBlobs` does.
    folder
        The attempt's working folder.
    kept
        The files of the savepoint that it goes on from, if there is one.
    limit
        The bytes that the files of a savepoint may have together, holes excepted.
    """

    def __init__(
        self,
        blobs: Blobs,
        use: Callable[[Sequence[tuple[str, int]]], Sequence[Blob]],
        folder: Path,
        kept: Any = None,
        limit: int = MAX_SAVEPOINT_BYTES,
    ) -> None:
        self._blobs, self._use, self._folder = blobs, use, folder
        self._limit = limit
        # What a fork's script found at its top never changes: it isn't taken from what the child sends.
        self._beginning = None if kept is None else kept["beginning"]
        self._stamps: dict[str, _Stamp] = {}
        self._files = (
            {} if kept is None else {path: _read(it) for path, it in kept["files"]["written"].items()}
        )
        # Those that the savepoint before names: they stay until the next one is committed.
        self._numbers = self._named()
        self._new: dict[str, bytes] = {}
        self._waiting = 0  # bytes of these

    def save(self, savepoint: Savepoint) -> tuple[Savepoint, list[str]]:
        """Make the files of a savepoint durable; return it with them, and lines about those left out.

        Raises
        ------
        ArtifactsUnavailable
            If they can't be stored after several attempts.
        """
        kept: Any = decode(savepoint.entities[FILES])
        inline, left = SMALL_ALTOGETHER, self._limit
        files: dict[str, _Written] = {}
        lines = []
        for path, (mode, *stamp) in sorted(kept["files"]["written"].items()):
            file = self._saved(path, mode, tuple(stamp), left)
            if file is None:
                continue  # another process removed it since it was listed
            if file.pieces is None:
                if path not in self._files or self._files[path].pieces is not None:
                    lines.append(
                        f"Left out of savepoints: {path}. It can't be read, or the files of a savepoint have "
                        f"more than {self._limit} bytes together (PERDURE_MAX_SAVEPOINT_BYTES)."
                    )
            elif len(file.tail) > inline:
                file = file._replace(pieces=(*file.pieces, self._piece(file.tail)), tail=b"")
            inline -= len(file.tail)
            left -= sum(piece.size for piece in file.pieces or () if piece.digest) + len(file.tail)
            files[path] = file
        self._store_new()
        numbers = {**self._numbers, "": 0}
        self._files = {path: _numbered(file, numbers) for path, file in files.items()}
        self._numbers = self._named()
        written: State = {path: file.to_state() for path, file in self._files.items()}
        kept["files"]["written"], kept["beginning"] = written, self._beginning
        entities = {**savepoint.entities, FILES: encode(kept)}
        return replace(savepoint, entities=entities, blobs=blobs_of(kept)), lines

    def _saved(self, path: str, mode: int, stamp: tuple[int, ...], left: int) -> _Written | None:
        """Return a file as it is now; it is read if it may have changed since the savepoint before."""
        former = self._files.get(path)
        if former is not None and self._stamps.get(path) == stamp:
            return former._replace(mode=mode)
        self._stamps.pop(path, None)
        for _ in range(COPIES):
            with opened(self._folder, path) as file:
                if file is None:
                    there = os.path.lexists(self._folder / path)
                    return _Written(stamp[0], mode, None) if there else None
                now, before = time.time_ns(), os.fstat(file.fileno())
                pieces, tail = self._cut(file.fileno(), before.st_size, former, left)
                after = os.fstat(file.fileno())
            if _stamp(before) == _stamp(after):
                break
        if pieces is not None and now - before.st_mtime_ns > SETTLED:
            self._stamps[path] = _stamp(before)
        size = before.st_size if pieces is None else sum(piece.size for piece in pieces) + len(tail)
        return _Written(size, mode, pieces, tail)

    def _cut(
        self, handle: int, size: int, former: _Written | None, left: int
    ) -> tuple[tuple[Piece, ...] | None, bytes]:
        """Read a file in pieces, and its end; no pieces if it has more bytes than are left."""
        pieces: list[Piece] = []
        if min(size, os.fstat(handle).st_blocks * 512) > left:
            return None, b""
        cuts, at = _cuts(former), 0
        while at < size:
            hole = min(data_from(handle, at), size) - at
            if hole >= min(SMALL, size - at):
                pieces.append(Piece(hole, 0, ""))
                at += hole
                continue
            length = min(cuts.get(at) or _to_multiple(at), size - at)
            if length > left:
                return None, b""
            data = os.pread(handle, length, at)
            if not data:
                break  # it was cut meanwhile
            at += len(data)
            left -= len(data)
            if at == size and len(data) < SMALL:
                return tuple(pieces), data
            pieces.append(self._piece(data))
        return tuple(pieces), b""

    def _piece(self, data: bytes) -> Piece:
        """Return a piece; if its blob isn't known, it gets its number when that is stored."""
        if data == bytes(len(data)):
            return Piece(len(data), 0, "")
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self._numbers and digest not in self._new:
            self._new[digest] = data
            self._waiting += len(data)
            if self._waiting > BATCH:
                self._store_new()
        return Piece(len(data), 0, digest)

    def _store_new(self) -> None:
        """Store the pieces that wait for it: first they are noted, then they are written."""
        if not self._new:
            return
        new, self._new, self._waiting = self._new, {}, 0
        used = self._use([(digest, len(data)) for digest, data in new.items()])

        def write(number: int, digest: str) -> None:
            for seconds in BACKOFF_SECONDS:
                with suppress(ArtifactsUnavailable):
                    return self._blobs.write(number, digest, new[digest])
                time.sleep(seconds)
            return self._blobs.write(number, digest, new[digest])

        missing = [blob for blob in used if not blob.stored]
        with ThreadPoolExecutor(THREADS) as threads:
            for _ in threads.map(lambda blob: write(blob.number, blob.hash), missing):
                pass
        self._numbers |= {blob.hash: blob.number for blob in used}

    def _named(self) -> dict[str, int]:
        pieces = (piece for file in self._files.values() for piece in file.pieces or ())
        return {piece.digest: piece.number for piece in pieces if piece.number}


def _numbered(file: _Written, numbers: Mapping[str, int]) -> _Written:
    """Return a file whose pieces have the numbers of their digests."""
    if file.pieces is None:
        return file
    return file._replace(pieces=tuple(piece._replace(number=numbers[piece.digest]) for piece in file.pieces))


def _stamp(status: os.stat_result) -> _Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


def _to_multiple(at: int) -> int:
    """Return the length of a piece that ends at a multiple of `PIECE`: those of a cut file fit again soon."""
    length = PIECE - at % PIECE
    return length if length >= SMALL else length + PIECE


def _cuts(former: _Written | None) -> dict[int, int]:
    """Return where a file was cut before, and the lengths of the pieces."""
    pieces = (former and former.pieces) or ()
    small = [number for number, piece in enumerate(pieces) if piece.size < PIECE // 2]
    at, cuts = 0, {}
    for piece in pieces[: small[0]] if len(small) > MANY else pieces:
        if piece.size < 2 * PIECE:
            cuts[at] = piece.size
        at += piece.size
    return cuts


def lay_out(files: Any, blobs: Blobs, target: Path, called_off: Callable[[], bool] = lambda: False) -> None:
    """Write the files of a savepoint into a folder, and its folders; what is lost isn't there.

    Raises
    ------
    CalledOff
        If nobody wants it any more.
    FileLost
        If the savepoint names what can't be in a folder.
    CorruptBlob
        If a blob is missing or damaged.
    ArtifactsUnavailable
        If the storage can't be read.
    """
    target.mkdir()
    for path in sorted(files["folders"]):
        _within(target, path).mkdir(parents=True, exist_ok=True)

    def write(path: str, file: _Written) -> None:
        place = _within(target, path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as written:
                for size, number, digest in file.pieces or ():
                    if called_off():
                        raise CalledOff
                    if digest:
                        written.write(blobs.read(number, digest))
                    else:
                        written.seek(size, os.SEEK_CUR)
                written.write(file.tail)
                written.truncate()
        except (FileExistsError, NotADirectoryError):
            raise FileLost(path=path, reason="the savepoint names it as a file and as a folder") from None
        if file.mode is not None:
            place.chmod(file.mode & PERMISSIONS | 0o600)

    with ThreadPoolExecutor(THREADS) as threads:
        listed = ((path, _read(was)) for path, was in files["written"].items())
        kept = [(path, file) for path, file in listed if file.pieces is not None]
        for _ in threads.map(write, *zip(*kept, strict=True)) if kept else ():
            pass


def _within(folder: Path, path: str) -> Path:
    """Return the place of a path in a folder; what a savepoint says is its simulation's word."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in path:
        raise FileLost(path=path, reason="the savepoint names a file that isn't within the folder")
    return folder / path
