"""One number on the panel: a slider and a text field that show the same value, its range with the suggested value
marked, one sentence in two languages, and what is wrong with it.

The text field is the truth: whatever is typed stays there and is judged; the slider follows when the value is a good one.
"""

import html
import math
import unicodedata
from collections.abc import Callable

from cookbook.i18n import tr
from cookbook.panel import html as looks
from cookbook.params import Range

SMALLEST_RATE = 1e-6  # where the logarithmic slider begins; smaller ones can be typed


def number(text: str, whole: bool) -> int | float | str:
    """The number that was typed, full-width digits included; the text itself if it is none."""
    text = unicodedata.normalize("NFKC", text).strip()
    try:
        value = float(text)
    except ValueError:
        return text[:40]
    return int(value) if whole and value.is_integer() and abs(value) < 1e15 else value


class Field:
    """A labelled number.

    Args:
        rule: its range; `whole` tells whether only whole numbers are meant, `logarithmic` how the slider moves.
        refuse: value -> the reason why it is refused, or None.
        changed: called after each change.
    """

    def __init__(
        self,
        name: str,
        rule: Range,
        value,
        *,
        whole: bool,
        refuse: Callable[[object], str | None],
        changed: Callable[[], None],
        logarithmic: bool = False,
        step: float = 1,
        low: float | None = None,
        high: float | None = None,
        extra=(),
    ):
        import ipywidgets as w

        self.name, self.rule, self.whole, self._refuse, self._changed = (
            name,
            rule,
            whole,
            refuse,
            changed,
        )
        self._logarithmic, self._step, self._following = logarithmic, step, False
        self._low = rule.low if low is None else low
        self._high = rule.high if high is None else high
        self.slider = self._slider()
        self.text = w.Text(continuous_update=False, placeholder=f"{rule.suggested:g}")
        self.message = w.HTML().add_class("cookbook-message")
        label = w.HTML(
            tr(f"<b>{rule.label}</b><br><code>{name}</code>", f"<b>{name}</b>")
        ).add_class("cookbook-label")
        track = w.VBox([self.slider, w.HTML(self._marks())]).add_class("cookbook-track")
        typed = w.VBox([self.text, *extra]).add_class("cookbook-typed")
        words = w.HTML(self._words()).add_class("cookbook-words")
        self.widget = w.VBox(
            [w.HBox([label, track, typed, words]).add_class("cookbook-row"), self.message]
        )
        self.widget.add_class(f"cookbook-{name}")
        self.value = value
        self._follow()
        self.slider.observe(self._slid, "value")
        self.text.observe(self._typed, "value")

    @property
    def value(self) -> int | float | str:
        """The number that stands in the text field, or the text if it is no number."""
        return number(self.text.value, self.whole)

    @value.setter
    def value(self, value) -> None:
        self.text.value = f"{value:.10g}" if isinstance(value, int | float) else str(value)

    @property
    def refusal(self) -> str | None:
        """Why the value is refused, in one sentence; None if it is not."""
        return self._refuse(self.value)

    def show(self, warnings: list[str]) -> None:
        """Mark the field, and say under it why it is refused, or else what is risky about it."""
        refusal = self.refusal
        self.message.value = looks.refusal(refusal) if refusal else looks.warning(*warnings)
        mark = self.widget.add_class if refusal else self.widget.remove_class
        mark("cookbook-refused")

    def _slider(self):
        import ipywidgets as w

        if self._logarithmic:
            low, high = math.log10(self._low), math.log10(self._high)
            return w.FloatLogSlider(min=low, max=high, step=self._step, readout=False)
        kind = w.IntSlider if self.whole else w.FloatSlider
        return kind(min=self._low, max=self._high, step=self._step, readout=False)

    def _slid(self, change) -> None:
        """Take what the reader chose with the slider. The browser also reports the value it was given, rounded to the
        slider's step: that is no choice."""
        if self._following:
            return
        value = change["new"]
        if self.refusal is None:
            moved = abs(self._scale(value) - self._scale(self._within(self.value)))
            if moved <= 0.501 * self._step:
                return
        self._following = True
        self.text.value = f"{value:.2g}" if self._logarithmic else f"{value:.10g}"
        self._following = False

    def _typed(self, _) -> None:
        if not self._following:
            self._follow()
        self._changed()

    def _follow(self) -> None:
        if self.refusal is None:
            self._following = True
            self.slider.value = self._within(self.value)
            self._following = False

    def _within(self, value: float) -> float:
        return min(max(value, self._low), self._high)

    def _scale(self, value: float) -> float:
        """Where a value stands on the slider, in the slider's own unit."""
        return math.log10(value) if self._logarithmic else value

    def _marks(self) -> str:
        """What stands under the slider: its ends, and where the suggested value is."""
        low, here, high = map(self._scale, (self._low, self.rule.suggested, self._high))
        place = (here - low) / (high - low)
        mark = (
            f'<span class="cookbook-mark" style="left:{place:.1%}">▲{self.rule.suggested:g}</span>'
        )
        left = f"<span>{self._low:g}</span>" if place > 0.2 else "<span></span>"
        right = f"<span>{self._high:g}</span>" if place < 0.8 else ""
        return f'<div class="cookbook-scale" title="▲ {tr("建议值", "suggested")}">{left}{mark}{right}</div>'

    def _words(self) -> str:
        rule = self.rule
        limits = tr("范围 {}–{}，建议 {}", "range {}–{}, suggested {}").format(
            *(f"{n:g}" for n in (rule.low, rule.high, rule.suggested))
        )
        first, second = (rule.zh, rule.en) if tr("zh", "en") == "zh" else (rule.en, rule.zh)
        quiet = f'<span class="cookbook-quiet">{html.escape(second)}</span>'
        return f'{html.escape(first)} <span class="cookbook-limits">{limits}</span><br>{quiet}'
