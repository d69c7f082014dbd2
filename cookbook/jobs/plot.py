"""Jobs drawn from their events: lines of state as text, learning curves as one picture.

    States(views)      a line for each job: its state, a progress bar, the remaining time, why it failed
    Curves(views)      the picture: losses by step above, learning rate and speed below
    figure(views)      the same picture as a matplotlib Figure

Words stay in the lines and out of the picture, whose labels are ASCII: many machines have no Chinese font for it.
"""

import html
import io
from dataclasses import dataclass

from cookbook.jobs.view import JobView

TRAIN, VALID = "#2171b5", "#d94801"
COLOURS = ("#2171b5", "#d94801", "#238b45", "#6a51a3", "#c51b8a", "#525252")
_GREY, _DARK = "#8a8a8a", "#444444"
_DPI = 100
_SMOOTH = 6, 30  # span of the moving average in steps: a twentieth of them all, within these bounds


@dataclass
class States:
    """A line for each job, and a remark of the one who watches."""

    views: list[JobView]
    note: str = ""

    def _repr_html_(self) -> str:
        lines = [
            self._line(view, colour)
            for view, colour in zip(self.views, colours(self.views), strict=True)
        ]
        if self.note:
            lines.append(f'<div style="color:{VALID}">{html.escape(self.note)}</div>')
        return f'<div class="cookbook-states" style="line-height:1.7">{"".join(lines)}</div>'

    @staticmethod
    def _line(view: JobView, colour: str) -> str:
        reason = (
            f'<br><span style="color:#c0392b">✘ {html.escape(view.reason)}</span>'
            if view.reason
            else ""
        )
        facts = html.escape(" · ".join(filter(None, [view.headline, view.left])))
        task = f"<b>{html.escape(view.name)}</b> " if view.name != view.job.id else ""
        return (
            f'<div><span style="color:{colour};letter-spacing:-1px">{view.bar}</span> {task}'
            f'<span style="color:{_GREY}">{html.escape(view.job.id)}</span> {facts}{reason}</div>'
        )

    def __repr__(self) -> str:
        return "\n".join([*map(repr, self.views), *([self.note] if self.note else [])])


class Curves:
    """The picture of `figure` as a PNG. One object that is shown again and again draws only its curves anew.

    Axes, numbers and legend, by far the larger part of the work, are kept as long as the curves stay within them.
    """

    def __init__(self, views: list[JobView]):
        self.views = views
        self._kept = None  # (figure, its picture without the curves)

    def _repr_png_(self) -> bytes:
        import numpy as np
        from PIL import Image

        canvas = self._curves_on_canvas()
        content = io.BytesIO()
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        # Sixty-four colours do for lines on white, and keep the notebook small.
        picture.quantize(64, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            content, "PNG"
        )
        return content.getvalue()

    def _curves_on_canvas(self):
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        frames = [view.to_frame() for view in self.views]
        kept, self._kept = self._kept, None  # so that an interrupt leaves nothing half drawn
        if kept is None or not _fits(kept[0], frames):
            picture = _axes(self.views, frames, room=0.3)
            picture.dpi = _DPI
            canvas = FigureCanvasAgg(picture)
            canvas.draw()
            kept = picture, canvas.copy_from_bbox(picture.bbox)
        picture, background = kept
        picture.canvas.restore_region(background)
        for artist in _curves(picture, self.views, frames):
            artist.axes.draw_artist(artist)
            artist.remove()
        self._kept = kept
        return picture.canvas

    def __repr__(self) -> str:
        return f"<Figure of {', '.join(view.job.id for view in self.views)}>"


def colours(views: list[JobView]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(views))]


def figure(views: list[JobView]):
    """The learning curves of one job or several as a matplotlib Figure.

    Above: train_loss as measured (thin) and smoothed (thick), valid_loss (dots); where there is one job, a line ends
    each epoch; a triangle on the axis is a checkpoint, a star the finished model. Below: learning rate, tokens a second.
    """
    frames = [view.to_frame() for view in views]
    picture = _axes(views, frames, room=0.0)
    _curves(picture, views, frames)
    return picture


def _limits(frames) -> list[tuple[float, float]]:
    """(lowest, highest) value of the losses, the rates and the speeds."""
    import numpy as np

    found = []
    for columns in (["train_loss", "valid_loss"], ["learning_rate"], ["tokens_per_second"]):
        values = np.concatenate(
            [np.empty(0), *(f[columns].to_numpy(float).ravel() for f in frames if not f.empty)]
        )
        values = values[np.isfinite(values)]
        found.append((values.min(), values.max()) if values.size else (0.0, 1.0))
    return found


def _total(frames) -> int:
    totals = [f.total_steps.max() for f in frames if not f.empty]
    return max([1, *(int(t) for t in totals if t == t)])


def _fits(picture, frames) -> bool:
    """Whether the curves stay within the axes of `picture`."""
    inside = [
        axes.get_ylim()[0] <= low and high <= axes.get_ylim()[1]
        for axes, (low, high) in zip(picture.axes, _limits(frames), strict=True)
    ]
    return all(inside) and picture.axes[0].get_xlim()[1] == _total(frames)


def _axes(views: list[JobView], frames, *, room: float):
    """Everything but the curves; `room` is the share of a scale that is left free for what comes."""
    from matplotlib.figure import Figure

    picture = Figure(figsize=(8, 4.8))
    grid = picture.add_gridspec(
        2,
        2,
        height_ratios=[3.6, 1],
        hspace=0.3,
        wspace=0.18,
        left=0.08,
        right=0.97,
        top=0.95,
        bottom=0.06,
    )
    loss = picture.add_subplot(grid[0, :])
    rate, speed = picture.add_subplot(grid[1, 0]), picture.add_subplot(grid[1, 1])
    (low, high), (_, fastest), (_, most) = _limits(frames)
    start = max((value for view in views for _, value in _start(view)), default=high)
    high, spread = max(high, start), max(high, start) - low or 1.0
    loss.set(ylim=(max(0.0, low - (0.05 + room / 3) * spread), high + 0.05 * spread), ylabel="loss")
    for axes, top, title in ((rate, fastest, "learning_rate"), (speed, most, "tokens_per_second")):
        axes.set_ylim(0, (1.08 + room) * top or 1.0)
        axes.set_title(title, fontsize=9, loc="left", color=_DARK)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.locator_params(axis="y", nbins=3)
        axes.locator_params(axis="x", nbins=5)
    for axes in picture.axes:
        axes.set_xlim(0, _total(frames))
        axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8, color=_GREY)
        axes.spines[["top", "right"]].set_visible(False)
        axes.spines[["left", "bottom"]].set_color(_GREY)
    loss.set_xlabel("step", labelpad=1, fontsize=8, color=_DARK)
    if len(views) == 1 and not frames[0].empty:
        _epochs(loss, frames[0])
    _legend(loss, views)
    return picture


def _epochs(axes, frame) -> None:
    """A line where each epoch ends; how many steps one has follows from any step."""
    step, epoch = frame.index[-1], frame.epoch.iloc[-1]
    if not epoch > 0:
        return
    for n in range(1, round(_total([frame]) * epoch / step) + 1):
        end = n * step / epoch
        axes.axvline(end, color="#dddddd", linewidth=1, zorder=0)
        axes.annotate(
            f"epoch {n}", (end, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 3), textcoords="offset points",
            ha="right", fontsize=8, color=_GREY,
        )  # fmt: skip


def _legend(axes, views: list[JobView]) -> None:
    from matplotlib.lines import Line2D

    entry = lambda label, color=_GREY, **style: Line2D([], [], label=label, color=color, **style)
    if len(views) == 1:
        entries = [
            entry("train_loss", TRAIN, linewidth=1, alpha=0.4),
            entry("train_loss (smoothed)", TRAIN, linewidth=2),
            entry("valid_loss", VALID, marker="o", markersize=5),
        ]
    else:
        names = [view.name if view.name.isascii() else view.job.id for view in views]
        entries = [
            entry(name, colour, linewidth=2)
            for name, colour in zip(names, colours(views), strict=True)
        ]
        entries += [
            entry("train_loss (smoothed)", linewidth=2),
            entry("valid_loss", linestyle="--", marker="o"),
        ]
    entries.append(entry("checkpoint", marker="^", linestyle="none"))
    entries.append(entry("finished model", marker="*", markersize=9, linestyle="none"))
    axes.legend(handles=entries, loc="upper right", frameon=False, fontsize=8, labelcolor=_DARK)


def _start(view: JobView) -> list[tuple[int, float]]:
    """The validation loss before the first step, as a point of the curve; none where it was not measured."""
    started = [
        e.data["valid_loss"] for e in view.events if e.data and "adapter_parameters" in e.data
    ]
    return [(0, value) for value in started if value is not None]


def _curves(picture, views: list[JobView], frames) -> list:
    """The curves of all jobs, put into their axes."""
    loss, rate, speed = picture.axes
    drawn = []
    for view, frame, colour in zip(views, frames, colours(views), strict=True):
        if frame.empty:
            continue
        frame = frame.astype(float)
        alone = len(views) == 1
        train, valid = (TRAIN, VALID) if alone else (colour, colour)
        raw = frame.train_loss
        drawn += loss.plot(raw.index, raw, color=train, alpha=0.4 if alone else 0.2, linewidth=1)
        smooth = raw.ewm(span=min(max(_total([frame]) / 20, _SMOOTH[0]), _SMOOTH[1])).mean()
        drawn += loss.plot(smooth.index, smooth, color=train, linewidth=2)
        points = _start(view) + list(frame.valid_loss.dropna().items())
        if points:
            style = "o-" if alone else "o--"
            drawn += loss.plot(
                *zip(*points, strict=True), style, color=valid, markersize=5, clip_on=False
            )
        for data in [
            e.data for e in view.events if e.type == "message" and e.data and e.data.get("step")
        ]:
            shape, size = ("*", 12) if "update_norm" in data else ("^", 7)
            on_axis = loss.get_xaxis_transform()
            drawn += loss.plot(
                data["step"],
                0,
                shape,
                color=valid,
                markersize=size,
                transform=on_axis,
                clip_on=False,
            )
        drawn += rate.plot(frame.index, frame.learning_rate, color=train, linewidth=1.5)
        drawn += speed.plot(frame.index, frame.tokens_per_second, color=train, linewidth=1.5)
    return drawn
