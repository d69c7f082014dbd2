"""Draw how long answers took, as distributions: one slow request says little about a service."""

from typing import TYPE_CHECKING

from cookbook import fonts

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("first_token_seconds", "seconds")


def timings(answers: "pd.DataFrame") -> "Figure":
    """Return the share of answers whose first token, and whose end, has come by a time.

    Two plots in one figure, the seconds on the horizontal axis. Without a font for the name of a
    column, its first word stands for it.
    """
    import matplotlib.pyplot as plt

    # A text takes its fonts from the context in which it is made.
    with fonts.context():
        figure = plt.figure(figsize=(8, 2.8), dpi=75, layout="constrained")
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
    axes.set(xlabel=measure, xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def _label(name: str, n: int) -> str:
    """Return what can be drawn of the name of the `n`th column."""
    for label in (name, name.split()[0]):
        if fonts.drawable(label):
            return label
    return f"column {n}"
