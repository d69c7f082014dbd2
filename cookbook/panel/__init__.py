"""A panel of everything that the console's form asks for: task name, base, data, and the seven hyperparameters.

    panel = ParameterPanel(); panel                 shows it; with `client` and `rows_file` it knows more
    panel.value                                     the same Hyperparameters as written by hand
    panel.to_code(), .to_json(), .to_script()       what to paste; panel.console_sheet() what to type at SiliconCloud
    panel.plan, panel.warnings                      what follows from the choice

While a control moves, the panel shows what follows; the tokens of a file are counted once. What is typed is judged, not
clamped: a value out of range stays where it was typed, is marked with its reason, and `value` raises until it is mended.
(Keeping the last good value instead would train something else than the reader sees.)

Each control has a class to find it by: `cookbook-preset`, `cookbook-n_epochs`, `cookbook-training_file` … A field that
refuses its value has `cookbook-refused`, and inside it the reason has `cookbook-refusal`.

Here the parameters and what follows; task.py has name, base and data; field.py one number; looks.py the HTML.
"""

import json
from functools import partial
from pathlib import Path

from cookbook import jobs, params, siliconcloud
from cookbook.errors import HyperparameterError
from cookbook.i18n import tr
from cookbook.panel import html as looks
from cookbook.panel import training_file as files
from cookbook.panel.field import SMALLEST_RATE, Field, number
from cookbook.panel.task import TaskForm
from cookbook.params import PRESET_NAMES, PRESETS, RANGES, WHOLE, Hyperparameters, Plan

CUSTOM = "custom"
_SLIDERS = {
    "learning_rate": {"logarithmic": True, "low": SMALLEST_RATE, "step": 0.1},
    "max_tokens": {"low": 64, "step": 64},
    "lora_dropout": {"step": 0.01},
}


class ParameterPanel:
    """Widgets for `Hyperparameters` and what goes with them; needs Jupyter with ipywidgets.

    Args:
        hp: where to begin; the standard preset without it.
        client: the service to ask for its bases and its measured speed; without it nothing is asked.
        base_model: the base chosen at first.
        rows_file: the training file chosen at first.
        validation: a share of the training file, or a file.
        price: per million trained tokens, in any currency.
        tokens_per_second: the speed to expect, in place of the measured one.
        folder: where to look for .jsonl files to choose from, beside the uploads and the shipped ones.
    """

    def __init__(
        self,
        hp: Hyperparameters | None = None,
        *,
        client=None,
        base_model: str | None = None,
        rows_file: str | Path | None = None,
        validation: float | str | Path = 0.1,
        task_name: str = "my-task",
        price: float | None = None,
        tokens_per_second: float | None = None,
        folder: str | Path = ".",
    ):
        import ipywidgets as w

        self._busy = True  # until everything is there
        self.task = TaskForm(
            self._changed, client=client, base_model=base_model, rows_file=rows_file, validation=validation,
            task_name=task_name, speed=tokens_per_second, folder=folder,
        )  # fmt: skip
        names = [(tr(zh, key), key) for key, zh in PRESET_NAMES.items()] + [
            (tr("自定义", CUSTOM), CUSTOM)
        ]
        self.preset = w.ToggleButtons(options=names, description=tr("方案", "preset"))
        self.price = w.Text("" if price is None else f"{price:g}", continuous_update=False)
        self.suggest = w.Button(
            tooltip=tr("采用这个文件的建议值", "take the value suggested for this file")
        )
        hp = hp or Hyperparameters()
        self.controls = {name: self._field(name, getattr(hp, name)) for name in RANGES}
        self._follows, self._price_note = w.HTML(), w.HTML()
        self._away = {
            "Python": w.HTML(),
            "JSON": w.HTML(),
            tr("SiliconCloud 表单", "SiliconCloud form"): w.HTML(),
        }
        self.widget = self._layout()
        self.preset.observe(self._fill, "value")
        self.price.observe(self._changed, "value")
        self.suggest.on_click(self._take_suggestion)
        self._busy = False
        self._changed()

    @property
    def value(self) -> Hyperparameters:
        """What the panel shows.

        Raises:
            HyperparameterError: a value is refused; the panel marks it too.
        """
        return Hyperparameters(**{name: control.value for name, control in self.controls.items()})

    @property
    def plan(self) -> Plan | None:
        """What training would do; None while no sound file is chosen."""
        if not self.task.counts:
            return None
        return params.plan(
            self.task.counts,
            self.value,
            validation=self.task.held,
            base=self.task.facts,
            price=self._price(),
        )

    @property
    def warnings(self) -> list[tuple[str, str]]:
        """What is risky about the choice, as (parameter, reason)."""
        return params.warnings(self.value, self.plan)

    def to_code(self) -> str:
        """The Python that makes the same Hyperparameters."""
        return self.value.to_code()

    def to_json(self) -> str:
        """Everything chosen, as JSON."""
        task = self.task
        choice = {"task_name": task.task_name.value, "base_model": task.base_model.value}
        choice |= {"training_file": self._file_name(), "validation": self._validation_name()}
        return json.dumps(
            choice | {"hyperparameters": self.value.to_dict()}, ensure_ascii=False, indent=2
        )

    def to_script(self) -> str:
        """The Python that uploads the file and starts the job, where a service trains by API."""
        task, hp = self.task, f"hyperparameters = {self.value.to_dict()}"
        if task.base_model.value in siliconcloud.BASES:
            return f"{hp}\n# {tr('SiliconCloud 在控制台里训练，填下面的表单', 'SiliconCloud trains in its console: see the form')}"
        upload = lambda path: (
            f'client.files.create(file=open({files.from_here(path)!r}, "rb"), purpose="fine-tune")'
        )
        lines = [hp, f"upload = {upload(task.training_file.value or 'train.jsonl')}"]
        extra = []
        if isinstance(task.validation, Path):
            lines.append(f"held = {upload(task.validation)}")
            extra = ["    validation_file=held.id,"]
        elif task.validation != params.VALIDATION.suggested:
            extra = [f'    extra_body={{"validation_split": {task.validation}}},']
        return "\n".join([
            *lines,
            "job = client.fine_tuning.jobs.create(",
            f"    model={task.base_model.value!r},",
            "    training_file=upload.id,",
            *extra,
            f"    suffix={task.task_name.value!r},",
            '    method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},',
            ")",
        ])  # fmt: skip

    def console_sheet(self) -> jobs.ConsoleSheet:
        """What to type into SiliconCloud's form, with the same values; a base that is not there is replaced."""
        base = self.task.base_model.value
        return jobs.console_sheet(
            self.task.task_name.value,
            self._file_name() or tr("（还没选文件）", "(no file chosen)"),
            self.value,
            base_model=base if base in siliconcloud.BASES else siliconcloud.BASES[0],
            validation=self._validation_name(),
        )

    def __repr__(self) -> str:
        try:
            return f"ParameterPanel({self.to_code()})"
        except HyperparameterError as error:
            return f"ParameterPanel: {error}"

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        """The widgets, and beside them a still table for pages on which widgets do not live."""
        try:
            hp = self.value
            still = looks.still(hp, looks.follows(hp, self.plan, self.task.facts), self.warnings)
        except HyperparameterError as error:
            still = looks.refusal(*error.problems.values())
        return self.widget._repr_mimebundle_() | {"text/plain": repr(self), "text/html": still}

    def _field(self, name: str, value) -> Field:
        return Field(
            name,
            RANGES[name],
            value,
            whole=name in WHOLE,
            refuse=partial(params.refusal, name),
            changed=self._changed,
            extra=[self.suggest] if name == "max_tokens" else [],
            **_SLIDERS.get(name, {}),
        )

    def _layout(self):
        import ipywidgets as w

        def group(zh: str, en: str, *children):
            return w.VBox([w.HTML(looks.heading(zh, en)), *children]).add_class("cookbook-group")

        self.preset.add_class("cookbook-line").add_class("cookbook-preset")
        self.price.add_class("cookbook-price")
        self.suggest.add_class("cookbook-suggest")
        self._follows.add_class("cookbook-follows")
        asked = looks.quiet(tr("单价（每百万 token，选填）", "price per million tokens, optional"))
        price = w.HBox([w.HTML(asked), self.price]).add_class("cookbook-price-line")
        of = {name: control.widget for name, control in self.controls.items()}
        lora = [of.pop(name) for name in RANGES if name.startswith("lora_")]
        groups = [
            group("任务", "Task", self.task.widget),
            group(
                "方案和它的结果",
                "Preset and what follows",
                self.preset,
                self._follows,
                price,
                self._price_note,
            ),
            group("训练", "Training", *of.values()),
            group("LoRA 补丁", "LoRA adapter", *lora),
            w.Accordion([*self._away.values()], titles=tuple(self._away)).add_class(
                "cookbook-away"
            ),
        ]
        return w.VBox([w.HTML(looks.STYLE), *groups]).add_class("cookbook-panel")

    def _fill(self, change) -> None:
        if change["new"] == CUSTOM or self._busy:
            return
        self._busy = True
        for name, value in PRESETS[change["new"]].to_dict().items():
            self.controls[name].value = value
        self._busy = False
        self._changed()

    def _take_suggestion(self, _) -> None:
        self.controls["max_tokens"].value = params.suggest_max_tokens(self.task.counts)

    def _changed(self, _=None) -> None:
        """Say anew what follows; nothing is counted or asked here."""
        if self._busy:
            return
        try:
            risks, outcome = (
                self.warnings,
                looks.cards(looks.follows(self.value, self.plan, self.task.facts)),
            )
            pages = [looks.code(self.to_script()), looks.code(self.to_json()), self._sheet()]
        except HyperparameterError:
            outcome = looks.refusal(tr("先改好标红的格子", "mend the marked field first"))
            risks, pages = [], ["", "", ""]
        for name, control in self.controls.items():
            control.show([text for parameter, text in risks if parameter == name])
        self.task.show(risks)
        self._follows.value = outcome
        for page, text in zip(self._away.values(), pages, strict=True):
            page.value = text
        self._show_preset()
        self.suggest.description = (
            f"{tr('用建议', 'take')} {params.suggest_max_tokens(self.task.counts)}"
        )
        self.suggest.layout.display = "" if self.task.counts else "none"
        price_is_bad = self.price.value.strip() and self._price() is None
        bad_price = looks.refusal(
            tr("单价应当是不小于 0 的数字", "the price must be a number, 0 or more")
        )
        self._price_note.value = bad_price if price_is_bad else ""

    def _show_preset(self) -> None:
        shown = {name: control.value for name, control in self.controls.items()}
        self._busy = True
        self.preset.value = next(
            (key for key, preset in PRESETS.items() if preset.to_dict() == shown), CUSTOM
        )
        self._busy = False

    def _sheet(self) -> str:
        base, note = self.task.base_model.value, ""
        if base not in siliconcloud.BASES:
            there = siliconcloud.BASES[0]
            text = tr(
                f"{base} 只在本机，表单里换成了 {there}",
                f"{base} is here only; the form has {there}",
            )
            note = looks.quiet(text)
        return note + self.console_sheet()._repr_html_()

    def _price(self) -> float | None:
        price = number(self.price.value, whole=False)
        return price if isinstance(price, float) and 0 <= price < float("inf") else None

    def _file_name(self) -> str | None:
        path = self.task.training_file.value
        return path and path.name

    def _validation_name(self) -> float | str:
        chosen = self.task.validation
        return chosen.name if isinstance(chosen, Path) else chosen
