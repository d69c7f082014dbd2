"""Draw the learning curves of one job or several as one picture.

    figure(curves)       a matplotlib Figure: losses by step above, learning rate and speed below
    Picture(curves)      the same as a small PNG, drawn when Jupyter shows it

Knows neither jobs nor their events: `JobView.curve` makes a `LearningCurve` of them. Labels are
ASCII, since many machines have no Chinese font for a picture; words are in the lines beside it.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

TRAIN, VALID = "#2171b5", "#d94801"
COLOURS = ("#2171b5", "#d94801", "#238b45", "#6a51a3", "#c51b8a", "#525252")
"""The colours of several jobs, in turn."""
_GREY, _DARK = "#8a8a8a", "#444444"

_DOTS_PER_INCH = 100
_PNG_COLOURS = 64  # enough for lines on white, at a third of the bytes

# The moving average covers a twentieth of all steps, within these bounds.
_SHORTEST_SPAN, _LONGEST_SPAN = 6, 30


@dataclass(frozen=True)
class LearningCurve:
    """What is drawn of one job.

    Attributes:
        label: its name in the legend, ASCII.
        steps: one row a training step, indexed by `step` in ascending order, with the columns
            `total_steps`, `epoch`, `train_loss`, `valid_loss`, `learning_rate`,
            `tokens_per_second`; empty before the first.
        start: validation loss before the first step; None where it was not measured.
        checkpoints: the steps after which a checkpoint was kept.
        finished: the step of the finished model; None before its end.
    """

    label: str
    steps: "pd.DataFrame"
    start: float | None = None
    checkpoints: Sequence[int] = ()
    finished: int | None = None

    @property
    def total_steps(self) -> int:
        """Steps of the whole job; at least 1, so that an axis has a length."""
        total = 0 if self.steps.empty else self.steps.total_steps.max()
        # Where no event names the total, pandas has NaN, which compares as false.
        return int(total) if total >= 1 else 1


class Picture:
    """The learning curves as a PNG."""

    def __init__(self, curves: Sequence[LearningCurve]) -> None:
        self.curves = list(curves)

    def _repr_png_(self) -> bytes:
        from PIL import Image

        drawn = io.BytesIO()
        figure(self.curves).savefig(drawn, format="png")
        content = io.BytesIO()
        # The usual method, median cut, drops colours of few dots, such as those of a legend.
        picture = Image.open(drawn).convert("RGB")
        picture.quantize(_PNG_COLOURS, Image.Quantize.FASTOCTREE).save(content, "PNG")
        return content.getvalue()

    def __repr__(self) -> str:
        labels = [curve.label for curve in self.curves]
        return f"<Figure of {', '.join(labels)}>"


def colours(n: int) -> list[str]:
    """Return the colours of `n` jobs."""
    return [COLOURS[i % len(COLOURS)] for i in range(n)]


def figure(curves: Sequence[LearningCurve]) -> "Figure":
    """Return the learning curves of one job or several as a matplotlib Figure.

    Above: train_loss as measured (thin) and smoothed (thick), valid_loss (dots); of a single job, a
    vertical line ends each epoch. On the axis a triangle is a checkpoint, a star the finished
    model. Below: learning rate, tokens a second.
    """
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 4.8), dpi=_DOTS_PER_INCH)
    grid = picture.add_gridspec(
        2,
        2,
        height_ratios=(3.6, 1),
        hspace=0.3,
        wspace=0.18,
        left=0.08,
        right=0.97,
        top=0.95,
        bottom=0.06,
    )
    loss = picture.add_subplot(grid[0, :])
    rate = picture.add_subplot(grid[1, 0])
    speed = picture.add_subplot(grid[1, 1])
    alone = len(curves) == 1
    for curve, colour in zip(curves, colours(len(curves)), strict=True):
        if curve.steps.empty:
            continue
        _draw_losses(loss, curve, colour, alone=alone)
        rate.plot(curve.steps.learning_rate, color=colour, linewidth=1.5)
        speed.plot(curve.steps.tokens_per_second, color=colour, linewidth=1.5)
        if alone:
            _draw_epochs(loss, curve)
    totals = [curve.total_steps for curve in curves]
    _finish_axes(loss, rate, speed, max(totals, default=1))
    entries = _entries_of_one() if alone else _entries_of_several(curves)
    loss.legend(handles=entries, loc="upper right", frameon=False, fontsize=8, labelcolor=_DARK)
    return picture


def _draw_losses(axes: "Axes", curve: LearningCurve, colour: str, *, alone: bool) -> None:
    # The two losses of one job differ in colour; of several jobs, each has a colour and the losses
    # differ in style.
    valid_colour = VALID if alone else colour
    measured = curve.steps.train_loss.astype(float)
    axes.plot(measured, color=colour, alpha=0.4 if alone else 0.2, linewidth=1)
    span = min(max(curve.total_steps / 20, _SHORTEST_SPAN), _LONGEST_SPAN)
    axes.plot(measured.ewm(span=span).mean(), color=colour, linewidth=2)

    points = {} if curve.start is None else {0: curve.start}
    points.update(curve.steps.valid_loss.astype(float).dropna())
    style = "o-" if alone else "o--"
    # A dot at the edge of the axes is drawn whole.
    axes.plot(
        list(points), list(points.values()), style, color=valid_colour, markersize=5, clip_on=False
    )

    # These are placed on the axis itself, at whatever loss it begins.
    marks: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    for step in curve.checkpoints:
        axes.plot(step, 0, "^", color=valid_colour, markersize=7, **marks)
    if curve.finished is not None:
        axes.plot(curve.finished, 0, "*", color=valid_colour, markersize=12, **marks)


def _draw_epochs(axes: "Axes", curve: LearningCurve) -> None:
    """Draw a line where each epoch ends."""
    step = curve.steps.index[-1]
    epoch = curve.steps.epoch.iloc[-1]
    if not epoch > 0:
        return
    # How many steps an epoch has follows from any step.
    steps_per_epoch = step / epoch
    for n in range(1, round(curve.total_steps / steps_per_epoch) + 1):
        end = n * steps_per_epoch
        axes.axvline(end, color="#dddddd", linewidth=1, zorder=0)
        axes.annotate(
            f"epoch {n}",
            (end, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=_GREY,
        )


def _finish_axes(loss: "Axes", rate: "Axes", speed: "Axes", total_steps: int) -> None:
    """Set scales, titles and the quiet look, once the curves are drawn."""
    # No loss is negative, however much room matplotlib leaves below the lowest.
    loss.set_ylim(bottom=max(0.0, loss.get_ylim()[0]))
    loss.set_ylabel("loss")
    loss.set_xlabel("step", labelpad=1, fontsize=8, color=_DARK)
    for axes, title in ((rate, "learning_rate"), (speed, "tokens_per_second")):
        # A level curve gets no room by itself, and would run along the edge.
        axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
        axes.set_title(title, fontsize=9, loc="left", color=_DARK)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.locator_params(axis="y", nbins=3)
        axes.locator_params(axis="x", nbins=5)
    for axes in (loss, rate, speed):
        # The whole job from the beginning, so that the curve is seen to advance.
        axes.set_xlim(0, total_steps)
        axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, color=_GREY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GREY)


def _entry(label: str, color: str = _GREY, **style: Any) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, color=color, **style)


def _entries_of_one() -> "list[Line2D]":
    return [
        _entry("train_loss", TRAIN, linewidth=1, alpha=0.4),
        _entry("train_loss (smoothed)", TRAIN, linewidth=2),
        _entry("valid_loss", VALID, marker="o", markersize=5),
        *_entries_of_marks(),
    ]


def _entries_of_several(curves: Sequence[LearningCurve]) -> "list[Line2D]":
    entries = []
    for curve, colour in zip(curves, colours(len(curves)), strict=True):
        entries.append(_entry(curve.label, colour, linewidth=2))
    entries.append(_entry("train_loss (smoothed)", linewidth=2))
    entries.append(_entry("valid_loss", linestyle="--", marker="o"))
    return entries + _entries_of_marks()


def _entries_of_marks() -> "list[Line2D]":
    return [
        _entry("checkpoint", marker="^", linestyle="none"),
        _entry("finished model", marker="*", markersize=9, linestyle="none"),
    ]
