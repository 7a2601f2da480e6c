"""Plots as BPTK-Py's `plot_scenarios` and `plot_lookup` make them: selection and labels of a frame."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from perdure.engines.system_dynamics.plots import PlotStyle, draw
from perdure.late_logger import LateLogger

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["PlotOptions"]

log = LateLogger(__name__)


@dataclass(frozen=True)
class PlotOptions:
    """The options of a plot, with BPTK-Py's names.

    Attributes
    ----------
    kind, alpha, stacked, matplotlib_rc_settings
        The look of the plot, see `plots.PlotStyle`; None uses the given style.
    start_date, freq
        The date of the first row, as pandas reads it, and pandas' name for the interval between rows. Without
        a date the rows have the model's times, whatever `freq` says.
    title, x_label, y_label
        Texts; by default no title, ``t`` and nothing.
    visualize_from_period, visualize_to_period
        The first row shown and the one after the last, counted from 0; an end of 0 shows all.
    series_names
        Part of a column's name → its replacement.
    return_df, format
        ``return_df=True`` or the format ``"df"`` return the DataFrame and draw nothing. ``"axes"`` returns
        axes on a figure of their own. ``"plot"`` draws with pyplot and returns None.
    """

    kind: str | None = None
    alpha: float | None = None
    stacked: bool | None = None
    matplotlib_rc_settings: Mapping[str, Any] | None = None
    start_date: str = ""
    freq: str = "D"
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    visualize_from_period: int = 0
    visualize_to_period: int = 0
    series_names: Mapping[str, str] | None = None
    return_df: bool = False
    format: str = "plot"

    def plot(self, frame: "pd.DataFrame", style: PlotStyle) -> "pd.DataFrame | Axes | None":
        """Draw the frame, or return it as it would be drawn; None also if no rows are left.

        Parameters
        ----------
        frame
            A column for each series.
        style
            The look, unless these options set it.

        Raises
        ------
        MissingExtra
            If something is drawn and matplotlib isn't installed.
        """
        frame = self._dated(_renamed(frame, self.series_names or {}))
        first, end = self.visualize_from_period, self.visualize_to_period or len(frame)
        frame = frame.iloc[first:end]
        if frame.empty:
            log.error("nothing_to_plot", first_row=first, end=end)
            return None
        if self.return_df or self.format == "df":
            return frame
        return draw(
            frame,
            style.with_given(vars(self)),
            format=self.format,
            title=self.title,
            x_label=self.x_label,
            y_label=self.y_label,
        )

    def _dated(self, frame: "pd.DataFrame") -> "pd.DataFrame":
        if not self.start_date:
            return frame
        import pandas as pd  # imported already, since it made the frame

        return frame.set_axis(
            pd.date_range(self.start_date, periods=len(frame), freq=self.freq), axis="index"
        )


def _renamed(frame: "pd.DataFrame", series_names: Mapping[str, str]) -> "pd.DataFrame":
    """Replace parts of column names by `series_names`; if several keys match, the last one wins."""
    names: dict[str, str] = {}
    for old, new in series_names.items():
        found = [column for column in frame.columns if old in column]
        if not found:
            log.warning("series_name_unknown", name=old)
        names |= {column: column.replace(old, new) for column in found}
    return frame.rename(columns=names)
