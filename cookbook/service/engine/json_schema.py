"""Turn a JSON schema into a grammar, in a process of its own first.

    python -P json_schema.py < schema.json      prints why the schema cannot be used, or nothing

A few lines of schema can ask for more work than there is time or memory in the world: the grammar
library bounds most of it, not all. So a schema is tried here before the service compiles it:
`grammar.py` ends this process when it takes too long. It imports nothing of the package, so that it
starts in a tenth of a second.
"""

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

# All of them, since a schema may bring others, with which the answer would not be JSON.
_OPTIONS: "JsonCompileOptions" = {
    "item_separator": ",",
    "key_separator": ":",
    "whitespace_flexible": True,
    # A small model may write white space without end: one space, or a new line with its indent.
    "whitespace_pattern": r" ?|\n {0,16}",
    "coerce_one_of": False,
    "lenient": False,
    "json_allow_general_unicode_escapes": False,
}
_LIMITS = LLParserLimits(
    initial_lexer_fuel=300_000,
    step_lexer_fuel=100_000,
    max_items_in_row=4000,  # about 1,000 properties of one object
    max_lexer_states=20_000,
    max_grammar_size=100_000,
    verbose_errors=False,
)
_BOUNDS = {"minimum": 1, "exclusiveMinimum": 1, "maximum": -1, "exclusiveMaximum": -1}
_MEMORY = 2**30  # bytes that the process may use, where the system can limit them


def matcher_of(tokenizer: LLTokenizer, schema: str) -> LLMatcher:
    """Return a matcher at the beginning of an answer that fits the schema.

    Raises:
        ValueError: the schema cannot be used.
    """
    grammar = LLMatcher.grammar_from_json_schema(schema, overrides=_OPTIONS)
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=_LIMITS)
    if matcher.is_error():
        raise ValueError(matcher.get_error())
    return matcher


class _Bytes:
    """The smallest tokenizer: a token for each byte, and one that ends the answer."""

    eos_token_id = 256
    bos_token_id = None
    tokens = [*(bytes([byte]) for byte in range(256)), b"<end>"]
    special_token_ids = [256]

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def _check_bounds(schema: Any) -> None:
    """Raise ValueError for a bound beyond 64 bits, in whose place the library takes the last one.

    A bound that allows more than 64 bits can hold does no harm.
    """
    parts = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, list):
            parts += part
        elif isinstance(part, dict):
            parts += part.values()
            for name, sign in _BOUNDS.items():
                bound = part.get(name)
                if isinstance(bound, (int, float)) and bound * sign >= 2**63:
                    raise ValueError(f"range: {name} {bound}")


def _try(schema: str) -> None:
    """Raise ValueError if the schema cannot be used, also if that shows after the first byte."""
    _check_bounds(json.loads(schema))
    matcher = matcher_of(LLTokenizer(TokenizerWrapper(_Bytes())), schema)
    opening = ord("{")
    mask = matcher.compute_bitmask()
    is_allowed = mask[opening // 8] >> opening % 8 & 1
    # What an object may hold is looked at once it is open.
    if is_allowed and not matcher.is_error():
        matcher.consume_token(opening)
        matcher.compute_bitmask()
    if matcher.is_error():
        raise ValueError(matcher.get_error())


def _limit_memory() -> None:
    # Windows has no such limit; there the time that the process gets is the only one.
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


if __name__ == "__main__":
    _limit_memory()
    try:
        _try(sys.stdin.buffer.read().decode())
    except (ValueError, MemoryError) as error:
        reason = str(error) or "out of memory"
        sys.stdout.buffer.write(reason.encode())
