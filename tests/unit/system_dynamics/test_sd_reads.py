"""What a user function reads through packages, modules and imports is a part of the model's identity."""

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from perdure.engines.system_dynamics import Model
from perdure.errors import ImpureFunction, ModelError

Files = Mapping[str, str]


def of(fn: Callable[..., Any]) -> str:
    model = Model(0.0, 1.0, 1.0)
    model.converter("y").equation = model.function("fn", fn)(1.0)
    return model.fingerprint()


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Return the fingerprint of a function in files that are written anew; those in `lib` are installed."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    path, modules = list(sys.path), set(sys.modules)
    times = 0

    def forget() -> None:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if str(tmp_path) in str(vars(sys.modules[name]).get("__spec__")):
                del sys.modules[name]

    def load(own: Files, lib: Files | None = None, fn: str = "my_model") -> str:
        nonlocal times
        times += 1
        forget()
        folder = tmp_path / str(times)
        for root, files in ((folder, own), (folder / "site-packages", lib or {})):
            root.mkdir(exist_ok=True)
            sys.path.insert(0, str(root))
            for name, text in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text(text)
        importlib.invalidate_caches()
        return of(importlib.import_module(fn).fn)

    yield load
    forget()


def installed(name: str, version: str, **files: str) -> dict[str, str]:
    """Return the files of an installed package with its metadata."""
    package = {f"{name}/{file}.py": text for file, text in {"__init__": "", **files}.items()}
    record = "".join(f"{file},,\n" for file in package)
    return package | {
        f"{name}-{version}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{name}-{version}.dist-info/RECORD": record,
    }


# Installed packages -----------------------------------------------------------------------------------------


def test_an_installed_model_counts_by_its_text(load: Callable[..., str]) -> None:
    def shipped(factor: str, version: str = "1.0") -> dict[str, str]:
        main = "from sd_shipped.parts import helper\ndef fn(model, t, x):\n    return helper(x)\n"
        parts = f"K = {factor}\ndef helper(x):\n    return x * K\n"
        return installed("sd_shipped", version, main=main, parts=parts)

    def loaded(lib: dict[str, str]) -> str:
        return load({}, lib, fn="sd_shipped.main")

    assert loaded(shipped("2")) == loaded(shipped("2", "1.1")) != loaded(shipped("3"))


def test_an_installed_function_itself_counts_by_its_text(load: Callable[..., str]) -> None:
    def loaded(factor: int) -> str:
        text = f"def fn(model, t, x):\n    return x * {factor}\n"
        return load({}, installed("sd_shipped", "1.0", main=text), fn="sd_shipped.main")

    assert loaded(2) == loaded(2) != loaded(3)


@pytest.mark.parametrize(
    "reading",
    [
        "from sd_tools.maths import double\ndef fn(model, t, x):\n    return double(x)\n",
        "import sd_tools.maths\ndef fn(model, t, x):\n    return sd_tools.maths.double(x)\n",
        "def fn(model, t, x):\n    from sd_tools.maths import double\n    return double(x)\n",
        "def fn(model, t, x):\n    import sd_tools.maths as m\n    return m.double(x)\n",
    ],
)
def test_other_installed_packages_count_by_name_and_version(load: Callable[..., str], reading: str) -> None:
    def loaded(version: str, comment: str = "") -> str:
        text = f"def double(x):\n    return x * 2{comment}\n"
        return load({"my_model.py": reading}, installed("sd_tools", version, maths=text))

    assert loaded("1.0") == loaded("1.0", " + 0") != loaded("1.1")


def test_a_package_without_metadata_counts_by_name(load: Callable[..., str]) -> None:
    main = "from sd_bare import double\ndef fn(model, t, x):\n    return double(x)\n"
    lib = {"sd_bare/__init__.py": "def double(x):\n    return x * 2\n"}
    assert load({"my_model.py": main}, lib) == load({"my_model.py": main}, lib)


def test_a_function_that_a_library_makes_counts_by_what_it_holds(load: Callable[..., str]) -> None:
    main = "from sd_tools.maths import times\nfn_ = times({k})\ndef fn(model, t, x):\n    return fn_(x)\n"
    made = "def times(k):\n    def inner(x):\n        return x * k\n    return inner\n"

    def loaded(k: int) -> str:
        return load({"my_model.py": main.replace("{k}", str(k))}, installed("sd_tools", "1", maths=made))

    assert loaded(2) == loaded(2) != loaded(3)


def test_the_standard_library_counts_by_name_alone() -> None:
    assert of(functools.wraps) == of(functools.wraps) != of(functools.update_wrapper)


def test_a_file_that_is_called_like_one_of_pythons_is_the_modellers_own(load: Callable[..., str]) -> None:
    sys.modules.pop("tabnanny", None)
    main = "import tabnanny\ndef fn(model, t, x):\n    return tabnanny.K * x\n"
    assert load({"my_model.py": main, "tabnanny.py": "K = 1\n"}) != load(
        {"my_model.py": main, "tabnanny.py": "K = 2\n"}
    )


# Modules and imports ----------------------------------------------------------------------------------------

READERS = {
    "a submodule": "import my_package.sub\ndef fn(model, t, x):\n    return my_package.sub.helper(x)\n",
    "a constant of a submodule": "import my_package.sub\n"
    "def fn(model, t, x):\n    return my_package.sub.K * x\n",
    "a module by another name": "import my_package.sub as s\ndef fn(model, t, x):\n    return s.helper(x)\n",
    "an import within": "def fn(model, t, x):\n    import my_package.sub\n"
    "    return my_package.sub.helper(x)\n",
    "an import within by another name": "def fn(model, t, x):\n    import my_package.sub as s\n"
    "    return s.helper(x)\n",
    "a name imported within": "def fn(model, t, x):\n    from my_package.sub import helper\n"
    "    return helper(x)\n",
    "a name imported within by another name": "def fn(model, t, x):\n"
    "    from my_package.sub import helper as h\n    return h(x)\n",
    "a submodule imported within": "def fn(model, t, x):\n    from my_package import sub\n"
    "    return sub.helper(x)\n",
    "an import within a function inside": "def fn(model, t, x):\n    def inner(y):\n"
    "        import my_package.sub as s\n        return s.helper(y)\n    return inner(x)\n",
    "a module in a closure": "def made():\n    import my_package.sub as s\n"
    "    def fn(model, t, x):\n        return s.helper(x)\n    return fn\nfn = made()\n",
    "a module of a module": "import my_package.outer\n"
    "def fn(model, t, x):\n    return my_package.outer.sub.helper(x)\n",
    "a method that imports": "class C:\n    @staticmethod\n    def f(x):\n"
    "        from my_package.sub import helper\n        return helper(x)\n"
    "def fn(model, t, x):\n    return C.f(x)\n",
}


@pytest.mark.parametrize("package", ["regular", "namespace"])
@pytest.mark.parametrize("reader", READERS)
def test_what_is_read_through_modules_counts(load: Callable[..., str], reader: str, package: str) -> None:
    def loaded(k: int, other: int = 0) -> str:
        files = {
            "my_model.py": READERS[reader],
            "my_package/sub.py": f"K = {k}\nOTHER = {other}\ndef helper(x):\n    return x * K\n",
            "my_package/outer.py": "from my_package import sub\n",
        }
        return load(files | ({"my_package/__init__.py": ""} if package == "regular" else {}))

    assert loaded(2) == loaded(2, other=1) != loaded(3)


@pytest.mark.parametrize("reading", ["from .sub import K", "from . import K", "from .. import K"])
def test_imports_relative_to_the_model_count(load: Callable[..., str], reading: str) -> None:
    def loaded(k: int) -> str:
        main = f"def fn(model, t, x):\n    {reading}\n    return x * K\n"
        places = {"from .sub": "a/b/sub.py", "from . ": "a/b/__init__.py", "from .. ": "a/__init__.py"}
        files = {"a/__init__.py": "", "a/b/__init__.py": "", "a/b/main.py": main}
        (place,) = (place for start, place in places.items() if reading.startswith(start))
        return load(files | {place: f"K = {k}\n"}, fn="a.b.main")

    assert loaded(2) == loaded(2) != loaded(3)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    import my_absent\n    return x", r"imports 'my_absent', which can't be resolved .*importable"),
        ("    from my_package import absent\n    return x", r"imports 'absent', which can't be resolved"),
        ("    from .. import absent\n    return x", r"imports 'absent', which can't be resolved"),
        ("    return my_package.absent * x", r"reads 'my_package.absent', but the module .* has no 'absent'"),
        ("    return getattr(my_package, 'K') * x", r"reads 'my_package', the module .*, as a whole"),
        ("    m = my_package\n    return m.K * x", r"as a whole.* Let it read the module's names"),
        ("    return KEPT[0].K * x", r"the module 'my_package', as a whole"),
        ("    return cached(x)", r"reads 'cached', a functools\._lru_cache_wrapper.* pure needs no memory"),
        ("    return DEEP", r"what its function 'fn' reads is nested too deeply.* Let it read flat data"),
        ("    return eval('K') * x", r"its function 'fn' uses 'eval', .* Write out the names"),
        ("    return globals()['K'] * x", r"uses 'globals'"),
        ("    return __import__('my_package').K * x", r"uses '__import__'"),
        ("    import importlib\n    return importlib.import_module('my_package').K", r"uses 'importlib'"),
        ("    from importlib import import_module\n    return import_module('x').K", r"uses 'importlib'"),
    ],
)
def test_what_can_not_be_resolved_is_refused_with_advice(
    load: Callable[..., str], body: str, message: str
) -> None:
    head = "import functools, my_package\nKEPT = [my_package]\ncached = functools.lru_cache(lambda x: x)\n"
    head += "DEEP = []\nfor _ in range(100_000):\n    DEEP = [DEEP]\n" if "DEEP" in body else ""
    files = {"my_model.py": f"{head}def fn(model, t, x):\n{body}\n", "my_package/__init__.py": "K = 1\n"}
    with pytest.raises(ModelError, match=f"The model can't be identified: .*{message}"):
        load(files)


def test_a_cached_function_itself_is_refused_with_advice() -> None:
    @functools.lru_cache
    def fn(model: Any, t: float, x: float) -> float:
        return x

    with pytest.raises(ModelError, match=r"reads itself, a functools\._lru_cache_wrapper.*`__wrapped__`"):
        of(fn)
    assert of(fn.__wrapped__)


def test_a_vectorised_function_of_the_modellers_is_refused_and_numpys_own_is_not(
    load: Callable[..., str],
) -> None:
    head = "import numpy as np\n"
    tail = "def fn(model, t, x):\n    return U(x)\n"
    assert load({"my_model.py": f"{head}U = np.sin\n{tail}"})
    assert load({"my_model.py": f"{head}U = np.interp\n{tail}"})
    with pytest.raises(ModelError, match=r"reads 'U', a numpy\.ufunc"):
        load({"my_model.py": f"{head}U = np.frompyfunc(lambda x: 2 * x, 1, 1)\n{tail}"})


# Whichever Python -------------------------------------------------------------------------------------------

TEXTS = """
K = 9
def fn(model, t, x, *, width=3):
    def inner(y: float, *, a, b=1) -> "str":
        'Doc.'
        return f"{y!r:>{K}}" f"" "é\U0001fae8" f"a{{b{y:}}}{y=}" f'{y:{width}.{b}f}' + f"" + f"{y}" ""
    match x:
        case [1, *_]:
            return 1 << 80
        case _:
            pass
    return sum(len(inner(y, a=None)) for y in [x, *[-1.5e3, 2j.imag]] if (z := y) > 0)
"""


def test_a_function_has_the_same_fingerprint_under_every_python(load: Callable[..., str]) -> None:
    # Taken under 3.11; under 3.12 and 3.13 the syntax trees of its f-strings differ.
    assert load({"my_model.py": TEXTS}) == "4bdba02429df4b44c302081d58fc2109"


@pytest.mark.parametrize(
    ("one", "other"), [('f"a{x}b"', 'f"a" f"{x}" "b"'), ('f"{x:}"', 'f"{x}"'), ('f""', 'f"" f""')]
)
def test_how_constant_text_is_cut_does_not_count(load: Callable[..., str], one: str, other: str) -> None:
    text = "def fn(model, t, x):\n    return {}\n"
    assert load({"my_model.py": text.format(one)}) == load({"my_model.py": text.format(other)})


def test_annotations_of_functions_inside_do_not_count(load: Callable[..., str]) -> None:
    text = "A = {}\ndef fn(model, t, x):\n    def inner(y: A) -> A:\n        return y\n    return inner(x)\n"
    assert load({"my_model.py": text.format(1)}) == load({"my_model.py": text.format(2)})


def test_a_global_that_is_only_counted_up_is_refused(load: Callable[..., str]) -> None:
    text = "K = {}\ndef fn(model, t, x):\n    global K\n    K += 1\n    return x\n"
    with pytest.raises(ImpureFunction, match="'K', which it changes"):
        load({"my_model.py": text.format(1)})
