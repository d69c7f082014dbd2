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
_BYTES = {character: byte for byte, character in bytes_to_unicode().items()}


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
        return Scores(self.chosen[places], self.top[places], self.top_tokens[places])


def score(logits: Tensor, tokens: Tensor, top: int) -> Scores:
    """Return the scores of `tokens`, (…), by `logits`, (…, vocabulary)."""
    logprobs = torch.log_softmax(logits.float(), -1)
    chosen = logprobs.gather(-1, tokens[..., None])[..., 0]
    likeliest = logprobs.topk(min(top, logprobs.shape[-1]))
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
        if token in self._tokenizer.added_tokens_decoder:
            return self._tokenizer.added_tokens_decoder[token].content.encode()
        text = self._tokenizer.convert_ids_to_tokens(token) or ""
        if all(character in _BYTES for character in text):
            return bytes(_BYTES[character] for character in text)
        return self._tokenizer.decode([token]).encode()

    def reports(self, tokens: Sequence[int], scores: Scores, top: int) -> list[TokenLogprob]:
        """Return what the reader gets for the tokens at the places of `scores`, (places,)."""
        own = scores.chosen.tolist()
        values = scores.top[:, :top].tolist()
        likeliest = scores.top_tokens[:, :top].tolist()
        found = []
        for token, logprob, others, theirs in zip(tokens, own, likeliest, values, strict=True):
            ranked = zip(map(self.bytes_of, others), theirs, strict=True)
            found.append(TokenLogprob(self.bytes_of(token), logprob, tuple(ranked)))
        return found
