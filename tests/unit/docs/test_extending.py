"""The public surface for other packages is what it is meant to be, complete, documented, and enough."""

import ast
import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perdure import extend
from perdure.scenarios import Catalogue
from perdure.testing.dialects import DialectConformance
from perdure.testing.engines import EngineConformance
from perdure.testing.executors import ExecutorConformance
from perdure.testing.stores import DurableStoreConformance
from perdure.testing.tasks import TaskConformance

ROOT = Path(__file__).parents[3]
NO_NAME = "SqlStore"  # which is internal
PAGE = (ROOT / "docs" / "extending.md").read_text()
PACKAGES = sorted((ROOT / "tests" / "packages").glob("*/*.py"))
STABLE = {
    "perdure.api",
    "perdure.bptk",
    "perdure.engines.system_dynamics",
    "perdure.errors",
    "perdure.extend",
    "perdure.tasks",
}


SAVED = r"Save this as `my_package/(\w+\.py)`[^\n]*\n*```python\n(.*?)```"
CODE = r"```python\n(.*?)```"


def section(title: str) -> str:
    """Return a section of the page."""
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


# The surface


def test_what_is_exported_is_what_is_imported_for_types_and_found_when_used() -> None:
    tree = ast.parse(inspect.getsource(extend))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name: node.module
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert sorted(imported) == extend.__all__ == dir(extend)
    for name in extend.__all__:
        assert getattr(extend, name) is getattr(sys.modules[str(imported[name])], name)
    with pytest.raises(AttributeError, match="has no attribute 'SqlStore'"):
        getattr(extend, NO_NAME)


def test_every_name_is_documented_and_no_other() -> None:
    rows = [line.split(" | ")[1] for line in section("Names").splitlines() if line.startswith("| ")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == extend.__all__


def test_importing_it_imports_nothing_else() -> None:
    program = "import sys; import perdure.extend; print(*(m for m in sys.modules if m.startswith('perdure')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["perdure", "perdure.extend"]


def members(kind: type) -> Iterator[Any]:
    """Yield what has the type hints of a class's public names; users don't call constructors of ports."""
    yield kind
    for base in kind.__mro__:
        if base.__module__.startswith("perdure."):
            for name, value in vars(base).items():
                function = getattr(value, "fget", getattr(value, "__func__", value))
                if not name.startswith("_") and inspect.isfunction(function):
                    yield function


def classes(hint: Any) -> Iterator[type]:
    """Yield our classes that a type hint names, however deep."""
    if isinstance(hint, type) and hint.__module__.startswith("perdure."):
        yield hint
    for part in (typing.get_origin(hint), *typing.get_args(hint)):
        yield from [
            one for item in (part if isinstance(part, list) else [part]) if item for one in classes(item)
        ]


@pytest.mark.parametrize("name", extend.__all__)
def test_a_class_of_ours_in_the_signature_of_what_is_exported_is_exported_too(name: str) -> None:
    known = {each: getattr(extend, each) for each in extend.__all__}
    exported = known[name]
    holders = members(exported) if isinstance(exported, type) else []
    hints = [
        exported,
        *(hint for one in holders for hint in typing.get_type_hints(one, None, known).values()),
    ]
    named = {kind for hint in hints for kind in classes(hint) if kind.__module__ != "perdure.errors"}
    assert {kind.__name__ for kind in named} <= set(extend.__all__)


@pytest.mark.parametrize("file", PACKAGES, ids=lambda path: path.parent.name)
def test_packages_of_others_import_only_what_is_stable(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            if name.partition(".")[0] == "perdure":
                assert name in STABLE or name.startswith("perdure.testing."), f"{file.name} imports {name}"


# The examples of the page


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Save the modules that the page says to save, as a package that can be imported."""
    folder = tmp_path_factory.mktemp("page") / "my_package"
    folder.mkdir()
    for name, code in re.findall(SAVED, PAGE, re.DOTALL):
        (folder / name).write_text(code)
    assert len(list(folder.iterdir())) == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder.parent)
        yield folder
        for name in [name for name in sys.modules if name.partition(".")[0] == "my_package"]:
            del sys.modules[name]


def conformance(title: str) -> ModuleType:
    """Return the module of tests of a section: its last block."""
    module = ModuleType("tests_of_the_page")
    exec(re.findall(CODE, section(title), re.DOTALL)[-1], vars(module))
    return module


def test_the_engine_of_the_page_obeys_the_law_and_one_that_forgets_does_not(package: Path) -> None:
    conformance("An engine").test_savings_obey_the_law_of_engines()
    from my_package.savings import Savings

    class Forgetful(Savings):
        def restore(self, state: Any) -> None:
            self._steps, self._balance = state[0], 100.0

    with pytest.raises(AssertionError, match="the snapshot itself differs after a snapshot at step 1"):
        EngineConformance(Forgetful, {"timestep": 1.0}, [{}] * 3).check()


def test_a_session_on_the_engine_of_the_page_begins_with_its_start(package: Path) -> None:
    from my_package.savings import Savings

    catalogue = Catalogue()
    catalogue.register_model(
        extend.EngineModel(
            name="savings", engine=Savings, config={"rate": 0.5}, outputs=["balance"], stoptime=2.0
        )
    )
    results = catalogue.run_scenarios(return_format="dict")["smSavings"]["base"]["equations"]
    assert results == {"balance": {0.0: 100.0, 1.0: 150.0, 2.0: 225.0}}


def test_the_store_of_the_page_runs_the_suite_of_stores(package: Path, tmp_path: Path) -> None:
    suite = conformance("A store").TestShelf()
    assert isinstance(suite, DurableStoreConformance)
    for test in (
        suite.test_it_lasts_under_one_identity,
        suite.test_it_says_where_it_is_and_what_it_measures,
        suite.test_everything_is_there_after_reopening,
    ):
        folder = tmp_path / test.__name__
        folder.mkdir()
        test(folder)


def test_the_dialect_of_the_page_runs_the_suite_of_dialects_and_one_that_leaks_does_not(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = conformance("A dialect").TestLaps()
    assert isinstance(suite, DialectConformance)
    suite.test_every_route_is_in_the_document()
    suite.test_without_a_right_token_there_is_only_what_is_public()
    suite.test_no_body_makes_it_fail()
    leaking = replace(suite.dialect, error=lambda failure: {"error": {"message": failure.message}})
    monkeypatch.setattr(suite, "dialect", leaking)
    with pytest.raises(AssertionError, match="POST /races answers an error in the shape of the native API"):
        suite.test_without_a_right_token_there_is_only_what_is_public()


def test_the_executor_of_the_page_runs_the_suite_of_executors(package: Path) -> None:
    suite = conformance("An executor").TestBrokerExecutor()
    assert isinstance(suite, ExecutorConformance)
    suite.test_a_submitted_run_is_worked_on_and_its_result_kept()
    suite.test_what_isnt_there_or_isnt_to_be_executed_is_refused()
    suite.test_terminating_ends_a_body_that_computes_in_c()


def test_the_executor_of_the_page_is_an_argument_of_the_app(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_STORE", f"sqlite:///{tmp_path}/store.db")
    _, code, _ = re.findall(CODE, section("An executor"), re.DOTALL)
    served: dict[str, Any] = {}
    exec(code, served)
    served["store"].close()
    assert callable(served["app"])


def test_the_task_of_the_page_obeys_the_law_and_one_that_counts_attempts_does_not(package: Path) -> None:
    conformance("A task").test_primes_obey_the_law_of_tasks()
    from my_package.primes import Count, Limit

    def count_attempts(given: Any, context: extend.TaskContext) -> Any:
        number = 0
        for number in range(context.resumed or 0, given.below):
            context.savepoint(number + 1)
        return Count(primes=number + context.attempt)

    task = extend.Task(name="attempts", input=Limit, result=Count, function=count_attempts)
    with pytest.raises(AssertionError, match="resumed at savepoint 1 of 3 it returns"):
        TaskConformance(task, Limit(below=3)).check()


def test_the_entry_points_of_the_page_are_those_of_perdure() -> None:
    named = set(re.findall(r'\[project.entry-points."(.*)"\]', PAGE))
    own = (ROOT / "pyproject.toml").read_text()
    assert named == {"perdure.dialects", "perdure.engines", "perdure.stores", "perdure.tasks"}
    assert all(f'entry-points."{group}"' in own for group in named)
