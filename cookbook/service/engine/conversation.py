"""Conversations as a base reads them: laid out by its own chat template, in its own tokens.

    messages = escape(tokenizer, messages)          special tokens in contents become text
    text = render(tokenizer, messages, add_generation_prompt=True)
    [ids] = encode(tokenizer, [text])

A special token in the text is the template's, never a content's (`cookbook/marks.py`). Where no
content has one, the tokens are those of the tokenizer alone.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cookbook.chatml import Message
from cookbook.errors import DataError
from cookbook.marks import ESCAPE, Marks, unescape

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# The text of a model that thinks; its template looks for them in the contents.
_THINKING = {"<think>", "</think>"}

_SHORT = 2  # characters of a text whose tokens are remembered
_ESCAPE_AS_CODE = ascii(ESCAPE)[1:-1]  # as `tojson(ensure_ascii=True)` writes it


def escape(tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]) -> Sequence[Message]:
    """Return the messages with the base's special tokens in their contents escaped."""
    return _marks(tokenizer).escape(messages)


# A service has few bases, and a test some more.
@lru_cache(maxsize=8)
def _marks(tokenizer: "PreTrainedTokenizerBase") -> Marks:
    marks = []
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or _looks_like_a_mark(token.content):
            marks.append(token.content)
    return Marks([*marks, *tokenizer.all_special_tokens])


@lru_cache(maxsize=8)
def _special_ids(tokenizer: Any) -> frozenset[int]:
    added = tokenizer.added_tokens_decoder
    special = {number for number, token in added.items() if token.special}
    # Which is what a text with unknown characters has.
    return frozenset(special - {tokenizer.unk_token_id})


def _looks_like_a_mark(text: str) -> bool:
    """Return whether it is one, though not special to the tokenizer: `<tool_call>`, `[IMG]`."""
    if text in _THINKING or text.split() != [text]:
        return False
    return text[0] + text[-1] in ("<>", "[]")


def render(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message], add_generation_prompt: bool
) -> Any:
    """Return the text that the base's chat template makes of the messages.

    Raises:
        DataError: a content has a special token, and the template hides that it is escaped.
    """
    # Nothing else of a row: what a template made of it would be neither checked nor escaped.
    turns = []
    for message in messages:
        turns.append({"role": message["role"], "content": message["content"]})
    text = tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    if _ESCAPE_AS_CODE in text and any(ESCAPE in turn["content"] for turn in turns):
        raise _unreadable(
            zh="它的对话模板把文字写成 \\uXXXX", en="its chat template writes text as \\uXXXX"
        )
    return text


def encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str]) -> list[list[int]]:
    """Return the tokens of each text; they are parts of what was laid out from escaped messages.

    Raises:
        DataError: a content has a special token, and the tokenizer cannot read it as text.
    """
    tokens = []
    for text in texts:
        if ESCAPE in text:
            tokens.append(_unescaped(tokenizer, text))
        elif len(text) <= _SHORT:
            tokens.append(list(_usual_of_short(tokenizer, text)))
        else:
            # One by one: for so few, threads cost more than they save.
            tokens.append(_usual(tokenizer, text))
    return tokens


def _usual(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    # Templates write the special tokens themselves.
    return tokenizer(text, add_special_tokens=False)["input_ids"]


# Each answer is followed by the same newline, and a call takes longer than what is in it.
@lru_cache(maxsize=64)
def _usual_of_short(tokenizer: "PreTrainedTokenizerBase", text: str) -> tuple[int, ...]:
    return tuple(_usual(tokenizer, text))


def _unescaped(tokenizer: "PreTrainedTokenizerBase", text: str) -> list[int]:
    """Return the tokens of a text in which contents are escaped."""
    if not tokenizer.is_fast:
        raise _unreadable(zh="它的分词器没有快速版本", en="its tokenizer has no fast version")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    places = zip(encoded["input_ids"], encoded["offset_mapping"], strict=True)
    added = tokenizer.added_tokens_decoder
    ids: list[int] = []
    read = 0
    # The marks where the tokenizer finds them, and between them the text that was written.
    for token, (start, end) in places:
        # By its text, too: an unknown character has the number of a mark, `<unk>`.
        if token in added and text[start:end].strip() == added[token].content.strip():
            ids += _ordinary(tokenizer, unescape(text[read:start]))
            ids.append(token)
            read = end
    return ids + _ordinary(tokenizer, unescape(text[read:]))


def _unreadable(zh: str, en: str) -> DataError:
    """Return the error for a content with a special token that this base cannot read as text."""
    return DataError(
        zh=f"内容里写了这个基础模型的特殊标记，但不能当普通文字读（{zh}）："
        "删去标记，或换一个基础模型",
        en=f"a content has a special token of this base model, which cannot read it as text ({en}):"
        " remove the token, or choose another base",
    )


def _ordinary(tokenizer: Any, text: str) -> list[int]:
    """Return the tokens of a text in which nothing is special."""
    core = tokenizer.backend_tokenizer
    if core.normalizer:
        text = core.normalizer.normalize_str(text)
    words = [text]
    if core.pre_tokenizer:
        words = [word for word, _ in core.pre_tokenizer.pre_tokenize_str(text)]
    ids: list[int] = []
    for word in words:
        ids += [token.id for token in core.model.tokenize(word)]
    # The pieces of some models have the special tokens among them, as those of SentencePiece may.
    if not _special_ids(tokenizer).isdisjoint(ids):
        raise _unreadable(zh="它的词表里只有标记", en="its vocabulary has it as a mark alone")
    return ids
