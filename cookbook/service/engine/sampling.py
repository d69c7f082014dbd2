"""Choose the next token of each row, and find where an answer's text ends.

tokens = choose(logits, samplers)      each row by its own temperature, top_p, top_k and seed
text, stopped = cut_at_stop(text, stops)
n = held_back(text, stops)             characters at the end that may still change
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LIKELIEST = 64
"""Tokens among which nearly every draw falls."""

COLDEST = 1e-5
"""The lowest temperature that is divided by: below it float32 may give NaN, and end the batch."""

HALF_A_CHARACTER = "\ufffd"
"""What a tokenizer writes for bytes that are not yet a whole character."""


@dataclass(frozen=True)
class Sampler:
    """How one answer is drawn. Temperature 0 takes the likeliest token; top_k 0 is no limit."""

    temperature: float
    top_p: float
    top_k: int
    generator: torch.Generator


def choose(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Return the next token of each row, (rows,), from logits of shape (rows, vocabulary)."""
    tokens = logits.argmax(-1)
    rows, drawing = [], []
    for row, sampler in enumerate(samplers):
        if sampler.temperature > 0:
            rows.append(row)
            drawing.append(sampler)
    if rows:
        tokens[rows] = draw(logits[rows].float(), drawing)
    return tokens


def draw(logits: Tensor, samplers: Sequence[Sampler]) -> Tensor:
    """Return a token drawn for each row, (rows,), from float32 logits, (rows, vocabulary)."""
    device = logits.device
    temperature = _column([s.temperature for s in samplers], device).clamp(min=COLDEST)
    top_p = _column([s.top_p for s in samplers], device)

    # Counted from the largest logit down, so that a low temperature cannot overflow.
    largest = logits.max(-1, keepdim=True).values
    logits = (logits - largest) / temperature
    chances = torch.softmax(logits, -1)

    # The likeliest tokens nearly always hold top_p of the mass. Only if one row's do not are all
    # tokens sorted, which takes longer than the rest of this function.
    vocabulary = chances.shape[1]
    ranked, order = chances.topk(min(LIKELIEST, vocabulary))
    is_short = ranked.sum(-1, keepdim=True) < top_p
    if is_short.any():
        ranked, order = chances.sort(descending=True)

    # Keep the smallest set whose mass reaches top_p, and at most top_k; the likeliest token
    # always stays.
    places = ranked.shape[1]
    place = torch.arange(places, device=device)
    top_k = _column([s.top_k or places for s in samplers], device)
    mass_before = ranked.cumsum(-1) - ranked
    kept = (place < top_k) & (mass_before < top_p)
    kept[:, 0] = True
    ranked = ranked.where(kept, 0)

    # A point on the mass that is left, from each row's own generator, falls on the token.
    mass = ranked.cumsum(-1)
    points = []
    for sampler in samplers:
        points.append(torch.rand(1, generator=sampler.generator, device=device))
    all_mass = mass[:, -1:]
    point = torch.cat(points)[:, None] * all_mass
    chosen = (mass <= point).sum(-1, keepdim=True)
    return order.gather(-1, chosen)[:, 0]


def _column(values: list[float], device: torch.device) -> Tensor:
    return torch.tensor(values, device=device)[:, None]


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Return the text before the first stop text, and whether there was one."""
    stopped = False
    for stop in stops:
        before, found, _ = text.partition(stop)
        if found:
            text, stopped = before, True
    return text, stopped


def held_back(text: str, stops: Sequence[str]) -> int:
    """Return how many characters at the end may still change.

    They are half a character, or the beginning of a stop text.
    """
    longest = len(text) - len(text.rstrip(HALF_A_CHARACTER))
    for stop in stops:
        for length in range(1, len(stop)):
            if text.endswith(stop[:length]):
                longest = max(longest, length)
    return longest
