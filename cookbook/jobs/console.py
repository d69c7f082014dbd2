"""SiliconCloud, where jobs are made in the console's form, since no public route makes them.

    sheet = jobs.console_sheet("zhishuo", path, hp)   what to type, field by field, with a button that copies each
    jobs.IdentifierBox(client)                        a box for the identifier that the console gives
    jobs.verify(client, text)                         the same as a call: its shape, one short chat, then remembered
    jobs.remembered(client)                           the identifier verified last, or None

Identifiers are remembered in the data folder (`identifiers.json`), by platform address, never in the notebook.
"""

import dataclasses
import html
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from cookbook.errors import IdentifierError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.jobs.buttons import with_stand_in
from cookbook.params import Hyperparameters
from cookbook.paths import home
from cookbook.siliconcloud import BASES, CONSOLE, Identifier, identifier

# Selects the value beside the button and copies it. The older command works without HTTPS too, unlike the clipboard API.
_COPY = (
    "const s=getSelection(),v=this.closest('tr').querySelector('code');s.selectAllChildren(v);"
    "document.execCommand('copy');s.removeAllRanges();this.textContent='✓'"
)


@dataclass(frozen=True)
class ConsoleSheet:
    """The console's form, field by field, in the form's order; `files` are the fields that name a file on this machine.

    In Jupyter each value has a button that copies it, as soon as the cell was run by its reader: of a notebook that was
    only opened, Jupyter shows no scripts, and the values are selected by hand.
    """

    fields: dict[str, str]
    files: dict[str, Path] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self.fields.items())

    def _repr_html_(self) -> str:
        rows = "".join(self._row(name, value) for name, value in self.fields.items())
        link = f'<a href="{CONSOLE}" target="_blank" rel="noopener">{CONSOLE}</a>'
        top = tr(f"打开 {link}，逐栏填写：", f"Open {link} and fill in:")
        return f"<p>{top}</p><table><tbody>{rows}</tbody></table>"

    def _row(self, name: str, value: str) -> str:
        left = 'style="text-align:left"'
        if name in self.files:
            # As IPython's FileLink: relative to the folder of the notebook, where its kernel runs.
            address = quote(os.path.relpath(self.files[name]).replace(os.sep, "/"))
            hint = tr("下载后上传", "download, then upload")
            action = f'<a href="{address}" download target="_blank" title="{hint}">{tr("文件", "file")}</a>'
        else:
            action = f'<button class="cookbook-copy" onclick="{html.escape(_COPY)}">{tr("复制", "copy")}</button>'
        return f"<tr><td {left}>{html.escape(name)}</td><td {left}><code>{html.escape(value)}</code></td><td {left}>{action}</td></tr>"


def console_sheet(
    task_name: str,
    training_file: str | Path,
    hp: Hyperparameters,
    *,
    base_model: str = BASES[0],
    validation: float | str | Path = 0.1,
) -> ConsoleSheet:
    """What to type into SiliconCloud's form: task, base, data, validation, the seven parameters.

    Args:
        training_file: its path; where it exists on this machine, the sheet links to it.
        validation: a share of the training set, or a validation file.
    """
    labels = dict(
        learning_rate="Learning Rate", n_epochs="Number of Epochs", batch_size="Batch Size", max_tokens="Max Tokens",
        lora_rank="LoRA Rank", lora_alpha="LoRA Alpha", lora_dropout="LoRA Dropout",
    )  # fmt: skip
    files = {"训练数据": Path(training_file)}
    if isinstance(validation, str | Path):
        files["验证数据"] = Path(validation)
    fields = {"任务名称": task_name, "基础模型": base_model, "训练数据": "", "验证数据": ""}
    fields |= {name: path.name for name, path in files.items()}
    fields["验证数据"] = fields["验证数据"] or f"{validation:.0%}"
    values = dataclasses.asdict(hp)
    fields |= {label: f"{values[name]:.10g}" for name, label in labels.items()}
    return ConsoleSheet(fields, {name: path for name, path in files.items() if path.is_file()})


@dataclass(frozen=True)
class Verified:
    """A tuned model that answered, and what it said to the short question."""

    model: str
    parts: Identifier
    answer: str
    remembered: bool

    def __repr__(self) -> str:
        told = tr("可以调用，已记住", "can be called; remembered")
        if not self.remembered:
            told = tr(
                "可以调用；数据目录不能写，没有记住，用 COOKBOOK_HOME 换一个",
                "can be called; not remembered, the data folder cannot be written: choose another with COOKBOOK_HOME",
            )
        return f"✔ {self.parts.task} ({self.parts.base}): {told} · {self.answer}"


def verify(client, text: str, *, question: str = "你好") -> Verified:
    """Check an identifier's shape, ask the model something short (16 tokens at most), and remember it.

    Raises:
        IdentifierError: it is no identifier, or the platform refuses it: with the reason and what to do.
    """
    import openai

    parts, model = identifier(text), text.strip()
    messages = [{"role": "user", "content": question}]
    try:
        answer = client.chat.completions.create(model=model, messages=messages, max_tokens=16)
    except openai.APIError as error:
        raise IdentifierError(explain(error), explain(error)) from error
    kept = _remember(client, model)
    return Verified(model, parts, answer.choices[0].message.content or "", kept)


def remembered(client) -> str | None:
    """The identifier that was verified last at the platform `client` speaks to; None if there is none."""
    note = _notes().get(str(client.base_url))
    return note.get("model") if isinstance(note, dict) else None


def _notes() -> dict:
    try:
        notes = json.loads((home() / "identifiers.json").read_text(encoding="utf-8"))
        return notes if isinstance(notes, dict) else {}
    except (OSError, ValueError):
        return {}


def _remember(client, model: str) -> bool:
    """Whether it could be written down."""
    path = home() / "identifiers.json"
    notes = _notes() | {str(client.base_url): {"model": model, "verified_at": int(time.time())}}
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(notes, ensure_ascii=False, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError:
        return False
    return True


class IdentifierBox:
    """A box to paste the identifier into; on a click it is verified, and remembered if it answers."""

    def __init__(self, client):
        import ipywidgets as w

        self._client = client
        self.text = w.Text(
            placeholder="ft:LoRA/…",
            description=tr("标识符", "identifier"),
            layout=w.Layout(width="46em"),
        )
        self.text.add_class("cookbook-identifier")
        self.button = w.Button(
            description=tr("验证并记住", "verify and remember"), button_style="primary"
        )
        self.button.add_class("cookbook-verify")
        self.message = w.HTML(_told(remembered(client)))
        self.widget = w.VBox([w.HBox([self.text, self.button]), self.message])
        self.button.on_click(self._click)

    def _click(self, _) -> None:
        try:
            told, colour = repr(verify(self._client, self.text.value)), "#238b45"
        except IdentifierError as error:
            told, colour = f"✘ {error}", "#c0392b"
        self.message.value = f'<span style="color:{colour}">{html.escape(told)}</span>'

    def _repr_mimebundle_(self, **options):
        return with_stand_in(self.widget, self.button.description, options)


def _told(model: str | None) -> str:
    if not model:
        return tr("还没有记住的标识符", "no identifier is remembered yet")
    return tr("上次记住的：", "remembered: ") + f"<code>{html.escape(model)}</code>"
