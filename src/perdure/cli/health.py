"""``perdure health``: asks a server whether it can be used; also an event listener of supervisord."""

import http.client
import os
import socket
import sys
from collections.abc import Callable
from typing import Annotated, BinaryIO
from urllib.parse import urlsplit

import typer

from perdure.cli.groups import new_app
from perdure.cli.output import say
from perdure.errors import PerdureError

__all__ = ["app", "health", "listen"]

PATIENCE = 5.0  # seconds
TRIES = 3  # failed checks in a row after which a server is started again

_EXAMPLES = "Examples:  perdure health http://127.0.0.1:5000  ·  perdure health http://127.0.0.1:5000 --alive"

_KILL = """<?xml version="1.0"?><methodCall><methodName>supervisor.signalProcess</methodName><params>\
<param><value><string>{program}</string></value></param><param><value><string>KILL</string></value></param>\
</params></methodCall>"""

app = new_app()


@app.command(epilog=_EXAMPLES)
def health(
    server: Annotated[str, typer.Argument(metavar="URL", help="The server.")] = "http://127.0.0.1:5000",
    alive: Annotated[
        bool,
        typer.Option("--alive", help="Ask only whether its process answers, not whether its store works."),
    ] = False,
    restart: Annotated[
        str | None,
        typer.Option(
            metavar="PROGRAM",
            help="Be an event listener of supervisord, and have this program started again when its process "
            "hasn't answered three times in a row.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Ask a server whether it can be used; the exit status is 0 if so, and 1 otherwise."""
    if restart is None:
        problem = _problem(f"{server}/{'healthy' if alive else 'ready'}")
        if problem is not None:
            raise PerdureError(f"{server} can't be used: {problem}.")
        say("ok")
        return
    address = os.environ.get("SUPERVISOR_SERVER_URL", "")
    if not address.startswith("unix://"):
        raise PerdureError("--restart is for an [eventlistener:…] of supervisord with a unix_http_server.")
    listen(
        sys.stdin.buffer,
        sys.stdout.buffer,
        lambda: _problem(f"{server}/healthy"),
        lambda: _kill(address.removeprefix("unix://"), restart),
    )


def listen(
    events: BinaryIO, answers: BinaryIO, problem: Callable[[], str | None], restart: Callable[[], None]
) -> None:
    """Check at each event of supervisord, and start the server again after `TRIES` failures in a row.

    The protocol is in https://supervisord.org/events.html#event-listener-notification-protocol.

    Parameters
    ----------
    events, answers
        Where supervisord writes, and reads; at the end of `events` this returns.
    problem
        Returns what is wrong, or None.
    restart
        Starts the server again.
    """
    failures = 0
    while True:
        answers.write(b"READY\n")
        answers.flush()
        header = dict(word.split(b":", 1) for word in events.readline().split())
        if not header:
            return
        events.read(int(header[b"len"]))
        found = problem()
        failures = 0 if found is None else failures + 1
        if found is not None:
            say(f"The server doesn't answer: {found}.", err=True)
        if failures == TRIES:
            say("It is killed, so that supervisord starts it again.", err=True)
            restart()
            failures = 0
        answers.write(b"RESULT 2\nOK")
        answers.flush()


def _problem(url: str) -> str | None:
    """Return why a GET of a URL has no answer of status 200, or None."""
    parts = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    try:
        connection = kinds[parts.scheme](parts.hostname or "", parts.port, timeout=PATIENCE)
    except (KeyError, ValueError):
        raise PerdureError(f"{url!r} is no server's URL; that is http://HOST:PORT.") from None
    try:
        connection.request("GET", parts.path)
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if answer.status == http.client.OK else f"{answer.status} {text}"


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _kill(path: str, program: str) -> None:
    """Have supervisord kill a program of its own, which it then starts again."""
    connection = _UnixConnection(path)
    try:
        connection.request("POST", "/RPC2", _KILL.format(program=program), {"Content-Type": "text/xml"})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException) as error:
        say(f"supervisord can't be asked: {error}.", err=True)
    finally:
        connection.close()
