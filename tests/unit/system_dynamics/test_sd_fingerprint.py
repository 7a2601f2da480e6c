"""What identifies a model, and what doesn't."""

import functools
import importlib.util
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics import functions as sd
from perdure.errors import ModelError


def growth(**changes: Any) -> Model:
    model = Model(0.0, 10.0, 1.0, "growth")
    level, rate, births = model.stock("level"), model.constant("rate"), model.flow("births")
    level.initial_value = changes.get("initial", 100.0)
    level.equation = births
    rate.equation = changes.get("rate", 0.5)
    births.equation = changes.get("births", lambda model: level * rate)(model)
    model.points["curve"] = changes.get("points", [[0.0, 1.0], [1.0, 2.0]])
    return model


def everything() -> Model:
    model = growth()
    level = model.stock("level")
    model.converter("average").equation = sd.smooth(
        model, sd.delay(model, level, 2 * sd.dt(model), 1.0), 4.0, 0.0
    )
    model.converter("draw").equation = (
        sd.normal(0.0, 1.0) + sd.lookup(level, "curve") + sd.lookup(level, [[1, 2]])
    )
    model.converter("choice").equation = sd.If(level > 3, sd.nan(), -sd.Inf()) ** sd.trend(
        model, level, 3.0, 1.0
    )
    return model


def test_fingerprints_stay_the_same_from_version_to_version() -> None:
    # Sessions are resumed by later versions of Perdure and of Python: never change these.
    assert growth().fingerprint() == GROWTH
    assert everything().fingerprint() == EVERYTHING


GROWTH = "ad0e586579f2a6302b72680e19789075"
EVERYTHING = "3aae522243c13c4d7cb84ed324007eaa"


def test_a_converter_that_is_a_number_has_the_fingerprint_of_a_definition() -> None:
    model = growth()
    model.converter("number").equation = 3
    assert model.fingerprint() == NUMBER


NUMBER = "05d82e5ebe4c843aada46c8bb124ccf4"


def test_run_specs_name_upgrade_and_order_of_definition_do_not_count() -> None:
    model = growth()
    model.run_specs(5.0, 6.0, 0.25)
    model.name = "renamed"
    model.upgrade = lambda state, former: state
    assert model.fingerprint() == growth().fingerprint()
    other = Model(0.0, 1.0, 1.0)
    other.points["curve"] = [[1.0, 2.0], [0.0, 1.0]]
    births = other.flow("births")
    births.equation = other.stock("level") * other.constant("rate")
    other.constant("rate").equation = 0.5
    other.stock("level").equation = births
    other.stock("level").initial_value = 100
    assert other.fingerprint() == growth().fingerprint()


@pytest.mark.parametrize(
    "change",
    [
        {"initial": 101.0},
        {"rate": 0.25},
        {"points": [[0.0, 1.0], [1.0, 3.0]]},
        {"births": lambda m: m.constant("rate") * m.stock("level")},
        {"births": lambda m: m.stock("level") + m.constant("rate")},
        {"births": lambda m: sd.smooth(m, m.stock("level"), 1.0, 0.0)},
        {"births": lambda m: sd.delay(m, m.stock("level"), 1.0, 0.0)},
        {"births": lambda m: sd.uniform()},
        {"births": lambda m: 0.0 * m.stock("level")},
        {"births": lambda m: -0.0 * m.stock("level")},
    ],
)
def test_names_equations_values_and_points_count(change: dict[str, Any]) -> None:
    prints = {growth(**change).fingerprint(), growth().fingerprint()}
    assert len(prints) == 2


def test_an_added_renamed_or_retyped_element_counts() -> None:
    added, renamed, retyped = growth(), growth(), growth()
    added.converter("more").equation = 1.0
    renamed.points["other"] = [[0.0, 1.0]]
    retyped.biflow("net").equation = retyped.flow("births")
    assert len({m.fingerprint() for m in (growth(), added, renamed, retyped)}) == 4


# User functions ---------------------------------------------------------------------------------------------


def of(fn: Callable[..., Any]) -> str:
    model = Model(0.0, 1.0, 1.0)
    model.converter("y").equation = model.function("fn", fn)(1.0)
    return model.fingerprint()


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Return the fingerprint of the function `fn` in a module with the given text."""
    loaded = []

    def load(text: str) -> str:
        name = f"a_model_{len(loaded)}_{tmp_path.name}"
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        loaded.append(name)
        spec.loader.exec_module(module)
        return of(module.fn)

    yield load
    for name in loaded:
        del sys.modules[name]


FUNCTION = """
import math
K = 2.0
def helper(x):
    return x * K
def fn(model, t, x, scale=3.0):
    return helper(x) * scale + math.pi
"""


def test_the_fingerprint_of_a_user_function_stays_the_same(load: Callable[[str], str]) -> None:
    assert load(FUNCTION) == "1f3072c2ae01573415ea863b110d47fa"


READERS_OF_PERDURE = {
    "32ac239b51c6756dfe6d1146182c693b": """
from perdure.errors import EvaluationFailed, InvalidOverride, MissingExtra, NotFound, PerdureError
def fn(model, t, x):
    if x < 0:
        raise EvaluationFailed(element="x", time=t, reason="it is negative")
    known = (InvalidOverride, MissingExtra, NotFound, PerdureError)
    return x + len(known)
""",
    "87ddc801c5119a64e36c36fd8d74cbf4": """
from perdure import errors
def fn(model, t, x):
    if x < 0:
        raise errors.ModelError("x is negative")
    return x
""",
    "2ed6558d33a5e3325ec18329b9c54f63": """
from perdure.engines.system_dynamics import Model
class Plant(Model):
    SHARE = 2.0
    def instantiate_model(self):
        super().instantiate_model()
def fn(model, t, x):
    return x * Plant.SHARE
""",
    "2fd018f0f8d2fa34d144966249b5edcd": """
from perdure.engines.system_dynamics import Module
class Tank(Module):
    SHARE = 2.0
    def initialize(self):
        super().initialize()
def fn(model, t, x):
    return x * Tank.SHARE
""",
    "199d403873e959beb64cdb784b651080": """
from perdure.engines.system_dynamics import (
    Biflow, Constant, Converter, Element, Expression, Flow, RunSpecs, Stock, SystemDynamicsEngine,
)
def fn(model, t, x):
    known = (Biflow, Constant, Converter, Element, Expression, Flow, RunSpecs, Stock, SystemDynamicsEngine)
    return x * len(known)
""",
    "065c686773e6a94248b00bdd9919058b": """
from perdure.engines.system_dynamics import functions as sd, simulate, validate_inputs
def fn(model, t, x):
    known = (sd.uniform, simulate, validate_inputs)
    return x * len(known)
""",
    "4091e152026bf97e33500c6bed815733": """
def fn(model, t, x):
    from perdure.bptk import Model
    from perdure.engines.system_dynamics import Stock, functions as sd
    from perdure.errors import ModelError
    return x * len((Model, Stock, sd.pi, ModelError))
""",
    "197d152dd7c9ebecec02c7d19e419cea": """
from perdure.engines.system_dynamics import Model
other = Model(0.0, 1.0, 1.0)
growth = other.function("growth", lambda model, t, x: x)
def fn(model, t, x):
    return x if x > 0 else growth(x)
""",
}


@pytest.mark.parametrize("fingerprint", READERS_OF_PERDURE)
def test_what_a_function_reads_of_perdure_counts_by_names_that_stay_the_same(
    load: Callable[[str], str], fingerprint: str
) -> None:
    """Wherever later versions of Perdure define it."""
    assert load(READERS_OF_PERDURE[fingerprint]) == fingerprint


def test_comments_docstrings_annotations_and_place_do_not_count(load: Callable[[str], str]) -> None:
    text = (
        "import math\n\n# A comment.\nUNUSED = 7\n\n"
        "def fn(model, t: float, x: 'float', scale: float = 3.0) -> float:\n"
        '    """A docstring."""\n\n    # More.\n    return (helper(x)\n            * scale + math.pi)\n\n'
        "def helper(x):\n    'Another.'\n    return x * K\n\nK = 1.0 + 1.0\n"
    )
    assert load(text) == load(FUNCTION)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("K = 2.0", "K = 2.5"),
        ("K = 2.0", "K = 2"),
        ("scale=3.0", "scale=4.0"),
        ("x * K", "K * x"),
        ("* scale", "+ scale"),
        ("math.pi", "math.e"),
        ("K = 2.0", "K = True"),
        ("scale=3.0", "*, scale=3.0"),
        ("return helper", "return -helper"),
    ],
)
def test_code_defaults_globals_and_helpers_count(load: Callable[[str], str], old: str, new: str) -> None:
    assert old in FUNCTION
    assert load(FUNCTION.replace(old, new)) != load(FUNCTION)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("D = {'a': 1.0, 'b': [2, (3,)]}", "D = {'b': [2, (3,)], 'a': 1.0}", True),
        ("D = {'a': 1.0, 'b': [2, (3,)]}", "D = {'b': [2, [3]], 'a': 1.0}", False),
        ("D = {3, 'x', 1}", "D = {1, 3, 'x'}", True),
        ("D = {3, 'x', 1}", "D = {3, 'x', 2}", False),
        ("import numpy as np\nD = np.arange(3.0)", "import numpy as np\nD = np.array([0.0, 1.0, 2.0])", True),
        ("import numpy as np\nD = np.arange(3.0)", "import numpy as np\nD = np.arange(3)", False),
        (
            "import numpy as np\nD = np.arange(4.0)",
            "import numpy as np\nD = np.arange(4.0).reshape(2, 2)",
            False,
        ),
        ("D = b'x'", "D = 'x'", False),
        ("D = None", "D = False", False),
        ("D = 0.0", "D = -0.0", False),
        ("class D:\n    rate = 1.0", "class D:\n    'Doc.'\n    rate = 1.0  # x", True),
        ("class D:\n    rate = 1.0", "class D:\n    rate = 2.0", False),
        (
            "R = 1.0\nclass D:\n    def f(self): return R",
            "R = 2.0\nclass D:\n    def f(self): return R",
            False,
        ),
        ("class B:\n    r = 1\nclass D(B):\n    pass", "class B:\n    r = 2\nclass D(B):\n    pass", False),
        (
            "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\nD = E.A",
            "import enum\nclass E(enum.Enum):\n    A = 1\n    B = 2\nD = E.B",
            False,
        ),
        ("D = []\nD.append(D)", "D = [D0 := []]\nD0.append(D)", False),
        ("import math\nD = math.sin", "import math\nD = math.cos", False),
        ("import numpy as np\nD = np.sin", "import numpy as np\nD = np.cos", False),
        ("from bisect import insort as D", "from bisect import bisect as D", False),
        ("D = [1, 2].index", "D = [1, 3].index", False),
        ("D = 10 ** 30", "D = 10 ** 30 + 1", False),
        ("D = 1j", "D = 2j", False),
        ("def D(n):\n    return D(n - 1) if n else 1", "def D(n):\n    return D(n - 1) if n else 2", False),
    ],
)
def test_data_counts_by_its_content(load: Callable[[str], str], one: str, other: str, same: bool) -> None:
    tail = "\ndef fn(model, t, x):\n    return D\n"
    assert (load(one + tail) == load(other + tail)) is same


def test_a_closure_counts() -> None:
    def made(k: Any) -> Callable[..., float]:
        return lambda model, t, x: x * k

    assert of(made(2.0)) == of(made(2.0)) != of(made(3.0))
    assert of(made([1])) != of(made([2]))


def test_partials_and_bound_methods_count() -> None:
    def fn(k: float, model: Any, t: float, x: float) -> float:
        return x * k

    assert of(functools.partial(fn, 2.0)) == of(functools.partial(fn, 2.0)) != of(functools.partial(fn, 3.0))
    with pytest.raises(ModelError, match=r"'fn' reads itself.__self__"):
        of(Bound().fn)


class Bound:
    def fn(self, model: Any, t: float, x: float) -> float:
        return x


def test_lambdas_on_one_line_are_told_apart() -> None:
    pair = (lambda model, t, x: x + 1.0, lambda model, t, x: x + 2.0)
    same = (lambda model, t, x: x + 1.0, lambda model, t, x: x + 1.0)
    (nested,) = (lambda model, t, x: (lambda y: y + 1.0)(x),)
    assert of(pair[0]) == of(same[0]) == of(same[1]) != of(pair[1])
    assert of(nested) not in (of(pair[0]), of(pair[1]))


def test_an_element_or_model_in_a_closure_is_known_by_name() -> None:
    model = growth()

    def made(thing: Any) -> Callable[..., float]:
        return lambda view, t, x: x if thing else 0.0

    assert of(made(model)) == of(made(growth()))
    assert of(made(model.stock("level"))) != of(made(model.flow("births")))


@pytest.mark.parametrize("data", [object(), Bound(), np.array([object()]), iter([1]), {1: object()}])
def test_data_without_a_canonical_form_is_refused_by_name(data: Any) -> None:
    with pytest.raises(ModelError, match=r"function 'fn' reads 'data'.* has no canonical form"):
        of(lambda model, t, x: data)


def test_a_function_without_a_file_is_refused_but_runs() -> None:
    namespace: dict[str, Any] = {}
    exec("def fn(model, t, x): return x", namespace)
    with pytest.raises(
        ModelError, match=r"source of its function 'fn'|function 'fn''s source can't be found"
    ):
        of(namespace["fn"])


def test_installed_functions_count_by_name() -> None:
    assert of(math.sin) != of(math.cos)
    assert of(functools.reduce) != of(functools.wraps)


def test_a_module_of_the_users_counts_by_what_is_read_of_it(
    load: Callable[[str], str], tmp_path: Path
) -> None:
    sys.path.insert(0, str(tmp_path))
    try:
        prints = []
        for value in ("1.0", "2.0", "1.0  # again"):
            (tmp_path / "my_rates.py").write_text(f"RATE = {value}\nOTHER = {len(prints)}\n")
            sys.modules.pop("my_rates", None)
            importlib.invalidate_caches()
            sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
            prints.append(load("import my_rates\ndef fn(model, t, x):\n    return my_rates.RATE * x\n"))
            sys.dont_write_bytecode = before
        assert prints[0] == prints[2] != prints[1]
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("my_rates", None)
