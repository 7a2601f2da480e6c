"""The models of tests/fixtures/sd_models: what other programs computed for them, and how that compares."""

import csv
import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from perdure.engines.system_dynamics import Model
from perdure.engines.system_dynamics.sources.form import canonical

ROOT = Path(__file__).parents[1] / "fixtures/sd_models"
TOLERANCE = 1e-4
ZERO = 1e-6
SINGLE = 1e-6
"""Vensim computes with single precision, so small values beside large ones have lost their digits."""


@dataclass(frozen=True)
class Reference:
    """Columns of an output file: for each variable times, values and half a unit of their last digits."""

    columns: dict[str, list[tuple[float, float, float]]]


def reference(path: Path) -> Reference:
    """Read an output file, which has tabs or commas, and any kind of line end."""
    text = path.read_bytes().decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [line for line in text.split("\n") if line.strip()]
    rows = list(csv.reader(lines, delimiter="\t" if "\t" in lines[0] else ","))
    columns: dict[str, list[tuple[float, float, float]]] = {}
    for i, name in enumerate(rows[0][1:], 1):
        cells = [(row[0], row[i].strip()) for row in rows[1:] if i < len(row) and row[i].strip()]
        columns[name] = [(float(t), float(value), _half_digit(value)) for t, value in cells]
    return Reference(columns)


def differences(model: Model, expected: Reference, skipped: Sequence[str] = ()) -> list[str]:
    """Return where a run of the model differs from the reference, one line for each column that does."""
    names = {_key(name): name for name in model.elements}
    wanted = {column: names.get(_key(column)) for column in expected.columns if column not in skipped}
    found = [f"{column} is missing" for column, name in wanted.items() if name is None]
    table = model.simulate([name for name in wanted.values() if name is not None])
    times = [float(t) for t in table.index]
    for column, name in wanted.items():
        if name is None:
            continue
        values = [float(value) for value in table[name]]
        scale = max((abs(value) for _, value, _ in expected.columns[column]), default=0.0)
        for t, value, digit in expected.columns[column]:
            # Times are printed with six digits.
            right = min(bisect_left(times, t), len(times) - 1)
            at = min(right, max(right - 1, 0), key=lambda i: abs(times[i] - t))
            ours = values[at]
            if math.isclose(times[at], t, rel_tol=1e-4, abs_tol=1e-6) and (
                math.isclose(ours, value, rel_tol=TOLERANCE, abs_tol=max(ZERO, digit, SINGLE * scale))
            ):
                continue
            found.append(f"{column} at {t}: {ours!r}, not {value!r}")
            break
    return found


def _key(name: str) -> str:
    """Return a name as output files of several programs write it."""
    return re.sub(r"\s*,\s*", ",", canonical(name.replace('"', "").replace("\\", "")))


def _half_digit(text: str) -> float:
    """Return half a unit of the last digit of a number."""
    mantissa, _, exponent = text.lower().partition("e")
    digits = len(mantissa.partition(".")[2])
    return 0.5 * 10.0 ** (int(exponent or 0) - digits) if digits else 0.0
