"""Where artifacts and working folders are: as settings say, beside the store, or gone with the process."""

import json
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest
from tests.support.results import store_files

from perdure.api import create_app
from perdure.api.backup import back_up
from perdure.api.server import serve
from perdure.errors import SettingsMissing, WrongStore
from perdure.places import open_artifacts, working_root
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores import schemes
from perdure.stores.memory import MemoryStore
from perdure.stores.open import StoreOptions, open_store
from perdure.stores.sqlite import SqliteStore
from perdure.testing.store_samples import created

BOTH = "Set PERDURE_ARTIFACTS and PERDURE_WORKING_FOLDERS."


class Started(Exception):
    """The server answers; nothing more is wanted of it."""


class Vault(MemoryStore):
    """A store that outlives the process, and isn't kept in a file of this machine."""

    ephemeral = False

    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "Vault":
        return cls(keep=options.keep)

    @classmethod
    def locate(cls, url: str) -> None:
        return None


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the stores as packages do."""
    vault = EntryPoint("vault", f"{__name__}:Vault", schemes.GROUP)
    real = schemes.entry_points
    monkeypatch.setattr(schemes, "entry_points", lambda group: EntryPoints([*real(group=group), vault]))


@pytest.fixture
def told() -> Callable[[Settings], str]:
    """Return what serves until the server answers, and returns what it said."""

    def announced(settings: Settings) -> str:
        said: list[str] = []

        def announce(text: str) -> None:
            said.append(text)
            raise Started

        with pytest.raises(Started):
            serve(Catalogue(), settings, announce=announce)
        return said[0]

    return announced


@pytest.mark.parametrize(
    ("named", "missing"),
    [
        ({}, BOTH),
        ({"artifacts": "memory://vault"}, "Set PERDURE_WORKING_FOLDERS."),
        ({"working_folders": Path("w")}, "Set PERDURE_ARTIFACTS."),
    ],
)
def test_a_lasting_store_without_a_file_needs_settings_that_say_where_files_are(
    named: dict[str, object], missing: str
) -> None:
    settings = Settings(**named)
    for ask in (open_artifacts, lambda *given: working_root(*given).__enter__(), create):
        with pytest.raises(SettingsMissing) as refused:
            ask(Vault(), settings)
        assert str(refused.value).endswith(missing)


def create(store: MemoryStore, settings: Settings) -> None:
    create_app(store, Catalogue(), settings)


@pytest.mark.usefixtures("installed")
def test_a_server_on_such_a_store_starts_with_the_settings_and_not_without(
    tmp_path: Path, told: Callable[[Settings], str]
) -> None:
    with pytest.raises(SettingsMissing, match=BOTH):
        serve(Catalogue(), Settings(port=0, store="vault://safe"))
    settings = Settings(
        port=0,
        store="vault://ann:s3cret@safe",
        artifacts=str(tmp_path / "artifacts"),
        working_folders=tmp_path / "working",
    )
    said = told(settings)
    assert " from vault://ann:***@safe\n" in said
    assert "ends:" not in said
    with working_root(Vault(), settings) as root:
        assert root == tmp_path / "working"


def test_a_server_on_a_store_that_ends_with_it_says_what_does(
    tmp_path: Path, told: Callable[[Settings], str]
) -> None:
    said = told(Settings(port=0, store="memory://"))
    assert "  ends:    runs, artifacts and working folders end with this server\n" in said
    kept = Settings(port=0, store="memory://", artifacts=str(tmp_path), log_json=True)
    assert json.loads(told(kept))["ends_with_it"] == "runs and working folders"
    assert "ends:" not in told(Settings(port=0, store=f"sqlite:///{tmp_path}/s.db"))


def test_files_lie_beside_the_store_that_an_app_was_given_whatever_the_settings_name(tmp_path: Path) -> None:
    with closing(SqliteStore(tmp_path / "mine.db")) as store:
        store_files(open_artifacts(store, Settings()).results("ada"), "run", {"a": b"1"})
        with working_root(store, Settings()) as root:
            assert root == tmp_path / "mine.db.working"
    assert (tmp_path / "mine.db.artifacts" / "ada").is_dir()


def test_working_folders_of_a_store_that_ends_with_the_process_go_with_it() -> None:
    with working_root(MemoryStore(), Settings()) as root:
        assert root.is_dir()
    assert not root.exists()
    with working_root(MemoryStore(), Settings(), works=False) as root:
        assert not root.exists()


def test_a_store_that_cannot_be_copied_is_told_so_and_the_folder_is_not_made(tmp_path: Path) -> None:
    class Elsewhere(MemoryStore):
        def backup(self, path: Path) -> None:
            raise WrongStore

    with pytest.raises(WrongStore, match="Back it up by the means of what it is kept in"):
        back_up(Elsewhere(), open_artifacts(Elsewhere(), Settings()), tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_backup_of_a_store_in_memory_is_a_store_with_its_artifacts(tmp_path: Path) -> None:
    with closing(MemoryStore()) as store:
        created(store, steps=2)
        artifacts = open_artifacts(store, Settings())
        store_files(artifacts.results("ada"), "run", {"a": b"1"})
        back_up(store, artifacts, tmp_path / "copy")
    with closing(open_store(f"sqlite:///{tmp_path}/copy")) as copy:
        assert copy.run("run").position == 2
    assert (tmp_path / "copy" / "perdure.db.artifacts" / "ada").is_dir()
