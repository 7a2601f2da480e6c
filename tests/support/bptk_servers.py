"""BPTK servers for tests: the example's model, in every configuration, in this process."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from perdure.api.app import create_app
from perdure.bptk import BptkServer, FileAdapter, bptk
from perdure.dialects.bptk.client import BptkClient, InProcess
from perdure.settings import Settings
from perdure.stores.sqlite import SqliteStore

EXAMPLE = Path(__file__).parents[2] / "examples" / "bptk"
MANAGER = "sddsl_customer_acquisition"
CONFIGURATIONS = (
    "memory",
    "files",
    "compressed files",
    "externalized",
    "externalized, compressed",
    "perdure serve",
)

Factory = Callable[[], "bptk"]


def example_model() -> ModuleType:
    """Import the example's model.py from its folder."""
    name = "perdure_example_model"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLE / "model.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def example_factory() -> "bptk":
    """Return the example's models and scenarios."""
    return example_model().bptk_factory()


@contextmanager
def client_of(
    configuration: str, folder: Path, factory: Factory = example_factory, token: str | None = None
) -> Iterator[BptkClient]:
    """Yield a client of a server that keeps its state in a folder."""
    if configuration == "perdure serve":
        store = SqliteStore(folder / "perdure.db")
        settings = Settings(tokens={} if token is None else {"tester": (token,)})
        app = create_app(store, factory().catalogue, settings, on_closed=store.close)
        with BptkClient(InProcess(app)) as client:
            yield client
        return
    adapter = None
    if configuration != "memory":
        (folder / "state").mkdir(exist_ok=True)
        adapter = FileAdapter("compressed" in configuration, str(folder / "state"))
    server = BptkServer(
        "tests",
        factory,
        external_state_adapter=adapter,
        bearer_token=token,
        externalize_state_completely="externalized" in configuration,
    )
    with server.test_client() as client:
        yield client
