"""Turn training rows into the tensors that a training step takes.

    row -> Example(ids, trained) -> batch (ids, labels)

Which tokens are trained on is decided by `cookbook/chatml.py`; the text between is laid out by
the base's own chat template. Nothing is packed or shuffled here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from cookbook import chatml
from cookbook.errors import DataError
from cookbook.service.engine import conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOT_TRAINED = -100
"""The label of a token that is only read; torch's cross-entropy leaves it out by this number."""

NAMED_ROWS = 10
"""Row numbers that an error lists, at most."""


@dataclass(frozen=True)
class Example:
    """One conversation as the model reads it: token ids, and for each whether it is trained on."""

    ids: list[int]
    trained: list[bool]


def encode(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[chatml.Message], max_tokens: int
) -> Example:
    """Return the conversation by the base's own chat template, cut off at `max_tokens`."""

    def render(turns: Sequence[chatml.Message], add_generation_prompt: bool) -> str:
        return conversation.render(tokenizer, turns, add_generation_prompt)

    escaped = conversation.escape(tokenizer, messages)
    pieces = chatml.pieces(escaped, render=render)
    # Each piece is tokenized for itself, so that no token is half trained on.
    tokens = conversation.encode(tokenizer, [piece.text for piece in pieces])
    ids: list[int] = []
    trained: list[bool] = []
    for piece, piece_ids in zip(pieces, tokens, strict=True):
        ids += piece_ids
        trained += [piece.trained] * len(piece_ids)
    return Example(ids[:max_tokens], trained[:max_tokens])


def encode_all(
    tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Mapping[str, Any]], max_tokens: int
) -> list[Example]:
    """Return every row as an example.

    Raises:
        DataError: naming the rows, counted from 1, of which no token would be trained.
    """
    examples = []
    cut_off: list[int] = []
    nothing_to_learn: list[int] = []
    for number, row in enumerate(rows, start=1):
        example = encode(tokenizer, row["messages"], max_tokens)
        examples.append(example)
        # The first token is never predicted, so it cannot be trained on.
        if any(example.trained[1:]):
            continue
        has_answer = any(map(chatml.is_trained, row["messages"]))
        without = cut_off if has_answer else nothing_to_learn
        without.append(number)
    if nothing_to_learn:
        numbers = _listed(nothing_to_learn)
        raise DataError(
            zh=f"这些行没有要学的回答（都是 weight 0）：{numbers}。删去它们，或去掉 weight",
            en=f"these rows have no answer to learn, all have weight 0: {numbers}. Drop the rows, "
            "or the weights",
        )
    if cut_off:
        raise DataError(
            zh=f"这些行没有一个 token 会被训练：{_listed(cut_off)}。"
            f"max_tokens = {max_tokens} 在回答之前就截断了，请调大它或缩短提问",
            en=f"no token of these rows would be trained: {_listed(cut_off)}. "
            f"max_tokens = {max_tokens} cuts them off before the answer: "
            "raise it or shorten the prompt",
        )
    return examples


def _listed(numbers: Sequence[int]) -> str:
    """Return row numbers in a line, so many as one can take in."""
    text = ", ".join(map(str, numbers[:NAMED_ROWS]))
    return f"{text} …" if len(numbers) > NAMED_ROWS else text


def collate(
    examples: Sequence[Example], pad: int, device: torch.device | str
) -> tuple[Tensor, Tensor]:
    """Return (ids, labels), both (rows, longest); a label is `NOT_TRAINED` if its token is.

    Padding is on the right, where causal attention never looks, so no attention mask is needed.
    """
    # As wide as these rows need, not as `max_tokens` allows.
    longest = max(len(example.ids) for example in examples)
    ids = torch.full((len(examples), longest), pad)
    labels = torch.full((len(examples), longest), NOT_TRAINED)
    for row, example in enumerate(examples):
        length = len(example.ids)
        tokens = torch.tensor(example.ids)
        trained = torch.tensor(example.trained)
        ids[row, :length] = tokens
        labels[row, :length] = tokens.where(trained, NOT_TRAINED)
    # Filled here and moved at once: a GPU would wait for each small copy.
    return ids.to(device), labels.to(device)
