"""Count tokens as Qwen2.5 does, offline.

The vocabulary is Qwen's own rank file (`data/qwen2.5.tiktoken`, 151,643 byte-level tokens); `tiktoken` does the work.
A text is counted alone; a list of messages is counted as the chat template lays it out, special tokens included, which
is what `usage.prompt_tokens` reports. Tool calls and images are not covered.
"""

import base64
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache

import tiktoken

from cookbook.paths import DATA

# How Qwen2.5 cuts text into pieces before merging: contractions, words, single digits, punctuation, white space.
PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Qwen2.5-Instruct puts this system message in front when the caller gives none.
DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
CHAT_TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}{{ '<|im_start|>system\n"
    + DEFAULT_SYSTEM
    + "<|im_end|>\n' }}{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)


@cache
def encoding() -> tiktoken.Encoding:
    """Qwen2.5's encoding, read once per process."""
    lines = (DATA / "qwen2.5.tiktoken").read_bytes().split()
    ranks = {
        base64.b64decode(token): int(rank)
        for token, rank in zip(lines[::2], lines[1::2], strict=True)
    }
    special = {token: len(ranks) + i for i, token in enumerate(SPECIAL_TOKENS)}
    return tiktoken.Encoding(
        "qwen2.5", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special
    )


def count(text_or_messages: str | Iterable[Mapping[str, str]]) -> int:
    """Number of Qwen2.5 tokens of a text, or of messages laid out with the chat template.

    A special token that stands in the text (``<|im_end|>``) counts as ordinary text. For messages the count holds
    everything up to the last ``<|im_end|>\\n``; a request adds the 3 tokens that open the answer (`GENERATION_PROMPT`).
    """
    if isinstance(text_or_messages, str):
        return _count_batch([text_or_messages])[0]
    return sum(count_each([text_or_messages])[0])


def count_each(conversations: Iterable[Iterable[Mapping[str, str]]]) -> list[list[int]]:
    """Tokens of each message of each conversation; the first counts the default system message, where that is put in
    front of it, as its own."""
    given = [list(messages) for messages in conversations]
    # <|im_start|> role \n content <|im_end|> \n: the pieces never merge across a special token, but the newline after
    # the role can merge with newlines that open the content, so both are counted as one text.
    texts = [
        f"system\n{DEFAULT_SYSTEM}",
        *(f"{m['role']}\n{m['content']}" for messages in given for m in messages),
    ]
    default, *counts = (n + 3 for n in _count_batch(texts))
    counts = iter(counts)
    in_front = lambda i, message: default if i == 0 and message["role"] != "system" else 0
    return [[next(counts) + in_front(i, m) for i, m in enumerate(messages)] for messages in given]


# Both normalization and the splitter take forever, or fail, on long runs that no real text holds.
_LONG = 100_000  # characters from which on a text is looked at for such runs
_RUN = re.compile(r"\s{5000,}")
_MARK = (
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff]"
)
_A_MARK, _MARKS = re.compile(_MARK), re.compile(_MARK + "{100,}")


def _normalized(text: str) -> str:
    """NFC, as Qwen's tokenizer has it; a text with a hundred combining marks in a row is left as it is."""
    # A run of a hundred covers one of every hundred characters, so most texts need no look at the others.
    if text.isascii() or _A_MARK.search(text[::100]) and _MARKS.search(text):
        return text
    return unicodedata.normalize("NFC", text)


def _count_batch(texts: list[str]) -> list[int]:
    """Tokens of each text. A white space of thousands of characters is counted in pieces, so approximately."""
    texts = list(map(_normalized, texts))
    pieces = [_RUN.split(text) if len(text) > _LONG else [text] for text in texts]
    encoded = iter(
        encoding().encode_ordinary_batch(
            [p for ps in pieces for p in ps], num_threads=os.cpu_count() or 1
        )
    )
    found = [sum(len(next(encoded)) for _ in ps) for ps in pieces]
    # Qwen's longest token of white space has some hundred characters.
    spaces = [
        sum(len(run) for run in _RUN.findall(t)) // 100 if len(ps) > 1 else 0
        for t, ps in zip(texts, pieces, strict=True)
    ]
    return [n + more for n, more in zip(found, spaces, strict=True)]


def encode(text: str) -> list[int]:
    """The tokens of a text; special tokens that stand in it are read as such, as Qwen's tokenizer does."""
    return encoding().encode(_normalized(text), allowed_special="all")


def texts(ids: Iterable[int]) -> list[str]:
    """The text of each token; one that ends within a character is shown by its bytes, `<0xE5>`."""
    pieces = [encoding().decode_single_token_bytes(i) for i in ids]
    return [_text(piece) for piece in pieces]


def _text(piece: bytes) -> str:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in piece)


GENERATION_PROMPT = 3
"""Tokens of ``<|im_start|>assistant\\n``, which a request adds after its last message."""
