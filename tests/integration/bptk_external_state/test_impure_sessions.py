"""Sessions of impure functions, and what a restore takes again, behind an adapter."""

import random
from pathlib import Path
from typing import Any

import pytest
from tests.support.mirrored import Inside, run
from tests.support.small import catalogue_of

from perdure.dialects.bptk.external_state import FileAdapter
from perdure.drivers.session_requests import NewSession
from perdure.engines.system_dynamics import Model
from perdure.scenarios import Catalogue

NEW = NewSession(scenarios={"bath": ["base"]}, outputs=["water", "noise"], seed=1)


def draws(model: Any, at: float) -> float:
    return random.random() if at != 3.0 else float("nan")


def noisy() -> Catalogue:
    model = Model(starttime=0.0, stoptime=100_000.0, dt=1.0, name="bath")
    water, noise = model.stock("water"), model.converter("noise")
    water.equation = noise * 1.0
    noise.equation = model.function("draws", draws, impure=True)()
    return catalogue_of(model)


@pytest.mark.parametrize("compress", [False, True])
def test_another_server_goes_on_from_the_answers_in_the_document(tmp_path: Path, compress: bool) -> None:
    async def body() -> None:
        acknowledged: list[str] = []
        first = Inside(FileAdapter(compress, tmp_path), noisy())
        instance = await first.begin(await first.start(), NEW)
        acknowledged += map(repr, await first.step(instance, steps=7))
        await first.aclose()
        for steps in (1, 5, 1, 1):
            other = Inside(FileAdapter(compress, tmp_path), noisy())
            assert await other.load(instance.id) is not None
            assert [repr(rows) for rows, _ in await other.log(instance)] == acknowledged
            acknowledged += map(repr, await other.step(instance, steps=steps))
            assert await other.sessions.examine("local", instance.run or "", repair=True) == []
            await other.aclose()

    run(body)


def test_a_restore_from_a_document_goes_back_to_the_schedules_last_savepoint_however_long_the_session_is(
    tmp_path: Path,
) -> None:
    async def body() -> None:
        instance = None
        replayed = []
        for steps in (250, 1, 3, 1, 1):
            inside = Inside(FileAdapter(True, tmp_path), noisy())
            if instance is None:
                instance = await inside.begin(await inside.start(), NEW)
            else:
                await inside.load(instance.id)
            await inside.step(instance, steps=steps)
            replayed.append(inside.sessions._metrics.replayed_steps._value.get())
            await inside.aclose()
        assert replayed == [0, 51, 52, 55, 56]  # from that at step 199

    run(body)
