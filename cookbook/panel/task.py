"""The upper part of the panel: task name, base model, training file, validation share or file.

It knows what the consequences are computed from: the tokens of the chosen file, counted once, and
the card of the chosen base, asked once. A service that does not answer leaves a form that works.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import bases, machine, params, siliconcloud
from cookbook.client import synchronous
from cookbook.errors import CookbookError, DataError, HyperparameterError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.panel import templates, training_file
from cookbook.panel.field import Field, Scale
from cookbook.panel.training_file import TrainingFile, path_from_here

if TYPE_CHECKING:
    import ipywidgets
    from openai import OpenAI

LABEL_WIDTH = "112px"  # as in panel.css
SERVICE_TIMEOUT = 5  # seconds to wait for each answer

# The slider offers up to half of the rows; more can be typed.
SHARE_SCALE = Scale(low=0, high=0.5, step=0.01)


class TaskForm:
    """Widgets for everything but the parameters.

    Args:
        changed: called after each change.
        tokens_per_second: the speed to expect, in place of the measured one.

    The others are those of the panel.
    """

    def __init__(
        self,
        changed: Callable[[], None],
        *,
        client: "OpenAI | None",
        base_model: str | None,
        rows_file: str | Path | None,
        validation: float | str | Path,
        task_name: str,
        tokens_per_second: float | None,
        folder: str | Path,
    ) -> None:
        # A service that hangs must not hold up the notebook.
        self._client = None
        if client is not None:
            self._client = synchronous(client).with_options(timeout=SERVICE_TIMEOUT, max_retries=0)
        self._changed = changed
        self._tokens_per_second = tokens_per_second
        # Absolute, since a cell may change the current folder later.
        self._folder = Path(folder).absolute()
        self._last_read: tuple[Path | None, Path | None] = (None, None)
        self._read = TrainingFile()

        share, validation_file = params.VALIDATION.suggested, None
        if isinstance(validation, int | float):
            share = validation
        else:
            validation_file = Path(validation).absolute()
        self._make_widgets(task_name, share)
        self.widget = self._layout()
        self.validation_kind.value = "file" if validation_file else "share"
        self._offer_files(Path(rows_file).absolute() if rows_file else None, validation_file)
        self._offer_bases(base_model)
        self._on_base()
        self._on_file()
        self._observe()

    @property
    def validation(self) -> float | Path:
        """The share held out, or the validation file; 0 while none is chosen.

        Raises:
            HyperparameterError: the share is refused.
        """
        if self.validation_kind.value == "file":
            return self.validation_file.value or 0.0
        return self._share()

    @property
    def validation_set(self) -> float | list[dict[str, Any]]:
        """The share held out, or the rows of the validation file, as `params.plan` takes it.

        Raises:
            HyperparameterError: the share is refused.
        """
        if self.validation_kind.value == "file":
            return self._read.validation_rows
        return self._share()

    @property
    def token_counts(self) -> list[int]:
        """Return the tokens of each row of the training file; empty unless it can be trained on."""
        return self._read.token_counts

    def show(self, risks: list[params.Risk]) -> None:
        """Mark what is refused or risky."""
        self.validation_share.show(risks)
        note = ""
        if not params.TASK_NAME.fullmatch(self.task_name.value):
            note = templates.warning_lines(_odd_task_name())
        self._notes["task_name"].value = note

    def _share(self) -> float:
        field = self.validation_share
        if field.accepted is None:
            raise HyperparameterError({"validation": field.problem or ""})
        return field.accepted

    def _make_widgets(self, task_name: str, share: object) -> None:
        import ipywidgets as w

        labelled = {"style": {"description_width": LABEL_WIDTH}}
        self.task_name = w.Text(
            task_name,
            description=tr("任务名称", "task name"),
            continuous_update=False,
            **labelled,
        )
        self.base_model = w.Dropdown(description=tr("基础模型", "base model"), **labelled)
        self.training_file = w.Dropdown(description=tr("训练数据", "training file"), **labelled)
        self.upload = w.FileUpload(accept=".jsonl", description=tr("上传 .jsonl", "upload .jsonl"))
        self.validation_kind = w.ToggleButtons(
            options=[(tr("按比例留出", "a share"), "share"), (tr("单独的文件", "a file"), "file")],
            description=tr("验证数据", "validation"),
            **labelled,
        )
        self.validation_file = w.Dropdown(description=tr("验证文件", "validation file"), **labelled)
        self.validation_share = Field(
            "validation",
            params.VALIDATION,
            share,
            whole=False,
            problem=partial(params.problem, "validation"),
            changed=self._changed,
            scale=SHARE_SCALE,
        )
        noted = ("task_name", "base_model", "training_file")
        self._notes = {name: w.HTML() for name in noted}

    def _layout(self) -> "ipywidgets.Widget":
        import ipywidgets as w

        lines = {
            "task_name": self.task_name,
            "base_model": self.base_model,
            "training_file": self.training_file,
            "validation_kind": self.validation_kind,
            "validation_file": self.validation_file,
        }
        for name, line in lines.items():
            line.add_class("cookbook-line").add_class(f"cookbook-{name}")
        for name, note in self._notes.items():
            note.add_class("cookbook-note").add_class(f"cookbook-{name}-note")
        self.upload.add_class("cookbook-upload")
        return w.VBox(
            [
                self.task_name,
                self._notes["task_name"],
                self.base_model,
                self._notes["base_model"],
                w.HBox([self.training_file, self.upload]),
                self._notes["training_file"],
                self.validation_kind,
                self.validation_share.widget,
                self.validation_file,
            ]
        )

    def _observe(self) -> None:
        self.task_name.observe(self._on_task_name, "value")
        self.base_model.observe(self._on_base, "value")
        for chooser in (self.training_file, self.validation_file, self.validation_kind):
            chooser.observe(self._on_file, "value")
        self.upload.observe(self._on_upload, "value")

    def _offer_bases(self, chosen: str | None) -> None:
        import openai

        note = ""
        try:
            offered = bases.offered(self._client)
        except openai.OpenAIError as error:
            # The base that was asked for is enough; without one, the platform's are a start.
            offered = [] if chosen else list(siliconcloud.BASES)
            why = explain(error)
            text = tr(f"服务没有给出模型列表：{why}", f"the service did not list its models: {why}")
            note = templates.warning_lines(text)
        if chosen and chosen not in offered:
            offered.insert(0, chosen)
        # What is known of the platform is dated, and the reader should know how far it goes.
        if set(offered) & set(siliconcloud.BASES):
            note += templates.note(_about_siliconcloud())
        self.base_model.options = offered
        self.base_model.value = chosen or (offered[0] if offered else None)
        self._notes["base_model"].value = note

    def _offer_files(self, training: Path | None, validation: Path | None) -> None:
        choices = training_file.choices(self._folder)
        _offer(self.training_file, choices, training)
        _offer(self.validation_file, choices, validation)

    def _on_task_name(self, _: Any) -> None:
        self._changed()

    def _on_base(self, _: Any = None) -> None:
        self.ask_again()
        self._changed()

    def ask_again(self) -> None:
        """Ask for the card of the chosen base, and with it for the memory that is free."""
        import openai

        name = self.base_model.value
        try:
            self.base = bases.card(name, self._client)
        except openai.OpenAIError:
            # The list of models has already reported that the service does not answer.
            self.base = bases.card(name)
        # Without a service it is trained here; the panel asks for its plan at every change.
        if self.base.machine is None and self.base.shape and not self.base.trains_elsewhere:
            self.base = dataclasses.replace(self.base, machine=machine.here())
        if self._tokens_per_second:
            speed = self._tokens_per_second
            self.base = dataclasses.replace(self.base, tokens_per_second=speed)

    def _on_file(self, _: Any = None) -> None:
        by_share = self.validation_kind.value == "share"
        self.validation_share.widget.layout.display = "" if by_share else "none"
        self.validation_file.layout.display = "none" if by_share else ""
        note = self._notes["training_file"]
        chosen = (self.training_file.value, None if by_share else self.validation_file.value)
        # Choosing share or file again must not count the tokens again.
        if chosen != self._last_read:
            note.value = templates.note(tr("正在检查、数 token……", "checking, counting tokens …"))
            self._read = training_file.read(*chosen)
            self._last_read = chosen
        note.value = templates.file_note(self._read)
        self._changed()

    def _on_upload(self, change: dict[str, Any]) -> None:
        if not change["new"]:
            return
        name, content = training_file.uploaded(change["new"])
        note = self._notes["training_file"]
        try:
            path = training_file.keep(name, content)
            self._offer_files(path, self.validation_file.value)
        except DataError as error:
            note.value = templates.file_note(TrainingFile(error.report))
        except CookbookError as error:
            note.value = templates.error_lines(str(error))
        except OSError as error:
            note.value = templates.error_lines(_unwritable(error))
        # Emptied, so that a file of the same name can be uploaded again.
        self.upload.set_trait("value", type(change["new"])())


def _offer(chooser: "ipywidgets.Dropdown", choices: dict[str, Path], chosen: Path | None) -> None:
    """Let the reader choose a file, and choose one that may not be among the choices."""
    # As pairs, since two files may have the same label.
    options = [(tr("（不选）", "(none)"), None), *choices.items()]
    if chosen is not None:
        # A file of the folder may be given by its absolute path.
        same = [path for path in choices.values() if path.resolve() == chosen.resolve()]
        if same:
            chosen = same[0]
        else:
            options.insert(1, (path_from_here(chosen), chosen))
    chooser.options = options
    chooser.value = chosen


def _odd_task_name() -> str:
    return tr(
        "建议只用英文字母、数字、_ 和 -，不超过 64 个："
        "平台没有写明规则，见过的名字都是这样；内嵌服务不接受别的",
        "better use letters, digits, _ and - only, at most 64: the platform documents no rule, but "
        "all names seen are like this, and the embedded service accepts no others",
    )


def _about_siliconcloud() -> str:
    return tr(
        "SiliconCloud 微调指南列出的模型，2026 年 11 月；"
        "现在有哪些，以 cloud.siliconflow.cn/fine-tune 为准。"
        "平台训练哪些层没有公布，“训练的权重”按每个线性层都训练来算",
        "as in SiliconCloud's fine-tuning guide, November 2026; the live list is on "
        "cloud.siliconflow.cn/fine-tune. Which layers are trained there is not documented: "
        "the trained weights assume every linear layer",
    )


def _unwritable(error: OSError) -> str:
    reason = error.strerror
    return tr(
        f"数据目录不能写（{reason}）：用环境变量 COOKBOOK_HOME 换一个可写的目录",
        f"the data folder cannot be written ({reason}): choose another with COOKBOOK_HOME",
    )
