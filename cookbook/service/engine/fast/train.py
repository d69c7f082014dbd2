"""Let a PEFT model train by the fast paths of this folder, with the results of the plain ones.

    dropout = speed_up(model, share, longest)

Set on the model's own objects: classes, which other models share, stay as they are, and evaluation
goes on as before. `COOKBOOK_FAST=0` leaves everything to transformers and PEFT.
"""

from typing import Any

from torch import nn

from cookbook.service.engine.fast.attention import use_short_attention
from cookbook.service.engine.fast.dropout import Dropout
from cookbook.service.engine.fast.gated import FastGated, is_gated
from cookbook.service.engine.fast.lora import NAME, FastLora, plain_layers
from cookbook.service.engine.fast.norm import FastNorm, is_rms_norm


def speed_up(model: nn.Module, share: float, longest: int) -> Dropout:
    """Change how the layers of a PEFT model compute in training.

    Args:
        share: of the values that are dropped before an adapter.
        longest: tokens of the longest row.

    Returns:
        The dropout of all LoRA layers, which is to be told each step and its rows.
    """
    layers = plain_layers(model)
    # The long mask is cut by rows of the widest input.
    inputs = [layer.lora_A[NAME].weight.shape[1] for layer in layers]
    widest = max(inputs, default=0)
    dropout = Dropout(share, longest * widest, len(layers))
    paths: dict[nn.Module, Any] = {}
    for number, layer in enumerate(layers):
        paths[layer] = FastLora(layer, dropout, number)
    # A block computes its last layer itself, the other two by their own paths.
    for module in model.modules():
        if is_gated(module) and module.down_proj in paths:
            paths[module] = FastGated(module, paths[module.down_proj])
        elif is_rms_norm(module):
            paths[module] = FastNorm(module)
    for module, path in paths.items():
        module.forward = path
    use_short_attention(model)
    return dropout
