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

    def render(turns: Sequence[chatml.Message], add_generation_prompt: bool) -> Any:
        return tokenizer.apply_chat_template(
            [dict(turn) for turn in turns],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
        )

    ids: list[int] = []
    trained: list[bool] = []
    # Each piece is tokenized for itself, so that no token is half trained on.
    for piece in chatml.pieces(messages, render=render):
        piece_ids = tokenizer(piece.text, add_special_tokens=False)["input_ids"]
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
    untrained = []
    for number, row in enumerate(rows, start=1):
        example = encode(tokenizer, row["messages"], max_tokens)
        examples.append(example)
        # The first token is never predicted, so it cannot be trained on.
        if not any(example.trained[1:]):
            untrained.append(str(number))
    if untrained:
        numbers = ", ".join(untrained[:NAMED_ROWS])
        if len(untrained) > NAMED_ROWS:
            numbers += " …"
        raise DataError(
            zh=f"这些行没有一个 token 会被训练：{numbers}。"
            f"max_tokens = {max_tokens} 在回答之前就截断了，请调大它或缩短提问",
            en=f"no token of these rows would be trained: {numbers}. "
            f"max_tokens = {max_tokens} cuts them off before the answer: "
            "raise it or shorten the prompt",
        )
    return examples


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
