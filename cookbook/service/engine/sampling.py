"""Choose the next token of each row, and find where an answer's text ends.

tokens = choose(logits, samplers)      each row by its own temperature, top_p, top_k and seed
text, stopped = cut_at_stop(text, stops)
n = held_back(text, stops)             characters at the end that may still change
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

LIKELIEST = 64, 4096
"""Tokens among which nearly every draw falls: first few, then more, then all are sorted."""

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
    # `argmax` says the same, but takes four times as long on a vocabulary of 150,000.
    tokens = logits.max(-1).indices
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

    # Counted from the largest logit down, so that a low temperature cannot overflow.
    largest = logits.max(-1, keepdim=True).values
    logits = (logits - largest) / temperature
    chances = torch.softmax(logits, -1)

    # A point on the mass, from each row's own generator, falls on the token.
    points = []
    for sampler in samplers:
        points.append(torch.rand(1, generator=sampler.generator, device=device))
    point = torch.cat(points)[:, None]
    top_p = _column([s.top_p for s in samplers], device)
    top_k = _column([s.top_k or chances.shape[1] for s in samplers], device)
    # Where no token is ruled out, those above the point are enough to find it.
    is_free = _column([s.top_p >= 1 and s.top_k == 0 for s in samplers], device)
    ranked, order = _ranked(chances, torch.where(is_free, point, top_p), top_k)

    # Keep the smallest set whose mass reaches top_p, and at most top_k; the likeliest token
    # always stays.
    places = ranked.shape[1]
    place = torch.arange(places, device=device)
    mass_before = ranked.cumsum(-1) - ranked
    kept = (place < top_k) & (mass_before < top_p)
    kept[:, 0] = True
    ranked = ranked.where(kept, 0)

    mass = ranked.cumsum(-1)
    all_mass = torch.where(is_free, 1, mass[:, -1:])
    chosen = (mass <= point * all_mass).sum(-1, keepdim=True)
    # Rounding may leave the point above the mass.
    chosen = chosen.clamp(max=places - 1)
    return order.gather(-1, chosen)[:, 0]


def _ranked(chances: Tensor, needed: Tensor, top_k: Tensor) -> tuple[Tensor, Tensor]:
    """Return the likeliest tokens of each row and which they are, (rows, count).

    They are so many that each row's hold the mass that it needs, or are its top_k. To sort all
    150,000 tokens of a large vocabulary takes as long as the model itself.
    """
    vocabulary = chances.shape[1]
    for count in LIKELIEST:
        if count >= vocabulary:
            break
        ranked, order = chances.topk(count)
        mass = ranked.sum(-1, keepdim=True)
        is_enough = (mass >= needed) | (top_k <= count)
        if is_enough.all():
            return ranked, order
    ranked, order = chances.sort(descending=True)
    return ranked, order


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
