"""The features of Vensim's models, each with the models that show it; `docs/vensim.md` has the table."""

from functools import cache
from pathlib import Path

from tests.support.sd_models import ROOT, differences, reference

from perdure.engines.system_dynamics import Model

__all__ = ["FEATURES", "FILES", "OWN", "found_wrong", "table"]

FILES = sorted(ROOT.glob("*/*/*.mdl"))
OWN = sorted((ROOT.parent / "vensim_models").glob("*.mdl"))
"""Models of this project, which PySD computes as well."""

RANDOM = {
    # What a random number decides.
    "Query_file": ("kWhPerStovePerDay", "EnergyConsumptionRate", "TotalEnergyConsumption"),
}

FEATURES: dict[str, tuple[str, ...]] = {
    "stocks, auxiliaries, run specs, time": (
        "teacup", "simple_harmonic_oscillator", "time", "dynamic_final_time", "variable_ranges", "Query_file",
    ),
    "operators, order of operations": ("arithmetics", "signs"),
    "names: letter case, quotes, odd and Unicode characters": (
        "fully_invalid_names", "reference_capitalization", "names",
    ),
    "mathematics: `LOG`, `MAX`, `MIN`, `QUANTUM`, `MODULO`, `XIDZ`, `IF THEN ELSE` …": (
        "log", "builtin_max", "builtin_min", "mathematics",
    ),
    "`STEP`, `PULSE`, `PULSE TRAIN`, `RAMP`": ("input_functions", "inputs"),
    "`INITIAL`, `ACTIVE INITIAL`": ("initial_function", "active_initial", "initial_order"),
    "`DELAY1`, `DELAY3`, `DELAY N`, `DELAY FIXED`": ("delay_numeric_error", "delay_parentheses", "delays"),
    "`SMOOTH`, `SMOOTH3`, `SMOOTH N`, `TREND`, `FORECAST`, `SAMPLE IF TRUE`": ("smooth_and_stock", "delays"),
    "`GAME`": ("game",),
    "lookups, `WITH LOOKUP`": ("lookups_inline_bounded", "lookups_with_expr", "with_lookup", "lookups"),
    "subscripts: ranges, subranges, copies, mappings, lists of numbers": (
        "array_with_line_break", "subscript_3d_arrays", "subscript_copy", "subscript_mixed_assembly",
        "subscript_individually_defined_1_of_2d_arrays", "subscript_multiples", "subscript_selection",
        "subscript_subranges", "subscript_transposition", "subscripted_flows", "subscripted_round",
        "subset_duplicated_coord", "conditional_subscripts", "subscripts", "mixed_cells", "mapped_ranges",
    ),
    "`:EXCEPT:`": ("except", "except_subranges", "subscripts"),
    "`SUM`, `PROD`, `VMIN`, `VMAX`, `ELMCOUNT`": ("elm_count", "subscripts"),
    "`VECTOR SELECT`, `SORT ORDER`, `RANK`, `REORDER`, `INVERT MATRIX`": ("vectors",),
    "`ALLOCATE AVAILABLE`, `ALLOCATE BY PRIORITY`": ("allocation",),
    "macros": ("macro_stock", "macro_trailing_definition"),
    "constants, data and lookups from spreadsheets": (
        "get_lookups_subset", "get_mixed_definitions", "with_lookup", "spreadsheets",
    ),
}  # fmt: skip


def output_of(path: Path) -> Path:
    """Return the results of a model: Vensim's, also where the file of them belongs to another program."""
    names = ("output_vensim63dss.csv", "output.tab", "output.csv")
    return next(found for name in names if (found := path.with_name(name)).exists())


@cache
def found_wrong(path: Path) -> tuple[str, ...]:
    """Return where the results of a model differ from those of Vensim."""
    model = Model.from_vensim(path)
    return tuple(differences(model, reference(output_of(path)), RANDOM.get(path.parent.name, ())))


def table() -> str:
    """Return the table of the documentation, from runs of all given files."""
    lines = ["| feature | files with Vensim's results | computed by PySD as well |", "| --- | --- | --- |"]
    own = {path.stem for path in OWN}
    for feature, names in FEATURES.items():
        given = [path for path in FILES if path.parent.name in names]
        right = sum(not found_wrong(path) for path in given)
        shown = f"{right} of {len(given)}" if given else "–"
        lines.append(f"| {feature} | {shown} | {'yes' if own & {*names} else '–'} |")
    return "\n".join(lines)
