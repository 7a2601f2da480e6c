"""A URL names a store of an installed package, or the error says which ones there are."""

from collections.abc import Callable
from contextlib import closing
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from perdure.errors import Invalid, StoreNotFound, StoreUnusable, UnknownStore
from perdure.stores import schemes
from perdure.stores.builtin import MemoryScheme, SqliteScheme
from perdure.stores.location import shown_url
from perdure.stores.memory import MemoryStore
from perdure.stores.open import StoreOptions, open_store
from perdure.stores.schemes import socket_path
from perdure.stores.sqlite import SqliteStore

Install = Callable[..., None]


class Vault(MemoryStore):
    """A store of another package, which looks at all that it is opened with."""

    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "Vault":
        made = cls(keep=options.keep)
        made.opened_with = (url, options)
        return made

    @classmethod
    def locate(cls, url: str) -> None:
        return None


class Broken(Vault):
    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "Broken":
        raise ZeroDivisionError("division by zero")


class Unfinished(Vault):
    @classmethod
    def open(cls, url: str, options: StoreOptions) -> "object":
        return object()


class Lost(Vault):
    @classmethod
    def locate(cls, url: str) -> None:
        raise IndexError("list index out of range")


class Unplaced:
    open = Vault.open


class Distribution:
    name = "perdure-vault"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return what registers entry points, as packages that are installed do."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(schemes, "entry_points", lambda **wanted: EntryPoints(points).select(**wanted))

    def register(scheme: str, value: str, package: Any = Distribution) -> None:
        point = EntryPoint(scheme, value, schemes.GROUP)
        vars(point)["dist"] = package
        points.append(point)

    return register


@pytest.mark.parametrize(
    ("url", "scheme", "kind"),
    [("memory://", MemoryScheme, MemoryStore), ("sqlite:///s.db", SqliteScheme, SqliteStore)],
)
def test_our_own_stores_are_found_by_entry_points_too(
    url: str, scheme: type, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Install
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownStore, match="Installed: none, not even Perdure"):
        open_store(url)
    install(url.partition(":")[0], f"{scheme.__module__}:{scheme.__name__}")
    with closing(open_store(url)) as store:
        assert type(store) is kind


def test_a_store_of_another_package_is_opened_by_its_scheme_with_all_options(install: Install) -> None:
    install("vault", f"{__name__}:Vault")
    options = StoreOptions(keep=7, accept_loss=True, probe_every=2.0)
    store = open_store("vault://safe/deposit?box=3", options)
    assert store.opened_with == ("vault://safe/deposit?box=3", options)
    assert type(open_store("VAULT://safe")) is Vault


def test_an_unknown_scheme_is_told_which_are_installed_and_how_one_is_registered() -> None:
    with pytest.raises(UnknownStore) as refused:
        open_store("mysql://ann:secret@host/db")
    assert str(refused.value) == (
        "No installed package has stores of mysql://. Installed: memory://, postgresql://, sqlite://. "
        "Install the package that has them, or register their class in the entry-point group "
        "perdure.stores (docs/stores.md)."
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("no_such_module:Store", "no_such_module:Store can't be imported: ModuleNotFoundError"),
        (f"{__name__}:Nothing", "can't be imported: AttributeError"),
        (f"{__name__}:install", "is no class"),
        (f"{__name__}:Unplaced", ":Unplaced lacks locate"),
        (f"{__name__}:Unfinished", "what it opens lacks backup, check, "),
        (f"{__name__}:Broken", "opening one raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_broken_package_is_named(value: str, told: str, install: Install) -> None:
    install("vault", value)
    with pytest.raises(StoreUnusable, match=r"The stores of vault:// can't be used") as refused:
        open_store("vault://x")
    assert told in str(refused.value)
    assert str(refused.value).endswith("They are those of the package perdure-vault.")


def test_a_package_that_fails_to_find_a_file_is_named(install: Install) -> None:
    install("vault", f"{__name__}:Lost")
    with pytest.raises(StoreUnusable, match=r"looking for its file raised IndexError.*package perdure-vault"):
        socket_path("vault://x")


def test_two_packages_with_one_scheme_are_both_named(install: Install) -> None:
    install("vault", f"{__name__}:Vault")
    install("vault", f"{__name__}:Broken", type("Other", (), {"name": "other-vault"}))
    with pytest.raises(StoreUnusable, match="other-vault and perdure-vault"):
        open_store("vault://x")


def test_three_slashes_lead_from_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_store("sqlite:///runs/mine.db")):
        assert (tmp_path / "runs" / "mine.db").is_file()


def test_four_slashes_lead_from_the_root(tmp_path: Path) -> None:
    with closing(open_store(f"sqlite:///{tmp_path}/a%20b%23/mine.db")):
        assert (tmp_path / "a b#" / "mine.db").is_file()


@pytest.mark.parametrize("url", ["sqlite:///{}", "sqlite:///{}/new/"])
def test_a_folder_gets_the_usual_file(tmp_path: Path, url: str) -> None:
    with closing(open_store(url.format(tmp_path))) as store:
        assert store.file is not None
        assert store.file.name == "perdure.db"
        assert store.file.is_file()


def test_retention_is_passed_on() -> None:
    for url in ("memory://", "sqlite:///unused.db"):
        with pytest.raises(Invalid, match="at least 1 savepoint"):
            open_store(url, StoreOptions(keep=0))


def test_a_store_that_is_not_there_is_not_made_unless_it_may_be(tmp_path: Path) -> None:
    for url in ("memory://", f"sqlite:///{tmp_path}/new/s.db"):
        with pytest.raises(StoreNotFound, match="There is no store at"):
            open_store(url, StoreOptions(create=False))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite:my.db", "sqlite://host/file", "sqlite:///a?keep=3", "sqlite:///a#b"],
)
def test_another_form_or_an_option_that_a_file_has_not_is_told_the_form(url: str) -> None:
    with pytest.raises(
        Invalid, match=r"sqlite:///relative/path or sqlite:////absolute/path, without options"
    ):
        open_store(url)


@pytest.mark.parametrize("url", ["memory://x", "memory:///x", "memory://?keep=3"])
def test_memory_has_no_name_and_no_options(url: str) -> None:
    with pytest.raises(Invalid, match="memory://, without a name or options"):
        open_store(url)


def test_memory_has_no_loss_to_accept() -> None:
    with pytest.raises(Invalid, match="leave --accept-loss out"):
        open_store("memory://", StoreOptions(accept_loss=True))


@pytest.mark.parametrize("url", ["", "perdure.db", "://x", "1:2"])
def test_what_has_no_scheme_is_no_url(url: str) -> None:
    with pytest.raises(Invalid, match="a URL is for example sqlite:///"):
        open_store(url)


def test_a_store_says_where_it_is_before_and_after_it_is_opened(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/s.db"
    assert socket_path(url) == tmp_path / "s.db.sock"
    with closing(open_store(url)) as store:
        assert store.file == tmp_path / "s.db"
        first = store.identity
    with closing(open_store(url)) as store, closing(open_store(f"sqlite:///{tmp_path}/t.db")) as other:
        assert store.identity == first != other.identity
    assert socket_path("memory://") is None
    assert (MemoryStore().file, MemoryStore.ephemeral, SqliteStore.ephemeral) == (None, True, False)
    assert MemoryStore().identity != MemoryStore().identity


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("pg://ann:s3cret@host:5432/runs?x=1", "pg://ann:***@host:5432/runs?x=1"),
        ("pg://:s:3@cret@host/runs", "pg://:***@host/runs"),
        ("pg://host/runs?password=s3cret&x=1", "pg://host/runs?password=***&x=1"),
        ("pg://host:5432/runs", "pg://host:5432/runs"),
        ("pg://host:5432/runs?user=ann@site", "pg://host:5432/runs?user=ann@site"),
        ("redis://:p/w@h", "redis://:***@h"),
        ("redis://:p?w@h/0", "redis://:***@h/0"),
        ("redis://:p#w@h/0", "redis://:***@h/0"),
        ("postgresql://me:pa/ss@h/db", "postgresql://me:***@h/db"),
        ("postgresql://me:p/a@s/s@h/db?x=a@b", "postgresql://me:***@h/db?x=a@b"),
        ("postgresql://me@site:s3cret@h/db", "postgresql://me@site:***@h/db"),
        ("pg://h/db?sslpassword=s3cret&x=1", "pg://h/db?sslpassword=***&x=1"),
        (
            "pg://a:p/w@h/db?x=1&sslpassword=s/3&Password=t",
            "pg://a:***@h/db?x=1&sslpassword=***&Password=***",
        ),
        ("sqlite:////data/a:b@c.db", "sqlite:////data/a:b@c.db"),
    ],
)
def test_a_password_is_not_shown(url: str, shown: str) -> None:
    assert shown_url(url) == shown
