"""Functions of Vensim that converters leave in XMILE files as they are.

XMILE has no name for many of Vensim's functions, and converters such as xmutil write those by Vensim's names,
with blanks or underscores. They mean what they mean in Vensim. Where XMILE has a function of the same name,
that one counts.
"""

from perdure.engines.system_dynamics.expression import Expression, Hidden, Number, Operation
from perdure.engines.system_dynamics.sources import form
from perdure.engines.system_dynamics.sources.builtins import XMILE, XMILE_OF_BPTK
from perdure.engines.system_dynamics.sources.equations import Builtin, Context, Functions
from perdure.engines.system_dynamics.sources.problems import Unservable
from perdure.engines.system_dynamics.sources.vensim.builtins import VENSIM
from perdure.engines.system_dynamics.sources.vensim.functions import FUNCTIONS, Translate

__all__ = ["XMILE_FILES", "XMILE_FILES_OF_BPTK"]

Nodes = tuple[form.Node, ...]


def _translated(name: str, translate: Translate) -> Builtin:
    """Return a function of the table of Vensim's functions."""

    def make(c: Context, a: Nodes) -> Expression:
        try:
            node = translate(*a)
        except NotImplementedError as error:
            raise Unservable(f"{name} {error}") from None
        except TypeError:
            raise Unservable(f"{name} doesn't take {len(a)} arguments") from None
        return c.value(node)

    return Builtin(0, None, make)


def _active_initial(c: Context, a: Nodes) -> Expression:
    active, initial = c.values(a)
    return Hidden(c.hidden_name("active"), "converter", active, initial)


def _pulse_train(c: Context, a: Nodes) -> Expression:
    start, width, repeat, end = c.values(a)
    return Operation("intervals", (start, repeat, width, end))


def _element_count(c: Context, a: Nodes) -> Expression:
    dimension = a[0]
    if not isinstance(dimension, form.Name):
        raise Unservable("ELMCOUNT takes a dimension by its name")
    return Number(float(len(c.dimensions.elements(dimension.name))))


def _fixed(name: str, arguments: int) -> Builtin:
    """Return a function of XMILE, with a fixed number of arguments."""
    return Builtin(arguments, arguments, XMILE[name].make, XMILE[name].aggregates)


_VENSIM_ONLY: Functions = {
    **{name: _translated(name.replace("_", " ").upper(), translate) for name, translate in FUNCTIONS.items()},
    "active_initial": Builtin(2, 2, _active_initial),
    "delay1i": _fixed("delay1", 3),
    "delay3i": _fixed("delay3", 3),
    "delay_fixed": VENSIM["delay_fixed"],
    "delay_information": VENSIM["delay_information"],
    "delay_material": VENSIM["delay_material"],
    "delay_n": VENSIM["delay_n"],
    "elmcount": Builtin(1, 1, _element_count),
    "forecast": Builtin(3, 3, lambda c, a: VENSIM["forecast"].make(c, (*a, form.Number(0.0)))),
    "game": Builtin(1, 1, lambda c, a: c.value(a[0])),
    "lookup_backward": VENSIM["lookup_discrete"],
    "lookup_extrapolate": VENSIM["lookup_extrapolate"],
    "lookup_forward": VENSIM["lookup_next"],
    "lookup_invert": VENSIM["lookup_inverse"],
    "pulse_train": Builtin(4, 4, _pulse_train),
    "@seeded": VENSIM["@seeded"],
    "sample_if_true": VENSIM["sample_if_true"],
    "smooth": _fixed("smth1", 2),
    "smooth3": _fixed("smth3", 2),
    "smooth3i": _fixed("smth3", 3),
    "smooth_n": VENSIM["smooth_n"],
    "smoothi": _fixed("smth1", 3),
    "vmax": _fixed("max", 1),
    "vmin": _fixed("min", 1),
}

XMILE_FILES: Functions = {**_VENSIM_ONLY, **XMILE}
"""What XMILE files may call, by canonical name."""

XMILE_FILES_OF_BPTK: Functions = {**_VENSIM_ONLY, **XMILE_OF_BPTK}
"""The same for models that have BPTK-Py's names."""
