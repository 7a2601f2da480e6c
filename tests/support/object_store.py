"""An object store as an fsspec file system: no folders, no rename, and it fails where a test says so."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.spec import AbstractFileSystem

CHANGING = frozenset({"create", "write", "remove"})


class Broken(Exception):
    """What this store raises; like those of real ones, it is no OSError."""


class ObjectStore(AbstractFileSystem):
    """Keeps objects in this process, below buckets that tests name; made by fsspec from ``objects://BUCKET``.

    Attributes
    ----------
    objects
        All of them, by path.
    operations
        What was done so far, by name.
    fails
        Takes the number of an operation, from 0 on, and its name, and returns how it fails: ``before`` it had
        an effect, ``after`` it, ``torn`` in its midst, or not at all.
    """

    protocol = "objects"
    cachable = False
    objects: ClassVar[dict[str, bytes]] = {}
    operations: ClassVar[list[str]] = []
    fails: ClassVar[Callable[[int, str], str | None] | None] = None
    _lock: ClassVar[threading.RLock] = threading.RLock()

    def cat_file(self, path: str, *, start: int | None = None, end: int | None = None) -> bytes:
        data: list[bytes] = []

        def read() -> None:
            if path not in self.objects:
                raise FileNotFoundError(path)
            data.append(self.objects[path][start:end])

        self._do("read", read)
        return data[0]

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        assert mode == "create", "nothing is overwritten"

        def create() -> None:
            if path in self.objects:
                raise FileExistsError(path)
            self.objects[path] = value

        self._do("create", create, torn=lambda: self.objects.setdefault(path, value[: len(value) // 2]))

    def _open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        assert mode == "wb"
        assert path not in self.objects, "nothing is overwritten"
        store = self

        class Written(io.BytesIO):
            def close(self) -> None:
                if not self.closed:
                    data = self.getvalue()
                    super().close()
                    half = data[: len(data) // 2]
                    store._do(
                        "write",
                        lambda: store.objects.__setitem__(path, data),
                        torn=lambda: store.objects.__setitem__(path, half),
                    )

        return Written()

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        found: list[str] = []

        def names() -> None:
            start = f"{path.rstrip('/')}/"
            below = {name.removeprefix(start) for name in self.objects if name.startswith(start)}
            found.extend(sorted({f"{start}{name.partition('/')[0]}" for name in below}))

        self._do("list", names)
        assert not detail
        return found

    def rm_file(self, path: str) -> None:
        def remove() -> None:
            if self.objects.pop(path, None) is None:
                raise FileNotFoundError(path)

        self._do("remove", remove)

    def mv(self, *_: Any, **__: Any) -> None:
        raise AssertionError("object stores can't rename")

    cp_file = mv

    def _do(self, name: str, work: Callable[[], Any], torn: Callable[[], Any] = lambda: None) -> None:
        with self._lock:
            kind = type(self)
            number = len(kind.operations)
            kind.operations.append(name)
            failure = None if kind.fails is None else kind.fails(number, name)
            if failure == "before":
                raise Broken("no answer")
            if failure == "torn":
                torn()
                raise Broken("cut off")
            work()
            if failure == "after":
                raise Broken("the answer got lost")


fsspec.register_implementation("objects", ObjectStore, clobber=True)


def reset() -> None:
    """Forget all objects and failures."""
    ObjectStore.objects.clear()
    heal()


def heal() -> None:
    """Let nothing fail from now on, and count operations anew."""
    ObjectStore.operations.clear()
    ObjectStore.fails = None


def fail(at: int, how: str, *, once: bool) -> None:
    """Let the operation of a number, and unless `once` all after it, fail in a way."""
    heal()
    ObjectStore.fails = staticmethod(  # type: ignore[assignment]
        lambda number, name: how if number == at or (number > at and not once) else None
    )


@contextmanager
def healed() -> Iterator[None]:
    """Let nothing fail meanwhile."""
    operations, fails = list(ObjectStore.operations), ObjectStore.fails
    heal()
    try:
        yield
    finally:
        ObjectStore.operations[:] = operations
        ObjectStore.fails = fails


def failed() -> bool:
    """Return whether the operation that `fail` meant has been reached."""
    fails = ObjectStore.fails
    return fails is not None and any(
        fails(number, name) for number, name in enumerate(ObjectStore.operations)
    )
