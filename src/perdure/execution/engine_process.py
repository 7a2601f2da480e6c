"""The process of an isolated engine: makes it, and answers calls until its parent closes it or is gone."""

import contextlib
import importlib
import os
import select
import socket
import sys
import threading
from typing import Any, cast

import perdure.errors
from perdure.engines.base import Asking, Engine, Modular, Replayable, Visible
from perdure.engines.json_data import copied
from perdure.engines.warned import Modules, restore_warnings, snapshot_warnings
from perdure.errors import NotSnapshotable, PerdureError
from perdure.execution.child import print_by_lines
from perdure.execution.isolated_engine import MakeEngine, engines_process, receive, send
from perdure.state.codec import encode

__all__ = ["main"]

_OWN_THREADS = 2  # the main one, and the one that waits for the parent's end


def main(descriptor: int) -> None:
    """Answer calls on the socket with this descriptor."""
    engines_process.here = True
    print_by_lines()
    os.set_inheritable(descriptor, False)  # what the engine starts must not keep it open
    connection = socket.socket(fileno=descriptor)
    # Not in a step's way: it waits in the kernel, for nothing but the parent's end to close.
    threading.Thread(target=_end_with_parent, args=(connection,), daemon=True).start()
    with contextlib.suppress(ConnectionError):  # the parent is gone: there is no receiver left
        _serve(connection)


def _serve(connection: socket.socket) -> None:
    engine: Engine | None = None
    method = name = ""
    while method != "close":
        method, argument = receive(connection)
        try:
            value: Any = None
            if method == "initialize":
                sys.path[:], make, name, arguments, config, answers = argument
                engine, value = _function(make)(*arguments, config, answers)
            elif engine is not None:  # it may be closed after it couldn't be initialised
                value = _called(engine, method, argument)
            if method == "release":
                engine, value = None, _is_reusable(engine)
            if method in ("initialize", "step") and not getattr(engine, "plain", False):
                value = {port: copied(data, port, name) for port, data in value.items()}
            about: list[Any] = [0.0, True]
            if engine is not None and method != "close":
                about = [engine.time, engine.finished]
            about.append(engine.take_answers() if isinstance(engine, Asking) else None)
            send(connection, ["answer", value, *about])
        except PerdureError as error:
            values: dict[str, Any] = {
                key: shown for key, shown in error.values.items() if isinstance(shown, str | int | float)
            }
            send(connection, ["error", _kind(error), str(error), values])


def _is_reusable(engine: Engine | None) -> bool:
    """Return whether an engine was made, and has left nothing behind, nor anything that runs."""
    clean = engine is not None and bool(getattr(engine, "reusable", True))
    return clean and threading.active_count() == _OWN_THREADS


def _kind(error: PerdureError) -> str:
    """Return the name of the nearest kind of error that the parent knows, too."""
    known = set(map(id, vars(perdure.errors).values()))
    return next(kind.__name__ for kind in type(error).__mro__ if id(kind) in known)


def _function(name: str) -> MakeEngine:
    module, _, function = name.partition(":")
    return cast("MakeEngine", getattr(importlib.import_module(module), function))


def _called(engine: Engine, method: str, argument: Any) -> Any:
    match method:
        case "step":
            inputs, answers = argument
            if answers is not None and isinstance(engine, Asking):
                engine.give_answers(answers)
            return engine.step(inputs)
        case "validate":
            engine.validate(argument)
        case "snapshot":
            state = encode(engine.snapshot())  # here, so that the parent doesn't have to
            return [state, engine.refusal if isinstance(engine, Replayable) else None]
        case "scene":
            if not isinstance(engine, Visible):
                raise NotSnapshotable(what="the engine's scene", reason="it has none")
            return engine.scene()
        case "restore":
            engine.restore(argument)
        case "warned":
            return snapshot_warnings(_modules(engine))
        case "restore_warned":
            restore_warnings(argument, _modules(engine))
        case "release" | "close":
            engine.close()
    return None


def _modules(engine: Engine) -> Modules:
    return {"engine": engine.modules} if isinstance(engine, Modular) else {}


def _end_with_parent(connection: socket.socket) -> None:
    poll = select.poll()
    poll.register(connection, 0)  # a hang-up is always reported
    poll.poll()
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
