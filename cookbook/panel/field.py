"""One number on the panel: a slider and a text field that show the same value.

Beside them are its range with the suggested value marked, what it does, and what is wrong with it.
The text field is the truth: whatever is typed stays there and is judged; the slider follows when
the value is accepted.
"""

import math
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cookbook.panel import templates
from cookbook.params import Range, Risk

if TYPE_CHECKING:
    import ipywidgets

MAX_TEXT_QUOTED = 40  # characters of a text that is no number, as it is shown in the reason


def parse_number(text: str, *, whole: bool) -> int | float | str:
    """Return the number that was typed, or the beginning of the text if it is not a number."""
    # Chinese input methods give full-width digits.
    text = unicodedata.normalize("NFKC", text).strip()
    try:
        value = float(text)
    except ValueError:
        return text[:MAX_TEXT_QUOTED]
    # Beyond 1e15 a float no longer holds every whole number.
    if whole and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


@dataclass(frozen=True)
class Scale:
    """How a slider moves: from `low` to `high`, evenly or by powers of ten.

    `step` is in the slider's own unit: the value's, or a power of ten where it is logarithmic.
    """

    low: float
    high: float
    step: float = 1
    logarithmic: bool = False

    def position(self, value: float) -> float:
        """Return where a value is, in the slider's own unit."""
        return math.log10(value) if self.logarithmic else value

    def place(self, value: float) -> float:
        """Return the same as a share of the way: 0 at the left end, 1 at the right one."""
        start = self.position(self.low)
        length = self.position(self.high) - start
        return (self.position(value) - start) / length

    def clamp(self, value: float) -> float:
        """Return the value, or the nearest end of the slider."""
        return min(max(value, self.low), self.high)

    def slider(self, *, whole: bool) -> "ipywidgets.Widget":
        """Return a slider that moves so."""
        import ipywidgets as w

        ends = {"min": self.low, "max": self.high}
        if self.logarithmic:
            kind = w.FloatLogSlider
            # Its ends are powers of ten; its value is not.
            ends = {end: math.log10(value) for end, value in ends.items()}
        elif whole:
            kind = w.IntSlider
        else:
            kind = w.FloatSlider
        return kind(**ends, step=self.step, readout=False)


class Field:
    """A labelled number.

    Args:
        name: the parameter; `cookbook-<name>` is the widget's class.
        limits: its range, label and description.
        value: shown at first; any value, also one that is refused.
        whole: only whole numbers are meant.
        problem: value -> why it is refused, or None.
        changed: called after each change.
        scale: how the slider moves; evenly over the whole range without it.
        extra: widgets below the text field.
    """

    def __init__(
        self,
        name: str,
        limits: Range,
        value: object,
        *,
        whole: bool,
        problem: Callable[[object], str | None],
        changed: Callable[[], None],
        scale: Scale | None = None,
        extra: Sequence["ipywidgets.Widget"] = (),
    ) -> None:
        import ipywidgets as w

        self.name = name
        self.limits = limits
        self.whole = whole
        self._find_problem = problem
        self._changed = changed
        self.scale = scale or Scale(limits.low, limits.high)
        self._syncing = False  # one of the two is being set to match the other
        self.slider = self.scale.slider(whole=whole)
        suggested = f"{limits.suggested:g}"
        self.text = w.Text(continuous_update=False, placeholder=suggested)
        self.message = w.HTML().add_class("cookbook-message")
        self.widget = self._layout(extra)
        self.value = value
        self._move_slider()
        self.slider.observe(self._on_slider, "value")
        self.text.observe(self._on_text, "value")

    @property
    def value(self) -> int | float | str:
        """The number in the text field, or the text if it is not a number."""
        return parse_number(self.text.value, whole=self.whole)

    @value.setter
    def value(self, value: object) -> None:
        if isinstance(value, int | float):
            self.text.value = f"{value:.10g}"
        else:
            self.text.value = str(value)

    @property
    def accepted(self) -> int | float | None:
        """The number, or None while it is refused."""
        value = self.value
        return None if isinstance(value, str) or self.problem else value

    @property
    def problem(self) -> str | None:
        """Return why the value is refused, in one sentence; None if it is not."""
        return self._find_problem(self.value)

    def show(self, risks: list[Risk]) -> None:
        """Mark the field and say below it why it is refused, or else which risks are its own."""
        # One message at a time: a refused value must be corrected before its risk matters.
        problem = self.problem
        if problem:
            self.widget.add_class("cookbook-refused")
            self.message.value = templates.error_lines(problem)
        else:
            self.widget.remove_class("cookbook-refused")
            own = [reason for parameter, reason in risks if parameter == self.name]
            self.message.value = templates.warning_lines(*own)

    def _layout(self, extra: Sequence["ipywidgets.Widget"]) -> "ipywidgets.Widget":
        import ipywidgets as w

        marks = templates.slider_marks(
            low=self.scale.low,
            suggested=self.limits.suggested,
            high=self.scale.high,
            place=self.scale.place(self.limits.suggested),
        )
        label = w.HTML(templates.field_label(self.name, self.limits))
        track = w.VBox([self.slider, w.HTML(marks)])
        typed = w.VBox([self.text, *extra])
        words = w.HTML(templates.description(self.limits))
        row = w.HBox(
            [
                label.add_class("cookbook-label"),
                track.add_class("cookbook-track"),
                typed.add_class("cookbook-typed"),
                words.add_class("cookbook-words"),
            ]
        )
        row.add_class("cookbook-row")
        field = w.VBox([row, self.message])
        return field.add_class(f"cookbook-{self.name}")

    def _on_slider(self, change: dict[str, Any]) -> None:
        """Take what the reader chose with the slider."""
        chosen = change["new"]
        if self._syncing or self._is_rounding(chosen):
            return
        self._syncing = True
        # A step of a logarithmic slider is hardly ever a round number.
        digits = 2 if self.scale.logarithmic else 10
        self.text.value = f"{chosen:.{digits}g}"
        self._syncing = False

    def _is_rounding(self, chosen: float) -> bool:
        """Return whether the browser only reports the value it was given, rounded to a step."""
        shown = self.accepted
        if shown is None:
            return False
        given = self.scale.position(self.scale.clamp(shown))
        moved = abs(self.scale.position(chosen) - given)
        # Half a step, and a little for the arithmetic of floats.
        return moved <= 0.501 * self.scale.step

    def _on_text(self, _: Any) -> None:
        if not self._syncing:
            self._move_slider()
        self._changed()

    def _move_slider(self) -> None:
        """Move the slider to the value in the text field, if it is accepted."""
        value = self.accepted
        if value is None:
            return
        # The slider must not answer by writing into the text field.
        self._syncing = True
        self.slider.value = self.scale.clamp(value)
        self._syncing = False
