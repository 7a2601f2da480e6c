"""A script runs in a world of its own, which is put aside for the length of its calls."""

import logging
import random
import sys
import types
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from perdure.drivers.experiments.nrp import Nrp
from perdure.drivers.experiments.plan import ScriptError
from perdure.drivers.experiments.script import Script
from perdure.engines.clock_methods import ClockMethods
from perdure.engines.clocks import builtins_with


class Loop:
    """Answers each call with what a function returns while the script's world is put aside."""

    steps, max_steps, timestep_ns = 0, None, 1

    def __init__(self, look: Callable[[], Any]) -> None:
        self.script: Script | None = None
        self.looked: list[Any] = []
        self._look = look

    def run_loop(self, count: int, datapacks: list[Any]) -> tuple[bool, list[Any]]:
        assert self.script is not None
        assert self.script.running
        self.script.leave()
        try:
            assert not self.script.running
            self.looked.append(self._look())
        finally:
            self.script.enter()
        return False, []

    def real_time(self) -> float:
        return 0.0


def execute(
    folder: Path,
    script: str,
    look: Callable[[], Any] = lambda: None,
    facades: dict[str, types.ModuleType] | None = None,
    **modules: str,
) -> tuple[ScriptError | None, list[Any]]:
    (folder / "main_script.py").write_text(dedent(script))
    for name, text in modules.items():
        path = folder / f"{name.replace('_in_', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
    loop = Loop(look)
    seen = builtins_with(facades or {}, ClockMethods(lambda name, reading: reading))
    loop.script = Script(folder / "main_script.py", folder, 5, lambda: seen)
    return loop.script.run(Nrp(loop, 1), logging.getLogger("unused")), loop.looked


def test_it_has_what_the_platform_gives_it(tmp_path: Path) -> None:
    error, _ = execute(
        tmp_path,
        """
        import sys
        assert __name__ == "__main__" and __file__ == sys.argv[0]
        assert sys.modules["__main__"].nrp is nrp
        assert issubclass(NRPSimulationTimeout, Exception)
        assert logging.INFO and file_logger
        """,
    )
    assert error is None


def test_its_modules_are_its_own_and_only_there_while_it_runs(tmp_path: Path) -> None:
    error, looked = execute(
        tmp_path,
        """
        import sys
        import counter
        from package import inner
        from package.inner import NAME
        counter.value += 1
        nrp.run_loop()
        assert sys.modules["counter"] is counter
        import counter as again
        assert again.value == 1 and inner.again() == "counter" and NAME == "inner"
        """,
        lambda: {"counter", "package", "package.inner"} & set(sys.modules),
        counter="value = 0\n",
        package_in_inner="""
        from . import __name__ as parent
        NAME = "inner"
        def again():
            import counter
            return counter.__name__
        """,
        package_in___init__="",
    )
    assert error is None
    assert looked == [set()]
    assert "counter" not in sys.modules
    assert sys.modules["__main__"].__name__ == "__main__"
    assert not list(tmp_path.rglob("__pycache__"))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_import_modules_of_the_folder(tmp_path: Path, method: str) -> None:
    before = list(sys.path)
    error, _ = execute(
        tmp_path,
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        from helper import square
        from package.inner import double

        if __name__ == "__main__":
            context = multiprocessing.get_context({method!r})
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                assert list(pool.map(square, range(4))) == [0, 1, 4, 9]
            with context.Pool(1) as pool:
                assert pool.map(double, [2]) == [4]
        """,
        helper="def square(x):\n    return x * x\n",
        package_in___init__="",
        package_in_inner="def double(x):\n    return 2 * x\n",
    )
    assert error is None
    assert sys.path == before


def test_a_mere_folder_is_a_package_unless_there_is_another_of_that_name(tmp_path: Path) -> None:
    error, looked = execute(
        tmp_path,
        """
        import mere.inner, wave
        nrp.run_loop()
        assert mere.inner.x == 1 and wave.open
        """,
        lambda: {"mere", "mere.inner", "wave"} & set(sys.modules),
        mere_in_inner="x = 1",
        wave_in_inner="x = 1",
    )
    assert error is None
    assert looked == [{"wave"}]


def test_a_module_that_fails_to_load_can_be_tried_again(tmp_path: Path) -> None:
    error, _ = execute(
        tmp_path,
        """
        import sys
        for _ in range(2):
            try:
                import broken
            except ZeroDivisionError:
                nrp.run_loop()
                assert "broken" not in sys.modules
            else:
                raise AssertionError
        """,
        broken="1 / 0\n",
    )
    assert error is None


def test_it_and_its_modules_see_facades_and_nobody_else_does(tmp_path: Path) -> None:
    facade = types.ModuleType("json")
    facade.whose = "the script's"  # type: ignore[attr-defined]
    error, looked = execute(
        tmp_path,
        """
        import json, logging.config
        from json import whose
        import helper
        assert json.whose == helper.whose() == whose == "the script's"
        assert not hasattr(logging.config.json if hasattr(logging.config, "json") else logging, "whose")
        def later():
            import json
            return json.whose
        nrp.run_loop()
        assert later() == "the script's"
        """,
        lambda: hasattr(sys.modules["json"], "whose"),
        {"json": facade},
        helper="def whose():\n    import json\n    return json.whose\n",
    )
    assert error is None
    assert looked == [False]


def test_its_objects_can_be_pickled_and_its_classes_found(tmp_path: Path) -> None:
    error, _ = execute(
        tmp_path,
        """
        import copy, dataclasses, pickle
        from helper import Thing

        @dataclasses.dataclass
        class Here:
            x: "int"

        for made in (Thing(3), Here(4)):
            nrp.run_loop()
            assert pickle.loads(pickle.dumps(made)) == made == copy.deepcopy(made)
        """,
        helper="import dataclasses\n\n@dataclasses.dataclass\nclass Thing:\n    x: 'int'\n",
    )
    assert error is None


def test_its_draws_are_its_own(tmp_path: Path) -> None:
    script = """
        import random
        drawn = [random.random(), random.random()]
        {call}
        drawn.append(random.random())
        raise SystemExit(str(drawn))
        """
    plain, _ = execute(tmp_path, script.format(call=""))
    with_a_call, _ = execute(tmp_path, script.format(call="nrp.run_loop()"), random.random)
    assert plain is not None
    assert with_a_call is not None
    assert plain.message == with_a_call.message


def test_an_error_names_the_innermost_line_in_the_folder(tmp_path: Path) -> None:
    error, _ = execute(
        tmp_path,
        "import helper\nhelper.parse('{')\n",
        helper="import json\n\ndef parse(text):\n    return json.loads(text)\n",
    )
    assert error is not None
    assert (error.type, error.file, error.line) == ("JSONDecodeError", "helper.py", 4)
    assert error.text == "return json.loads(text)"


def test_an_error_without_words_is_told_by_its_class(tmp_path: Path) -> None:
    error, _ = execute(tmp_path, "raise AssertionError\n")
    assert error is not None
    assert error.in_words == "AssertionError (main_script.py, line 1)"


def test_the_world_is_put_back_when_a_call_fails(tmp_path: Path) -> None:
    def fail() -> None:
        raise OSError("no")

    before = sys.argv
    error, _ = execute(
        tmp_path,
        """
        import sys
        try:
            nrp.run_loop()
        except OSError:
            assert sys.argv[0] == __file__
            raise KeyError(1) from None
        """,
        fail,
    )
    assert error is not None
    assert error.type == "KeyError"
    assert sys.argv is before


@pytest.mark.parametrize("raised", ["KeyboardInterrupt", "GeneratorExit", "SystemExit"])
def test_what_only_looks_like_an_end_from_outside_is_an_error_too(tmp_path: Path, raised: str) -> None:
    error, _ = execute(tmp_path, f"nrp.run_loop()\nraise {raised}('no more')\n")
    assert error is not None
    assert (error.type, error.file, error.line) == (raised, "main_script.py", 2)
    assert "no more" in error.message
