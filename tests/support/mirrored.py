"""A server's inside without HTTP: sessions in memory behind a mirror, as a router uses them."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace
from tests.support.small import NEW, catalogue_of

from perdure.clock import SteadyClock
from perdure.dialects.bptk.external_state import ExternalStateAdapter, InstanceState, Mirror
from perdure.dialects.bptk.instance import DIALECT, Instance, new_instance_id
from perdure.dialects.bptk.instances import Instances
from perdure.dialects.bptk.timeouts import checked_timeout, lasts
from perdure.drivers.session_requests import NewSession, StepRequest
from perdure.drivers.sessions import Sessions
from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.observability import Metrics
from perdure.run import Key
from perdure.scenarios import Catalogue
from perdure.settings import Settings
from perdure.stores.commands import PutDocument, Use
from perdure.stores.memory import MemoryStore

OWNER = "local"

BOTH = NewSession(scenarios={"bath": ["base", "full"]}, outputs=["water", "inflow"], dt=1.0, seed=7)
SETTINGS: dict[int, Any] = {
    2: {"bath": {"base": {"constants": {"tap": 3}}, "full": {"constants": {"leak": 0.25}}}},
    4: {"bath": {"base": {"points": {"curve": [[0, 1.5], [9.5, -2]]}}}},
    7: {"bath": {"full": {"constants": {"leak": 1e-300, "tap": 10**20}}}},
}


def bath_with_curve() -> Catalogue:
    """Return a bath tub whose tap follows points, without an end that a test comes to."""
    model = Model(starttime=0.0, stoptime=100_000.0, dt=0.5, name="bath")
    water, inflow, outflow = model.stock("water"), model.flow("inflow"), model.flow("outflow")
    tap, leak = model.constant("tap"), model.constant("leak")
    water.initial_value = 5.0
    water.equation = inflow - outflow
    inflow.equation = tap * sd.lookup(sd.time(), "curve") + sd.uniform(0.0, 0.1)
    outflow.equation = water * leak
    tap.equation = 2.0
    leak.equation = 0.1
    model.points["curve"] = [[0.0, 1.0], [20.0, 3.0]]
    return catalogue_of(model, full={"constants": {"tap": 9.0}})


class Inside:
    """Memory, sessions and a mirror of one server."""

    def __init__(
        self,
        adapter: ExternalStateAdapter,
        catalogue: Catalogue | None = None,
        *,
        shared: bool = False,
        **settings: Any,
    ) -> None:
        self.store = MemoryStore()
        self.sessions = Sessions(self.store, catalogue or bath_with_curve(), Settings(**settings), Metrics())
        self.mirror = Mirror(adapter, self.sessions, shared=shared)
        self.instances = Instances(
            self.sessions,
            Metrics(),
            limit=1000,
            mirror=self.mirror,
            keep_runs=False,
            clock=SteadyClock(),
        )

    async def open(self) -> list[Instance]:
        """Start as a server does, and return the instances that are in memory then."""
        await self.instances.open()
        return [Instance.of(document) for document in self.store.documents(DIALECT)]

    async def start(self, timeout: dict[str, int | float] | None = None) -> Instance:
        """Start an instance."""
        instance = Instance(
            id=new_instance_id(),
            owner=OWNER,
            timeout=checked_timeout(timeout or {"hours": 12}),
            accessed=float(int(time.time())),
        )
        await self.keep(instance)
        return instance

    async def begin(self, instance: Instance, new: NewSession = NEW, key: Key | None = None) -> Instance:
        """Give an instance a session."""
        await self.load(instance.id)
        created = await self.sessions.create(OWNER, new, key)
        instance = replace(instance, run=created.run.id)
        await self.keep(instance)
        return instance

    async def keep(self, instance: Instance) -> None:
        """Put an instance into memory, and save it."""
        document = self.store.document(DIALECT, instance.id)
        version = None if document is None else document.version
        use = Use(OWNER, 1, instance.accessed, lasts(instance))
        self.store.submit(PutDocument(DIALECT, instance.id, instance.to_blob(), version, use)).result()
        await self.instances._copies.save(instance, self.instances._rows.use(instance))

    async def load(self, instance_id: str) -> Instance | None:
        """Bring an instance into memory if it isn't there, and return it; None if the adapter has none."""
        if self.in_memory(instance_id) is None:
            await self.instances._copies.load(instance_id)
        return self.in_memory(instance_id)

    async def load_all(self) -> list[Instance]:
        """Bring in what the adapter lists, and return what wasn't in memory."""
        before = {document.id for document in self.store.documents(DIALECT)}
        await self.instances.load_all()
        return [Instance.of(it) for it in self.store.documents(DIALECT) if it.id not in before]

    async def forget(self, instance: Instance) -> None:
        """Drop an instance from memory."""
        await self.instances._copies.drop(instance.id)

    async def step(
        self, instance: Instance, settings: Any = None, key: Key | None = None, steps: int = 1
    ) -> list[Any]:
        """Take steps, save, and return the rows."""
        await self.load(instance.id)
        assert instance.run is not None
        request = StepRequest(settings=settings or {}, steps=steps)
        answer = await self.sessions.step(OWNER, instance.run, request, key)
        if not answer.replayed:
            await self.instances._copies.save(instance, self.instances._rows.use(instance))
        return [step.rows for step in answer.steps]

    async def log(self, instance: Instance) -> list[Any]:
        """Return all rows of an instance's session."""
        await self.load(instance.id)
        assert instance.run is not None
        log = await self.sessions.log(OWNER, instance.run, 0, 100_000)
        return [(given.step.rows, [list(pair) for pair in given.inputs]) for given in log.steps]

    def in_memory(self, instance_id: str) -> Instance | None:
        """Return the instance that memory holds."""
        document = self.store.document(DIALECT, instance_id)
        return None if document is None else Instance.of(document)

    async def aclose(self) -> None:
        """Close it; nothing is saved."""
        await self.instances.aclose()


class _Nowhere(ExternalStateAdapter):
    """Holds nothing."""

    def _save_instance(self, state: InstanceState) -> None:
        return

    def _load_instance(self, instance_id: str) -> InstanceState | None:
        return None

    def delete_instance(self, instance_id: str) -> None:
        return


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's body."""
    asyncio.run(body())


async def undisturbed(steps: int) -> list[Any]:
    """Return the log of a session of `BOTH` that was given `SETTINGS` and that nothing happened to."""
    inside = Inside(_Nowhere(False))
    instance = await inside.begin(await inside.start(), BOTH)
    for number in range(1, steps + 1):
        await inside.step(instance, SETTINGS.get(number))
    log = await inside.log(instance)
    await inside.aclose()
    return log
