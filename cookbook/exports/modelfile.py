"""Write the Modelfile of Ollama: which GGUF, how a conversation is laid out, how it is answered.

    text, notes = modelfile("my-task-f16.gguf", words, layout, system_prompt)

Its syntax, and that of the templates, which is Go's, is that of Ollama's documentation on
2026-11-29 (docs/modelfile.mdx, docs/import.md and template/template.go in its repository). No
Ollama runs in the tests: what is tried there is the GGUF file, and how ChatML is laid out.

For a base whose chat template is ChatML the Modelfile has the same as TEMPLATE. For another base it
has none: Ollama then looks at the chat template in the GGUF file and takes the one of its own that
is most like it; where it knows none, it lays out nothing, and `notes` says so.
"""

from collections.abc import Callable, Sequence
from typing import Any

from cookbook import chatml
from cookbook.exports.vocabulary import Vocabulary
from cookbook.i18n import tr

TEMPERATURE, TOP_P = 0.7, 0.7
"""What the service answers with where a request names nothing else (`service/chat_body.py`)."""

Layout = Callable[[Sequence[Any], bool], str]
"""A base's chat template, called as `layout(messages, add_generation_prompt)`."""

_TURNS = """\
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
_DEFAULT_SYSTEM = f"""\
{{{{- if not .System }}}}<|im_start|>system
{chatml.DEFAULT_SYSTEM}<|im_end|>
{{{{ end }}}}"""

_SYSTEM = {"role": "system", "content": "你是客服助手"}
_USER = {"role": "user", "content": "怎么退款？"}
_ANSWER = {"role": "assistant", "content": "在订单里申请。"}
CONVERSATIONS = ([_USER], [_SYSTEM, _USER], [_USER, _ANSWER, _USER], [_SYSTEM, _USER, _ANSWER])


def modelfile(
    weights: str, words: Vocabulary, layout: Layout, system_prompt: str | None
) -> tuple[str, list[str]]:
    """Return the text of a Modelfile, and what the reader should know of it."""
    notes = []
    lines = [f"FROM ./{weights}"]
    template = template_of(layout)
    if template is not None:
        lines.append(f'TEMPLATE """{template}"""')
    else:
        notes.append(
            tr(
                "Modelfile 里没有 TEMPLATE：Ollama 按 GGUF 里的对话模板选它自己最接近的一个，"
                "先用 ollama show --modelfile 看一眼",
                "the Modelfile has no TEMPLATE: Ollama takes the one of its own that is most like "
                "the chat template in the GGUF file; look at it with ollama show --modelfile",
            )
        )
    if system_prompt is None:
        notes.append(
            tr(
                "Modelfile 里没有 SYSTEM：训练数据没有共同的系统提示词，或者这里不知道"
                "（模型来自课堂，或是导入的）。训练时用过的话，自己加一行 SYSTEM",
                "the Modelfile has no SYSTEM: the training rows share no system prompt, or it is "
                "not known here (a model of a room, or one that was imported). If there was one, "
                "add a line SYSTEM yourself",
            )
        )
    else:
        line = _system(system_prompt)
        if line:
            lines.append(line)
        else:
            notes.append(
                tr(
                    'Modelfile 里写不进训练用的系统提示词（里面有 """）：提问时自己带上',
                    "the system prompt of the training cannot be written in a Modelfile, since it "
                    'has """ in it: send it with each question',
                )
            )
    lines += [f"PARAMETER temperature {TEMPERATURE}", f"PARAMETER top_p {TOP_P}"]
    # Older versions of Ollama have 1.1.
    lines.append("PARAMETER repeat_penalty 1.0")
    lines += [f'PARAMETER stop "{end}"' for end in words.ends]
    return "\n".join(lines) + "\n", notes


def template_of(layout: Layout) -> str | None:
    """Return a ChatML template as Ollama reads it; None for another template."""
    if _same(layout, chatml.render):
        return _DEFAULT_SYSTEM + _TURNS
    if _same(layout, _without_default):
        return _TURNS
    return None


def _without_default(messages: Sequence[Any], opened: bool) -> str:
    """Lay out ChatML that adds no system message, such as Qwen3's."""
    text = "".join(f"{chatml.START}{chatml.turn(one)}{chatml.END}\n" for one in messages)
    return text + (f"{chatml.START}assistant\n" if opened else "")


def _same(layout: Layout, other: Layout) -> bool:
    """Return whether two templates lay out conversations alike."""
    for messages in CONVERSATIONS:
        opened = messages[-1]["role"] == "user"
        try:
            if layout(messages, opened) != other(messages, opened):
                return False
        # Many templates refuse some conversations on purpose, each with an error of its own.
        except Exception:
            return False
    return True


def _system(prompt: str) -> str | None:
    """Return the line of the system prompt; None where it cannot be written."""
    if '"""' not in prompt and not prompt.endswith('"'):
        return f'SYSTEM """{prompt}"""'
    # Without quotes it ends with the line, and what is around it is cut.
    is_a_line = "\n" not in prompt and prompt == prompt.strip() and not prompt.startswith('"')
    return f"SYSTEM {prompt}" if is_a_line and "\r" not in prompt else None
