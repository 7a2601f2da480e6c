"""Isolated engines: an engine in a process of its own, behind the engine port.

The parent owns the process and ends it in `close`. Both talk over a pair of sockets in frames of a length and
a blob of our codec. The child ends by itself when its end of the pair is all that is left, also in the middle
of a step: nothing outlives a parent that was killed.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import perdure.errors
from perdure.drivers.experiments.configuration import EngineConfiguration
from perdure.engines.python_script.data import copied
from perdure.errors import EngineCrashed, PerdureError
from perdure.state.codec import State, decode, encode

__all__ = ["IsolatedEngine", "receive", "send"]

LENGTH = struct.Struct("<Q")
FAREWELL = 5.0  # seconds that a script's `shutdown` may take before its process is killed


class IsolatedEngine:
    """An engine in another process; implements `perdure.engines.base.Engine`.

    Parameters
    ----------
    configuration
        The engine's.
    folder
        The experiment's.
    seed
        The run's.
    Attributes
    ----------
    start
        The engine's outputs at its start, once it is initialised.
    """

    def __init__(
        self,
        configuration: EngineConfiguration,
        folder: Path,
        seed: int,
    ) -> None:
        self._name = configuration.name
        self._timeout = configuration.command_timeout or None
        self._spec: list[State] = [configuration.to_plain(), str(folder), seed]
        self._given: State = None  # what it was answered when it did what it does next
        self._answers: State = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._time = 0.0
        self._finished = False
        self.start: dict[str, Any] = {}

    @property
    def time(self) -> float:
        """The engine's time, as of its last answer."""
        return self._time

    @property
    def finished(self) -> bool:
        """Whether the engine has nothing left to step, as of its last answer."""
        return self._finished

    def initialize(self, config: Mapping[str, Any]) -> None:
        """Start the process and the engine in it; `config` is empty, since all is in the configuration."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._socket = ours
            command = [
                sys.executable,
                "-m",
                "perdure.drivers.experiments.isolated_process",
                str(theirs.fileno()),
            ]
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]
            )
        self.start = self._data(self._call("initialize", [*self._spec, self._given]))
        self._given = None

    def validate(self, inputs: Mapping[str, Any]) -> None:
        """Raise what `step` would raise for these inputs."""
        self._call("validate", self._copied(inputs))

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
        state: State = self._call("snapshot", None)
        return state

    def restore(self, state: State) -> None:
        """Go to what `snapshot` returned."""
        self._call("restore", state)

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
        """Close the engine, and end its process; then raise what the script's `shutdown` raised."""
        process, self._process = self._process, None
        connection, self._socket = self._socket, None
        if process is None or connection is None:
            return
        answer: Any = None
        try:
            with connection:
                connection.settimeout(FAREWELL)
                send(connection, ["close", None])
                answer = receive(connection)
        except OSError:
            process.kill()  # it doesn't answer any more, and has nothing that could be lost
        process.wait()
        match answer:
            case ["error", code, message, values]:
                raise _error(code, message, values)

    def _copied(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {name: copied(data, name, self._name) for name, data in inputs.items()}

    def _call(self, method: str, argument: Any) -> Any:
        self._send(method, argument)
        return self._receive()

    def _send(self, method: str, argument: Any) -> None:
        assert self._socket is not None
        try:
            send(self._socket, [method, argument])
        except OSError:
            self._crashed()

    def _receive(self, timeout: float | None = None) -> Any:
        assert self._socket is not None
        try:
            self._socket.settimeout(timeout)
            answer = receive(self._socket)
        except TimeoutError:
            self._crashed(f"it took longer than {timeout:g} s (EngineCommandTimeout)")
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
        assert self._process is not None
        if reason is not None:
            self._process.kill()
        try:
            status = self._process.wait(FAREWELL)
        except subprocess.TimeoutExpired:  # its code closed the socket
            self._process.kill()
            status = self._process.wait()
        if reason is None:
            reason = (
                f"it was killed by {signal.Signals(-status).name}"
                if status < 0
                else f"it exited with {status}"
            )
        raise EngineCrashed(engine=self._name, reason=reason)

    def _data(self, value: Any) -> dict[str, Any]:
        assert isinstance(value, dict)
        return value


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
    """Return the error that an engine's process told of."""
    kind = getattr(perdure.errors, code, PerdureError)
    return kind(message, **values) if issubclass(kind, PerdureError) else PerdureError(message)
