"""How many bytes are stored is read once, and nobody who writes waits for that."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from perdure.artifacts.usage import Usage

WAIT = 240.0


def test_who_writes_does_not_wait_for_the_reading() -> None:
    begun, noted = Event(), Event()

    def read() -> Mapping[str, int]:
        begun.set()
        assert noted.wait(WAIT)
        return {"same": 1, "grown": 2, "deleted": 3}

    usage = Usage(read)
    with ThreadPoolExecutor(1) as thread:
        sizes = thread.submit(usage.sizes)
        assert begun.wait(WAIT)
        with ThreadPoolExecutor(1) as writer:
            writes = [writer.submit(usage.note, *it) for it in (("grown", 20), ("deleted", 0), ("new", 4))]
            try:
                for write in writes:
                    write.result(WAIT / 4)
            finally:
                noted.set()
        assert sizes.result(WAIT) == {"same": 1, "grown": 20, "new": 4}


def test_sizes_are_read_once_for_all_who_ask_and_then_kept_up() -> None:
    times = 0

    def read() -> Mapping[str, int]:
        nonlocal times
        times += 1
        return {"a": 1}

    usage = Usage(read)
    usage.note("b", 2)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: usage.sizes(), range(8)))
    assert found == [{"a": 1, "b": 2}] * 8
    usage.note("a", 0)
    assert usage.sizes() == {"b": 2}
    assert times == 1
