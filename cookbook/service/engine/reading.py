"""Read prompts a few columns at a time, so that other answers go on meanwhile.

    reading = Reading(model, prompts, pad, columns=512)
    while not reading.read_on():
        ...                                 another answer's next token
    batch, logits = reading.batch(), reading.logits

Prompts that fit in one pass are read in one. The columns do not depend on what else happens between
the passes, and so neither do the numbers.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cookbook.service.engine.batch import Batch
from cookbook.service.engine.logprobs import Scores, joined, score

SCORED_LOGITS = 2**25
"""Logits that are held at a time while prompts are scored: 128 MB."""

Prompts = list[list[int]]
"""Token ids, prompt by prompt."""


class Reading:
    """Prompts that are read together, each one a row.

    Attributes:
        logits: for the first tokens of the answers, (rows, vocabulary), as soon as all is read.

    Args:
        columns: the widest part that a pass may read.
        top: how many of the likeliest tokens to find at each place of the prompts; None where
            nobody asks how likely their tokens are.
    """

    logits: Tensor

    def __init__(
        self, model: Any, prompts: Prompts, pad: int, columns: int, top: int | None = None
    ):
        self._model = model
        self._prompts = prompts
        self._top = top
        self._columns = columns
        if top is not None:
            # Logits of a whole prompt would take gigabytes.
            column_size = len(prompts) * model.config.vocab_size
            self._columns = max(1, min(columns, SCORED_LOGITS // column_size))
        self._ids, self._mask, self._positions = _padded(model, prompts, pad)
        self._cache = DynamicCache(config=model.config)
        self._done = 0  # columns
        self._parts: list[Scores] = []

    def read_on(self) -> bool:
        """Read the next columns; return whether all are read."""
        first, longest = self._done, self._ids.shape[1]
        last = min(first + self._columns, longest)
        # Logits would be the largest tensor of all; where nothing is scored, only the last count.
        options = {"logits_to_keep": 1} if self._top is None else {}
        out = self._model(
            input_ids=self._ids[:, first:last],
            attention_mask=self._mask[:, :last],
            position_ids=self._positions[:, first:last],
            past_key_values=self._cache,
            **options,
        )
        if self._top is not None:
            # The logits of a column are about the token in the next one.
            following = self._ids[:, first + 1 : last + 1]
            logits = out.logits[:, : following.shape[1]]
            self._parts.append(score(logits, following, self._top))
        self._done = last
        if last < longest:
            return False
        self.logits = out.logits[:, -1]
        return True

    def batch(self) -> Batch:
        """Return the rows; `tokens` are the last of each prompt, until others are chosen."""
        return Batch(self._cache, self._mask, self._mask.sum(1), self._ids[:, -1])

    def scores(self) -> list[Scores]:
        """Return the scores of each prompt's tokens but the first."""
        scores = joined(self._parts)
        longest = self._ids.shape[1]
        own = []
        for row, prompt in enumerate(self._prompts):
            padding = longest - len(prompt)
            own.append(scores[row, padding:])
        return own


def _padded(model: Any, prompts: Prompts, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the prompts with padding on the left: ids, mask and positions, (rows, longest)."""
    longest = max(len(prompt) for prompt in prompts)
    rows, seen = [], []
    for prompt in prompts:
        padding = longest - len(prompt)
        rows.append([pad] * padding + prompt)
        seen.append([0] * padding + [1] * len(prompt))
    ids = torch.tensor(rows, device=model.device)
    mask = torch.tensor(seen, device=model.device)
    # A row's positions begin where its padding ends; what padding gets is masked.
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return ids, mask, positions
