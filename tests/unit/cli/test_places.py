"""How a store and models are named on the command line: by URL or path, by module or file."""

from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
import typer.testing

from perdure.cli.commands import app
from perdure.cli.models import load_catalogue
from perdure.cli.options import read_settings
from perdure.errors import InvalidScenario
from perdure.stores import schemes
from perdure.stores.memory import MemoryStore
from perdure.stores.options import StoreOptions
from perdure.stores.schemes import store_file
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import created


@pytest.mark.parametrize("name", ["s.db", "my runs/50% off?#.db", "a%20b.db", "ü.db"])
@pytest.mark.parametrize("absolute", [False, True])
def test_a_store_is_named_by_the_path_of_its_file(
    name: str, absolute: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path.resolve() / name
    given = str(file) if absolute else name
    assert store_file(read_settings(store=given).store) == file
    monkeypatch.setenv("PERDURE_STORE", given)
    assert store_file(read_settings().store) == file


def test_urls_of_stores_stay_what_they_are() -> None:
    for url in ("memory://", "sqlite:///s.db", "sqlite:////tmp/a%20b.db", "mysql://x"):
        assert read_settings(store=url).store == url


def test_commands_take_the_path_of_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.cli.unserved.configure_logging", lambda *_, **__: None)
    file = tmp_path / "my store.db"
    SqliteStore(file).close()
    done = typer.testing.CliRunner().invoke(app, ["runs", "list", "--store", str(file)])
    assert done.output == "No runs yet.\n"
    for command in (
        ["runs", "list"],
        ["savepoints", "list", "f"],
        ["tasks", "list"],
        ["doctor"],
        ["backup", "x"],
    ):
        missing = typer.testing.CliRunner().invoke(app, [*command, "--store", str(tmp_path / "none.db")])
        assert "There is no store at sqlite:///" in str(missing.exception)


class Vault(MemoryStore):
    """A store that lasts, and isn't kept in a file of this machine."""

    ephemeral = False

    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "Vault":
        store = cls()
        created(store, "deposit", steps=2)
        return store

    @classmethod
    def locate(cls, url: str) -> None:
        return None


def test_commands_look_after_a_store_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("perdure.cli.unserved.configure_logging", lambda *_, **__: None)
    vault = EntryPoint("vault", f"{__name__}:Vault", schemes.GROUP)
    monkeypatch.setattr(schemes, "entry_points", lambda group: EntryPoints([vault]))
    for name in ("artifacts", "working_folders"):
        monkeypatch.setenv(f"PERDURE_{name.upper()}", str(tmp_path / name))
    store = ["--store", "vault://ann:s3cret@safe"]
    done = typer.testing.CliRunner().invoke(app, ["runs", "list", *store])
    assert "deposit" in done.output, done.exception
    unserved = typer.testing.CliRunner().invoke(app, ["experiment", "pause", "x", *store])
    assert str(unserved.exception) == (
        "vault://ann:***@safe has no file by which a server could be found; "
        "name the server with --server URL."
    )
    monkeypatch.delenv("PERDURE_ARTIFACTS")
    refused = typer.testing.CliRunner().invoke(app, ["runs", "list", *store])
    assert "Set PERDURE_ARTIFACTS." in str(refused.exception)


def test_models_are_taken_from_a_file_with_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_models_file.py").write_text("from tests.support.small import bath\n")
    file = tmp_path / "my-models.py"
    file.write_text("from beside_models_file import bath\n\n\ndef model():\n    return bath()\n")
    assert [manager.name for manager in load_catalogue(f"{file}:model")] == ["smBath"]
    with pytest.raises(InvalidScenario, match="has no 'other'"):
        load_catalogue(f"{file}:other")
    with pytest.raises(InvalidScenario, match=r"none\.py can't be loaded"):
        load_catalogue(f"{tmp_path / 'none.py'}:model")
    with pytest.raises(InvalidScenario, match=r"file\.py:name"):
        load_catalogue(str(file))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mysql://x", "No installed package has stores of mysql://. Installed: memory://, postgresql://, "),
        ("memory://", "There is no store at memory://; name one with --store"),
        ("sqlite:my.db", "'sqlite:my.db' names no SQLite file; that is sqlite:///relative/path"),
    ],
)
def test_a_store_that_cannot_be_looked_after_is_refused_with_what_names_one(
    name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.cli.unserved.configure_logging", lambda *_, **__: None)
    refused = typer.testing.CliRunner().invoke(app, ["runs", "list", "--store", name])
    assert told in str(refused.exception)
