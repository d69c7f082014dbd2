"""Advance every row of a Qwen2 batch by one token, in a tenth of the calls of the general model.

    step = decode.Qwen2Step(model, adapters)     if decode.applies(model)
    logits = step(tokens, positions, mask, cache)

A small model's token is mostly the price of calling: modules, masks, arguments. Here the Qwen2
layer is written out for the one case that decoding needs: a single new token a row after a filled
cache. Same logits as the plain path, `cookbook.service.engine.batch.plain_step`, to which other
models and `COOKBOOK_FAST=0` are left. The prompt is always read by transformers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cookbook.service.engine.adapters import Adapters
from cookbook.service.engine.fast import packed

Projection = Callable[[Tensor], Tensor]


def applies(model: Any) -> bool:
    """Return whether this is a Qwen2 model without the variants that are not written out here."""
    config = model.config
    # Weights in 4 bit, or stored in another type than they are computed in, are left to the model.
    linears = [module for module in model.modules() if isinstance(module, nn.Linear)]
    if any(type(linear) is not nn.Linear for linear in linears):
        return False
    if config.model_type != "qwen2" or "sliding_attention" in config.layer_types:
        return False
    if model.model.rotary_emb.rope_type != "default":
        return False
    # Weights of another type than the model's, such as 4-bit ones, have layers of their own.
    first = model.model.layers[0].mlp.down_proj
    return type(first) is nn.Linear and first.weight.dtype == model.dtype


@dataclass(frozen=True)
class _Layer:
    """One decoder layer, with the projections that read the same input joined into one product."""

    norm_before_attention: Tensor
    qkv: Projection
    attention_out: Projection
    norm_before_mlp: Tensor
    gate_up: Projection
    down: Projection


class Qwen2Step:
    """The written-out step.

    The model is changed: projections that read the same input share their storage (see `_join`), or
    weights in bfloat16 are packed (see `packed.py`).
    """

    def __init__(self, model: Any, adapters: Adapters):
        config = model.config
        self._model, self._adapters = model, adapters
        self._heads = config.num_attention_heads
        self._kv_heads = config.num_key_value_heads
        self._eps = config.rms_norm_eps
        # A product with it is a mean over the hidden size.
        device, width = model.device, config.hidden_size
        self._mean = torch.full((width, 1), 1 / width, device=device)
        # Cosine and sine of every position that the model can read: (positions, 1, head width).
        positions = torch.arange(config.max_position_embeddings, device=device)
        with torch.no_grad():
            cos, sin = model.model.rotary_emb(model.lm_head.weight, positions[None])
        self._cos = cos[0, :, None]
        self._sin = sin[0, :, None]
        self._layers = [self._write_out(layer) for layer in model.model.layers]
        if packed.applies(model.lm_head):
            # Tied to the embedding, whose rows are looked up, the head is there twice from now on.
            packed.pack(model.lm_head)
            packed.leave_file(model)

    def __call__(self, tokens: Tensor, positions: Tensor, mask: Tensor, cache: Any) -> Tensor:
        """Return the logits after `tokens`, (rows, vocabulary), and let the cache grow by a column.

        Args:
            tokens, positions: (rows,).
            mask: (rows, width), with the new token in it; the cache has width - 1.
        """
        model = self._model.model
        x = model.embed_tokens(tokens)  # (rows, hidden)
        rotary = self._cos[positions], self._sin[positions]  # each (rows, 1, head width)
        # A single row has no padding, and without a mask attention is quicker.
        attended = None
        if len(tokens) > 1:
            attended = mask[:, None, None].bool()
        for layer, cached in zip(self._layers, cache.layers, strict=True):
            normed = self._norm(x, layer.norm_before_attention)
            qkv = layer.qkv(normed)
            heads = self._attend(qkv, rotary, attended, cached)
            x = x + layer.attention_out(heads)
            normed = self._norm(x, layer.norm_before_mlp)
            gate, up = layer.gate_up(normed).chunk(2, -1)
            inner = F.silu(gate) * up
            x = x + layer.down(inner)
        last = self._norm(x, model.norm.weight)
        return self._model.lm_head(last)

    def _attend(
        self,
        qkv: Tensor,
        rotary: tuple[Tensor, Tensor],
        attended: Tensor | None,
        cached: Any,
    ) -> Tensor:
        """Return what each row reads from its keys and values, (rows, heads x head width)."""
        rows, heads, kv_heads = len(qkv), self._heads, self._kv_heads
        qk_heads = heads + kv_heads
        qkv = qkv.view(rows, qk_heads + kv_heads, -1)
        # Queries and keys are turned by their position (rotary embedding), values are not.
        turned, values = qkv.split([qk_heads, kv_heads], 1)
        cos, sin = rotary
        first, second = turned.chunk(2, -1)
        swapped = torch.cat([-second, first], -1)
        turned = turned * cos + swapped * sin
        queries, keys = turned.split([heads, kv_heads], 1)
        # The cache holds (rows, kv heads, width, head width).
        cached.keys = torch.cat([cached.keys, keys[:, :, None]], 2)
        cached.values = torch.cat([cached.values, values[:, :, None]], 2)
        # Query heads that share keys and values take the dimension of successive queries.
        sharing = heads // kv_heads
        queries = queries.view(rows, kv_heads, sharing, -1)
        out = F.scaled_dot_product_attention(
            queries, cached.keys, cached.values, attn_mask=attended
        )
        return out.reshape(rows, -1)

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """Return the root-mean-square norm of `x`, (rows, hidden)."""
        if x.dtype != torch.float32:
            return F.rms_norm(x, weight.shape, weight, self._eps)
        # The same in half the time: a mean taken as a product is quicker than one taken as a sum.
        mean_square = torch.mm(x * x, self._mean)
        scale = mean_square.add_(self._eps).rsqrt_()
        return x * scale * weight

    def _write_out(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        return _Layer(
            norm_before_attention=layer.input_layernorm.weight,
            qkv=self._join(attention.q_proj, attention.k_proj, attention.v_proj),
            attention_out=self._join(attention.o_proj),
            norm_before_mlp=layer.post_attention_layernorm.weight,
            gate_up=self._join(mlp.gate_proj, mlp.up_proj),
            down=self._join(mlp.down_proj),
        )

    def _join(self, *linears: nn.Linear) -> Projection:
        """Return one product for projections that read the same input, with their adapters added.

        The model is changed: the joined matrix takes the place of the weights, which become views
        of it. So the prompt, read by the model itself, and the memory in use stay the same.
        """
        if packed.applies(linears[0]):
            return self._pack(*linears)
        weight = torch.cat([linear.weight.data for linear in linears])
        rows = weight.split([linear.out_features for linear in linears])
        for linear, own_rows in zip(linears, rows, strict=True):
            linear.weight.data = own_rows
        bias = None
        if linears[0].bias is not None:
            bias = torch.cat([linear.bias.data for linear in linears])
        add_adapters = self._adapters.add

        def project(x: Tensor) -> Tensor:
            out = F.linear(x, weight, bias)
            return add_adapters(out, x, *linears)

        return project

    def _pack(self, *linears: nn.Linear) -> Projection:
        """Return the products of packed weights side by side, with their adapters added.

        Packed weights have no views, so each projection keeps its own.
        """
        products = [packed.pack(linear) for linear in linears]
        add_adapters = self._adapters.add

        def project(x: Tensor) -> Tensor:
            outs = [product(x) for product in products]
            out = torch.cat(outs, -1) if len(outs) > 1 else outs[0]
            return add_adapters(out, x, *linears)

        return project
