"""Values that change nothing: clients send them from habit, and they are accepted without effect.

Everywhere: null, and an empty list or object or `false` for what is not done here. Beyond that,
each table names a field and the values that mean nothing in it. Any other value would change the
answer, and is refused by name.

A field that a request body declares is not looked up here, except for null.
"""

from collections.abc import Collection, Mapping
from typing import Any

Table = Mapping[str, tuple[Any, ...]]

_LABEL = (object(),)
"""For a field that never changes an answer, whatever it holds."""

# What chat and completions have in common. Some of it is vLLM's, llama.cpp's
# or SiliconCloud's own.
GENERATION: Table = {
    # Sampling, with the value that leaves the probabilities as they are
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "repetition_penalty": (1,),
    "repeat_penalty": (1,),
    "length_penalty": (1,),
    "min_p": (0,),
    "top_a": (0,),
    "tfs_z": (1,),
    "mirostat": (0,),
    "dynatemp_range": (0,),
    "xtc_probability": (0,),
    "dry_multiplier": (0,),
    "typical_p": (1,),
    "min_tokens": (0,),
    "logit_bias": ({},),
    "do_sample": (True,),
    "best_of": (1,),
    # Text, as it is written here anyway
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "add_generation_prompt": (True,),
    "include_reasoning": (True, False),
    "truncation": ("auto", "disabled"),
    "top_logprobs": (0,),
    # How fast the answer comes, and nothing else
    "cache_prompt": _LABEL,
    "keep_alive": _LABEL,
    "prediction": _LABEL,
    # Who asks, and what for
    "user": _LABEL,
    "metadata": _LABEL,
    "safety_identifier": _LABEL,
    "prompt_cache_key": _LABEL,
    "prompt_cache_retention": _LABEL,
    "prompt_cache_options": _LABEL,
    "request_id": _LABEL,
    "session_id": _LABEL,
    "chat_id": _LABEL,
    "service_tier": ("auto", "default"),
    "priority": (0,),
}

CHAT: Table = {
    **GENERATION,
    # Tools, where none are given
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "function_call": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    # Answers that are text, written without thinking first
    "modalities": (["text"],),
    "verbosity": ("medium",),
    "reasoning_effort": ("none",),
    "reasoning": ({"effort": "none"}, {"enabled": False}),
    "reasoning_format": ("none", "auto"),
    "thinking": ({"type": "disabled"},),
    "thinking_budget": _LABEL,  # means something with `enable_thinking` alone
    "enable_thinking": (False,),
    "chat_template_kwargs": ({}, {"enable_thinking": False}, {"thinking": False}),
}

# What clients send back of an earlier answer, besides its text. SiliconCloud ignores the thoughts
# of earlier turns as well.
MESSAGE: Table = {
    "name": _LABEL,  # of the speaker: the chat template has no place for it
    "id": _LABEL,
    "annotations": _LABEL,
    "parsed": _LABEL,  # the client's own reading of `content`
    "reasoning": _LABEL,
    "reasoning_content": _LABEL,
    "reasoning_details": _LABEL,
    "cache_control": _LABEL,
}

PART: Table = {"annotations": _LABEL, "logprobs": _LABEL, "cache_control": _LABEL}

STREAM_OPTIONS: Table = {"include_obfuscation": (True, False)}

# OpenAI's factor on a learning rate of its own choice: 1 leaves ours as it is.
HYPERPARAMETERS: Table = {"learning_rate_multiplier": (1,)}


def without_neutral(given: Mapping[str, Any], table: Table, declared: Collection[str]) -> dict:
    """Return what is left of `given` without the fields that change nothing."""
    kept = {}
    for name, value in given.items():
        if value is None or (name not in declared and _means_nothing(name, value, table)):
            continue
        kept[name] = value
    return kept


def schema(values: tuple[Any, ...]) -> dict[str, Any]:
    """Return the JSON schema of a field that is accepted without effect."""
    return {} if values is _LABEL else {"enum": [*values, None]}


def _means_nothing(name: str, value: Any, table: Table) -> bool:
    if _is_empty(value):
        return True
    # "Off" is the usual state of what is not done here; a table names the exceptions.
    if name not in table:
        return value is False
    values = table[name]
    return values is _LABEL or any(_same(value, other) for other in values)


def _is_empty(value: Any) -> bool:
    """Return whether a value holds nothing, such as the `{"refusal": null}` of LiteLLM."""
    if isinstance(value, dict):
        return all(_is_empty(part) for part in value.values())
    return value is None or value == []


def _same(one: Any, other: Any) -> bool:
    # To Python 1 and True are equal, which they are not in JSON.
    return one == other and isinstance(one, bool) == isinstance(other, bool)
