"""The upper part of the panel: task name, base model, training file or upload, validation share or file.

It knows what a choice of parameters is reckoned from: the tokens of the chosen file, counted once, and the facts of the
chosen base, asked once.
"""

import dataclasses
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cookbook import bases, params, siliconcloud
from cookbook.errors import DataError, HyperparameterError
from cookbook.i18n import tr
from cookbook.panel import html as looks
from cookbook.panel import training_file as files
from cookbook.panel.field import Field

TASK_NAME = (
    r"[A-Za-z0-9_-]{1,64}"  # what the embedded service takes; the platform documents no rule
)


class TaskForm:
    """Widgets for everything but the parameters; `changed` is called after each change. Arguments as the panel's."""

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        client,
        base_model,
        rows_file,
        validation,
        task_name,
        speed,
        folder,
    ):
        import ipywidgets as w

        self._client = client.with_options(timeout=5, max_retries=0) if client else None
        self._changed, self._speed, self._folder = changed, speed, Path(folder)
        self._told = lambda *_: self._changed()
        self._chosen, self._read = (None, None), files.TrainingFile()
        labelled = {"style": {"description_width": "112px"}}
        self.task_name = w.Text(
            task_name, description=tr("任务名称", "task name"), continuous_update=False, **labelled
        )
        self.base_model = w.Dropdown(description=tr("基础模型", "base model"), **labelled)
        self.training_file = w.Dropdown(description=tr("训练数据", "training file"), **labelled)
        self.upload = w.FileUpload(accept=".jsonl", description=tr("上传 .jsonl", "upload .jsonl"))
        kinds = [(tr("按比例留出", "a share"), "share"), (tr("单独的文件", "a file"), "file")]
        self.validation_kind = w.ToggleButtons(
            options=kinds, description=tr("验证数据", "validation"), **labelled
        )
        self.validation_file = w.Dropdown(description=tr("验证文件", "validation file"), **labelled)
        by_share = isinstance(validation, int | float)
        self.validation_share = Field(
            "validation", params.VALIDATION, validation if by_share else params.VALIDATION.suggested,
            whole=False, refuse=partial(params.refusal, "validation"), changed=self._told, step=0.01, high=0.5,
        )  # fmt: skip
        self._notes = {name: w.HTML() for name in ("task_name", "base_model", "training_file")}
        self.widget = self._layout()
        self.validation_kind.value = "share" if by_share else "file"
        self._offer_files(rows_file, None if by_share else validation)
        self._offer_bases(base_model)
        self._base_chosen()
        self._file_chosen()
        self._observe()

    @property
    def validation(self) -> float | Path:
        """The share held back, or the validation file; 0 while none is chosen.

        Raises:
            HyperparameterError: the share is refused.
        """
        if self.validation_kind.value == "file":
            return self.validation_file.value or 0.0
        if refusal := self.validation_share.refusal:
            raise HyperparameterError({"validation": refusal})
        return self.validation_share.value

    @property
    def counts(self) -> list[int]:
        """Tokens of each row of the training file; empty while no sound one is chosen."""
        return self._read.counts

    @property
    def held(self) -> float | list[dict]:
        """The share held back, or the rows of the validation file, as `params.plan` takes it."""
        return self._read.held if self.validation_kind.value == "file" else self.validation

    def show(self, risks: list[tuple[str, str]]) -> None:
        """Mark what is refused or risky."""
        self.validation_share.show([text for name, text in risks if name == "validation"])
        name_is_safe = re.fullmatch(TASK_NAME, self.task_name.value)
        self._notes["task_name"].value = "" if name_is_safe else looks.warning(tr(
            "建议只用英文字母、数字、_ 和 -，不超过 64 个：平台没有写明规则，见过的名字都是这样；内嵌服务不接受别的",
            "better letters, digits, _ and - only, at most 64: the platform documents no rule, but all names seen are like "
            "this, and the embedded service takes no others",
        ))  # fmt: skip

    def _layout(self):
        import ipywidgets as w

        for name in (
            "task_name",
            "base_model",
            "training_file",
            "validation_kind",
            "validation_file",
        ):
            getattr(self, name).add_class("cookbook-line").add_class(f"cookbook-{name}")
        self.upload.add_class("cookbook-upload")
        for name, note in self._notes.items():
            note.add_class("cookbook-note").add_class(f"cookbook-{name}-note")
        data = w.HBox([self.training_file, self.upload])
        task_note, base_note, data_note = self._notes.values()
        validation = [self.validation_kind, self.validation_share.widget, self.validation_file]
        return w.VBox(
            [self.task_name, task_note, self.base_model, base_note, data, data_note, *validation]
        )

    def _observe(self) -> None:
        self.task_name.observe(self._told, "value")
        self.base_model.observe(self._base_chosen, "value")
        for chooser in (self.training_file, self.validation_file, self.validation_kind):
            chooser.observe(self._file_chosen, "value")
        self.upload.observe(self._uploaded, "value")

    def _offer_bases(self, wanted: str | None) -> None:
        import openai

        note = ""
        try:
            offered = bases.offered(self._client)
        except openai.OpenAIError as error:
            offered = [] if wanted else list(siliconcloud.BASES)
            reason = tr("服务没有给出模型列表", "the service did not list its models")
            note = looks.warning(f"{reason} ({type(error).__name__})")
        if wanted and wanted not in offered:
            offered.insert(0, wanted)
        if set(offered) & set(siliconcloud.BASES):
            note += looks.quiet(tr(
                "SiliconCloud 微调指南列出的模型，2026 年 11 月；现在有哪些，以 cloud.siliconflow.cn/fine-tune 为准。"
                "平台训练哪些层没有公布，“训练的权重”按每个线性层都训练来算",
                "as in SiliconCloud's fine-tuning guide, November 2026; the live list is on cloud.siliconflow.cn/fine-tune. "
                "Which layers are trained there is not documented: the weights trained assume every linear layer",
            ))  # fmt: skip
        self.base_model.options = offered
        self.base_model.value = wanted or (offered[0] if offered else None)
        self._notes["base_model"].value = note

    def _offer_files(self, training: str | Path | None, validation: str | Path | None) -> None:
        found = files.choices(self._folder)
        for chooser, wanted in ((self.training_file, training), (self.validation_file, validation)):
            wanted = None if wanted is None else Path(wanted)
            more = (
                {}
                if wanted is None or wanted in found.values()
                else {files.from_here(wanted): wanted}
            )
            chooser.options = [(tr("（不选）", "(none)"), None), *(more | found).items()]
            chooser.value = wanted

    def _base_chosen(self, _=None) -> None:
        import openai

        base = self.base_model.value
        try:
            self.facts = bases.card(base, self._client)
        except openai.OpenAIError:
            self.facts = bases.card(base)
        if self._speed:
            self.facts = dataclasses.replace(self.facts, tokens_per_second=self._speed)
        self._changed()

    def _file_chosen(self, _=None) -> None:
        by_share = self.validation_kind.value == "share"
        self.validation_share.widget.layout.display = "" if by_share else "none"
        self.validation_file.layout.display = "none" if by_share else ""
        chosen = self.training_file.value, None if by_share else self.validation_file.value
        if chosen != self._chosen:
            self._notes["training_file"].value = looks.quiet(
                tr("正在检查、数 token……", "checking, counting tokens …")
            )
            self._chosen, self._read = chosen, files.read(*chosen)
        self._notes["training_file"].value = looks.file_note(self._read)
        self._changed()

    def _uploaded(self, change) -> None:
        if not change["new"]:
            return
        given, note = change["new"][0], self._notes["training_file"]
        try:
            self._offer_files(
                files.keep(given["name"], bytes(given["content"])), self.validation_file.value
            )
        except DataError as error:
            note.value = looks.file_note(files.TrainingFile(error.report))
        except OSError as error:
            note.value = looks.refusal(tr(
                f"数据目录不能写（{error.strerror}）：用环境变量 COOKBOOK_HOME 换一个可写的目录",
                f"the data folder cannot be written ({error.strerror}): choose another with COOKBOOK_HOME",
            ))  # fmt: skip
        self.upload.value = ()  # so that a file of the same name can be uploaded again
