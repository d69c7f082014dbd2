"""Attend within short rows by plain products, in bfloat16 on a processor.

    use_short_attention(model)

torch's own attention is made for long rows: on a processor its backward pass takes five times as
long for rows of 50 tokens as the products themselves. Up to `SHORT` tokens all scores of a row are
computed at once; of them nothing is kept for the backward pass. They are float32, as in torch's
own: in bfloat16 large scores would be too coarse. Longer rows are left to torch, and so is
evaluation.
"""

import math
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "cookbook_short_rows"
"""What transformers knows it by."""

SHORT = 160
"""Tokens up to which it is faster; measured at the shape of Qwen2.5-0.5B."""


def use_short_attention(model: Any) -> None:
    """Let a model attend so, where it is of a kind that this is faster for."""
    base = model.get_base_model()
    faster = base.dtype == torch.bfloat16 and base.device.type == "cpu"
    if not faster or base.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    base.set_attn_implementation(NAME)


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return the attention of (rows, heads, tokens, width) as (rows, tokens, heads, width)."""
    tokens, width = query.shape[2:]
    # Without a mask it is causal; a prompt that goes on has more keys than queries.
    is_short = attention_mask is None and tokens == key.shape[2] <= SHORT
    if not (module.training and is_short) or dropout or query.dtype != torch.bfloat16:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
    # All queries that share a key and value head, in one product.
    groups = query.shape[0] * key.shape[1]
    out = ShortAttention.apply(
        query.reshape(groups, -1, width),
        key.reshape(groups, tokens, width),
        value.reshape(groups, tokens, -1),
        scaling or 1 / math.sqrt(width),
    )
    return out.view(*query.shape[:3], -1).transpose(1, 2).contiguous(), None


class ShortAttention(torch.autograd.Function):
    """Causal attention: query (groups, heads · tokens, width), key, value (groups, tokens, …)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.scale = scale
        return shares(query, key, scale) @ value

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value = ctx.saved_tensors
        share = shares(query, key, ctx.scale)
        to_share = grad @ value.mT
        to_score = torch._softmax_backward_data(to_share, share, -1, share.dtype)
        to_score.mul_(ctx.scale)
        to_query = to_score @ key
        to_key = to_score.mT @ query
        to_value = share.mT @ grad
        return to_query, to_key, to_value, None


def shares(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Return how much of each value goes into each result (groups, heads · tokens, tokens)."""
    tokens = key.shape[1]
    scaled = query.float() * scale
    score = scaled @ key.float().mT
    # A token attends to no later one.
    future = torch.full((tokens, tokens), -math.inf).triu(1)
    score.view(len(score), -1, tokens, tokens).add_(future)
    return score.softmax(-1).to(query.dtype)
