"""Isolated engines: an engine in a process of its own, behind the engine port.

The parent owns the process and ends it in `close`. Both talk over a pair of sockets in frames of a length and
a blob of our codec. The process has a guard, which ends it with all that it has started when the parent
closes it or is gone, also in the middle of a step: nothing outlives a parent that was killed.
"""

import socket
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import Signals
from typing import Any, NoReturn, cast

import perdure.errors
from perdure.engines.base import Engine
from perdure.engines.json_data import copied
from perdure.errors import EngineCrashed, PerdureError
from perdure.execution.end import End, EndKind
from perdure.execution.engine_handle import FAREWELL, EngineHandle
from perdure.execution.frames import read_exactly
from perdure.execution.spare_processes import spares
from perdure.state.codec import Encoded, State, decode, encode, pack

__all__ = ["IsolatedEngine", "MakeEngine", "engines_process", "receive", "send"]

LENGTH = struct.Struct("<Q")

MakeEngine = Callable[..., tuple[Engine, dict[str, Any]]]
"""Makes an engine in its process and initialises it.

It takes the arguments given, the config, and what the engine was answered at its start before. It returns the
engine, and its outputs at its start or nothing.
"""


class _EnginesProcess:
    """Whether this is the process of an isolated engine, which starts no others by itself."""

    here = False


engines_process = _EnginesProcess()


class IsolatedEngine:
    """An engine in another process; implements `perdure.engines.base.Engine` and `Replayable`.

    Parameters
    ----------
    name
        What it is called in errors.
    make
        A function of a module that the process imports.
    arguments
        What `make` is called with first, plain data.
    timeout
        Seconds that a step may take; None for any.
    setting
        What sets the timeout, for the error.
    environment
        All variables of the process's environment.
    patience
        Seconds that its start, a snapshot of it, or a return to one may take; None for any.
    reusable
        Whether its process may be that of an engine with the same arguments, which was closed, and be kept
        for another one: an engine that leaves nothing behind in its process.

    Attributes
    ----------
    start
        The engine's outputs at its start, once it is initialised, if `make` returned some.
    refusal
        The engine's own, as of its last snapshot, if it is `Replayable`; None for others.
    """

    def __init__(
        self,
        name: str,
        make: MakeEngine,
        arguments: Sequence[State],
        *,
        timeout: float | None,
        setting: str,
        environment: Mapping[str, str],
        patience: float | None = None,
        reusable: bool = False,
    ) -> None:
        self._name = name
        self._make = f"{make.__module__}:{make.__qualname__}"
        self._arguments = list(arguments)
        self._timeout = timeout
        self._setting = setting
        self._environment = environment
        self._patience = patience
        self._given: State = None  # what it was answered when it did what it does next
        self._answers: State = None
        self._reusable = reusable
        self._key = b""  # of its process, if that is reusable
        self._handle: EngineHandle | None = None
        self._waiting = False  # for an answer
        self._time = 0.0
        self._finished = False
        self.start: dict[str, Any] = {}
        self.refusal: str | None = None

    @property
    def time(self) -> float:
        """The engine's time, as of its last answer."""
        return self._time

    @property
    def finished(self) -> bool:
        """Whether the engine has nothing left to step, as of its last answer."""
        return self._finished

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Start a process, or take a spare one, and have it make and initialise the engine."""
        if self._reusable:
            variables = [f"{name}={value}" for name, value in sorted(self._environment.items())]
            self._key = pack([self._make, self._arguments, [*variables], str(Path.cwd())])
        spare = spares.take(self._key) if self._reusable else None
        self._handle = spare or EngineHandle(self._environment)
        start = [sys.path, self._make, self._name, self._arguments, dict(config), self._given]
        self.start = self._data(self._call("initialize", start, self._patience))
        self._given = None

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs."""
        self._call("validate", self._copied(inputs), self._timeout)

    def step(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Advance, and wait for the answer."""
        self.begin(inputs)
        return self.finish()

    def begin(self, inputs: Mapping[str, Any]) -> None:
        """Let the engine begin a step."""
        self._send("step", [self._copied(inputs), self._given])
        self._given = None

    def finish(self) -> dict[str, Any]:
        """Wait for the step that was begun, and return its outputs.

        Raises
        ------
        EngineCrashed
            If the process ended, or took longer than the engine's command timeout.
        """
        return self._data(self._receive(self._timeout))

    def snapshot(self) -> State:
        """Return the engine's state."""
        return cast("State", decode(self.encoded()))

    def encoded(self) -> Encoded:
        """Return the engine's state as its process has encoded it."""
        blob, self.refusal = self._call("snapshot", None, self._patience)
        return Encoded(blob)

    def restore(self, state: State) -> None:
        """Go to what `snapshot` returned."""
        self._call("restore", state, self._patience)

    def scene(self) -> State:
        """Return a copy of what a picture of the engine shows; see `perdure.engines.base.Visible`."""
        state: State = self._call("scene", None, self._patience)
        return state

    def give_answers(self, answers: State) -> None:
        """Give the engine this when it is initialised, or in the next step, instead of letting it ask."""
        self._given = answers

    def take_answers(self) -> State:
        """Return, once, what the engine was answered."""
        answers, self._answers = self._answers, None
        return answers

    def warned(self) -> State:
        """Return what its process has warned of."""
        state: State = self._call("warned", None)
        return state

    def restore_warned(self, state: State) -> None:
        """Have its process warn of that no more."""
        self._call("restore_warned", state)

    def interrupt(self) -> None:
        """Kill the engine's process, from any thread: a call that waits for it raises `EngineCrashed`."""
        if (handle := self._handle) is not None:
            handle.kill()

    def close(self) -> None:
        """Close the engine, and end its process or keep it as a spare one; then raise what `close` raised."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        keep = self._reusable and not self._waiting and spares.needed
        answer: Any = None
        with suppress(OSError):  # if it doesn't answer any more, it has nothing to lose
            handle.connection.settimeout(FAREWELL)
            send(handle.connection, ["release" if keep else "close", None])
            answer = receive(handle.connection)
        match answer:
            case ["answer", True, *_]:
                spares.put(self._key, handle)
            case _:
                handle.end(kill=keep or answer is None)
        match answer:
            case ["error", code, message, values]:
                raise _error(code, message, values)

    def _copied(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: copied(data, name, self._name) for name, data in inputs.items()}

    def _call(self, method: str, argument: Any, timeout: float | None = None) -> Any:
        self._send(method, argument)
        return self._receive(timeout)

    def _send(self, method: str, argument: Any) -> None:
        if self._handle is None:
            self._crashed()
        self._waiting = True
        try:
            self._handle.connection.settimeout(None)
            send(self._handle.connection, [method, argument])
        except OSError:
            self._crashed()

    def _receive(self, timeout: float | None) -> Any:
        if self._handle is None:
            self._crashed()
        try:
            self._handle.connection.settimeout(timeout)
            answer = receive(self._handle.connection)
        except TimeoutError:
            self._crashed(f"it took longer than {timeout:g} s ({self._setting})")
        except OSError:
            self._crashed()
        self._waiting = False
        match answer:
            case ["answer", value, time, finished, answers]:
                self._time, self._finished = time, finished
                self._answers = self._answers if answers is None else answers
                return value
            case ["error", code, message, values]:
                raise _error(code, message, values)
        raise AssertionError(f"an engine's process answers in one of two ways, not with {answer!r:.80}")

    def _crashed(self, reason: str | None = None) -> NoReturn:
        handle, self._handle = self._handle, None
        if handle is not None:
            end = handle.end(kill=reason is not None)
            reason = reason or f"it {_words(end)}"
        raise EngineCrashed(engine=self._name, reason=reason or "it was ended before")

    def _data(self, value: Any) -> dict[str, Any]:
        assert isinstance(value, dict)
        return value


def _words(end: End) -> str:
    if end.how is EndKind.EXIT:
        return f"exited with {end.number}"
    return f"was killed by {Signals(end.number).name}" if end.how is EndKind.SIGNAL else end.in_words


def send(connection: socket.socket, message: State) -> None:
    """Send a message as one frame."""
    blob = encode(message)
    connection.sendall(LENGTH.pack(len(blob)) + blob)


def receive(connection: socket.socket) -> Any:
    """Receive a message; raise `ConnectionError` if the other end is gone."""
    (size,) = LENGTH.unpack(read_exactly(connection, LENGTH.size))
    return decode(read_exactly(connection, size))


def _error(code: str, message: str, values: dict[str, Any]) -> PerdureError:
    """Return the error that an engine's process reported."""
    kind = getattr(perdure.errors, code, PerdureError)
    return kind(message, **values) if issubclass(kind, PerdureError) else PerdureError(message)
