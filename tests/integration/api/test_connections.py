"""Connections of clients without a token: what they may hold, how long they may wait, how many there are."""

import contextlib
import http.client
import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from tests.support.served import Served, served
from tests.support.waiting import until

MEGABYTE = 1_000_000
CONNECTIONS = 12
GET = b"GET /healthy HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a token that nobody here has, which waits for two seconds."""
    folder = tmp_path_factory.mktemp("server")
    limits = {"header_timeout": 2, "idle_timeout": 2, "max_connections": CONNECTIONS}
    with served(folder, tokens="ada:one", **limits) as running:
        yield running


@contextlib.contextmanager
def connected(server: Served) -> Iterator[socket.socket]:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=240) as made:
        yield made


def send(connection: socket.socket, *pieces: bytes) -> None:
    """Send pieces, until the server takes no more."""
    with contextlib.suppress(ConnectionError):
        for piece in pieces:
            connection.sendall(piece)


def received(connection: socket.socket) -> bytes:
    """Return all that comes until the server closes the connection."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            data += piece
    return data


def refusal(connection: socket.socket) -> tuple[int, str]:
    """Return the status and code of the answer after which the connection is closed."""
    head, _, body = received(connection).partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(body)["error"]["code"]


def status_of_next(connection: socket.socket) -> int:
    """Read the next answer, and return its status."""
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    answer.read()
    return answer.status


def largest_memory(server: Served) -> int:
    """Return the most memory that the server has held so far, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.parametrize(
    ("begin", "repeated"),
    [
        (GET, b"X-Many: " + b"x" * 9_990 + b"\r\n"),
        (GET, b"X-M: " + b"x" * 9_993 + b"\r\n"),
        (GET, b"X-Short: x\r\n" * 500),
        (GET + b"X-One: ", b"x" * 10_000),
        (GET, b"x" * 10_000),
        (b"GET /", b"x" * 10_000),
        (b"", b"\r\n" * 5_000),
        (GET + b"\r\n", b"\r\n" * 5_000),
    ],
    ids=["many lines", "whole lines", "short lines", "one line", "one name", "url", "before", "between"],
)
def test_a_head_without_end_is_refused_and_not_kept(server: Served, begin: bytes, repeated: bytes) -> None:
    before = largest_memory(server)
    with connected(server) as connection:
        send(connection, begin, *(repeated for _ in range(40 * MEGABYTE // len(repeated))))
        answers = received(connection)
    assert b"HTTP/1.1 431" in answers
    assert b"headers_too_large" in answers
    assert largest_memory(server) - before < 10 * MEGABYTE


def test_trailers_without_end_are_not_kept(server: Served) -> None:
    before = largest_memory(server)
    head = b"POST /runs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connected(server) as connection:
        send(connection, head, b"0\r\n", *(b"X-T: " + b"x" * 9_993 + b"\r\n" for _ in range(4_000)))
        received(connection)
    assert largest_memory(server) - before < 10 * MEGABYTE


def test_the_most_headers_and_bytes_are_taken_and_one_more_is_not(server: Served) -> None:
    many = [b"X-%d: y\r\n" % number for number in range(99)]
    assert_answers(server, GET, *many)
    with connected(server) as connection:
        send(connection, GET, *many, b"X-Last: y\r\n", b"X-After: z\r\n\r\n")
        assert refusal(connection) == (431, "headers_too_large")
    assert_answers(server, GET, b"X-Long: " + b"y" * 65_000 + b"\r\n")
    with connected(server) as connection:
        send(connection, GET, b"X-Long: " + b"y" * 65_536 + b"\r\n\r\n")
        assert refusal(connection) == (431, "headers_too_large")


def assert_answers(server: Served, *head: bytes) -> None:
    with connected(server) as connection:
        send(connection, *head, b"\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_what_is_no_http_is_a_400_in_the_shape_of_all_errors(server: Served) -> None:
    with connected(server) as connection:
        send(connection, b"\x16\x03\x01 hello\r\n\r\n")
        assert refusal(connection) == (400, "malformed_request")


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"", b""),
        (GET, b"HTTP/1.1 408"),
        (GET + b"\r\n" + GET, b"HTTP/1.1 408"),
        (GET + b"\r\n", b"HTTP/1.1 200"),
        (GET + b"\r\n\r\n", b"HTTP/1.1 200"),
        (
            b"POST /run HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nAuthorization: Bearer one\r\n\r\n1",
            b"HTTP/1.1 408",
        ),
    ],
    ids=["nothing", "half a head", "half a second head", "one request", "a line after it", "half a body"],
)
def test_a_connection_that_does_nothing_is_closed(server: Served, sent: bytes, answer: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        assert answer in received(connection)


def test_a_body_that_trickles_is_refused_however_fast_it_began(server: Served) -> None:
    head = (
        b"POST /runs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer one\r\n"
        b"Content-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
    )
    for begun in (b"", b" " * 900_000):
        with connected(server) as connection:
            send(connection, head, begun)
            connection.settimeout(0.2)
            answer = b""
            for _ in range(600):  # a byte each 0.2 seconds: never idle
                with contextlib.suppress(TimeoutError):
                    answer = connection.recv(65_536)
                    break
                send(connection, b"x")
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"PERDURE_MIN_BODY_RATE" in answer + received(connection)


def test_a_body_that_keeps_the_least_rate_takes_as_long_as_it_takes(server: Served) -> None:
    pieces, size = 15, 2_000  # in a quarter of a second each; the least rate is 2,000 bytes in two seconds
    head = (
        b"POST /run HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer one\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (pieces * size)
    )
    with connected(server) as connection:
        send(connection, head)
        connection.settimeout(0.25)
        for _ in range(pieces - 1):
            send(connection, b" " * size)
            with contextlib.suppress(TimeoutError):
                pytest.fail(f"it was answered before its end: {connection.recv(65_536)!r}")
        connection.settimeout(60)
        send(connection, b" " * size)
        assert status_of_next(connection) == 400  # blanks are no JSON


UNFINISHED = b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"


def test_a_body_that_goes_on_after_its_answer_does_not_keep_the_connection(server: Served) -> None:
    with connected(server) as connection:
        send(connection, UNFINISHED)
        assert status_of_next(connection) == 401
        connection.settimeout(0.5)
        closed = False
        for _ in range(120):  # a byte each half second: never idle
            try:
                connection.sendall(b"x")
                closed = connection.recv(65_536) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
            break
        assert closed


def test_a_connection_whose_body_ends_after_its_answer_takes_the_next_request_and_is_closed_when_idle(
    server: Served,
) -> None:
    with connected(server) as connection:
        for _ in range(2):
            send(connection, UNFINISHED.replace(b"1000000", b"3"))
            assert status_of_next(connection) == 401
            send(connection, b"xxx", GET, b"\r\n")
            assert status_of_next(connection) == 200
        send(connection, UNFINISHED.replace(b"1000000", b"3"))
        assert status_of_next(connection) == 401
        send(connection, b"xxx")
        assert received(connection) == b""


def healthy(client: httpx.Client) -> int | None:
    """Return the status of the server's answer; None if it closed the connection."""
    try:
        return client.get("/healthy").status_code
    except httpx.TransportError:
        return None


def test_connections_in_bodies_that_were_answered_make_room_for_those_that_ask(server: Served) -> None:
    with contextlib.ExitStack() as open_ones:
        for _ in range(3 * CONNECTIONS):
            send(open_ones.enter_context(connected(server)), UNFINISHED)
        with server.client() as client:
            until(lambda: healthy(client) == 200)  # they need a second until they give way


def test_a_client_that_takes_no_answers_is_cut_off(server: Served) -> None:
    asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 40
    with connected(server) as connection, contextlib.suppress(ConnectionError):
        while True:  # until the server, which sends no more, reads no more, and then closes
            connection.sendall(asked)
            with server.client() as other:
                assert other.get("/healthy").status_code == 200


def test_requests_sent_ahead_are_answered_in_turn_up_to_a_limit(server: Served) -> None:
    before = largest_memory(server)
    with connected(server) as connection:
        send(connection, (GET + b"\r\n") * 30, GET + b"Connection: close\r\n\r\n")
        assert received(connection).count(b"HTTP/1.1 200") == 31
    with connected(server) as connection:
        send(connection, *((GET + b"\r\n") * 1_000 for _ in range(500)))
        received(connection)
    assert largest_memory(server) - before < 10 * MEGABYTE


def test_idle_connections_make_room_for_those_that_ask(server: Served) -> None:
    with contextlib.ExitStack() as open_ones:
        for number in range(10 * CONNECTIONS):
            connection = open_ones.enter_context(connected(server))
            send(connection, GET if number % 2 else b"")
        with server.client() as client:
            answers = set()

            def answered() -> bool:  # the newest of them need a second until they give way
                answers.add(healthy(client))
                return 200 in answers

            until(answered)
            assert answers <= {None, 200, 503}


def test_beyond_the_limit_a_connection_is_refused_but_the_administrators_is_not(server: Served) -> None:
    made = {"kind": "session", "scenarios": {"bath": ["base"]}}
    with server.client("one") as client, contextlib.ExitStack() as open_ones:
        run = client.post("/runs", json=made).json()["id"]
        follow = f"GET /runs/{run}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer one\r\n\r\n".encode()
        busy = []
        while len(busy) < CONNECTIONS:
            connection = open_ones.enter_context(connected(server))
            send(connection, follow)
            with contextlib.suppress(ConnectionError):
                if connection.recv(65_536).startswith(b"HTTP/1.1 200"):
                    busy.append(connection)
        with connected(server) as connection:
            assert refusal(connection) == (503, "too_many_connections")
        transport = httpx.HTTPTransport(uds=str(server.administrator))
        with httpx.Client(transport=transport, base_url="http://perdure") as administrator:
            assert administrator.delete(f"/runs/{run}").status_code == 204
