"""Count tokens as Qwen2.5 does, offline.

The vocabulary is Qwen's own rank file (`data/qwen2.5.tiktoken`, 151,643 byte-level tokens);
`tiktoken` does the work. A text is counted alone. Messages are counted as `chatml` lays them out,
special tokens included, which is what `usage.prompt_tokens` reports. Tool calls and images are not
covered.
"""

import base64
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby

import tiktoken

from cookbook import chatml
from cookbook.chatml import Message
from cookbook.marks import Marks, unescape
from cookbook.paths import DATA

# How Qwen2.5 cuts text before it merges bytes: contractions, words, single digits, punctuation,
# white space.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

MARKS = Marks(chatml.SPECIAL_TOKENS)
"""Qwen2.5's special tokens, as `encode` reads them."""
# With a group, so that the marks are among the parts.
_MARK = re.compile("(" + "|".join(map(re.escape, chatml.SPECIAL_TOKENS)) + ")")


@cache
def encoding() -> tiktoken.Encoding:
    """Return Qwen2.5's encoding, read once for each process."""
    words = (DATA / "qwen2.5.tiktoken").read_bytes().split()
    ranks = {}
    for token, rank in zip(words[::2], words[1::2], strict=True):
        ranks[base64.b64decode(token)] = int(rank)
    # The special tokens follow the ordinary ones.
    first_special = len(ranks)
    special = {token: first_special + i for i, token in enumerate(chatml.SPECIAL_TOKENS)}
    return tiktoken.Encoding(
        "qwen2.5", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special
    )


def count(text_or_messages: str | Iterable[Message]) -> int:
    """Return the Qwen2.5 tokens of a text, or of messages laid out with the chat template.

    A special token that appears in the text (``<|im_end|>``) counts as ordinary text. For messages
    everything up to the last ``<|im_end|>\\n`` counts; `count_request` adds the tokens that open
    the answer.
    """
    if isinstance(text_or_messages, str):
        return _count_texts([text_or_messages])[0]
    return count_conversations([text_or_messages])[0].total


def count_request(messages: Iterable[Message]) -> int:
    """Return the tokens of a request, which is what `usage.prompt_tokens` reports for it."""
    return count(messages) + chatml.HEAD_TOKENS


@dataclass(frozen=True)
class ConversationTokens:
    """The tokens of one conversation, laid out with the chat template.

    `messages` has one number for each message; the first includes the default system message where
    that is put in front. `trained` counts the tokens that are trained on, so none of an answer of
    weight 0. `before_answer` counts what comes before the first of them, None where there are none.
    """

    messages: list[int]
    total: int
    trained: int
    before_answer: int | None


def count_conversations(conversations: Iterable[Iterable[Message]]) -> list[ConversationTokens]:
    """Return the tokens of each conversation; many are counted faster together than one by one."""
    given = [list(messages) for messages in conversations]
    # A turn is counted as one text: the newline after the role can merge with newlines that open
    # the content. Nothing merges across a special token, so the turns can be counted apart.
    turns = [chatml.turn(message) for messages in given for message in messages]
    default_system = chatml.turn({"role": "system", "content": chatml.DEFAULT_SYSTEM})
    inner = _count_texts([default_system, *turns])
    in_front, *counts = [n + chatml.TURN_TOKENS for n in inner]
    result = []
    at = 0
    for messages in given:
        own = counts[at : at + len(messages)]
        at += len(messages)
        if messages and messages[0]["role"] != "system":
            own[0] += in_front
        result.append(_conversation(messages, own))
    return result


def _conversation(messages: Sequence[Message], counts: list[int]) -> ConversationTokens:
    trained = 0
    before = None
    for i, message in enumerate(messages):
        if not chatml.is_trained(message):
            continue
        trained += counts[i] - chatml.HEAD_TOKENS - chatml.TAIL_TOKENS
        if before is None:
            before = sum(counts[:i]) + chatml.HEAD_TOKENS
    return ConversationTokens(counts, sum(counts), trained, before)


def encode(text: str) -> list[int]:
    """Return the tokens of a text that a template has laid out; special tokens in it are read.

    What `MARKS.escape` has done to the contents is undone: their special tokens are ordinary text,
    as `count` counts them.
    """
    ids = []
    for i, part in enumerate(_MARK.split(text)):
        if i % 2:
            ids.append(encoding().encode_single_token(part))
        else:
            ids += encoding().encode_ordinary(_normalized(unescape(part)))
    return ids


def texts(ids: Iterable[int]) -> list[str]:
    """Return the text of each token; a part of a character is shown as bytes, `<0xE5>`."""
    return [_text(encoding().decode_single_token_bytes(i)) for i in ids]


def _text(token: bytes) -> str:
    try:
        return token.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in token)


# Both normalization and tiktoken take forever, or fail, on long runs that no real text contains.
_LONG_TEXT = 100_000  # characters; shorter texts are not searched for runs of white space
# Only from the beginning of a run on: from each of its characters a run of 4,999 would be tried.
_WHITE_SPACE = re.compile(r"(?<!\s)\s{5000,}")
_MANY_MARKS = 100  # combining marks in a row
_CHARACTERS_A_TOKEN = 100  # of Qwen's longest tokens of white space


def _normalized(text: str) -> str:
    """Return the text in NFC, as Qwen's tokenizer has it, unless it has runs of combining marks."""
    if text.isascii():
        return text
    # A run of a hundred marks covers one of every hundred characters, so most texts need no closer
    # look.
    if any(map(unicodedata.combining, text[::_MANY_MARKS])) and _has_many_marks(text):
        return text
    return unicodedata.normalize("NFC", text)


def _has_many_marks(text: str) -> bool:
    for is_mark, run in groupby(text, key=_is_mark):
        if is_mark and len(list(run)) >= _MANY_MARKS:
            return True
    return False


def _is_mark(character: str) -> bool:
    """Return whether normalization sorts this character among its neighbours."""
    return unicodedata.combining(character) != 0


def _count_texts(texts: list[str]) -> list[int]:
    """Return the tokens of each text; white space of thousands of characters is estimated."""
    normalized = [_normalized(text) for text in texts]
    long_ones = {}
    for i, text in enumerate(normalized):
        if len(text) > _LONG_TEXT:
            long_ones[i] = text
            normalized[i] = ""
    threads = os.cpu_count() or 1
    encoded = encoding().encode_ordinary_batch(normalized, num_threads=threads)
    counts = [len(ids) for ids in encoded]
    for i, text in long_ones.items():
        counts[i] = _count_long_text(text)
    return counts


def _count_long_text(text: str) -> int:
    words = 0
    for part in _WHITE_SPACE.split(text):
        words += len(encoding().encode_ordinary(part))
    spaces = sum(len(run) for run in _WHITE_SPACE.findall(text))
    return words + spaces // _CHARACTERS_A_TOKEN
