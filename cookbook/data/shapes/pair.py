"""One question and its answer in one object, whatever its keys are called."""

from collections.abc import Mapping

from cookbook.data.report.names import named
from cookbook.data.shapes.shape import Converted, Refused, Shape, folded, is_empty, keys_in, words

ALPACA = Shape("alpaca", "Alpaca 格式", "Alpaca")
FIREFLY = Shape("firefly", "Firefly 格式", "Firefly")
DOLLY = Shape("dolly", "Dolly 格式", "Dolly")
QUERY_RESPONSE = Shape("query-response", "query/response 格式", "query/response")
PROMPT_COMPLETION = Shape("prompt-completion", "prompt/completion 格式", "prompt/completion")
QUESTION_ANSWER = Shape("question-answer", "一问一答的格式", "question–answer pairs")

QUESTIONS = words(
    "instruction instruct prompt query question q input user human usr user_input user_message "
    "user_prompt input_text problem ask context "
    "指令 问题 提问 问 用户 题目 输入 上下文"
)
ANSWERS = words(
    "output response completion answer a target reply assistant gpt bot ai assistant_message "
    "assistant_response output_text model_output solution "
    "回答 答案 答 回复 输出 助手"
)
# What belongs under a question, where an entry has both.
_BELOW = {
    "instruction": ("input", "context", "query", "question"),
    "instruct": ("input", "context"),
    "prompt": ("query", "input", "context"),
    "query": ("context", "input"),
    "question": ("context", "input"),
    "指令": ("输入", "问题", "上下文"),
    "问题": ("上下文", "输入"),
}
# An answer where nothing else is one: beside an answer it may be anything.
_LAST_RESORT = ("content",)
# The oldest ChatGLM files: `content` is asked, `summary` answers.
_ADGEN = ("content", "summary")
WEIGHTS = ("weight", "loss", "train", "loss_weight")


def shape_of(entry: Mapping) -> Shape | None:
    """Return the shape of an object with a question and an answer; None for any other."""
    names = folded(entry)
    if not _questions(names) or not _answers(names):
        return None
    # Firefly has an `input` too, so that it must come before the others.
    if {"kind", "input", "target"} <= names.keys():
        return FIREFLY
    if {"instruction", "output"} <= names.keys():
        return ALPACA
    if {"instruction", "context", "response"} <= names.keys():
        return DOLLY
    if {"query", "response"} <= names.keys():
        return QUERY_RESPONSE
    if {"prompt", "completion"} <= names.keys():
        return PROMPT_COMPLETION
    return QUESTION_ANSWER


def question_keys(entry: Mapping) -> list[str]:
    """Return the keys whose texts are the question, from top to bottom.

    Raises:
        Refused: several may be it.
    """
    names = folded(entry)
    present = _questions(names)
    different = _different(present, entry, names)
    if len(different) < 2:
        return [names[(different or present)[0]]]
    main, *others = different
    if len(others) == 1 and others[0] in _BELOW.get(main, ()):
        return [names[main], names[others[0]]]
    keys = [names[name] for name in different]
    raise Refused(
        zh=f"有好几个像提问的键：{named(keys)}",
        en=f"several keys may be the question: {named(keys)}",
        fix=("只留一个", "keep one of them"),
        key=keys[1],
    )


def answer_key(entry: Mapping) -> str:
    """Return the key whose text is the answer.

    Raises:
        Refused: several may be it.
    """
    names = folded(entry)
    present = _answers(names)
    different = _different(present, entry, names)
    if len(different) < 2:
        return names[(different or present)[0]]
    keys = [names[name] for name in different]
    raise Refused(
        zh=f"有好几个像回答的键：{named(keys)}",
        en=f"several keys may be the answer: {named(keys)}",
        fix=("只留一个", "keep one of them"),
        key=keys[1],
    )


def _questions(names: Mapping[str, str]) -> list[str]:
    usual = [name for name in QUESTIONS if name in names]
    return usual or [name for name in _ADGEN[:1] if names.keys() >= set(_ADGEN)]


def _answers(names: Mapping[str, str]) -> list[str]:
    usual = [name for name in ANSWERS if name in names]
    if not usual and not keys_in(names, QUESTIONS):
        return [name for name in _ADGEN[1:] if names.keys() >= set(_ADGEN)]
    return usual or [name for name in _LAST_RESORT if name in names]


def _different(present: list[str], entry: Mapping, names: Mapping[str, str]) -> list[str]:
    """Return the names that have a value, without those whose value an earlier one has too."""
    kept: list[str] = []
    for name in present:
        value = entry[names[name]]
        said = [entry[names[other]] for other in kept]
        # Only texts are compared: other values may be nested too deep.
        repeated = isinstance(value, str) and any(
            isinstance(other, str) and value == other for other in said
        )
        if not is_empty(value) and not repeated:
            kept.append(name)
    return kept


def convert(entry: Mapping) -> Converted:
    """Return a question and its answer as two messages.

    Raises:
        Refused: it is not clear which they are, or one is not text.
    """
    questions = question_keys(entry)
    result = Converted([question(entry, questions)])
    key = answer_key(entry)
    result.messages.append(answer(entry, key, result))
    used = {*questions, key}
    carry_weight(entry, result, used)
    result.leave(entry, used)
    return result


def question(entry: Mapping, keys: list[str]) -> dict:
    """Return the message of a question, with what belongs under it on a line of its own."""
    texts = [text_of(entry[key], key) for key in keys]
    return {"role": "user", "content": "\n".join(texts)}


def answer(entry: Mapping, key: str, result: Converted) -> dict:
    """Return the message of an answer."""
    value = entry[key]
    count = 1
    # One answer in a list, or the best of several, as vendors write it: [["…"]].
    while isinstance(value, list | tuple) and value:
        count = max(count, len(value))
        value = value[0]
    if count > 1:
        result.note("choices", f"（{key}，共 {count} 个）", f"({key} has {count})")
    return {"role": "assistant", "content": text_of(value, key)}


def carry_weight(entry: Mapping, result: Converted, used: set[str]) -> None:
    """Put the weight of a pair on its answer."""
    names = folded(entry)
    last = result.messages[-1]
    for name in WEIGHTS:
        if name in names and isinstance(last, dict):
            used.add(names[name])
            last[name] = entry[names[name]]


def text_of(value: object, key: str) -> str:
    """Return the text of a value; "" for none.

    Raises:
        Refused: it is something else.
    """
    if value is None:
        return ""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        return value
    raise Refused(zh=f"{key} 不是文字", en=f"{key} is not text", code="content-type", key=key)
