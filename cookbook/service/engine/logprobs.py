"""Report how likely the model found each token, and which others it found likely.

    scores = score(logits, tokens, top)               each place by its own row of logits
    Vocabulary(tokenizer).reports(tokens, scores, top)  a `TokenLogprob` for each place

The numbers are of the model's own distribution: no temperature, no top_p, no grammar.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from transformers.convert_slow_tokenizer import bytes_to_unicode

from cookbook.service.chat_request import TokenLogprob

# Byte-level tokenizers write each byte as a character of its own.
_CHARACTERS = bytes_to_unicode()
_BYTES = {character: byte for byte, character in _CHARACTERS.items()}


@dataclass(frozen=True)
class Scores:
    """All log-probabilities that anybody may ask for, at some places: the shape is theirs.

    Attributes:
        chosen: (…), of the token that is there.
        top: (…, k), of the likeliest tokens, the likeliest first.
        top_tokens: (…, k), which they are.
    """

    chosen: Tensor
    top: Tensor
    top_tokens: Tensor

    def __getitem__(self, places: Any) -> "Scores":
        return Scores(
            self.chosen[places],
            self.top[places],
            self.top_tokens[places],
        )


def score(logits: Tensor, tokens: Tensor, top: int) -> Scores:
    """Return the scores of `tokens`, (…), by `logits`, (…, vocabulary)."""
    logprobs = torch.log_softmax(logits.float(), -1)
    column = tokens.unsqueeze(-1)
    chosen = logprobs.gather(-1, column).squeeze(-1)
    # A tiny vocabulary may have fewer tokens than are asked for.
    count = min(top, logprobs.shape[-1])
    likeliest = logprobs.topk(count)
    return Scores(chosen, likeliest.values, likeliest.indices)


def joined(parts: Sequence[Scores]) -> Scores:
    """Return the scores of successive columns, each of (rows, columns), as one."""
    return Scores(
        torch.cat([part.chosen for part in parts], 1),
        torch.cat([part.top for part in parts], 1),
        torch.cat([part.top_tokens for part in parts], 1),
    )


class Vocabulary:
    """The bytes of each token."""

    def __init__(self, tokenizer: Any):
        self._tokenizer = tokenizer
        self.bytes_of = cache(self._bytes_of)

    def _bytes_of(self, token: int) -> bytes:
        added = self._tokenizer.added_tokens_decoder
        # Special tokens are written as they are, not byte by byte.
        if token in added:
            return added[token].content.encode()
        text = self._tokenizer.convert_ids_to_tokens(token) or ""
        if all(character in _BYTES for character in text):
            return bytes(_BYTES[character] for character in text)
        return self._tokenizer.decode([token]).encode()

    def reports(self, tokens: Sequence[int], scores: Scores, top: int) -> list[TokenLogprob]:
        """Return what the reader gets for the tokens at the places of `scores`, (places,)."""
        # Lists at once: a read of a single value of a tensor takes microseconds.
        own = scores.chosen.tolist()
        values = scores.top[:, :top].tolist()
        likeliest = scores.top_tokens[:, :top].tolist()
        found = []
        for place, token in enumerate(tokens):
            names = map(self.bytes_of, likeliest[place])
            ranked = tuple(zip(names, values[place], strict=True))
            found.append(TokenLogprob(self.bytes_of(token), own[place], ranked))
        return found
