"""Keep an answer to a JSON schema: before each token, forbid those that the schema does not allow.

    grammars = Grammars(tokenizer, vocabulary, ends)
    grammar = grammars.compile(schema)           raises BadSchema; never in the engine's thread
    grammar.restrict(logits); grammar.take(token); grammar.is_complete

The rules are llguidance's, which works them out as the answer grows: a schema is compiled in
milliseconds, and a token takes less than one. Only the answer's own row of the logits is touched.
A schema that would take long is found in a process of its own, `json_schema.py`.
"""

import importlib.util
import logging
import re
import subprocess
import threading
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from cookbook.errors import CookbookError, ModelError
from cookbook.service import trial

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

MAX_SCHEMA = 100_000  # characters
CHECK_SECONDS = 5.0  # for the process that tries a schema, its start included
CHECKS = threading.Semaphore(2)  # schemas that are tried at the same time
log = logging.getLogger(__name__)
_PROGRAM = str(Path(__file__).with_name("json_schema.py"))


class BadSchema(CookbookError, ValueError):
    """The JSON schema cannot be used: not valid, not supported, or too large."""


class Grammar:
    """Where one answer is in its schema."""

    def __init__(self, matcher: "LLMatcher"):
        self._matcher = matcher

    @property
    def is_complete(self) -> bool:
        """Return whether the JSON is complete and nothing can follow."""
        return self._matcher.is_stopped()

    def restrict(self, logits: Tensor) -> None:
        """Set the logits of all tokens that may not come next, of (vocabulary,), to -inf.

        Raises:
            BadSchema: the schema turned out to take too long.
        """
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed = np.unpackbits(bits, count=len(logits), bitorder="little")
        # A failed grammar allows the end alone, in the middle of the JSON.
        if self._matcher.is_error() or not allowed.any():
            raise bad_schema(self._matcher.get_error())
        is_forbidden = torch.from_numpy(allowed == 0).to(logits.device)
        logits.masked_fill_(is_forbidden, float("-inf"))

    def take(self, token: int) -> None:
        """Go on by the token that was chosen.

        Raises:
            BadSchema: as for `restrict`.
        """
        if not self._matcher.consume_token(token):
            raise bad_schema(self._matcher.get_error())


class Grammars:
    """Compile schemas for one base."""

    def __init__(self, tokenizer: Any, vocabulary: int, ends: list[int]):
        """`vocabulary` is the width of the logits, `ends` are the tokens that end an answer."""
        self._source = tokenizer, vocabulary, ends
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def compile(self, schema: str) -> Grammar:
        """Return the grammar of a schema; takes a tenth of a second for one that is new.

        Raises:
            BadSchema: the schema cannot be used.
            ModelError: llguidance is not installed.
        """
        if not importlib.util.find_spec("llguidance"):
            raise ModelError(
                zh="JSON 输出需要 llguidance：pip install llguidance，然后重启服务",
                en="JSON output needs llguidance: pip install llguidance, then restart the service",
            )
        with CHECKS:
            reason = _check(schema)
        if reason:
            raise bad_schema(reason)
        from cookbook.service.engine import json_schema

        try:
            return Grammar(json_schema.matcher_of(self._llguidance_tokenizer(), schema))
        except ValueError as error:
            raise bad_schema(str(error)) from error

    def _llguidance_tokenizer(self) -> "LLTokenizer":
        """Return llguidance's view of the tokenizer, made at the first schema."""
        from llguidance import LLTokenizer

        tokenizer, vocabulary, ends = self._source
        with self._lock:
            if not self._tokenizer:
                self._tokenizer = LLTokenizer(
                    tokenizer.backend_tokenizer.to_str(),
                    n_vocab=vocabulary,
                    eos_token=ends,
                    slices=LLTokenizer.json_slices(),
                )
            return self._tokenizer


@lru_cache(maxsize=256)
def _check(schema: str) -> str:
    """Return why the schema cannot be used; empty if it can.

    Raises:
        BadSchema: it takes too long. That is not remembered: the machine may have been busy.
    """
    if len(schema) > MAX_SCHEMA:
        return "too large"
    try:
        done = trial.run(_PROGRAM, seconds=CHECK_SECONDS, given=schema.encode())
    except subprocess.TimeoutExpired:
        raise bad_schema("too large") from None
    # Ended for its memory, or by a stack that overflowed.
    if done.returncode:
        log.warning("trying a schema ended with %d: %s", done.returncode, done.stderr[-500:])
        return "too large"
    return done.stdout.decode(errors="replace")


_REASONS = [
    (r"Unimplemented keys: \[(.*)\]", "不支持关键字 {}", "the keyword {} is not supported"),
    (r"Unknown format: (.*)", "不支持 format {}", "the format {} is not supported"),
    (
        "oneOf constraints",
        "oneOf 的各项有重叠，请改用 anyOf",
        "the choices of oneOf overlap: use anyOf",
    ),
    ("patternProperty regexes", "patternProperties 的正则有重叠", "the patternProperties overlap"),
    ("Unsatisfiable|Regex is empty|NoExtension", "没有 JSON 能符合它", "no JSON fits it"),
    (r"Invalid type:? *(.*)", "没有 {} 这个 type", "there is no type {}"),
    ("^type must", "type 只能是字符串或字符串数组", "type must be a string or an array of strings"),
    (r"^Pointer '(.*)' does not exist", "$ref 指向的 {} 不存在", "its $ref to {} leads nowhere"),
    (
        r"^Resource '(.*)' is not",
        "不读取外部的 $ref {}",
        "a $ref to another document, {}, is not read",
    ),
    (
        "regex parse error",
        "有 pattern 写错了，或用了不支持的写法",
        "a pattern is wrong or not supported",
    ),
    ("Expected positive integer for '(.*)'", "{} 应当是非负整数", "{} must be a whole number"),
    ("multiple", "multipleOf 用不了", "its multipleOf cannot be used"),
    (r"range: (.*)", "数值范围太大（{}）", "a range of numbers is too large ({})"),
    (
        "too large|fuel|recursion|max is|too many|out of memory|determine|InternalError|^$",
        "太大或太复杂，请简化",
        "it is too large or complex: simplify it",
    ),
]
"""What llguidance writes, and what the reader gets to read."""


def bad_schema(reason: str) -> BadSchema:
    """Return the error for what llguidance writes about a schema."""
    zh, en, detail = "{}", "{}", reason.strip().partition("\n")[0]
    for pattern, its_zh, its_en in _REASONS:
        found = re.search(pattern, reason)
        if found:
            zh, en = its_zh, its_en
            detail = found[1].replace('"', "") if found.groups() else ""
            break
    detail = detail[:200]
    return BadSchema(
        zh=f"response_format 的 JSON schema 用不了：{zh.format(detail)}",
        en=f"the JSON schema of response_format cannot be used: {en.format(detail)}",
    )
