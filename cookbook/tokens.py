"""Count tokens as Qwen2.5 does, offline.

The vocabulary is Qwen's own rank file (`data/qwen2.5.tiktoken`, 151,643 byte-level tokens); `tiktoken` does the work.
A text is counted alone; a list of messages is counted as the chat template lays it out, special tokens included, which
is what `usage.prompt_tokens` reports. Tool calls and images are not covered.
"""

import base64
import os
import unicodedata
from collections.abc import Iterable, Mapping
from functools import cache

import tiktoken

from cookbook.paths import DATA

# How Qwen2.5 cuts text into pieces before merging: contractions, words, single digits, punctuation, white space.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
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
    ranks = {base64.b64decode(token): int(rank) for token, rank in zip(lines[::2], lines[1::2], strict=True)}
    special = {token: len(ranks) + i for i, token in enumerate(SPECIAL_TOKENS)}
    return tiktoken.Encoding("qwen2.5", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens=special)


def count(text_or_messages: str | Iterable[Mapping[str, str]]) -> int:
    """Number of Qwen2.5 tokens of a text, or of messages laid out with the chat template.

    A special token that stands in the text (``<|im_end|>``) counts as ordinary text. For messages the count holds
    everything up to the last ``<|im_end|>\\n``; a request adds the 3 tokens that open the answer (`GENERATION_PROMPT`).
    """
    if isinstance(text_or_messages, str):
        return _count_batch([unicodedata.normalize("NFC", text_or_messages)])[0]
    return sum(count_each([text_or_messages])[0])


def count_each(conversations: Iterable[Iterable[Mapping[str, str]]]) -> list[list[int]]:
    """Tokens of each message of each conversation; the default system message comes first where there is none."""
    laid_out = [list(messages) for messages in conversations]
    for messages in laid_out:
        if not messages or messages[0].get("role") != "system":
            messages.insert(0, {"role": "system", "content": DEFAULT_SYSTEM})
    # <|im_start|> role \n content <|im_end|> \n: the pieces never merge across a special token, but the newline after
    # the role can merge with newlines that open the content, so both are counted as one text.
    texts = [unicodedata.normalize("NFC", f"{m['role']}\n{m['content']}") for messages in laid_out for m in messages]
    counts = iter(_count_batch(texts))
    return [[next(counts) + 3 for _ in messages] for messages in laid_out]


def _count_batch(texts: list[str]) -> list[int]:
    try:
        return [len(ids) for ids in encoding().encode_ordinary_batch(texts, num_threads=os.cpu_count() or 1)]
    except ValueError:  # a run of hundreds of thousands of like characters overflows the splitter: count in pieces
        return [sum(len(encoding().encode_ordinary(t[i : i + 5000])) for i in range(0, len(t), 5000)) for t in texts]


GENERATION_PROMPT = 3
"""Tokens of ``<|im_start|>assistant\\n``, which a request adds after its last message."""
