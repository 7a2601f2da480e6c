"""Plots: pictures of DataFrames as BPTK draws them, with pandas and matplotlib (the extra `plot`).

Both libraries are imported when a plot is drawn, so that models can be built and served without them.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from perdure.errors import MissingExtra

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["PlotStyle", "draw", "frame_of"]

# Distinguishable with the common colour-vision deficiencies, in print too (Okabe and Ito, 2008).
_COLORS: Final = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#000000")


@dataclass(frozen=True)
class PlotStyle:
    """How plots look unless a call says otherwise.

    Attributes
    ----------
    kind
        A kind of plot that pandas knows: ``"area"``, ``"line"``, ``"bar"`` …
    alpha
        Opacity, from 0 to 1.
    stacked
        Whether series are drawn on top of each other.
    figsize
        Width and height in inches.
    linewidth
        In points.
    colors
        Of the series, in their order; repeated when there are more series.
    matplotlib_rc_settings
        Further settings of matplotlib, by its names.
    """

    kind: str = "area"
    alpha: float = 0.25
    stacked: bool = False
    figsize: tuple[float, float] = (20.0, 10.0)
    linewidth: float = 3.0
    colors: tuple[str, ...] = _COLORS
    matplotlib_rc_settings: Mapping[str, Any] = field(default_factory=dict)

    def with_given(self, given: Mapping[str, Any]) -> "PlotStyle":
        """Return this style with the values of `given` that are not None; other keys are ignored."""
        named = {one.name: getattr(self, one.name) for one in fields(self)}
        named |= {key: value for key, value in given.items() if key in named and value is not None}
        return PlotStyle(**named)


def frame_of(columns: Mapping[str, Mapping[float, float]]) -> "pd.DataFrame":
    """Return a DataFrame of the columns, each x → y, over all x values; missing values are NaN.

    Raises
    ------
    MissingExtra
        If pandas isn't installed.
    """
    pandas = _load("pandas", "A plot")
    series = {name: pandas.Series(column) for name, column in columns.items()}
    return cast("pd.DataFrame", pandas.DataFrame(series))


def draw(
    frame: "pd.DataFrame",
    style: PlotStyle,
    *,
    format: Literal["plot", "axes"] | str = "plot",
    title: str = "",
    x_label: str = "",
    y_label: str = "",
) -> "Axes | None":
    """Draw each column of a DataFrame over its index, with straight lines between its values.

    Parameters
    ----------
    frame
        The data; its index is the x axis.
    style
        How the plot looks.
    format
        ``"axes"`` draws on a figure of its own and returns the axes; anything else draws on a new figure of
        pyplot, which notebooks show, and returns None.
    title, x_label, y_label
        Text; by default no title, the index's name and nothing.

    Raises
    ------
    MissingExtra
        If matplotlib isn't installed.
    """
    matplotlib = _load("matplotlib", "A plot")
    with matplotlib.rc_context(dict(style.matplotlib_rc_settings)):
        if format == "axes":
            figure = _load("matplotlib.figure", "A plot").Figure(figsize=style.figsize)
        else:
            figure = _load("matplotlib.pyplot", "A plot").figure(figsize=style.figsize)
        axes: Axes = figure.subplots()
        # Columns may have different x values; without interpolation, areas would fall to 0 at missing ones.
        plot: Any = frame.interpolate(
            "index", limit_area="inside"
        ).plot  # pandas refuses a kind that it doesn't know
        plot(
            ax=axes,
            kind=style.kind,
            title=title,
            **_looks(style, len(frame.columns)),
        )
        axes.set_xlabel(x_label or str(frame.index.name or ""))
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_formatter(_tick_labels())
        axes.grid(axis="y", alpha=0.25)
    return axes if format == "axes" else None


def _looks(style: PlotStyle, columns: int) -> dict[str, Any]:
    """Return the options that pandas accepts for this kind of plot; boxes and pies accept none."""
    if style.kind in ("box", "pie"):
        return {}
    return {
        "alpha": style.alpha,
        "stacked": style.stacked,
        "linewidth": style.linewidth,
        "color": [style.colors[i % len(style.colors)] for i in range(columns)],
    }


def _load(module: str, what: str) -> Any:
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # the package is installed, but one of its dependencies isn't
        raise MissingExtra(what=what, package=package, extra="plot") from error


def _tick_labels() -> Any:
    """Return a formatter that shows fewer decimals on axes with larger numbers."""
    ticker = _load("matplotlib.ticker", "A plot")
    formatter = ticker.FuncFormatter(lambda value, position: f"{value:,.{decimals()}f}")

    def decimals() -> int:
        shown = formatter.axis.get_majorticklocs() if formatter.axis is not None else []
        mean = abs(sum(shown) / len(shown)) if len(shown) else 0.0
        return 2 if mean <= 2.0 else 1 if mean <= 10.0 else 0

    return formatter
