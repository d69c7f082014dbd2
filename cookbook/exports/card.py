"""Write the model card that goes with a model's files: the README.md of their folder.

    card(facts, base, "gguf", files)      Markdown, in the reader's language

Whoever is given the folder alone can tell from it what the model was made of and with what, and how
to run it. It names no path of this machine, no training row and no system prompt, and no hub name
but one that the base was really loaded by. What is not known is said to be so.
"""

import json

import cookbook
from cookbook.bases import Base
from cookbook.exports import calls
from cookbook.exports.facts import Facts
from cookbook.exports.licence import licence_of
from cookbook.i18n import tr
from cookbook.params import PARAMETERS
from cookbook.terminal import printable


def card(facts: Facts, base: Base, form: str, files: calls.Files) -> str:
    """Return the card of a model in one of the forms, as Markdown."""
    title = _quoted(facts.title or facts.name)
    parts = [
        _front_matter(base, form),
        f"# {title}",
        _summary(facts, base, form, files),
        _section(tr("基础模型", "Base model"), f"{_origin(base)}\n\n{_licence(base)}"),
        _section(tr("如何加载", "How to load it"), _loading(facts, base, form, files)),
        _section(tr("数据", "Data"), _list(_data_lines(facts))),
        _section(tr("训练", "Training"), _training(facts, base)),
        _section(tr("限制", "Limits"), _list(_limits(base, form))),
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(base: Base, form: str) -> str:
    lines = ["---"]
    # Hubs make a link of it, so it must be a name that is known to be the base's.
    if base.on_hub:
        lines.append(f"base_model: {json.dumps(base.id)}")
    if licence := licence_of(base):
        lines.append(f"license: {json.dumps(licence.id)}")
        if licence.name.lower() != licence.id:
            lines.append(f"license_name: {json.dumps(licence.name)}")
        if licence.link:
            lines.append(f"license_link: {json.dumps(licence.link)}")
    library = {"peft": "peft", "merged": "transformers"}.get(form, "gguf")
    lines += [f"library_name: {library}", "pipeline_tag: text-generation", "tags:", "- lora", "---"]
    return "\n".join(lines)


def _summary(facts: Facts, base: Base, form: str, files: calls.Files) -> str:
    name = _quoted(base.id)
    zh, en = "", ""
    if facts.step is not None:
        zh, en = f"，第 {facts.step} 步", f", after step {facts.step}"
    if form == "peft":
        return tr(
            f"{name} 的 LoRA 适配器（PEFT 格式）{zh}。",
            f"A LoRA adapter for {name}, in PEFT's format{en}.",
        )
    if form == "merged":
        return tr(
            f"{name} 合并了 LoRA 适配器{zh}：safetensors，权重类型和基础模型相同。",
            f"{name} with a LoRA adapter merged into it{en}: safetensors in the base's own type.",
        )
    kind = files.kind
    extra_zh, extra_en = "", ""
    if form == "ollama":
        extra_zh, extra_en = "，附 Ollama 的 Modelfile", ", with a Modelfile for Ollama"
    return tr(
        f"{name} 合并了 LoRA 适配器{zh}：GGUF（{kind}）{extra_zh}。",
        f"{name} with a LoRA adapter merged into it{en}: GGUF ({kind}){extra_en}.",
    )


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


def _licence(base: Base) -> str:
    licence = licence_of(base)
    if licence is None:
        return tr(
            "许可证：不知道。转给别人或公开之前，先查清楚基础模型的许可证。",
            "Licence: not known. Find out the licence of the base before you hand this on.",
        )
    name = _quoted(licence.name)
    link = f" ({_quoted(licence.link)})" if licence.link else ""
    return tr(f"许可证：{name}{link}。", f"Licence: {name}{link}.")


def _loading(facts: Facts, base: Base, form: str, files: calls.Files) -> str:
    parts = []
    if snippet := calls.python(base, form, files):
        parts.append(f"```python\n{snippet}\n```")
    for call in calls.commands(facts, base, form, files, as_read=True):
        parts.append(f"{call.program}:\n\n```sh\n{call.text}\n```")
    if facts.system_prompt is not None:
        where_zh, where_en = "提问时带上同样的一条", "send the same one with each question"
        if form == "ollama":
            where_zh, where_en = "它在 Modelfile 里", "it is in the Modelfile"
        parts.append(
            tr(
                f"训练数据的每一行都以同一条系统提示词开头：{where_zh}。",
                f"All training rows begin with one and the same system prompt: {where_en}.",
            )
        )
    return "\n\n".join(parts)


def _data_lines(facts: Facts) -> list[str]:
    if facts.data_name is None:
        return [tr("不知道：模型是在别处训练的", "not known: the model was trained elsewhere")]
    rows = "–" if facts.train_rows is None else f"{facts.train_rows:,}"
    file = _quoted(facts.data_name)
    validation = _quoted(facts.validation or "–")
    if facts.validation is None and facts.validation_split is not None:
        share = f"{facts.validation_split:.0%}"
        validation = tr(f"留出 {share}", f"{share} held out")
    lines = [
        tr(
            f"训练文件：{file}，训练 {rows} 条",
            f"training file: {file}, {rows} rows trained on",
        ),
        tr(
            f"验证：{validation}，{facts.valid_rows or 0} 条",
            f"validation: {validation}, {facts.valid_rows or 0} rows",
        ),
    ]
    if facts.tokens is not None and facts.trained_share is not None:
        share = f"{facts.trained_share:.0%}"
        lines.append(
            tr(
                f"读了 {facts.tokens:,} 个 token（每轮都算），其中 {share} 是助手的回答，参与训练",
                f"{facts.tokens:,} tokens read, all epochs together; {share} of them are the "
                "assistant's and were trained on",
            )
        )
    return lines


def _training(facts: Facts, base: Base) -> str:
    rows = ["| | |", "| --- | --- |"]
    for name in PARAMETERS:
        if name in facts.hyperparameters:
            rows.append(f"| {name} | {facts.hyperparameters[name]:.10g} |")
    for name, value in (("rank", facts.rank), ("alpha", facts.alpha), ("seed", facts.seed)):
        if value is not None:
            rows.append(f"| {name} | {value:.10g} |")
    if facts.date:
        rows.append(f"| {tr('日期', 'date')} | {facts.date} (UTC) |")
    for name, loss in (("train_loss", facts.train_loss), ("valid_loss", facts.valid_loss)):
        if loss is not None:
            rows.append(f"| {name} | {loss:.4f} |")
    table = "\n".join(rows)
    # It belongs to the learning rate above it.
    if base.learning_rate_scale == 1 or not facts.hyperparameters:
        return table
    scale = f"{base.learning_rate_scale:g}"
    note = tr(
        f"对这个基础模型，实际学习速率是表中的 {scale} 倍。",
        f"For this base the learning rate was {scale} times that of the table.",
    )
    return f"{table}\n\n{note}"


def _limits(base: Base, form: str) -> list[str]:
    first = tr(
        "基础模型的许可证也适用于它。",
        "The licence of the base applies to it, too.",
    )
    if form == "peft":
        first = tr(
            "只能用在上面这个基础模型上；它的许可证也适用于这个适配器。",
            "It works on this base model alone, whose licence applies to it, too.",
        )
    lines = [
        first,
        tr(
            "它学的是训练文件里的写法，可能原样复述其中的内容：文件不能公开，它也不要公开。",
            "It has learned from the training file and may repeat parts of it word for word: "
            "where the file must not be public, neither may this.",
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
