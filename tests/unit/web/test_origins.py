"""Which hosts a server answers to, and which web pages may call it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import Invalid
from perdure.settings import Settings
from perdure.web.failures import HttpError
from perdure.web.headers import headers_of
from perdure.web.origins import OriginPolicy, host_name, is_loopback

LOCAL_NAMES = ("localhost", "127.0.0.1", "127.1.2.3", "::1")
POLICY = OriginPolicy.of(["https://pages.example/"], {"sim.example", "2001:db8::7"}, "/run/administrator")

names = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\.[a-z][a-z0-9]{0,8}){0,3}", fullmatch=True)


def asked(
    *hosts: str, path: str = "/runs", origins: tuple[str, ...] = (), policy: OriginPolicy = POLICY
) -> str | None:
    """Return the foreign origin that is let in, or the code of the refusal."""
    headers = [(b"host", host.encode("latin-1", "replace")) for host in hosts]
    headers += [(b"origin", origin.encode()) for origin in origins]
    scope = {"type": "http", "path": path, "headers": headers, "server": ("127.0.0.1", 5000)}
    try:
        return policy.admit(scope, headers_of(scope))
    except HttpError as error:
        return error.code


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:5000",
        "localhost.",
        "localhost.:80",
        "localhost:",
        "127.0.0.1:1",
        "127.1.2.3",
        "[::1]:80",
        "[::1]",
        "sim.example",
        "Sim.Example:8000",
        "sim.example.",
        "[2001:DB8::7]:5000",
    ],
)
def test_without_tokens_names_that_the_server_was_told_of_are_answered(host: str) -> None:
    assert asked(host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "sim.example.evil",
        "10.0.0.1",
        "0.0.0.0",
        "0",
        "[::2]",
        "[::1",
        "[::1]evil.example",
        "::1",
        "localhost..",
        "localhost:evil.example",
        "localhost:80:90",
        "localhost/x",
        "evil@localhost",
        "localhost@evil",
        " localhost",
        "localhost evil",
        ".",
        ":5000",
        "",
        "ä",
    ],
)
def test_without_tokens_every_other_host_is_foreign(host: str) -> None:
    assert asked(host) == "foreign_host"
    assert asked(host, origins=(f"http://{host}",)) == "foreign_host"


def test_none_and_several_hosts_are_foreign() -> None:
    assert asked() == "foreign_host"
    assert asked("localhost", "evil.example") == "foreign_host"
    assert asked("localhost", "localhost") == "foreign_host"


def test_any_host_may_probe_and_with_tokens_do_all() -> None:
    protected = OriginPolicy.of((), None)
    for hosts in ((), ("evil.example",), ("a", "b")):
        for path in ("/healthy", "/healthy/", "/ready"):
            assert asked(*hosts, path=path) is None
        assert asked(*hosts, path="/healthy/x") == "foreign_host"
        assert asked(*hosts, policy=protected) is None


@given(names, st.sampled_from(["", ":80", ":5000"]), st.sampled_from(["", "."]))
def test_a_host_is_trusted_by_its_name_alone(name: str, port: str, dot: str) -> None:
    written = f"{name.upper()}{dot}{port}"
    assert host_name(written) == name
    trusted = is_loopback(name) or name == "sim.example"
    assert (asked(written) is None) == trusted


@given(st.text(max_size=20))
def test_no_text_with_a_foreign_name_in_it_passes_for_a_local_host(text: str) -> None:
    for local in LOCAL_NAMES:
        for host in (f"{local}.{text}evil", f"{text}evil.{local}.example", f"{local}@{text}evil"):
            assert asked(host) == "foreign_host"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:5000", "localhost:5000"),
        ("http://LOCALHOST:5000", "localhost:5000"),
        ("https://sim.example", "sim.example"),
        ("https://sim.example", "sim.example:443"),
        ("http://sim.example:80", "sim.example"),
        ("http://[::1]:5000", "[::1]:5000"),
    ],
)
def test_the_servers_own_pages_are_its_own(origin: str, host: str) -> None:
    assert asked(host, origins=(origin,)) is None


@pytest.mark.parametrize(
    "origins",
    [
        ("null",),
        ("",),
        ("http://localhost",),
        ("http://localhost:5001",),
        ("https://localhost:5000.evil.example",),
        ("http://evil.example",),
        ("https://pages.example.evil",),
        ("http://pages.example",),
        ("http://localhost:5000", "http://evil.example"),
        ("https://",),
        ("localhost:5000",),
    ],
)
def test_pages_of_other_origins_are_foreign(origins: tuple[str, ...]) -> None:
    assert asked("localhost:5000", origins=origins) == "foreign_origin"


def test_an_origin_of_the_list_is_let_in_and_told_so() -> None:
    assert asked("localhost", origins=("https://Pages.example",)) == "https://Pages.example"
    assert (b"access-control-allow-origin", b"https://pages.example") in POLICY.headers(
        "https://pages.example"
    )
    assert POLICY.headers(None) == [(b"vary", b"Origin")]


def test_the_administrators_socket_is_asked_by_any_name() -> None:
    scope = {
        "type": "http",
        "path": "/runs",
        "headers": [(b"host", b"evil.example"), (b"origin", b"null")],
        "server": ("/run/administrator", None),
    }
    assert POLICY.admit(scope, headers_of(scope)) is None
    with pytest.raises(HttpError):
        POLICY.admit({**scope, "server": ("/run/other", None)}, headers_of(scope))


@pytest.mark.parametrize(
    "hosts", ["a.example,[::1], b.example", "2001:db8::7", "*", "sim.example.", "ü.example"]
)
def test_hosts_are_names_with_commas_between(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    monkeypatch.setenv("PERDURE_HOSTS", hosts)
    assert Settings().hosts == tuple(each.strip() for each in hosts.split(","))


@pytest.mark.parametrize("hosts", ["http://a.example", "a.example:80", "a.example/x", "*.a.example", "a b"])
def test_what_is_no_host_name_is_refused(monkeypatch: pytest.MonkeyPatch, hosts: str) -> None:
    monkeypatch.setenv("PERDURE_HOSTS", hosts)
    with pytest.raises(Invalid, match="without scheme, port or path"):
        Settings()
