"""Draw the learning curves of one job or several as one picture.

    figure(curves)       a matplotlib Figure: losses by step above, learning rate and speed below
    Picture(curves)      the same as a small PNG, drawn when Jupyter shows it

A figure is drawn in two parts: `draw_axes(layout(curves))`, then `draw_lines(figure, curves)` above
all else. Equal layouts give equal axes, so `fast/picture.py` can keep them. Knows neither jobs nor
their events: `JobView.curve` makes a `LearningCurve` of them. Words are in the reader's language if
there is a font for it (`cookbook.fonts`); the metrics keep their names.
"""

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cookbook import fonts

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from PIL.Image import Image

TRAIN, VALID = "#2171b5", "#d94801"
COLOURS = ("#2171b5", "#d94801", "#238b45", "#6a51a3", "#c51b8a", "#525252")
"""The colours of several jobs, in turn."""
_GREY, _DARK = "#8a8a8a", "#444444"

_DOTS_PER_INCH = 100
_PNG_COLOURS = 64  # enough for lines on white, at a third of the bytes

# The moving average covers a twentieth of all steps, within these bounds.
_SHORTEST_SPAN, _LONGEST_SPAN = 6, 30

_SCALE_INTERVALS = 10  # at most as many round steps in the scale of an axis
_SCALE_STEPS = (1, 2, 2.5, 5, 10)  # as matplotlib's own ticks

_ABOVE_ALL = 6  # of matplotlib's own artists, the legend is the highest: 5


@dataclass(frozen=True)
class LearningCurve:
    """What is drawn of one job.

    Attributes:
        label: its name in the legend, which a font must be able to draw.
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
        """Return the steps of the whole job; at least 1, so that an axis has a length."""
        total = 0 if self.steps.empty else self.steps.total_steps.max()
        # Where no event names the total, pandas has NaN, which compares as false.
        return int(total) if total >= 1 else 1


@dataclass(frozen=True)
class Layout:
    """All that a figure shows apart from the lines of its curves.

    Attributes:
        labels: the label of each job.
        total_steps: the end of the axes of steps, which begin at 0.
        losses: (lowest, highest) of the axis of losses.
        highest_rate, highest_speed: the ends of these axes, which begin at 0.
        epoch_ends: the steps at which an epoch ends; empty for several jobs.
        language: of its words, "zh" or "en".
    """

    labels: tuple[str, ...]
    total_steps: int
    losses: tuple[float, float]
    highest_rate: float
    highest_speed: float
    epoch_ends: tuple[float, ...]
    language: str


class Picture:
    """The learning curves as a PNG."""

    def __init__(self, curves: Sequence[LearningCurve] = ()) -> None:
        self.curves = list(curves)

    def image(self) -> "Image":
        """Return the drawn pixels, in full colour."""
        from PIL import Image

        drawn = io.BytesIO()
        figure(self.curves).savefig(drawn, format="png")
        return Image.open(drawn).convert("RGB")

    def _repr_png_(self) -> bytes:
        from PIL import Image

        content = io.BytesIO()
        # The usual method, median cut, drops colours of few dots, such as those of a legend.
        small = self.image().quantize(_PNG_COLOURS, Image.Quantize.FASTOCTREE)
        small.save(content, "PNG")
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
    picture = draw_axes(layout(curves))
    draw_lines(picture, curves)
    return picture


def layout(curves: Sequence[LearningCurve]) -> Layout:
    """Return the layout that holds these curves."""
    totals = [curve.total_steps for curve in curves]
    return Layout(
        labels=tuple(curve.label for curve in curves),
        total_steps=max(totals, default=1),
        losses=_loss_limits(curves),
        highest_rate=_highest(curves, "learning_rate"),
        highest_speed=_highest(curves, "tokens_per_second"),
        epoch_ends=_epoch_ends(curves[0]) if len(curves) == 1 else (),
        language=fonts.language(),
    )


def draw_axes(layout: Layout) -> "Figure":
    """Return a figure with all that the layout holds: axes, ticks, titles, epochs, legend."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 4.8), dpi=_DOTS_PER_INCH)
    # A text takes its fonts from the context in which it is made.
    with fonts.context():
        # In the order in which `draw_lines` takes them.
        loss, rate, speed = _add_axes(picture)
        _draw_loss_axes(loss, layout)
        # In Chinese, the name of a metric is followed by what it means.
        rate_title = fonts.tr("learning_rate（学习速率）", "learning_rate")
        _draw_small_axes(rate, rate_title, layout.highest_rate)
        speed_title = fonts.tr("tokens_per_second（每秒 token 数）", "tokens_per_second")
        _draw_small_axes(speed, speed_title, layout.highest_speed)
        for axes in (loss, rate, speed):
            # The whole job from the beginning, so that the curve is seen to advance.
            axes.set_xlim(0, layout.total_steps)
            axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.tick_params(labelsize=8, color=_GREY)
            axes.spines[["top", "right"]].set_visible(False)
            axes.spines[["left", "bottom"]].set_color(_GREY)
    return picture


def draw_lines(picture: "Figure", curves: Sequence[LearningCurve]) -> "list[Line2D]":
    """Draw the curves in the axes of `draw_axes`, above all else; return the lines, in order."""
    loss, rate, speed = picture.axes
    alone = len(curves) == 1
    lines = []
    for curve, colour in zip(curves, colours(len(curves)), strict=True):
        if curve.steps.empty:
            continue
        lines += _draw_losses(loss, curve, colour, alone=alone)
        lines += rate.plot(curve.steps.learning_rate, color=colour, linewidth=1.5)
        lines += speed.plot(curve.steps.tokens_per_second, color=colour, linewidth=1.5)
    for line in lines:
        # matplotlib draws in the order of these numbers. Nothing of the axes comes after the lines,
        # so lines that are drawn on finished axes give the same picture.
        line.set_zorder(_ABOVE_ALL)
    return lines


def _values(curves: Sequence[LearningCurve], *columns: str) -> "np.ndarray":
    """Return the finite values of these columns, of all jobs."""
    import numpy as np

    parts = [np.empty(0)]
    for curve in curves:
        if curve.steps.empty:
            continue
        # One by one: pandas takes far longer to select several, at each picture.
        for column in columns:
            parts.append(curve.steps[column].to_numpy(float))
    values = np.concatenate(parts)
    return values[np.isfinite(values)]


def _loss_limits(curves: Sequence[LearningCurve]) -> tuple[float, float]:
    values = _values(curves, "train_loss", "valid_loss").tolist()
    for curve in curves:
        # Like the lines, it is drawn only once there are steps.
        measured = curve.start is not None and math.isfinite(curve.start)
        if measured and not curve.steps.empty:
            values.append(curve.start)
    lowest, highest = min(values, default=0.0), max(values, default=1.0)
    # Some room, so that no curve runs along the edge; of a level one, too.
    room = 0.05 * (highest - lowest) or 0.05
    lowest, highest = _round_limits(lowest - room, highest + room)
    # No loss is negative.
    return max(0.0, lowest), highest


def _highest(curves: Sequence[LearningCurve], column: str) -> float:
    highest = _values(curves, column).max(initial=0.0)
    return _round_limits(0.0, 1.08 * highest or 1.0)[1]


def _round_limits(lowest: float, highest: float) -> tuple[float, float]:
    """Extend limits to round numbers: then the scales seldom change while a curve grows."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(_SCALE_INTERVALS, steps=_SCALE_STEPS).tick_values(lowest, highest)
    return float(ticks[0]), float(ticks[-1])


def _epoch_ends(curve: LearningCurve) -> tuple[float, ...]:
    if curve.steps.empty:
        return ()
    step = curve.steps.index[-1]
    epoch = curve.steps.epoch.iloc[-1]
    if not epoch > 0:
        return ()
    # How many steps an epoch has follows from any step, up to the rounding error of a float.
    steps_per_epoch = round(step / epoch, 3)
    epochs = round(curve.total_steps / steps_per_epoch)
    return tuple(n * steps_per_epoch for n in range(1, epochs + 1))


def _add_axes(picture: "Figure") -> "list[Axes]":
    """Add the axes of losses above, those of learning rate and speed below."""
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
    return [picture.add_subplot(place) for place in (grid[0, :], grid[1, 0], grid[1, 1])]


def _draw_loss_axes(axes: "Axes", layout: Layout) -> None:
    axes.set_ylim(layout.losses)
    axes.set_ylabel("loss")
    axes.set_xlabel(fonts.tr("步数", "step"), labelpad=1, fontsize=8, color=_DARK)
    _draw_epochs(axes, layout.epoch_ends)
    entries = _legend_entries(layout.labels)
    axes.legend(handles=entries, loc="upper right", frameon=False, fontsize=8, labelcolor=_DARK)


def _draw_small_axes(axes: "Axes", title: str, highest: float) -> None:
    """Draw the axes of a metric below."""
    axes.set_ylim(0, highest)
    axes.set_title(title, fontsize=9, loc="left", color=_DARK)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.locator_params(axis="y", nbins=3)
    axes.locator_params(axis="x", nbins=5)


def _draw_losses(axes: "Axes", curve: LearningCurve, colour: str, *, alone: bool) -> "list[Line2D]":
    # The two losses of one job differ in colour; of several jobs, each has a colour and the losses
    # differ in style.
    valid_colour = VALID if alone else colour
    measured = curve.steps.train_loss.astype(float)
    lines = axes.plot(measured, color=colour, alpha=0.4 if alone else 0.2, linewidth=1)
    span = min(max(curve.total_steps / 20, _SHORTEST_SPAN), _LONGEST_SPAN)
    lines += axes.plot(measured.ewm(span=span).mean(), color=colour, linewidth=2)

    points = {} if curve.start is None else {0: curve.start}
    points.update(curve.steps.valid_loss.astype(float).dropna())
    style = "o-" if alone else "o--"
    # A dot at the edge of the axes is drawn whole.
    lines += axes.plot(
        list(points), list(points.values()), style, color=valid_colour, markersize=5, clip_on=False
    )

    # These are placed on the axis itself, at whatever loss it begins.
    marks: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "clip_on": False}
    for step in curve.checkpoints:
        lines += axes.plot(step, 0, "^", color=valid_colour, markersize=7, **marks)
    if curve.finished is not None:
        lines += axes.plot(curve.finished, 0, "*", color=valid_colour, markersize=12, **marks)
    return lines


def _draw_epochs(axes: "Axes", epoch_ends: Sequence[float]) -> None:
    """Draw a line where each epoch ends."""
    for n, end in enumerate(epoch_ends, 1):
        axes.axvline(end, color="#dddddd", linewidth=1, zorder=0)
        axes.annotate(
            fonts.tr(f"第 {n} 轮", f"epoch {n}"),
            (end, 1),
            xycoords=axes.get_xaxis_transform(),
            xytext=(0, 3),
            textcoords="offset points",
            ha="right",
            fontsize=8,
            color=_GREY,
        )


def _entry(label: str, color: str = _GREY, **style: Any) -> "Line2D":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=label, color=color, **style)


def _legend_entries(labels: Sequence[str]) -> "list[Line2D]":
    smoothed = fonts.tr("train_loss（平滑）", "train_loss (smoothed)")
    if len(labels) == 1:
        entries = [
            _entry("train_loss", TRAIN, linewidth=1, alpha=0.4),
            _entry(smoothed, TRAIN, linewidth=2),
            _entry("valid_loss", VALID, marker="o", markersize=5),
        ]
    else:
        entries = []
        for label, colour in zip(labels, colours(len(labels)), strict=True):
            entries.append(_entry(label, colour, linewidth=2))
        entries.append(_entry(smoothed, linewidth=2))
        entries.append(_entry("valid_loss", linestyle="--", marker="o"))
    checkpoint, finished = fonts.tr("检查点", "checkpoint"), fonts.tr("成品", "finished model")
    entries.append(_entry(checkpoint, marker="^", linestyle="none"))
    entries.append(_entry(finished, marker="*", markersize=9, linestyle="none"))
    return entries
