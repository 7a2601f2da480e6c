"""Sessions on other engines than system dynamics behind an adapter: any data, and recorded answers."""

from pathlib import Path
from typing import Any

import pytest
from tests.support.any_engines import Reading, Summing
from tests.support.engine_models import catalogue_with, new, summing
from tests.support.mirrored import Inside, run

from perdure.dialects.bptk.external_state import FileAdapter

SETTINGS: dict[int, Any] = {
    1: {"sum": {"base": {"inputs": {"note": {"text": "NaN", "list": [1, None, True]}}}}},
    3: {"sum": {"base": {"constants": {"rate": 2.5}, "inputs": {"note": "-Infinity"}}}},
}


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("engine", [Summing, Reading])
def test_another_server_goes_on_from_the_document(tmp_path: Path, engine: Any, compress: bool) -> None:
    async def body() -> None:
        outputs = ["total", "given", *(["passed"] if engine is Reading else [])]
        catalogue = catalogue_with(summing(engine, outputs=outputs))
        acknowledged: list[Any] = []
        instance = None
        for step in range(1, 6):
            inside = Inside(FileAdapter(compress, tmp_path), catalogue)
            if instance is None:
                instance = await inside.begin(await inside.start(), new(outputs=outputs))
            else:
                assert await inside.load(instance.id) is not None
                assert [rows for rows, _ in await inside.log(instance)] == acknowledged
            acknowledged += await inside.step(instance, SETTINGS.get(step))
            assert await inside.sessions.examine("local", instance.run or "", repair=False) == []
            await inside.aclose()
        given = {"text": "NaN", "list": [1, None, True]}
        assert acknowledged[0][0][:3] == [0.0, 0.0, {"rate": 1.0, "note": given}]
        assert acknowledged[2][0][:3] == [2.0, 3.5, {"note": "-Infinity", "rate": 2.5}]

    run(body)
