"""The files of a task that travel: the one that has it, and the modules beside it that it imports."""

import importlib
import linecache
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.drivers import task_files
from perdure.drivers.task_files import importable, module_name, travelling
from perdure.errors import InvalidTask


def written(folder: Path, files: Mapping[str, str]) -> Path:
    """Write files into a folder; return the first."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder / next(iter(files))


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"main.py": "import json, numpy"}, ["main.py"]),
        ({"main.py": "import a", "a.py": "", "b.py": ""}, ["main.py", "a.py"]),
        (
            {"main.py": "from a import x", "a.py": "import b", "b.py": "import main"},
            ["main.py", "a.py", "b.py"],
        ),
        ({"main.py": "def f():\n    import a", "a.py": ""}, ["main.py", "a.py"]),
        (
            {"main.py": "import p.q", "p/__init__.py": "", "p/q.py": "", "p/r.py": ""},
            ["main.py", "p/__init__.py", "p/q.py"],
        ),
        (
            {"main.py": "from p import q", "p/__init__.py": "", "p/q.py": "from .r import x", "p/r.py": ""},
            ["main.py", "p/__init__.py", "p/q.py", "p/r.py"],
        ),
        (
            {"main.py": "import p.q", "p/__init__.py": "from . import r", "p/q.py": "", "p/r.py": ""},
            ["main.py", "p/__init__.py", "p/q.py", "p/r.py"],
        ),
        (
            {
                "main.py": "import p.s.q",
                "p/s/q.py": "from .. import t\nfrom ... import u",
                "p/t.py": "",
                "u.py": "",
            },
            ["main.py", "p/s/q.py", "p/t.py"],
        ),
        (
            {"main.py": "from p import *", "p/__init__.py": "__all__ = ['q']", "p/q.py": ""},
            ["main.py", "p/__init__.py", "p/q.py"],
        ),
        (
            {
                "main.py": "import importlib\nimportlib.import_module('a')\n__import__('b')",
                "a.py": "",
                "b.py": "",
            },
            ["main.py", "a.py", "b.py"],
        ),
        ({"main.py": "from a import (", "a.py": ""}, ["main.py"]),
        ({"main.py": "import cmath, time", "time.py": ""}, ["main.py"]),
        ({"main.py": "import a", "a.py": "nonsense ("}, ["main.py", "a.py"]),
        ({"main.py": "import a", "a.txt": "", "a.so": ""}, ["main.py"]),
        (
            {"main.py": "import a.b", "a.py": "", "a/__init__.py": "", "a/b.py": ""},
            ["main.py", "a/__init__.py", "a/b.py"],
        ),
    ],
)
def test_what_a_file_imports_from_its_folder_travels_with_it(
    tmp_path: Path, files: Mapping[str, str], found: list[str]
) -> None:
    assert sorted(travelling(written(tmp_path, files))) == sorted(found)


def test_nothing_beyond_the_folder_travels(tmp_path: Path) -> None:
    written(tmp_path, {"main.py": "import inner.main", "other.py": ""})
    assert [*travelling(written(tmp_path / "inner", {"main.py": "from .. import other\nimport other"}))] == [
        "main.py"
    ]


NAMES = st.sampled_from(["a", "b", "c", "p.a", "p.b", "p"])


@given(st.dictionaries(NAMES, st.lists(NAMES, max_size=3), min_size=1, max_size=6))
def test_the_files_found_import_no_other_file_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, imports: dict[str, list[str]]
) -> None:
    def path(name: str) -> str:
        return "p/__init__.py" if name == "p" else f"{name.replace('.', '/')}.py"

    texts = {path(name): "".join(f"import {other}\n" for other in others) for name, others in imports.items()}
    main = written(tmp_path_factory.mktemp("of"), {"main.py": f"import {next(iter(imports))}", **texts})
    found = travelling(main)
    assert next(iter(found)) == "main.py"
    for name, others in imports.items():
        if path(name) in found:
            assert {path(other) for other in others if other in imports} <= found.keys()
    assert all(found[p] == texts[p].encode() for p in found.keys() - {"main.py"})


def test_files_too_large_to_travel_are_refused_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main = written(tmp_path, {"main.py": "import a", "a.py": "x = 1\n"})
    monkeypatch.setattr(task_files, "MAX_BYTES", 8 + 6)
    assert len(travelling(main)) == 2
    monkeypatch.setattr(task_files, "MAX_BYTES", 8 + 6 - 1)
    with pytest.raises(InvalidTask, match=r"more than 13 bytes.*install them as a package"):
        travelling(main)


@pytest.mark.parametrize("on_host", [True, False])
def test_files_are_imported_as_they_were_whatever_became_of_them(tmp_path: Path, on_host: bool) -> None:
    """Where their folder is on this host, what lies beside them is found."""
    main = written(
        tmp_path,
        {
            f"kept_{on_host}.py": f"import there_{on_host}.inner as inner\n"
            "from pathlib import Path\n"
            "def beside():\n    return Path(__file__).with_name('table.csv').exists()\n"
            "def wrong():\n    raise ValueError('as it was')\n",
            f"there_{on_host}/inner.py": "VALUE = 'as it was'\n",
            "table.csv": "1,2\n",
        },
    )
    files = travelling(main)
    written(tmp_path, dict.fromkeys(files, "raise RuntimeError('edited')\n"))
    path = [*sys.path]
    with importable(main.name, dict(reversed(files.items())), str(tmp_path) if on_host else None):
        module = importlib.import_module(module_name(main.name))
        assert module.inner.VALUE == "as it was"
        assert module.beside() is on_host
        assert Path(module.__file__ or "").name == main.name
        with pytest.raises(ValueError, match="as it was") as raised:
            module.wrong()
        text = "".join(traceback.format_exception(raised.value))
        assert f"{main.name}\", line 6, in wrong\n    raise ValueError('as it was')" in text
        linecache.checkcache()
        assert linecache.getline(module.__file__ or "", 6) == "    raise ValueError('as it was')\n"
    assert sys.path == path
    assert Path(module.__file__ or "").exists() is on_host
