"""Isolated engines: an engine in a process of its own, behind the engine port.

The parent owns the process and ends it in `close`. Both talk over a pair of sockets in frames of a length and
a blob of our codec. The process has a guard, which ends it with all that it has started when the parent
closes it or is gone, also in the middle of a step: nothing outlives a parent that was killed.
"""

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from signal import Signals
from typing import Any, NoReturn, cast

import perdure.errors
from perdure.engines.base import Engine
from perdure.engines.json_data import copied
from perdure.errors import EngineCrashed, PerdureError
from perdure.execution.child_limits import ChildLimits
from perdure.execution.end import End, EndKind
from perdure.execution.guard_start import start_guard
from perdure.state.codec import Encoded, State, decode, encode

__all__ = ["IsolatedEngine", "MakeEngine", "engines_process", "receive", "send"]

LENGTH = struct.Struct("<Q")
FAREWELL = 5.0  # seconds that a script's `shutdown` may take before its process is killed

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
        Seconds that its start, or a snapshot of it, may take; None for any.

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
        self._guard: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._socket: socket.socket | None = None
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
        """Start the process, and have it make and initialise the engine."""
        self._launch()
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
        self._call("restore", state)

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

    def close(self) -> None:
        """Close the engine, and end its process; then raise what its own `close` raised."""
        connection, self._socket = self._socket, None
        if connection is None:
            return
        answer: Any = None
        with connection, suppress(OSError):  # if it doesn't answer any more, it has nothing to lose
            connection.settimeout(FAREWELL)
            send(connection, ["close", None])
            answer = receive(connection)
        self._end(kill=answer is None)
        match answer:
            case ["error", code, message, values]:
                raise _error(code, message, values)

    def _launch(self) -> None:
        with ExitStack() as undo:
            ours, theirs = map(undo.enter_context, socket.socketpair())
            control, its_control = map(undo.enter_context, socket.socketpair())
            self._guard = start_guard(
                ["-m", "perdure.execution.engine_process", str(theirs.fileno())],
                control=its_control.fileno(),
                kept=[theirs.fileno()],
                limits=ChildLimits(),
                environment=self._environment,
            )
            undo.pop_all()
        theirs.close()
        its_control.close()
        self._socket, self._control = ours, control

    def _end(self, *, kill: bool) -> End:
        """Wait until nothing is left of the process, or see to it; return how it ended."""
        process, control = self._guard, self._control
        assert process is not None and control is not None
        reported = b""
        with control:
            control.settimeout(FAREWELL)
            for order in [b"k"] if kill else [b"", b"k"]:
                if order:
                    with suppress(OSError):  # the guard may have ended already
                        control.sendall(order)
                try:
                    while part := control.recv(1 << 12):
                        reported += part
                    break
                except TimeoutError:
                    continue
                except ConnectionError:
                    break
            else:
                process.kill()
        process.wait()
        for line in reported.decode(errors="replace").splitlines():
            match line.split(" "):
                case ["ended", how, number]:
                    return End(EndKind(how), int(number))
                case ["broken", *why]:
                    return End(EndKind.BROKEN, why=" ".join(why))
        return End(EndKind.UNWATCHED)

    def _copied(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: copied(data, name, self._name) for name, data in inputs.items()}

    def _call(self, method: str, argument: Any, timeout: float | None = None) -> Any:
        self._send(method, argument)
        return self._receive(timeout)

    def _send(self, method: str, argument: Any) -> None:
        if self._socket is None:
            self._crashed()
        try:
            self._socket.settimeout(None)
            send(self._socket, [method, argument])
        except OSError:
            self._crashed()

    def _receive(self, timeout: float | None) -> Any:
        if self._socket is None:
            self._crashed()
        try:
            self._socket.settimeout(timeout)
            answer = receive(self._socket)
        except TimeoutError:
            self._crashed(f"it took longer than {timeout:g} s ({self._setting})")
        except OSError:
            self._crashed()
        match answer:
            case ["answer", value, time, finished, answers]:
                self._time, self._finished = time, finished
                self._answers = self._answers if answers is None else answers
                return value
            case ["error", code, message, values]:
                raise _error(code, message, values)
        raise AssertionError(f"an engine's process answers in one of two ways, not with {answer!r:.80}")

    def _crashed(self, reason: str | None = None) -> NoReturn:
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
            end = self._end(kill=reason is not None)
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
    (size,) = LENGTH.unpack(_exactly(connection, LENGTH.size))
    return decode(_exactly(connection, size))


def _exactly(connection: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        if not part:
            raise ConnectionError(f"process {os.getpid()}: the other end of an engine's socket is gone")
        parts += part
    return bytes(parts)


def _error(code: str, message: str, values: dict[str, Any]) -> PerdureError:
    """Return the error that an engine's process reported."""
    kind = getattr(perdure.errors, code, PerdureError)
    return kind(message, **values) if issubclass(kind, PerdureError) else PerdureError(message)
