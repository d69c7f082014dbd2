"""The panel of everything that the console's form asks for: task, base, data, hyperparameters.

    panel = ParameterPanel(); panel              shows it; `client` and `rows_file` tell it more
    panel.value                                  the same Hyperparameters as written by hand
    panel.to_code(), .to_json(), .to_script()    what to paste
    panel.console_sheet()                        what to type at SiliconCloud
    panel.plan, panel.warnings                   what follows from the choice

While a control moves, the panel shows what follows; the tokens of a file are counted once. What is
typed is judged, not clamped: a value out of range stays where it was typed, is marked with its
reason, and `value` raises until it is corrected. (The last good value would train something else
than the reader sees.) It raises, too, where the training cannot fit into the memory.

Each control has a class to find it by: `cookbook-preset`, `cookbook-n_epochs`,
`cookbook-training_file` … A field that refuses its value has `cookbook-refused`, and inside it the
reason has `cookbook-refusal`.
"""

import contextlib
import json
import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import html, params, siliconcloud
from cookbook.errors import HyperparameterError
from cookbook.i18n import tr
from cookbook.jobs.console import ConsoleSheet, console_sheet
from cookbook.memory import MemoryPlan
from cookbook.panel import templates
from cookbook.panel.consequences import Consequence, consequences
from cookbook.panel.field import Field, Scale, parse_number
from cookbook.panel.script import training_script
from cookbook.panel.task import TaskForm
from cookbook.params import (
    INTEGER_PARAMETERS,
    PRESET_NAMES,
    PRESETS,
    RANGES,
    Hyperparameters,
    Plan,
    Risk,
)

if TYPE_CHECKING:
    import ipywidgets
    from openai import OpenAI

CUSTOM = "custom"  # the preset's button while the values are those of no preset

# Sliders that do not move evenly over the whole range; every value of the range can be typed.
SCALES = {
    # From 1e-6, since a scale by powers of ten has no 0; a step is a tenth of a power.
    "learning_rate": Scale(low=1e-6, high=RANGES["learning_rate"].high, step=0.1, logarithmic=True),
    "max_tokens": Scale(low=64, high=RANGES["max_tokens"].high, step=64),
    "lora_dropout": Scale(low=0, high=1, step=0.01),
}


class ParameterPanel(html.Displayed):
    """Widgets for `Hyperparameters` and what goes with them; needs Jupyter with ipywidgets.

    Args:
        hp: the values shown at first; the standard preset without it.
        client: the service to ask for its bases and measured speed; without it nothing is asked.
        base_model: the base chosen at first.
        rows_file: the training file chosen at first.
        validation: a share of the training file, or a file.
        task_name: shown at first.
        price: per million trained tokens, in any currency.
        tokens_per_second: the speed to expect, in place of the measured one.
        folder: where to look for .jsonl files to choose from, beside uploads and shipped ones.
    """

    def __init__(
        self,
        hp: Hyperparameters | None = None,
        *,
        client: "OpenAI | None" = None,
        base_model: str | None = None,
        rows_file: str | Path | None = None,
        validation: float | str | Path = params.VALIDATION.suggested,
        task_name: str = "my-task",
        price: float | None = None,
        tokens_per_second: float | None = None,
        folder: str | Path = ".",
    ) -> None:
        # The parts report changes while they are made; there is something to refresh at the end.
        self._busy = True
        self.task = TaskForm(
            self._refresh,
            client=client,
            base_model=base_model,
            rows_file=rows_file,
            validation=validation,
            task_name=task_name,
            tokens_per_second=tokens_per_second,
            folder=folder,
        )
        self._make_widgets(hp or Hyperparameters(), price)
        self.widget = self._layout()
        self.preset.observe(self._on_preset, "value")
        self.price.observe(self._refresh, "value")
        self.suggest.on_click(self._on_suggest)
        self._busy = False
        self._refresh()

    @property
    def value(self) -> Hyperparameters:
        """The values that the panel shows.

        Raises:
            HyperparameterError: a value is refused, or does not fit; the panel says so, too.
        """
        hp = self._typed()
        if self._unfit:
            # Other programs may have ended since the base was chosen.
            self.task.ask_again()
        if unfit := self._unfit:
            raise HyperparameterError({"memory": unfit.refusal})
        return hp

    @property
    def plan(self) -> Plan | None:
        """Return what training would do; None unless a file is chosen that can be trained on.

        Raises:
            HyperparameterError: a value or the validation share is refused.
        """
        if not self.task.token_counts:
            return None
        return params.plan(
            self.task.token_counts,
            self._typed(),
            base=self.task.base,
            validation=self.task.validation_set,
            price=self._price(),
        )

    @property
    def warnings(self) -> list[Risk]:
        """Return what is risky about the choice, as (parameter, reason).

        Raises:
            HyperparameterError: a value or the validation share is refused.
        """
        return params.warnings(self._typed(), self.plan)

    def to_code(self) -> str:
        """Return the Python that makes the same Hyperparameters."""
        return self.value.to_code()

    def to_json(self) -> str:
        """Return everything chosen, as JSON."""
        choice = {
            "task_name": self.task.task_name.value,
            "base_model": self.task.base_model.value,
            "training_file": self._file_name(),
            "validation": self._validation_name(),
            "hyperparameters": self.value.to_dict(),
        }
        return json.dumps(choice, ensure_ascii=False, indent=2)

    def to_script(self) -> str:
        """Return the Python that starts the job, where a service trains by API."""
        return training_script(
            self.value,
            task_name=self.task.task_name.value,
            base_model=self.task.base_model.value,
            training_file=self.task.training_file.value,
            validation=self.task.validation,
        )

    def console_sheet(self) -> ConsoleSheet:
        """Return what to type into SiliconCloud's form, with the same values.

        A base that the platform does not have is replaced by its first one. Files are copied beside
        the notebook where Jupyter cannot serve them, see `jobs.console_sheet`.
        """
        return self._sheet(copy_files=True)

    def _sheet(self, *, copy_files: bool) -> ConsoleSheet:
        return console_sheet(
            self.task.task_name.value,
            self.task.training_file.value or tr("（还没选文件）", "(no file chosen)"),
            # It trains there, whatever memory is here.
            self._typed(),
            base_model=self._console_base(),
            validation=self.task.validation,
            copy_files=copy_files,
        )

    def __repr__(self) -> str:
        try:
            return f"ParameterPanel({self.to_code()})"
        except HyperparameterError as error:
            return f"ParameterPanel: {error}"

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """Return the widgets, and a table beside them for pages on which widgets do not work."""
        try:
            figures = self._consequences()
            table = templates.static_html(self._typed(), figures, self.warnings)
            table += templates.unfit(self._unfit)
        except HyperparameterError as error:
            table = templates.error_lines(*error.problems.values())
        text = repr(self)
        return html.widget_bundle(self.widget, text=text, html=table)

    def _make_widgets(self, hp: Hyperparameters, price: float | None) -> None:
        import ipywidgets as w

        presets = [(label, key) for key, label in PRESET_NAMES.items()]
        presets.append((tr("自定义", "custom"), CUSTOM))
        self.preset = w.ToggleButtons(options=presets, description=tr("方案", "preset"))
        price_text = "" if price is None else f"{price:g}"
        self.price = w.Text(price_text, continuous_update=False)
        self.suggest = w.Button(
            tooltip=tr("采用这个文件的建议值", "use the value suggested for this file")
        )
        values = hp.to_dict()
        self.controls = {name: self._field(name, values[name]) for name in RANGES}
        self._outcome = w.HTML()
        self._price_note = w.HTML()
        titles = ("Python", "JSON", tr("SiliconCloud 表单", "SiliconCloud form"))
        self._exports = {title: w.HTML() for title in titles}

    def _field(self, name: str, value: object) -> Field:
        return Field(
            name,
            RANGES[name],
            value,
            whole=name in INTEGER_PARAMETERS,
            problem=partial(params.problem, name),
            changed=self._refresh,
            scale=SCALES.get(name),
            extra=[self.suggest] if name == "max_tokens" else [],
        )

    def _layout(self) -> "ipywidgets.Widget":
        import ipywidgets as w

        self.preset.add_class("cookbook-line").add_class("cookbook-preset")
        self.price.add_class("cookbook-price")
        self.suggest.add_class("cookbook-suggest")
        self._outcome.add_class("cookbook-follows")
        question = tr("单价（每百万 token，选填）", "price per million tokens, optional")
        asked = w.HTML(templates.note(question))
        price = w.HBox([asked, self.price]).add_class("cookbook-price-line")

        controls = self.controls.values()
        lora = [field.widget for field in controls if field.name.startswith("lora_")]
        training = [field.widget for field in controls if field.widget not in lora]
        outcome = [self.preset, self._outcome, price, self._price_note]
        exports = w.Accordion(list(self._exports.values()), selected_index=None)
        # One by one, as ipywidgets 7 has it, which Colab brings.
        for number, title in enumerate(self._exports):
            exports.set_title(number, title)
        panel = w.VBox(
            [
                w.HTML(templates.style()),
                _group(tr("任务", "Task"), self.task.widget),
                _group(tr("方案和它的结果", "Preset and what follows"), *outcome),
                _group(tr("训练", "Training"), *training),
                _group(tr("LoRA 适配器", "LoRA adapter"), *lora),
                exports.add_class("cookbook-away"),
            ]
        )
        return panel.add_class("cookbook-panel")

    def _on_preset(self, change: dict[str, Any]) -> None:
        """Fill every field with the preset's value."""
        # "Custom" only says that no preset has these values.
        if change["new"] == CUSTOM or self._busy:
            return
        # One refresh at the end instead of one for each field.
        self._busy = True
        preset = PRESETS[change["new"]]
        for name, value in preset.to_dict().items():
            self.controls[name].value = value
        self._busy = False
        self._refresh()

    def _on_suggest(self, _: Any) -> None:
        suggested = params.suggest_max_tokens(self.task.token_counts)
        self.controls["max_tokens"].value = suggested

    def _refresh(self, _: Any = None) -> None:
        """Show what follows from the choice; nothing is counted or asked here."""
        if self._busy:
            return
        try:
            risks = self.warnings
            outcome = templates.cards(self._consequences())
            refusal = templates.unfit(self._unfit)
            outcome += refusal
            script = "" if refusal else templates.code(self.to_script())
            choice = "" if refusal else templates.code(self.to_json())
            exports = [script, choice, self._form_page()]
        except HyperparameterError:
            # The reason is at the field; nothing is left to paste that would not run.
            risks = []
            outcome = templates.error_lines(tr("先改好标红的格子", "fix the marked field first"))
            exports = ["", "", ""]

        # Each field picks out its own risks.
        for control in self.controls.values():
            control.show(risks)
        self.task.show(risks)
        self._outcome.value = outcome
        for page, text in zip(self._exports.values(), exports, strict=True):
            page.value = text
        self._show_preset()
        self._show_suggestion()
        self._show_price_note()

    def _show_preset(self) -> None:
        """Mark the preset whose values are shown, without filling the fields again."""
        shown = self._shown()
        # A field that holds text matches no preset, so a refused value is custom.
        matching = CUSTOM
        for key, preset in PRESETS.items():
            if preset.to_dict() == shown:
                matching = key
        self._busy = True
        self.preset.value = matching
        self._busy = False

    def _show_suggestion(self) -> None:
        counts = self.task.token_counts
        suggested = params.suggest_max_tokens(counts)
        # Without a file there is nothing to suggest from.
        self.suggest.description = f"{tr('用建议', 'use')} {suggested}"
        self.suggest.layout.display = "" if counts else "none"

    def _show_price_note(self) -> None:
        # The price is optional: an empty field is not an error, and a bad one stops nothing else.
        note = ""
        if self.price.value.strip() and self._price() is None:
            text = tr("单价应当是不小于 0 的数字", "the price must be a number, 0 or more")
            note = templates.error_lines(text)
        self._price_note.value = note

    def _shown(self) -> dict[str, Any]:
        """Return what the fields hold, refused or not."""
        return {name: field.value for name, field in self.controls.items()}

    def _typed(self) -> Hyperparameters:
        return Hyperparameters(**self._shown())

    @property
    def _unfit(self) -> MemoryPlan | None:
        """The memory plan of a training that does not fit; None where it does."""
        # A share that is refused has a field to say so.
        with contextlib.suppress(HyperparameterError):
            memory = self.plan.memory if self.plan else None
            return memory if memory and not memory.fits else None
        return None

    def _consequences(self) -> list[Consequence]:
        return consequences(self._typed(), self.plan, self.task.base)

    def _form_page(self) -> str:
        # Shown at every change, so nothing is copied for it.
        form = self._sheet(copy_files=False)._repr_html_()
        chosen, base = self.task.base_model.value, self._console_base()
        if chosen == base:
            return form
        text = tr(
            f"平台上没有 {chosen}，表单里换成了 {base}",
            f"{chosen} is not on the platform; the form has {base}",
        )
        return templates.note(text) + form

    def _console_base(self) -> str:
        chosen = self.task.base_model.value
        return chosen if chosen in siliconcloud.BASES else siliconcloud.BASES[0]

    def _price(self) -> float | None:
        """Return the price, or None if there is none or it is not a usable number."""
        price = parse_number(self.price.value, whole=False)
        if isinstance(price, str) or not 0 <= price < math.inf:
            return None
        return price

    def _file_name(self) -> str | None:
        path = self.task.training_file.value
        return None if path is None else path.name

    def _validation_name(self) -> float | str:
        chosen = self.task.validation
        return chosen.name if isinstance(chosen, Path) else chosen


def _group(title: str, *children: "ipywidgets.Widget") -> "ipywidgets.Widget":
    import ipywidgets as w

    heading = w.HTML(templates.heading(title))
    return w.VBox([heading, *children]).add_class("cookbook-group")
