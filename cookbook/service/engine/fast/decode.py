"""One token further for every row of a batch, in a tenth of the calls that the general model makes. Knows torch alone.

    step = decode.stepper(model, adapters)
    logits = step(tokens, positions, mask, cache)

A small model's token is mostly the price of calling: modules, masks, arguments. Here the Qwen2 layer is written out for
the one case that decoding needs, a single new token a row after a filled cache; prefill stays with transformers. A
model of another architecture is called as it is.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Cache

from cookbook.service.engine.adapters import Adapters

Step = Callable[[Tensor, Tensor, Tensor, Cache], Tensor]


def stepper(model, adapters: Adapters) -> Step:
    """A function of tokens and positions, both (rows,), mask (rows, width) with the new token in it, and a cache of
    width - 1, which grows by one; it gives the logits, (rows, vocabulary), with the adapters in use."""
    config = model.config
    plain = config.model_type == "qwen2" and "sliding_attention" not in config.layer_types
    if plain and model.model.rotary_emb.rope_type == "default":
        return _Qwen2Step(model, adapters)

    def step(tokens: Tensor, positions: Tensor, mask: Tensor, cache: Cache) -> Tensor:
        out = model(
            input_ids=tokens[:, None],
            attention_mask=mask,
            position_ids=positions[:, None],
            past_key_values=cache,
        )
        return out.logits[:, -1]

    return step


class _Qwen2Step:
    def __init__(self, model, adapters: Adapters):
        self._model, self._adapters, config = model, adapters, model.config
        self._heads, self._pairs = config.num_attention_heads, config.num_key_value_heads
        self._eps, width = config.rms_norm_eps, config.hidden_size
        self._mean = torch.full((width, 1), 1 / width, device=model.device)
        places = torch.arange(config.max_position_embeddings, device=model.device)
        with torch.no_grad():
            tables = model.model.rotary_emb(model.lm_head.weight, places[None])
        self._cos, self._sin = (table[0, :, None] for table in tables)  # (places, 1, head width)
        self._layers = [
            (
                layer.input_layernorm.weight,
                self._joined(
                    layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj
                ),
                self._joined(layer.self_attn.o_proj),
                layer.post_attention_layernorm.weight,
                self._joined(layer.mlp.gate_proj, layer.mlp.up_proj),
                self._joined(layer.mlp.down_proj),
            )
            for layer in model.model.layers
        ]

    def __call__(self, tokens: Tensor, positions: Tensor, mask: Tensor, cache: Cache) -> Tensor:
        rows, heads, pairs = len(tokens), self._heads, self._pairs
        x = self._model.model.embed_tokens(tokens)
        cos, sin = self._cos[positions], self._sin[positions]  # (rows, 1, head width)
        seen = None if rows == 1 else mask[:, None, None].bool()
        for kept, (before, qkv, out, after, gate_up, down) in zip(
            cache.layers, self._layers, strict=True
        ):
            joined = qkv(self._norm(x, before)).view(rows, heads + 2 * pairs, -1)
            turned, values = joined[:, : heads + pairs], joined[:, heads + pairs :, None]
            first, second = turned.chunk(2, -1)
            turned = turned * cos + torch.cat([-second, first], -1) * sin
            kept.keys = torch.cat([kept.keys, turned[:, heads:, None]], 2)
            kept.values = torch.cat([kept.values, values], 2)
            # The query heads that share a pair of keys and values stand where other queries would.
            queries = turned[:, :heads].view(rows, pairs, heads // pairs, -1)
            attended = F.scaled_dot_product_attention(
                queries, kept.keys, kept.values, attn_mask=seen
            )
            x = x + out(attended.reshape(rows, -1))
            gate, up = gate_up(self._norm(x, after)).chunk(2, -1)
            x = x + down(F.silu(gate) * up)
        return self._model.lm_head(self._norm(x, self._model.model.norm.weight))

    def _norm(self, x: Tensor, weight: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            return F.rms_norm(x, x.shape[-1:], weight, self._eps)
        # The same in half the time: a mean that is a product is quicker than one that is a sum.
        return x * torch.mm(x * x, self._mean).add_(self._eps).rsqrt_() * weight

    def _joined(self, *linears) -> Callable[[Tensor], Tensor]:
        """What projections make of the same input, in one product. They keep their weights as views of it."""
        weight = torch.cat([linear.weight.data for linear in linears])
        bias = (
            torch.cat([linear.bias.data for linear in linears])
            if linears[0].bias is not None
            else None
        )
        at = 0
        for linear in linears:
            linear.weight.data = weight[at : (at := at + len(linear.weight))]
        adds = self._adapters.add
        return lambda x: adds(F.linear(x, weight, bias), x, *linears)
