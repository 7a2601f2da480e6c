"""The processes that draw scenes: they end when they take too long, use too much, or are no longer needed."""

import asyncio
import hashlib
import secrets
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.processes import marked
from tests.support.scenes import GREY, grey_experiment
from tests.support.zips import opened, zip_of

from perdure.artifacts import Artifacts
from perdure.drivers.experiments import scene_renderers
from perdure.drivers.experiments.scene_renderers import SceneRenderers
from perdure.drivers.experiments.scene_views import PictureRequest
from perdure.drivers.experiments.spec import ExperimentSpec
from perdure.errors import SceneUnavailable, TooManyScenes
from perdure.execution.child_limits import ChildLimits
from perdure.run import Run

FORGE = """
import os
import socket
import stat

import numpy

from perdure.execution.isolated_engine import send

for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            send(socket.socket(fileno=os.dup(number)), ANSWER)
    except OSError:
        pass
"""
IDENTITY = secrets.token_hex(8)


def request() -> PictureRequest:
    return PictureRequest(
        engine="box",
        simulator="OpenAI",
        world="grey:Grey-v0",
        script="plant.py",
        seed=1,
        folder="",
        scene=b"",
        width=64,
        height=48,
    )


def drawing(
    folder: Path,
    environment: str,
    work: Callable[[SceneRenderers, Run], Awaitable[None]],
    limits: ChildLimits,
    limit: int = 1,
) -> None:
    """Do something with renderers and a run of an experiment; nothing of them is left afterwards."""
    artifacts = Artifacts(str(folder / "artifacts"))
    experiments = artifacts.experiments("me")
    experiments.create("grey", opened(zip_of(grey_experiment("", environment))))
    version = experiments.pin("grey", "run")
    spec = ExperimentSpec(
        experiment="grey",
        version=version,
        configuration="simulation_config.json",
        script="main_script.py",
        seed=1,
        sim_id="run",
    )
    run = Run(id="run", kind="experiment", owner="me", spec=spec.to_blob(), created=0, updated=0)

    async def working() -> None:
        renderers = SceneRenderers(artifacts, IDENTITY, limits, limit)
        try:
            await work(renderers, run)
        finally:
            await renderers.aclose()

    asyncio.run(working())
    assert marked(IDENTITY) == []
    name = hashlib.sha256(IDENTITY.encode()).hexdigest()[:12]
    assert not list(Path(tempfile.gettempdir()).glob(f"perdure-{name}-*"))


def test_a_picture_that_takes_too_long_ends_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_renderers, "STARTING", 3.0)
    hangs = "import threading\nthreading.Event().wait()\n"

    async def work(renderers: SceneRenderers, run: Run) -> None:
        with pytest.raises(SceneUnavailable, match="longer than 3 s"):
            await renderers.draw(run, request(), 1)

    drawing(tmp_path, hangs, work, ChildLimits())


def test_a_process_that_takes_too_much_memory_is_ended(tmp_path: Path) -> None:
    greedy = "import numpy\nkept = []\nwhile True:\n    kept.append(numpy.ones(1 << 20))\n"

    async def work(renderers: SceneRenderers, run: Run) -> None:
        with pytest.raises(SceneUnavailable, match="has ended"):
            await renderers.draw(run, request(), 1)

    drawing(tmp_path, greedy, work, ChildLimits(memory=500_000_000))


def test_a_process_ends_soon_after_nobody_asks_and_another_one_begins_when_somebody_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scene_renderers, "IDLE", 0.1)
    raises = GREY + "raise ValueError('no such box')\n"

    async def work(renderers: SceneRenderers, run: Run) -> None:
        for _ in range(2):
            with pytest.raises(SceneUnavailable, match="no such box"):
                await renderers.draw(run, request(), 1)
            while marked(IDENTITY):
                await asyncio.sleep(0.01)

    drawing(tmp_path, raises, work, ChildLimits())


def test_what_is_in_use_does_not_give_way(tmp_path: Path) -> None:
    hangs = "import threading\nthreading.Event().wait()\n"

    async def work(renderers: SceneRenderers, run: Run) -> None:
        other = Run(id="other", kind="experiment", owner="me", spec=run.spec, created=0, updated=0)
        waiting = asyncio.create_task(renderers.draw(run, request(), 1))
        await asyncio.sleep(0)
        with pytest.raises(TooManyScenes, match="PERDURE_MAX_SCENES"):
            await renderers.draw(other, request(), 1)
        await renderers.aclose()
        with pytest.raises(SceneUnavailable, match="closing"):
            await waiting

    drawing(tmp_path, hangs, work, ChildLimits())


@pytest.mark.parametrize(
    "answer",
    ["None", "1", "['picture', b'<script>']", "['picture']", "['refused', 5]", "[numpy.zeros(3), b'x']"],
)
def test_an_answer_of_another_shape_ends_the_process_and_says_so(tmp_path: Path, answer: str) -> None:
    forged = GREY.replace(
        "return np.full((40, 60, 3), self.count % 256, np.uint8)",
        "return None",
    ) + FORGE.replace("ANSWER", answer)

    async def work(renderers: SceneRenderers, run: Run) -> None:
        for _ in range(2):
            with pytest.raises(SceneUnavailable, match="has ended"):
                await renderers.draw(run, request(), 1)

    drawing(tmp_path, forged, work, ChildLimits())


def test_who_has_more_gives_way_to_another_owner(tmp_path: Path) -> None:
    hangs = "import threading\nthreading.Event().wait()\n"

    async def work(renderers: SceneRenderers, run: Run) -> None:
        def other(id: str, owner: str) -> Run:
            return Run(id=id, kind="experiment", owner=owner, spec=run.spec, created=0, updated=0)

        def ask(run: Run) -> asyncio.Task[bytes]:
            return asyncio.create_task(renderers.draw(run, request(), 1))

        first, second = ask(run), ask(other("second", "me"))
        await asyncio.sleep(0)
        theirs = ask(other("theirs", "you"))
        done, waiting = await asyncio.wait({first, second, theirs}, return_when=asyncio.FIRST_COMPLETED)
        assert len(done) == 1
        assert theirs in waiting
        with pytest.raises(TooManyScenes):
            await done.pop()
        await asyncio.sleep(0)
        for owner in ("me", "you", "they"):  # each of both has one now
            with pytest.raises(TooManyScenes):
                await renderers.draw(other("more", owner), request(), 1)
        await renderers.aclose()
        for task in waiting:
            with pytest.raises(SceneUnavailable, match="closing"):
                await task
        with pytest.raises(SceneUnavailable, match="closing"):
            await renderers.draw(run, request(), 1)

    drawing(tmp_path, hangs, work, ChildLimits(), limit=2)
