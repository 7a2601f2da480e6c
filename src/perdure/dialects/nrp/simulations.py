"""Simulations: this dialect's numbers of runs, kept as documents of the store.

A number is never reused, whatever becomes of its run. The state of a simulation is that of its run, and is
read from the store.
"""

from asyncio import Lock
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar

import anyio
import anyio.to_thread
import msgspec
import structlog

from perdure.drivers.experiments.experiment_requests import NewExperiment
from perdure.drivers.session_requests import Owner
from perdure.errors import CorruptBlob, PerdureError, RunNotFound, VersionConflict
from perdure.lifecycle import RunStatus
from perdure.run import Run, new_run_id
from perdure.stores.base import Store
from perdure.stores.commands import DeleteDocument, PutDocument
from perdure.web.services import ExperimentDriver

__all__ = ["NewRecord", "NrpSimulation", "Simulations"]

DIALECT: Final = "nrp"
NUMBERS: Final = "numbers"

READING = 8  # threads

T = TypeVar("T")

log = structlog.get_logger(__name__)


class NewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a request for a simulation.

    Attributes
    ----------
    request
        The experiment's run to create.
    context
        Any text, which is returned with the simulation.
    state
        The initial state: paused, or started at once.
    """

    request: NewExperiment
    context: str | None
    state: RunStatus


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation's record: the id of its run, and the fields of its request."""

    run: str
    experiment: str
    configuration: str
    script: str
    context: str | None


class NrpSimulation(msgspec.Struct, frozen=True, kw_only=True):
    """A simulation: its number, its record, and its run."""

    number: int
    record: Record
    run: Run


class Simulations:
    """The simulations of one store.

    Parameters
    ----------
    store
        Holds the runs and records.
    experiments
        The driver of the runs.
    """

    def __init__(self, store: Store, experiments: ExperimentDriver) -> None:
        self._store = store
        self.experiments = experiments
        self._reading = anyio.CapacityLimiter(READING)
        self._numbering = Lock()

    async def create(self, owner: str, new: NewRecord) -> NrpSimulation:
        """Create a simulation and initialize it.

        Raises
        ------
        PerdureError
            As the driver does; then there is no simulation, and its number stays unused.
        """
        number = await self._next_number()
        record = Record(
            run=new_run_id(),
            experiment=new.request.experiment,
            configuration=new.request.configuration,
            script=new.request.script,
            context=new.context,
        )
        blob = msgspec.msgpack.encode(record)
        # The record comes first: a crash in between leaves a record without a run, which is no simulation,
        # and not a run without a number.
        await self._read(lambda: self._store.submit(PutDocument(DIALECT, str(number), blob, None)).result())
        try:
            request = msgspec.structs.replace(new.request, sim_id=number)
            run = await self.experiments.create(owner, record.run, request)
        except BaseException:
            with suppress(PerdureError):
                await self._read(lambda: self._store.submit(DeleteDocument(DIALECT, str(number))).result())
            raise
        if new.state is RunStatus.STARTED and run.state is RunStatus.PAUSED:
            run = await self.experiments.trigger(owner, run.id, RunStatus.STARTED.value)
        return NrpSimulation(number=number, record=record, run=run)

    async def all(self, owner: Owner) -> list[NrpSimulation]:
        """Return the simulations of an owner, by number; damaged ones are left out and logged."""

        def read() -> list[NrpSimulation]:
            found = []
            for record in self._store.documents(DIALECT):
                if record.id != NUMBERS:
                    try:
                        simulation = self._found(int(record.id), record.blob)
                    except CorruptBlob as error:
                        log.error("simulation_damaged", number=record.id, reason=str(error))
                        continue
                    if simulation is not None and owner in (None, simulation.run.owner):
                        found.append(simulation)
            return sorted(found, key=lambda simulation: simulation.number)

        return await self._read(read)

    async def get(self, number: int) -> NrpSimulation | None:
        """Return a simulation of any owner, or None; it only reads the store."""

        def read() -> NrpSimulation | None:
            record = self._store.document(DIALECT, str(number))
            return None if record is None else self._found(number, record.blob)

        return await self._read(read)

    async def _next_number(self) -> int:
        """Return a new number, which is durable before it is used, so that it isn't given twice."""

        def take() -> int:
            while True:
                record = self._store.document(DIALECT, NUMBERS)
                number = 0 if record is None else int(record.blob)
                version = None if record is None else record.version
                try:
                    self._store.submit(PutDocument(DIALECT, NUMBERS, b"%d" % (number + 1), version)).result()
                except VersionConflict:
                    continue  # another process took it
                return number

        async with self._numbering:
            return await self._read(take)

    async def _read(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, limiter=self._reading)

    def _found(self, number: int, blob: bytes) -> NrpSimulation | None:
        record = msgspec.msgpack.decode(blob, type=Record)
        try:
            return NrpSimulation(number=number, record=record, run=self._store.run(record.run))
        except RunNotFound:  # it was deleted through the native API
            return None
