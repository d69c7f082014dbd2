"""A panel of the seven hyperparameters: three presets, every range, one sentence each.

    panel = ParameterPanel(); panel        shows it
    panel.value                            the same Hyperparameters as written by hand
    panel.to_code()                        the Python to paste

Controls cannot leave the guide's ranges; values that a range allows but that learn nothing are refused in place.
"""

from cookbook.errors import HyperparameterError, say
from cookbook.params import PRESET_NAMES, PRESETS, RANGES, WHOLE, Hyperparameters

CUSTOM = "custom"


class ParameterPanel:
    """Widgets for `Hyperparameters`; needs Jupyter with ipywidgets."""

    def __init__(self, hp: Hyperparameters | None = None):
        import ipywidgets as w

        hp = hp or Hyperparameters()
        wide = w.Layout(width="26em")
        label = {"description_width": "8em"}
        names = [(f"{zh} {key}", key) for key, zh in PRESET_NAMES.items()] + [("自定义 custom", CUSTOM)]
        self.preset = w.Dropdown(options=names, description="preset", layout=wide, style=label)
        self.controls = {name: self._control(name, getattr(hp, name), wide, label) for name in RANGES}
        self.message = w.HTML()
        self._filling = False
        rows = [w.HBox([control, w.HTML(self._help(name))]) for name, control in self.controls.items()]
        self.widget = w.VBox([self.preset, *rows, self.message])
        self.preset.observe(self._fill, "value")
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self._changed(None)

    @property
    def value(self) -> Hyperparameters:
        """What the panel shows.

        Raises:
            HyperparameterError: a value is refused; the panel says so too.
        """
        return Hyperparameters(**{name: control.value for name, control in self.controls.items()})

    def to_code(self) -> str:
        return self.value.to_code()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        display(self.widget)

    @staticmethod
    def _control(name: str, value, layout, style):
        import ipywidgets as w

        rule = RANGES[name]
        common = {"value": value, "description": name, "layout": layout, "style": style}
        if name == "learning_rate":
            return w.BoundedFloatText(min=rule.low, max=rule.high, step=1e-5, **common)
        if name in WHOLE:
            step = 64 if name == "max_tokens" else 1
            return w.IntSlider(min=int(rule.low), max=int(rule.high), step=step, continuous_update=False, **common)
        return w.FloatSlider(min=rule.low, max=rule.high, step=0.01, continuous_update=False, **common)

    @staticmethod
    def _help(name: str) -> str:
        rule = RANGES[name]
        limits = f"{rule.low:g}–{rule.high:g}, {say('建议', 'suggested')} {rule.suggested:g}"
        return f'<span style="color:#666;margin-left:1em">{say(rule.zh, rule.en)} ({limits})</span>'

    def _fill(self, change) -> None:
        if change["new"] == CUSTOM:
            return
        self._filling = True
        for name, value in PRESETS[change["new"]].to_dict().items():
            self.controls[name].value = value
        self._filling = False
        self._changed(None)

    def _changed(self, _) -> None:
        if self._filling:
            return
        try:
            now = self.value
            self.message.value = f"<code>{now.to_code()}</code>"
        except HyperparameterError as error:
            now = None
            self.message.value = f'<span style="color:#c0392b">✘ {error}</span>'
        self.preset.value = next((key for key, preset in PRESETS.items() if preset == now), CUSTOM)
