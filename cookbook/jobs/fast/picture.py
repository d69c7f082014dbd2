"""Redraw learning curves quickly: axes, ticks and texts are drawn once, afterwards only lines.

    picture = RedrawnPicture()
    picture.curves = curves      # and show it; again and again while the curves grow

Promises: the same pixels as `plot.Picture`. Axes and texts take nine tenths of its time and depend
on the layout alone, so they are kept until the layout changes. That is seldom: its limits are round
numbers, and a curve grows a while before it passes one. The memory of two more pictures pays off
only where one is shown often, so `watch` uses this and `view` does not.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cookbook.jobs.plot import Layout, LearningCurve, Picture, draw_axes, draw_lines, layout

if TYPE_CHECKING:
    from PIL.Image import Image


class RedrawnPicture(Picture):
    """A picture that is shown again and again, each time with new curves."""

    _axes: "_DrawnAxes | None" = None

    def image(self) -> "Image":
        """Return the drawn pixels, in full colour."""
        needed = layout(self.curves)
        if self._axes is None or self._axes.layout != needed:
            self._axes = _DrawnAxes(needed)
        return self._axes.with_lines(self.curves)


class _DrawnAxes:
    """A figure without lines, and its pixels."""

    def __init__(self, layout: Layout) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        self.layout = layout
        self._figure = draw_axes(layout)
        # What `savefig` uses for a PNG; only this one can copy pixels and put them back.
        self._canvas = FigureCanvasAgg(self._figure)
        self._canvas.draw()
        self._pixels = self._canvas.copy_from_bbox(self._figure.bbox)

    def with_lines(self, curves: Sequence[LearningCurve]) -> "Image":
        """Return the pixels with these curves, which the layout must fit."""
        import numpy as np
        from PIL import Image

        # This also clears what an interrupt left half drawn.
        self._canvas.restore_region(self._pixels)
        renderer = self._canvas.get_renderer()
        for line in draw_lines(self._figure, curves):
            line.draw(renderer)
            # It is in the pixels now; otherwise the figure would collect the lines of each picture.
            line.remove()
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())).convert("RGB")
