"""Entries of one question and answer, some with the talk before: Alpaca and its relatives."""

from collections.abc import Mapping

from cookbook.data.shapes import lists, pair
from cookbook.data.shapes.shape import Converted, Options, Refused, folded, is_empty, keys_in

HISTORY = ("history", "历史", "历史对话")
# Whether an answer is a good one, in data for KTO.
_JUDGED = ("kto_tag", "label")

# The old prompt/completion files end a prompt and an answer with these.
PROMPT_END = "\n\n###\n\n"
_ANSWER_ENDS = (" END", "###")


def convert(entry: object, options: Options) -> Converted:
    """Return the messages of an entry of one question and answer."""
    assert isinstance(entry, dict)
    names = folded(entry)
    _refuse_bad_answer(entry, names)
    questions = pair.question_keys(entry)
    answer = pair.answer_key(entry)
    used = {*questions, answer}
    result = Converted([])

    history = next(iter(keys_in(names, HISTORY)), None)
    if history is not None:
        used.add(history)
        _add_history(entry, history, options, result)
    _add_question(entry, questions, options, result)
    _add_answer(entry, answer, options, result)
    pair.carry_weight(entry, result, used)
    last_question = entry[questions[-1]]
    if isinstance(last_question, str) and last_question.endswith(PROMPT_END):
        _strip_separators(result)

    return lists.finished(result, entry, used, options)


def _add_history(entry: Mapping, key: str, options: Options, result: Converted) -> None:
    value = entry[key]
    if is_empty(value):
        return
    kind = lists.kind_of(value)
    if kind not in (lists.PAIRS, lists.TURNS):
        raise Refused(
            zh=f"{key} 不是一组一组的问答，前面的对话读不出来",
            en=f"{key} is not a list of questions and answers: the earlier turns cannot be read",
            fix=(f'写成 "{key}": [["问", "答"], …]', f'write "{key}": [["question", "answer"], …]'),
            key=key,
        )
    _add_turns(value, options, result)


def _add_question(entry: Mapping, keys: list[str], options: Options, result: Converted) -> None:
    value = entry[keys[0]]
    # A prompt may itself be a conversation.
    if len(keys) == 1 and lists.kind_of(value) in (lists.TURNS, lists.STRINGS):
        _add_turns(value, options, result)
    else:
        result.messages.append(pair.question(entry, keys))


def _add_answer(entry: Mapping, key: str, options: Options, result: Converted) -> None:
    value = entry[key]
    if isinstance(value, dict) and lists.is_turn(value):
        value = [value]
    if lists.kind_of(value) is lists.TURNS:
        _add_turns(value, options, result)
    else:
        result.messages.append(pair.answer(entry, key, result))


def _add_turns(value: object, options: Options, result: Converted) -> None:
    assert isinstance(value, list | tuple)
    turns = lists.of_list(value, options)
    result.messages += turns.messages
    result.add(turns)


def _refuse_bad_answer(entry: Mapping, names: Mapping[str, str]) -> None:
    for name in _JUDGED:
        if name in names and entry[names[name]] is False:
            key = names[name]
            raise Refused(
                zh=f"{key} 是 false：这是标为不好的回答",
                en=f"{key} is false: the answer is marked as a bad one",
                fix=("写一个好的回答，或删去", "write a good answer, or drop it"),
                key=key,
            )


def _strip_separators(result: Converted) -> None:
    for message in result.messages:
        content = message.get("content")
        if not isinstance(content, str):
            continue
        is_answer = message.get("role") == "assistant"
        stripped = content.strip()
        for end in _ANSWER_ENDS if is_answer else (PROMPT_END.strip(),):
            stripped = stripped.removesuffix(end)
        message["content"] = stripped.strip()
    result.note("separators", "###", "###")
