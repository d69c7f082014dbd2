"""Know PEFT's format: an adapter's files, and what decides in its settings, layers and scale.

    variant(config)             the setting under which it computes something else, or None
    scale(config)               what its product is multiplied by, or None
    required(config, names)     the layers that it must have, of all that a base has

`config` is an adapter_config.json. Read by the engine before it answers, by the import before it
copies anything and by the export before it merges, so that all take the same adapters. Nothing here
runs a pattern out of a file.
"""

import contextlib
import math
import re
from collections.abc import Iterable
from typing import Any

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The two files of an adapter."""

CARD, RECORD = "README.md", "cookbook-model.json"
"""What is beside them in a model's folder: what a person reads of it, and what programs do.

The record is written by `service/worker.py` and, as `exports/facts.py` has it, by export and
import; `model`, `base`, `step`, `created_at` and `metrics` mean the same in both.
"""

PREFIX = "base_model.model."
"""What PEFT writes before a layer's name."""

VARIANTS = (
    "rank_pattern",
    "alpha_pattern",
    "use_dora",
    "lora_bias",
    "modules_to_save",
    "trainable_token_indices",
    "target_parameters",
    "layer_replication",
    "alora_invocation_tokens",
    "use_qalora",
    "use_bdlora",
    "arrow_config",
    "kasa_config",
    "monteclora_config",
    "velora_config",
    "fan_in_fan_out",
)
"""Settings of PEFT under which an adapter computes more than x Aᵀ Bᵀ beside its layers."""

CHANGES_BASE = ("pissa", "olora", "loftq", "corda", "lora_ga")
"""Beginnings of `init_lora_weights` under which PEFT changes the base's own weights, too."""


def variant(config: dict[str, Any]) -> str | None:
    """Return the setting under which the adapter computes something else than is written here."""
    for name in VARIANTS:
        if config.get(name):
            return name
    if config.get("bias") not in (None, "none"):
        return "bias"
    begun = config.get("init_lora_weights")
    if isinstance(begun, str) and begun.lower().startswith(CHANGES_BASE):
        return "init_lora_weights"
    return None


def rank(config: dict[str, Any]) -> int | None:
    """Return the adapter's rank; None where the settings give none."""
    found = config.get("r")
    # True is an int to Python.
    return found if type(found) is int and found > 0 else None


def scale(config: dict[str, Any]) -> float | None:
    """Return what the adapter's product is multiplied by; None where the settings do not give it.

    alpha / r; with rsLoRA (https://arxiv.org/abs/2312.03732) alpha / √r.
    """
    r, alpha = rank(config), config.get("lora_alpha")
    # True is an int to Python.
    if r is None or isinstance(alpha, bool) or not isinstance(alpha, int | float):
        return None
    found = math.nan
    # JSON's whole numbers have no limit.
    with contextlib.suppress(OverflowError):
        found = alpha / (math.sqrt(r) if config.get("use_rslora") else r)
    return found if math.isfinite(found) else None


def required(config: dict[str, Any], names: Iterable[str]) -> set[str]:
    """Return which of a base's linear layers the adapter must have by its settings.

    Those that its `target_modules` list, by whole name or by the end of one, as PEFT reads it.
    Settings that name layers in another way require all: an import writes the names in their place.
    """
    targets, layers = config.get("target_modules"), numbers(config)
    if not isinstance(targets, list) or not all(isinstance(one, str) for one in targets):
        return set(names)
    if layers == [] or config.get("layers_pattern") or config.get("exclude_modules"):
        return set(names)
    if layers is not None:
        return {name for name in names if number(name) in layers and is_target(name, targets)}
    # PEFT writes "all-linear" as the name of each layer: those of a base with fewer layers would
    # look like a choice from one with more.
    targets = of_every_layer(targets)
    return {name for name in names if is_target(name, targets)}


def numbers(config: dict[str, Any]) -> list[int] | None:
    """Return the decoder layers that `layers_to_transform` names.

    None where it is not set, and an empty list where it cannot be read.
    """
    found = config.get("layers_to_transform")
    if found is None:
        return None
    listed = found if isinstance(found, list) else [found]
    return listed if all(type(one) is int for one in listed) else []


def number(name: str) -> int | None:
    """Return the number of the decoder layer that a linear layer is in; None if it is in none."""
    found = _NUMBER.search(name)
    return int(found[1]) if found else None


def is_target(name: str, targets: Iterable[str]) -> bool:
    """Return whether a list of targets names this layer."""
    return any(name == target or name.endswith(f".{target}") for target in targets)


def of_every_layer(targets: list[str]) -> list[str]:
    """Return the targets, without numbers where they name the same in each of the first layers.

    A choice of the first few layers alone is told by `layers_to_transform`.
    """
    in_layer: dict[int, set[str]] = {}
    for target in targets:
        place = _NUMBER.search(target)
        if place is None:
            return targets
        in_layer.setdefault(int(place[1]), set()).add(target[place.end() :])
    same = len({frozenset(ends) for ends in in_layer.values()}) == 1
    if len(in_layer) < 2 or not same or set(in_layer) != set(range(len(in_layer))):
        return targets
    return sorted(in_layer[0])


_NUMBER = re.compile(r"(?:^|\.)(\d{1,4})\.")
