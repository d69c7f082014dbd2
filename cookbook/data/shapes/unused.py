"""Say in words what a key meant that no row can hold.

Most keys that are left over are numbers and labels for people; their names are enough. These mean
something for training: who drops them silently changes what is learned.
"""

from collections.abc import Mapping

from cookbook.data.report.names import MAX_NAME, named
from cookbook.data.shapes.shape import is_empty
from cookbook.i18n import tr

_THINKING = ("思考过程", "thinking")
_WEIGHT = ("训练权重", "training weight")
_TOOLS = ("工具的说明", "tool descriptions")
_REJECTED = ("较差的回答", "worse answer")
_SCORE = ("评分", "score")
_QUESTION = ("对话之外的提问或要求", "a question or instruction outside the conversation")
_ANSWER = ("对话之外的回答", "an answer outside the conversation")
_SYSTEM = ("另一句系统提示词", "another system prompt")
_MEDIA = ("图片或音视频", "images, audio or video")
_TEXT = ("另一段文字", "another text")
_LABEL = ("标签", "label")

_WORDS = {
    _THINKING: "reasoning_content reasoning thinking thinking_content think thought thoughts cot "
    "complex_cot chain_of_thought rationale inner_thoughts 思维链 思考 思考过程 推理过程",
    _WEIGHT: "weight weights loss loss_weight loss_scale train train_detail train_on_input mask",
    _TOOLS: "tools functions tool_choice parallel_tool_calls function api apis",
    _REJECTED: "rejected rejected_response rejected_messages rejected_answer non_preferred_output",
    _SCORE: "score scores rating ratings reward rewards rank preference feedback 评分 得分",
    _QUESTION: "instruction prompt query question input context 指令 问题",
    _ANSWER: "output response completion answer reference references chosen target 回答 答案",
    _SYSTEM: "system system_prompt systemprompt system_message bot_setting meta_instruction",
    _MEDIA: "images image videos video audios audio",
    _TEXT: "content text 文本",
    _LABEL: "label labels kto_tag refusal prefix partial",
}
_EMPTY = ("[]", "{}", "null", "None", "nan")
MEANING = {}
for _words, _names in _WORDS.items():
    MEANING.update(dict.fromkeys(_names.split(), _words))


def meaning_of(key: str, value: object) -> tuple[str, str] | None:
    """Return what a key means for training, in Chinese and English; None if nothing."""
    meaning = MEANING.get(key.casefold())
    # Some have a switch of that name.
    is_switch = isinstance(value, bool) or value in ("enabled", "disabled", "auto")
    return None if meaning is _THINKING and is_switch else meaning


def in_words(unused: Mapping[str, object]) -> str:
    """Return the keys that mean something, each with what it means; "" if there are none."""
    # Keys of one meaning are named together.
    by_meaning: dict[tuple[str, str], list[str]] = {}
    for key, value in unused.items():
        meaning = meaning_of(key, value)
        if meaning and not _says_nothing(value):
            by_meaning.setdefault(meaning, []).append(key)
    parts = []
    for (zh, en), keys in by_meaning.items():
        names = named(keys)
        parts.append(tr(f"{names}（{zh}）", f"{names} ({en})"))
    return tr("；", "; ").join(parts)


def metadata(unused: Mapping[str, object]) -> list[str]:
    """Return the names of the keys that mean nothing for training."""
    names = []
    # A key that means something and is empty has taken nothing away.
    for key, value in unused.items():
        if meaning_of(key, value) is None or _says_nothing(value):
            names.append(key[:MAX_NAME])
    return names


def _says_nothing(value: object) -> bool:
    # Some write an empty list as text.
    if isinstance(value, str) and value.strip() in _EMPTY:
        return True
    return is_empty(value)
