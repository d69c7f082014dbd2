"""Draw how long answers took, as distributions: one slow request says little about a service."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = ("first_token_seconds", "seconds")


def timings(answers: "pd.DataFrame") -> "Figure":
    """Return the share of answers whose first token, and whose end, has come by a time.

    Two plots in one figure, the seconds on the horizontal axis.

    Labels are ASCII, readable without Chinese fonts: a column is named by the first word of its
    name.
    """
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=(8, 2.8), dpi=75, layout="constrained")
    plots = figure.subplots(1, 2, sharey=True)
    for axes, measure in zip(plots, MEASURES, strict=True):
        _draw(axes, answers, measure)
    plots[0].set_ylabel("share of answers")
    # Closed, so that Jupyter shows it once: as the value of the cell that returns it.
    plt.close(figure)
    return figure


def _draw(axes: "Axes", answers: "pd.DataFrame", measure: str) -> None:
    import pandas as pd

    # Empirical distributions: every answer is one step, so nothing depends on a choice of bins.
    for name, seconds in answers.groupby("column", sort=False)[measure]:
        known = pd.to_numeric(seconds).dropna()
        short_name = str(name).split()[0]
        # Empty answers have no first token.
        if known.empty:
            axes.plot([], [], label=f"{short_name}: none")
            continue
        median = known.median()
        axes.ecdf(known, label=f"{short_name}: median {median:.2f} s")
    axes.set(xlabel=measure, xlim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
