"""No file can hang a check: each pattern, and the whole check, takes time that grows with the text.

Time is not measured. What is not linear would take minutes or hours here, and is ended long before.
"""

import ast
import importlib
import json
import multiprocessing
import pkgutil
import re
from itertools import product
from pathlib import Path
from re import _constants as kinds
from re import _parser as parser

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support import make_row

import cookbook
from cookbook import data
from cookbook.service.file_check import FileChecks

HANGS = 30.0  # seconds; what is linear takes a few at most
PUMPED = 300_000  # characters
FUNCTIONS = {"compile", "search", "match", "fullmatch", "findall", "finditer", "split", "sub"}


def patterns():
    """Return every pattern that the package writes out, with its place, and those put together."""
    found = {}
    for module in pkgutil.walk_packages(data.__path__, "cookbook.data."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, re.Pattern):
                found[f"{module.name}.{name}"] = value.pattern
    package = Path(cookbook.__file__).parent
    for path in package.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            of_re = isinstance(call.func.value, ast.Name) and call.func.value.id == "re"
            if of_re and call.func.attr in FUNCTIONS and isinstance(call.args[0], ast.Constant):
                place = f"{path.relative_to(package)}:{call.lineno}"
                found[place] = call.args[0].value
    places = {pattern: place for place, pattern in found.items()}  # each once
    return {place: pattern for pattern, place in places.items()}


def matches(tree):
    """Return texts that a pattern matches or nearly matches: one for each of its branches."""
    texts = [""]
    for kind, value in tree:
        if kind is kinds.BRANCH:
            parts = [text for branch in value[1] for text in matches(branch)]
        elif kind is kinds.SUBPATTERN:
            parts = matches(value[-1])
        elif kind in (kinds.MAX_REPEAT, kinds.MIN_REPEAT):
            parts = matches(value[2])
        else:
            parts = [character(kind, value)]
        texts = [text + part for text in texts for part in parts]
    return texts


def character(kind, value):
    """Return a character of a class; nothing for what only looks, such as `$`."""
    if kind is kinds.LITERAL:
        return chr(value)
    if kind is kinds.IN:
        return character(*value[0])
    if kind is kinds.RANGE:
        return chr(value[0])
    if kind is kinds.CATEGORY:
        return {kinds.CATEGORY_SPACE: " ", kinds.CATEGORY_DIGIT: "1"}.get(value, "a")
    return "x" if kind in (kinds.ANY, kinds.NEGATE, kinds.NOT_LITERAL) else ""


def pumped(pattern):
    """Yield texts that make a pattern begin often and fail late."""
    text = pattern.decode() if isinstance(pattern, bytes) else pattern
    pieces = set()
    for match in matches(parser.parse(text)):
        ends = {*range(1, len(match) + 1, 4), len(match) - 8, len(match) - 1, len(match)}
        pieces |= {match[:end] for end in ends if end > 0}
    for piece, end in product(sorted(pieces), ("", "\0")):
        yield piece * (PUMPED // len(piece)) + end
        yield piece + piece[-2:] * (PUMPED // 2) + end


def search_all(patterns, begun):
    for pattern in patterns:
        begun.value += 1
        compiled = re.compile(pattern)
        for text in pumped(pattern):
            given = text.encode() if isinstance(pattern, bytes) else text
            for _ in compiled.finditer(given):
                pass


def first_that_hangs(patterns):
    """Return the place of the first pattern that does not come to an end; None if all do."""
    context = multiprocessing.get_context("spawn")
    begun = context.Value("i", 0)
    process = context.Process(target=search_all, args=([*patterns.values()], begun))
    process.start()
    # Each pattern has the whole time, however many there are.
    last = -1
    while process.is_alive() and last != begun.value:
        last = begun.value
        process.join(HANGS)
    hangs = process.is_alive()
    process.kill()
    process.join()
    assert hangs or process.exitcode == 0
    return [*patterns][begun.value - 1] if hangs else None


def test_every_pattern_of_the_package_is_linear():
    found = patterns()
    assert len(found) > 15 and any(place.startswith("data/sensitive") for place in found)
    assert first_that_hangs(found) is None


def test_a_pattern_that_is_not_linear_is_found_out(monkeypatch):
    monkeypatch.setitem(globals(), "HANGS", 15.0)
    key = r"-----BEGIN [A-Z ]*PRIVATE KEY[^\0]*?(?:-----END|\Z)"
    for pattern in (r"(a+)+b", r"[a-z]+@x", key):
        assert first_that_hangs({"good": "a", "bad": pattern}) == "bad"


# The whole check


@pytest.fixture(scope="module")
def checks():
    with FileChecks(seconds=HANGS) as checks:
        yield checks


N = 400_000  # bytes, about


def fill(piece, before="", after=""):
    """Return a file of one row whose question repeats a text."""
    row = make_row(user=before + piece * (N // len(piece.encode())) + after)
    return data.to_jsonl([row])


def nested(depth):
    return b'{"messages":[{"role":' + b"[" * depth + b"]" * depth + b',"content":"x"}]}'


FILES = {
    "keys without an end, then NUL": fill("-----BEGIN PRIVATE KEY", after="\0"),
    "one key that begins again": fill("PRIVATE KEY", before="-----BEGIN ", after="\0"),
    "a key of capitals": fill("A ", before="-----BEGIN ", after="\0"),
    "addresses": fill("a@b.cc "),
    "addresses with long names": fill("a" * 64 + "@b.cc "),
    "an address of dots": fill("a.", before="@", after="1"),
    "phone numbers": fill("13812345678 "),
    "digits": fill("13"),
    "runs of white space": fill(" " * 4999 + "a"),
    "white space": fill(" \n"),
    "marks out of order": fill("\u302a", before="か", after="\u3099"),
    "marks that take turns": fill("\u3099\u302a", before="か"),
    "marks beyond the first plane": fill("\U0001d165\U0001d16d"),
    "one long word": fill("a"),
    "punctuation": fill("^"),
    "control characters": fill("\x01"),
    "quotation marks": fill('"'),
    "escapes": fill("\\n"),
    "backslashes": fill("\\"),
    "paths": fill("C:\\a"),
    "open tags": fill("<br "),
    "open code": fill("``` `"),
    "strings": fill("('"),
    "thinking": fill("<think>"),
    "thinking that ends": fill("</think> "),
    "text read as Latin-1": fill("\u00e8\u00bf\u0098"),
    "text read as GBK": fill("鎴戜滑"),
    "what cannot be seen": fill("a\u200b"),
    "half characters": b'{"messages":[{"role":"user","content":"' + b"\\ud800" * (N // 6) + b'"}]}',
    "open brackets": b"[" * N,
    "open objects": b'{"a":' * (N // 5),
    "nested as deep as Python goes": b"\n".join(map(nested, range(900, 1000, 3))),
    "nested deeper": b"\n".join(map(nested, (3000, 10_000, 100_000))),
    "a huge number": b'{"messages":[{"role":' + b"9" * N + b',"content":1}]}',
    "many keys": b'{"a":1' + b"".join(b',"%d":1' % i for i in range(N // 10)) + b"}",
    "a key many times": b'{"a":1' + b',"a":1' * (N // 6) + b"}",
    "many messages": data.to_jsonl([{"messages": [{"role": "user", "content": "a"}] * (N // 40)}]),
    "blank lines": b"\n" * N,
    "carriage returns": b"\r" * N,
    "numbers": b"1\n" * (N // 2),
    "letters": b"x\n" * (N // 2),
    "empty objects": b"{}\n" * (N // 3),
    "bytes of no encoding": b"\xff\n" * (N // 2),
    "GBK": "啊\n".encode("gbk") * (N // 3),
    "the same row": data.to_jsonl([make_row()] * (N // 150)),
    "rows nearly the same": data.to_jsonl([make_row(user=f"怎样改地址{i}") for i in range(3000)]),
    "one question, many answers": data.to_jsonl(
        [make_row(assistant=f"在订单详情里改{i}") for i in range(3000)]
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_made_to_hang_the_check_is_checked(name, checks):
    assert checks.check("a.jsonl", FILES[name]).has_problems


PIECES = [
    "-----BEGIN ",
    "PRIVATE KEY",
    "-----END",
    "\0",
    "@",
    "a",
    ".",
    "sk-",
    "13812345678",
    "86 ",
    "\\u5730",
    " ",
    "\n",
    "\u3000",
    "\u0301",
    "\u3099",
    "\u302a",
    "か",
    "1",
    "^",
    '"',
    "A",
    "_",
    "\\n",
    "\\xe4",
    "`",
    "<",
    "<br",
    "&",
    "&lt;",
    "<think>",
    "</think>",
    "C:\\\\",
    "\u200b",
    "\u00c3",
    "\u00a9",
    "鎴戜滑",
    "烫",
]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example(["-----BEGIN ", "PRIVATE KEY"], "\0", 20_000)
@given(
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=5),
    st.sampled_from(["", *PIECES]),
    st.integers(1000, 40_000),
)
def test_no_text_of_such_pieces_hangs_it(checks, pieces, after, times):
    row = make_row(user="问" + "".join(pieces) * times + after)
    checks.check("a.jsonl", json.dumps(row).encode())


def test_cleaning_a_file_made_to_hang_ends_too():
    question = {"role": "user", "content": "x"}
    many = make_row()["messages"] + [question] * 100_000
    mails = make_row(assistant="a@b.cc " * 50_000)
    cleaned = data.clean([{"messages": many}, mails], drop=["secret"])
    assert len(cleaned.rows) == 1
    assert [change.code for change in cleaned.changes].count("dropped") == 1
