"""Write the model card that goes with an adapter: the README.md of its folder.

Whoever is given the folder alone can tell from it what the adapter was made of and with what, and
how to load it. It names no path of this machine, and no hub name but one that the base was really
loaded by. It is in the language of the service.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import cookbook
from cookbook.bases import Base
from cookbook.i18n import tr
from cookbook.params import PARAMETERS
from cookbook.service.events import Checkpoint, Finished
from cookbook.service.store import Event, Job, Store
from cookbook.terminal import printable

LOADING = """\
```python
{imports}
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = {base}
adapter = "."  # {this_folder}
tokenizer = AutoTokenizer.from_pretrained(adapter)
model = AutoModelForCausalLM.from_pretrained(base)
model = PeftModel.from_pretrained(model, adapter)
```"""


@dataclass(frozen=True)
class _Data:
    """What the job's events and files tell of its data; None where they do not."""

    training_file: str
    validation: str
    train_rows: int | None
    valid_rows: int | None
    trained_share: float | None
    tokens: int | None


def model_card(
    store: Store,
    job: Job,
    base: Base,
    event: Checkpoint | Finished,
    *,
    trained_by: str | None = None,
) -> str:
    """Return the card of the adapter that this event is about, as Markdown.

    `trained_by` is the equal job whose log tells of the training, where this one took it over.
    """
    data = _data(store, job, trained_by or job.id, event.step)
    title = _quoted(job.suffix or job.id)
    parts = [
        _front_matter(base),
        f"# {title}",
        tr(
            f"{_quoted(base.id)} 的 LoRA 适配器（PEFT 格式），第 {event.step} 步。",
            f"A LoRA adapter for {_quoted(base.id)}, in PEFT's format, after step {event.step}.",
        ),
        _section(tr("基础模型", "Base model"), _origin(base)),
        _section(tr("如何加载", "How to load it"), _loading(base)),
        _section(tr("数据", "Data"), _list(_data_lines(data))),
        _section(tr("训练", "Training"), _training(job, base, event)),
        _section(tr("限制", "Limits"), _list(_limits(base))),
    ]
    return "\n\n".join(parts) + "\n"


def _data(store: Store, job: Job, trained_by: str, step: int) -> _Data:
    started = _figures(store.started_event(trained_by))
    last_step = _figures(store.metrics_at(trained_by, step))
    validation = tr(f"留出 {job.validation_split:.0%}", f"{job.validation_split:.0%} held back")
    if job.validation_file:
        validation = _file_name(store, job.validation_file)
    return _Data(
        training_file=_file_name(store, job.training_file),
        validation=validation,
        train_rows=started.get("train_rows"),
        valid_rows=started.get("valid_rows"),
        trained_share=started.get("trained_share"),
        tokens=last_step.get("tokens"),
    )


def _figures(event: Event | None) -> dict[str, Any]:
    return (event.data if event else None) or {}


def _file_name(store: Store, file_id: str) -> str:
    file = store.file(file_id)
    # A client may have sent a whole path, of this system or of another.
    name = re.split(r"[\\/]", file.filename)[-1] if file else file_id
    return _quoted(name)


def _front_matter(base: Base) -> str:
    lines = ["---"]
    # Hubs make a link of it, so it must be a name that is known to be the base's.
    if base.on_hub:
        lines.append(f"base_model: {json.dumps(base.id)}")
    lines += ["library_name: peft", "pipeline_tag: text-generation", "tags:", "- lora", "---"]
    return "\n".join(lines)


def _origin(base: Base) -> str:
    name = _quoted(base.id)
    if base.on_hub:
        return tr(
            f"{name}，在 Hugging Face 或镜像站上：https://huggingface.co/{base.id}",
            f"{name}, on Hugging Face or a mirror: https://huggingface.co/{base.id}",
        )
    if base.is_shipped:
        return tr(
            f"{name}，教学用的小模型，随 siliconcloud-cookbook {cookbook.__version__} 安装"
            "（源码里是 `data/models/`）。任何 hub 上都没有它：同名的仓库不是它。",
            f"{name}, a tiny model for teaching that comes with siliconcloud-cookbook "
            f"{cookbook.__version__} (in its source: `data/models/`). It is on no hub: a "
            "repository of this name is not it.",
        )
    return tr(
        f"一个名为 {name} 的本地文件夹，由 COOKBOOK_BASE_MODEL 指定；来源未知。"
        "hub 上同名的仓库不一定是它。",
        f"A local folder named {name}, given by COOKBOOK_BASE_MODEL; where it came from is not "
        "known here. A repository of this name on a hub may be another model.",
    )


def _loading(base: Base) -> str:
    imports = ""
    source = json.dumps(base.id)
    if base.is_shipped:
        imports = "from cookbook.paths import DATA"
        source = f'DATA / "models" / {json.dumps(base.folder_name)}'
    elif not base.on_hub:
        comment = tr("改成基础模型的文件夹", "the folder of the base model")
        source = f'"…"  # {comment}'
    this_folder = tr("这个文件夹", "this folder")
    snippet = LOADING.format(imports=imports, base=source, this_folder=this_folder)
    return snippet.replace("```python\n\n", "```python\n")


def _data_lines(data: _Data) -> list[str]:
    rows = "–" if data.train_rows is None else f"{data.train_rows:,}"
    lines = [
        tr(
            f"训练文件：{data.training_file}，训练 {rows} 条",
            f"training file: {data.training_file}, {rows} rows trained on",
        ),
        tr(
            f"验证：{data.validation}，{data.valid_rows or 0} 条",
            f"validation: {data.validation}, {data.valid_rows or 0} rows",
        ),
    ]
    if data.tokens is not None and data.trained_share is not None:
        share = f"{data.trained_share:.0%}"
        lines.append(
            tr(
                f"读了 {data.tokens:,} 个 token（每轮都算），其中 {share} 是助手的回答，参与训练",
                f"{data.tokens:,} tokens read, all epochs together; {share} of them are the "
                "assistant's and were trained on",
            )
        )
    return lines


def _training(job: Job, base: Base, event: Checkpoint | Finished) -> str:
    date = time.strftime("%Y-%m-%d", time.gmtime())
    rows = ["| | |", "| --- | --- |"]
    for name in PARAMETERS:
        if name in job.hyperparameters:
            rows.append(f"| {name} | {job.hyperparameters[name]:.10g} |")
    for name, value in (("seed", job.seed), (tr("日期", "date"), f"{date} (UTC)")):
        rows.append(f"| {name} | {value} |")
    rows.append(f"| train_loss | {event.train_loss:.4f} |")
    if event.valid_loss is not None:
        rows.append(f"| valid_loss | {event.valid_loss:.4f} |")
    table = "\n".join(rows)
    if base.learning_rate_scale == 1:
        return table
    scale = f"{base.learning_rate_scale:g}"
    note = tr(
        f"对这个基础模型，实际学习速率是表中的 {scale} 倍。",
        f"For this base the learning rate was {scale} times that of the table.",
    )
    return f"{table}\n\n{note}"


def _limits(base: Base) -> list[str]:
    lines = [
        tr(
            "只能用在上面这个基础模型上；它的许可证也适用于这个适配器。",
            "It works on this base model alone, whose licence applies to it, too.",
        ),
        tr(
            "它学的是训练文件里的写法，可能原样复述其中的内容：文件不能公开，适配器也不要公开。",
            "It has learned from the training file and may repeat parts of it word for word: "
            "where the file must not be public, neither may the adapter.",
        ),
        tr(
            "loss 只说明它有多贴近这份数据，不说明回答的对错；使用前先评测。",
            "The losses tell how close it is to this data, not whether answers are right: "
            "evaluate it before use.",
        ),
    ]
    if base.is_shipped:
        lines.append(
            tr("基础模型只用于教学，不要用于别处。", "The base is for teaching and nothing else.")
        )
    return lines


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n{text}"


def _list(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _quoted(text: str) -> str:
    """Return somebody's text as code, on one line: Markdown in it means nothing then."""
    line = printable(" ".join(text.split()))
    return "`" + line.replace("`", "'") + "`"
