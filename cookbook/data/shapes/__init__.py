"""The shapes that conversations come in, and how each becomes messages.

    of(value)                the shape of one entry; None where it is not known
    convert(value, …)        its messages, or `Refused` with the reason

One module for a family of shapes: `conversations` (OpenAI, ShareGPT), `lists` (lists of turns),
`questions` (Alpaca, Firefly, Dolly), `transcripts` (Belle, Baize, Moss), `batch`, `exports` (Label
Studio, Hugging Face), `refusals` (what is known and cannot be used). The most specific one decides;
what may mean two things is refused by name. Whether messages can be trained on is in `rules/`.

`shape` says what a shape is, `pair` and `roles` know the names of keys and roles that all share,
`unused` what a key meant that no row can hold. `containers` takes entries out of the object that is
around them; `routing` tells tables and chat logs, which have converters of their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cookbook.data.report.names import named
from cookbook.data.shapes import (
    batch,
    conversations,
    exports,
    lists,
    pair,
    questions,
    refusals,
    transcripts,
)
from cookbook.data.shapes.conversations import MESSAGES
from cookbook.data.shapes.shape import Convert, Converted, Options, Refused, Shape, folded, keys_in

__all__ = ["MESSAGES", "Converted", "Options", "Refused", "Shape", "convert", "of"]


@dataclass(frozen=True)
class _Family:
    """Shapes that are converted alike; `shape_of` returns None for other objects."""

    shape_of: Callable[[Mapping], Shape | None]
    convert: Convert


def _one(shape: Shape, matches: Callable[[Mapping], object], convert: Convert) -> _Family:
    def shape_of(entry: Mapping) -> Shape | None:
        return shape if matches(entry) else None

    return _Family(shape_of, convert)


def _refused(shape: Shape, matches: Callable[[Mapping], object]) -> _Family:
    return _one(shape, matches, refusals.refuse(shape))


def _convert_hf_row(entry: object, options: Options) -> Converted:
    assert isinstance(entry, dict)
    # The viewer shortens long texts, and says so.
    if entry.get("truncated_cells"):
        raise Refused(
            zh="页面把这一行的文字截断了",
            en="the viewer cut the texts of this row",
            fix=("下载原来的数据集", "download the data set itself"),
            key="truncated_cells",
        )
    # A row within a row is no row: it could go on for ever.
    if exports.is_hf_row(entry["row"]):
        raise unknown(entry["row"])
    return convert(entry["row"], options)


def _convert_text(entry: object, options: Options) -> Converted:
    assert isinstance(entry, dict)
    shape = refusals.text_shape(entry)
    assert shape is not None
    return refusals.refuse(shape)(entry, options)


_CONVERSATIONS = _Family(conversations.shape_of, conversations.convert)

# The most specific first.
_FAMILIES = (
    _one(exports.HF_ROW, exports.is_hf_row, _convert_hf_row),
    _one(batch.BATCH_OUTPUT, batch.is_output, batch.convert_output),
    _one(batch.BATCH_INPUT, batch.is_input, batch.convert_input),
    _one(exports.LABEL_STUDIO, exports.is_task, exports.convert_task),
    _refused(refusals.MULTIMODAL, refusals.has_media),
    _one(refusals.PREFERENCE, refusals.is_preference, refusals.convert_preference),
    _one(transcripts.MOSS, transcripts.is_moss, transcripts.convert_moss),
    _one(exports.GEMINI, exports.is_gemini, exports.convert_gemini),
    _one(exports.CHATGPT, exports.is_chatgpt, exports.convert_chatgpt),
    _refused(refusals.UNWANTED, refusals.is_unwanted),
    *(_refused(shape, matches) for shape, matches in refusals.REFUSED),
    _one(transcripts.TRANSCRIPT, transcripts.text_key, transcripts.convert),
    _CONVERSATIONS,
    _Family(pair.shape_of, questions.convert),
    _refused(refusals.ONE_TURN, lists.is_turn),
    _Family(refusals.text_shape, _convert_text),
)


def of(value: object) -> Shape | None:
    """Return the shape of one entry, any JSON value; None where it is not known."""
    if isinstance(value, list | tuple):
        return lists.kind_of(value)
    if not isinstance(value, dict):
        return None
    return _found(value)[0]


def convert(value: object, options: Options) -> Converted:
    """Return the messages of one entry; they are not checked.

    Raises:
        Refused: its shape is not known, or it cannot become a row.
    """
    # A list is an entry of its own: nothing else of it is known.
    if isinstance(value, list | tuple) and lists.kind_of(value):
        return lists.convert(value, options)
    family = _found(value)[1] if isinstance(value, dict) else None
    if family is None:
        raise unknown(value)
    return family.convert(value, options)


def _found(entry: Mapping) -> tuple[Shape | None, _Family | None]:
    # Nearly always, and nothing else can be meant.
    if entry.keys() == {"messages"} and refusals.last_turn(entry) is None:
        return conversations.shape_of(entry), _CONVERSATIONS
    if not entry:
        return None, None
    for family in _FAMILIES:
        shape = family.shape_of(entry)
        if shape is not None:
            return shape, family
    return None, None


def unknown(value: object) -> Refused:
    """Return why an entry of no known shape is refused: what was seen of it."""
    if not isinstance(value, dict) or not value:
        return Refused(zh="认不出格式", en="unknown format", fix=_EXPECTED)
    keys = [str(key) for key in value]
    seen = named(keys)
    names = folded(value)
    # Half of a pair is the most useful thing to know.
    if keys_in(names, pair.QUESTIONS):
        zh, en = f"有提问，找不到回答；键是 {seen}", f"no answer was found; its keys are {seen}"
    elif keys_in(names, pair.ANSWERS):
        zh, en = f"有回答，找不到提问；键是 {seen}", f"no question was found; its keys are {seen}"
    else:
        zh, en = f"认不出格式，键是 {seen}", f"unknown format; its keys are {seen}"
    return Refused(zh=zh, en=en, fix=_EXPECTED, key=keys[0])


_EXPECTED = (
    '写成 {"messages": […]}，或 {"instruction": …, "output": …}',
    'write {"messages": […]} or {"instruction": …, "output": …}',
)
