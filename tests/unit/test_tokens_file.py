"""Tokens from a file: who may be able to read it, what is in it, and what is said if it is wrong."""

import os
import threading
from pathlib import Path

import pytest

from perdure.errors import Invalid
from perdure.settings import Settings
from perdure.web.tokens import Caller, Tokens


def written(folder: Path, text: str | bytes, mode: int = 0o600) -> Path:
    file = folder / "tokens"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    file.chmod(mode)
    return file


def test_each_line_is_a_token_of_an_owner(tmp_path: Path) -> None:
    file = written(tmp_path, "# who may\n\nada:t1\n  bob : t2 \nada:t3,with:more\n   # no more\n")
    tokens = Tokens(Settings(tokens_file=file).tokens)
    said = ["t1", "t2", "t3,with:more", "t3"]
    found = [tokens.bearer(f"Bearer {it}".encode()) for it in said]
    assert found == [Caller("ada"), Caller("bob"), Caller("ada"), None]


def test_those_of_the_environment_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TOKENS_FILE", str(written(tmp_path, "ada:t1\nbob:t2\n")))
    monkeypatch.setenv("PERDURE_TOKENS", "ada:t3,eve:t4")
    tokens = Tokens(Settings().tokens)
    found = [tokens.bearer(f"Bearer t{i}".encode()) for i in (1, 2, 3, 4)]
    assert found == [Caller("ada"), Caller("bob"), Caller("ada"), Caller("eve")]
    monkeypatch.setenv("PERDURE_TOKENS", "eve:t1")
    with pytest.raises(Invalid, match="have the same token") as refused:
        Settings()
    assert "t1" not in str(refused.value)


def test_a_line_without_a_colon_names_an_administrator(tmp_path: Path) -> None:
    text = "administrator ada\nada:t1\nbob:t2\n  administrator\tänne lee \nänne lee:t3\nadministrator:t4\n"
    settings = Settings(tokens_file=written(tmp_path, text))
    assert settings.administrators == ("ada", "änne lee")
    assert set(settings.tokens) == {"ada", "bob", "änne lee", "administrator"}


def test_the_environment_names_administrators_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_TOKENS", "ada:t1,bob:t2")
    assert Settings().administrators == ()
    monkeypatch.setenv("PERDURE_ADMINISTRATORS", " bob , ada")
    assert Settings().administrators == ("bob", "ada")
    file = written(tmp_path, "eve:t3\nadministrator eve\nadministrator ada\n")
    assert Settings(tokens_file=file).administrators == ("bob", "ada", "eve")


@pytest.mark.parametrize("named", ["administrator bob\n", "administrator Ada\n"])
def test_an_administrator_without_a_token_is_refused(tmp_path: Path, named: str) -> None:
    with pytest.raises(Invalid, match=r"administrator '(bob|Ada)' has no token"):
        Settings(tokens_file=written(tmp_path, f"ada:secret\n{named}"))
    with pytest.raises(Invalid, match="administrator 'bob' has no token"):
        Settings(administrators=("bob",))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o601, 0o610, 0o666, 0o777, 0o4604])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = written(tmp_path, "ada:secret\n", mode)
    with pytest.raises(Invalid, match=f"chmod 600 {file}") as refused:
        Settings(tokens_file=file)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_of_its_owner_alone_will_do(tmp_path: Path, mode: int) -> None:
    assert Settings(tokens_file=written(tmp_path, "ada:secret\n", mode)).tokens


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no token"),
        ("# ada:secret\n\n", "no token"),
        ("ada\n", "owner:token"),
        ("administrator\n", "owner:token"),
        ("administrators ada\nada:secret\n", "owner:token"),
        ("administrator ada\n", "no token"),
        ("ada:\n", "owner:token"),
        (":secret\n", "owner:token"),
        (b"ada:\xff\n", "UTF-8"),
    ],
)
def test_a_file_without_tokens_is_refused_rather_than_open_to_all(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        Settings(tokens_file=written(tmp_path, text))
    assert "secret" not in str(refused.value)


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path, Path("/dev/null")):
        with pytest.raises(Invalid, match=str(path)):
            Settings(tokens_file=path)


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give a file away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, "ada:secret\n")
    os.chown(file, 12345, 12345)
    with pytest.raises(Invalid, match="another user"):
        Settings(tokens_file=file)


def test_a_pipe_will_do(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    writer = threading.Thread(target=pipe.write_text, args=("ada:t1\n",))
    writer.start()
    try:
        assert Tokens(Settings(tokens_file=pipe).tokens).bearer(b"Bearer t1") == Caller("ada")
    finally:
        writer.join()
