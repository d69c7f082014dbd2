"""Find the marks of chat templates, and of thinking, inside a text.

A template writes `<|im_end|>` or `[/INST]` around a message itself; inside of one it is left over
from another tool. `<think>` belongs to a text only as a pair with something in between.
"""

import re
from collections.abc import Iterator

from cookbook.data.damage.code import without_code
from cookbook.data.damage.spot import Spot

# Of ChatML, Llama, GLM, DeepSeek and Gemma; Alpaca's are headings.
_TEMPLATE = re.compile(
    r"<\|[A-Za-z0-9_ ]{1,40}\|>|<｜[^｜<>\n]{1,40}｜>|\[/?INST\]|<</?SYS>>|\[gMASK\]|<sop>|<eop>"
    r"|\[TOOL_CALLS\]|\[/?TOOL_RESULTS\]|\[/?AVAILABLE_TOOLS\]"
    r"|</?(?:start_of_turn|end_of_turn|bos|eos|unk|pad)>|<(?:reserved_[0-9]{1,4})>"
    r"|\A<s>|</s>\Z|<s>(?=\[INST\])|</s>(?=<s>)"
    r"|^#{2,3} ?(?:Instruction|Input|Response|Human|Assistant) ?[:：]",
    re.MULTILINE,
)

_THINK = re.compile(r"<(?P<slash>/?)(?P<name>think|thinking|thought)>", re.IGNORECASE)


def template_spots(text: str) -> Iterator[Spot]:
    """Yield each mark of a chat template, in code too: it may end a message there as well."""
    # On a web page `<s>…</s>` crosses something out.
    crossed_out = "<s>" in text and "</s>" in text and not text.endswith("</s>")
    for match in _TEMPLATE.finditer(text):
        if crossed_out and match[0] == "<s>":
            continue
        yield Spot(match.start(), match.end(), None)


def describe_template(text: str, spot: Spot) -> tuple[str, str]:
    """Return what was found, in Chinese and English."""
    written = text[spot.start : spot.end][:40]
    return f"对话模板的标记 {written}", f"chat template mark {written}"


def has_thinking(text: str) -> bool:
    """Return whether a text has thinking in it, marked as such."""
    start = text.find("<think")
    return start >= 0 and any(not _is_blank(text, spot) for spot in blocks(text))


def thinking_spots(text: str) -> Iterator[Spot]:
    """Yield each mark of thinking without its partner, and each pair with nothing in between."""
    for spot in blocks(text):
        if spot.repaired is None or _is_blank(text, spot) or not _begins_with_mark(text, spot):
            yield spot


def blocks(text: str) -> Iterator[Spot]:
    """Yield each piece of thinking with its marks, to be removed.

    An end without a beginning ends what stands before it: the template wrote the beginning. Where
    thinking without an end stops cannot be known.
    """
    if "<" not in text:
        return
    begun: int | None = None
    done = 0
    for match in _THINK.finditer(without_code(text)):
        if match["slash"]:
            start = done if begun is None else begun
            done, begun = _past_space(text, match.end()), None
            yield Spot(start, done, "")
        elif begun is None:
            begun = match.start()
    if begun is not None:
        # Only the mark: the rest of the text may be the answer.
        yield Spot(begun, text.index(">", begun) + 1, None)


def describe_thinking(text: str, spot: Spot) -> tuple[str, str]:
    """Return what was found, in Chinese and English."""
    if spot.repaired is None:
        return "有 <think> 没有 </think>", "<think> without </think>"
    if _is_blank(text, spot):
        return "空的 <think></think>", "an empty <think></think>"
    if _begins_with_mark(text, spot):
        return "<think> 里的思考过程", "thinking in <think>"
    return "有 </think> 没有 <think>", "</think> without <think>"


def _begins_with_mark(text: str, spot: Spot) -> bool:
    # A piece that begins with the end of thinking has lost its beginning.
    begin = _THINK.match(text, spot.start)
    return bool(begin and not begin["slash"])


def _is_blank(text: str, spot: Spot) -> bool:
    begin = _THINK.match(text, spot.start)
    if not begin or begin["slash"] or spot.repaired is None:
        return False
    end = _THINK.match(text, _past_space(text, begin.end()))
    return bool(end and end["slash"])


_SPACE = re.compile(r"\s*")


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match else at
