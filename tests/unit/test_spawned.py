"""Spawned processes import what each finder that is in effect knows."""

import multiprocessing
import pkgutil
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from perdure.spawned import SpawnedImports


@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_finders_within_each_other_all_take_effect_and_the_inner_one_is_asked_first(
    tmp_path: Path, method: str
) -> None:
    for place in ("outer", "inner"):
        (tmp_path / f"{place}.py").write_text(f"VALUE = '{place}'\n")
    outer, inner = (str(tmp_path / f"{place}.py") for place in ("outer", "inner"))
    with (
        SpawnedImports({"known_to_outer": outer, "known_to_both": outer}),
        SpawnedImports({"known_to_inner": inner, "known_to_both": inner}),
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as pool,
    ):
        names = [f"known_to_{who}:VALUE" for who in ("outer", "inner", "both")]
        assert list(pool.map(pkgutil.resolve_name, names)) == ["outer", "inner", "inner"]
