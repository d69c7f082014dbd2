"""Draw how long answers took, as distributions: one slow request says little about a service."""

from typing import TYPE_CHECKING, Any

from cookbook import fonts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("first_token_seconds", "seconds")
_MEANING_ZH = {"first_token_seconds": "等到首个 token 的秒数", "seconds": "等到答完的秒数"}
_WIDTH, _HEIGHT, _LINE = 8, 2.5, 0.22  # inches: of the figure, and for each line of the legends


def timings(answers: "pd.DataFrame") -> "Figure":
    """Return the share of answers whose first token, and whose end, has come by a time.

    Two plots in one figure, the seconds on the horizontal axis. Where no font draws the name of a
    column, the legend has its first word, or else its number.
    """
    import matplotlib.pyplot as plt

    # A text takes its fonts from the context in which it is made.
    with fonts.context():
        height = _HEIGHT + _LINE * answers.column.nunique()
        figure = plt.figure(figsize=(_WIDTH, height), dpi=75, layout="constrained")
        plots = figure.subplots(1, 2, sharey=True)
        for axes, measure in zip(plots, MEASURES, strict=True):
            _draw(axes, answers, measure)
        plots[0].set_ylabel(fonts.tr("回答的占比", "share of answers"))
    # Closed, so that Jupyter shows it once: as the value of the cell that returns it.
    plt.close(figure)
    return figure


def _draw(axes: "Axes", answers: "pd.DataFrame", measure: str) -> None:
    import pandas as pd

    # Empirical distributions: every answer is one step, so nothing depends on a choice of bins.
    groups = answers.groupby("column", sort=False)[measure]
    for n, (name, seconds) in enumerate(groups, 1):
        known = pd.to_numeric(seconds).dropna()
        label = _label(str(name), n)
        # Empty answers have no first token.
        if known.empty:
            axes.plot([], [], label=fonts.tr(f"{label}：无", f"{label}: none"))
            continue
        median = known.median()
        words = fonts.tr(f"{label}：中位数 {median:.2f} 秒", f"{label}: median {median:.2f} s")
        axes.ecdf(known, label=words)
    axes.set(xlabel=fonts.tr(f"{measure}（{_MEANING_ZH[measure]}）", measure), xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    # Above the axes, since a name may be long, and lines are everywhere.
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "borderaxespad": 0}
    # With its handles: matplotlib would leave out a name that begins with an underscore.
    axes.legend(handles=axes.lines, frameon=False, fontsize=8, **above)


def _label(name: str, n: int) -> str:
    """Return what can be drawn of the name of the `n`th column."""
    for label in (name, *name.split()[:1]):
        if label.strip() and fonts.drawable(label):
            return label
    return fonts.tr(f"第 {n} 列", f"column {n}")
