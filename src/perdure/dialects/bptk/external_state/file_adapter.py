"""The file adapter: instances as files in a folder, each replaced as a whole and checked when it is read."""

import datetime
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from perdure.dialects.bptk.external_state.adapter import ExternalStateAdapter, InstanceState
from perdure.dialects.bptk.external_state.state_text import to_time, with_references
from perdure.durable import sync, write_file
from perdure.errors import ExternalStateLocked, Invalid, StoreLocked
from perdure.stores.lock import Lock

__all__ = ["FileAdapter"]

LOCK_FILE = ".perdure.lock"
LOCK, DRAFT = ".lock", ".tmp"  # suffixes of an instance's lock, and of an incomplete file

_ID = re.compile(r"[0-9a-f]{32}")
_START = b'{"checksum":"'
_DATA = b'","data":'
_END = b"}\n"
_CHECKSUM = 32  # hexadecimal digits of BLAKE2b

log = structlog.get_logger(__name__)


class FileAdapter(ExternalStateAdapter):
    """Stores each instance in a file ``<id>.json``; it also reads those of BPTK-Py.

    A file is written under a temporary name, synced and renamed; then the folder is synced. So the file is
    always complete, either the former or the new one. A damaged file is renamed to ``<id>.json.corrupt``;
    other files of the folder are ignored. The folder belongs to one server at a time, unless all of them run
    with ``externalize_state_completely``; its kernel lock ends with the server.

    Parameters
    ----------
    compress
        Whether the sessions in the files are compressed.
    path
        The folder; it is created when it is first needed.

    Examples
    --------
    >>> import tempfile
    >>> adapter = FileAdapter(True, tempfile.mkdtemp())
    >>> adapter._load_instance("beb52900000000000000000000000000") is None
    True
    """

    def __init__(self, compress: bool, path: str | os.PathLike[str]) -> None:
        super().__init__(compress)
        self._folder = Path(path)
        self._lock: Lock | None = None
        self._shared = False

    def _open(self, shared: bool) -> None:
        """Create the folder and lock it; raise `ExternalStateLocked` if another server has it."""
        if self._lock is not None:
            return
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            sync(self._folder.parent)
        self._lock = self._locked(self._folder / LOCK_FILE, self._folder, shared=shared)
        self._shared = shared
        if not shared:  # remove what killed servers left
            for path in self._folder.iterdir():
                if path.suffix in (DRAFT, LOCK) and _ID.fullmatch(path.stem):
                    path.unlink()

    def _close(self) -> None:
        """Release the folder."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _lock_instance(self, instance_id: str) -> Callable[[], None]:
        """Lock an instance; raise `ExternalStateLocked` if another server, or request, has it."""
        path = self._path(instance_id)
        if path is None:
            return lambda: None  # no file can have this name
        lock = self._locked(path.with_suffix(LOCK), path, shared=False)
        return lock.remove

    def _save_instance(self, state: InstanceState) -> None:
        """Write an instance; raise `OSError` if that fails, and the former file stays."""
        path = self._path(state.instance_id)
        if path is None:
            raise Invalid(f"{state.instance_id!r} is not an instance's id (32 hexadecimal digits).")
        self._open(shared=False)
        content = _written(state)
        draft = path.with_suffix(DRAFT)
        try:
            write_file(draft, content)
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink(missing_ok=True)
            raise
        sync(self._folder)

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        """Read an instance; None if there is no file, or only a damaged one, which is renamed."""
        self._open(shared=False)
        path = self._path(instance_id)
        return None if path is None else self._load(path, set_aside=True)

    def _load(self, path: Path, *, set_aside: bool) -> InstanceState | None:
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                return None
            return _read(path.read_bytes(), path.stem)
        except FileNotFoundError:
            return None
        except ValueError as error:
            place = path
            if set_aside:
                place = path.rename(_free(path.with_suffix(".json.corrupt")))
            log.error("external_state_corrupt", file=str(path), now_at=str(place), reason=str(error))
            return None

    def _load_state(self) -> list[InstanceState]:
        """Read all instances in the order of their ids; unreadable ones are logged and skipped.

        In a shared folder a damaged file stays until its instance is requested: without the instance's lock,
        another server may have replaced it a moment ago.
        """
        self._open(shared=False)
        states = []
        for path in sorted(self._folder.glob("*.json")):
            if not _ID.fullmatch(path.stem):
                continue
            try:
                state = self._load(path, set_aside=not self._shared)
            except OSError as error:
                log.error("external_state_unreadable", file=str(path), reason=str(error))
                continue
            if state is not None:
                states.append(state)
        return states

    def delete_instance(self, instance_id: str) -> None:
        """Remove an instance's file; does nothing if there is none."""
        path = self._path(instance_id)
        if path is not None:
            self._open(shared=False)
            path.with_suffix(DRAFT).unlink(missing_ok=True)
            path.unlink(missing_ok=True)
            sync(self._folder)

    def _path(self, instance_id: str) -> Path | None:
        """Return the path of an instance's file; None if the text isn't an id and must not become a path."""
        return self._folder / f"{instance_id}.json" if _ID.fullmatch(instance_id) else None

    def _locked(self, file: Path, guarded: Path, *, shared: bool) -> Lock:
        try:
            return Lock(file, guarded, shared=shared)
        except StoreLocked as error:
            raise ExternalStateLocked(**error.values) from None


def _written(state: InstanceState) -> bytes:
    """Return the content of a file."""
    return _framed(msgspec.json.encode(replace(state, time=to_time(state.time))))


def _read(content: bytes, instance_id: str) -> InstanceState | None:
    """Return the instance in a file, None if it has another content; raise `ValueError` if it is damaged."""
    if content.startswith(_START):
        data = content[len(_START) + _CHECKSUM + len(_DATA) : -len(_END)]
        if content != _framed(data):
            raise ValueError("its checksum is wrong")
        return _instance(_decoded(msgspec.json.decode, data), instance_id)
    # A file of BPTK-Py holds the state as text within the text, and has no checksum.
    found = _decoded(msgspec.json.decode, content)
    held = found.get("data") if isinstance(found, dict) else None
    if not isinstance(held, dict):
        return None
    if not isinstance(held.get("state"), str):
        raise ValueError("it holds no state as text")
    # Python's decoder accepts the names that its encoder writes for numbers without a JSON form.
    state = with_references(_decoded(json.loads, held["state"]))
    instance = _instance({**held, "state": state}, instance_id)
    return replace(instance, time=datetime.datetime.now())  # in BPTK-Py, loading counts as a use


def _instance(data: Any, instance_id: str) -> InstanceState:
    try:
        held = InstanceState(
            state=data["state"],
            instance_id=data["instance_id"],
            time=datetime.datetime.fromisoformat(data["time"]),
            timeout=data["timeout"],
            step=data["step"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"it holds no instance: {error!r}") from error
    if held.instance_id != instance_id:
        raise ValueError(f"it holds the instance {held.instance_id!r}")
    return held


def _decoded(decode: Callable[[Any], Any], text: bytes | str) -> Any:
    """Return decoded JSON; raise `ValueError` if it is damaged."""
    try:
        return decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _framed(data: bytes) -> bytes:
    """Return the content of a file: JSON with its checksum, as one JSON object."""
    checksum = hashlib.blake2b(data, digest_size=_CHECKSUM // 2).hexdigest()
    return b"".join((_START, checksum.encode("ascii"), _DATA, data, _END))


def _free(path: Path) -> Path:
    """Return the path, or the first unused one with a number."""
    candidate, number = path, 1
    while candidate.exists():
        candidate, number = path.with_name(f"{path.name}.{number}"), number + 1
    return candidate
