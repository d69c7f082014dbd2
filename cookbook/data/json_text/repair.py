"""Read what is nearly JSON, where it can mean one thing only.

    repaired(text)      (value, code of the change), or None
    is_no_entry(text)   whether a line is a comment, or the fence of a code block

Three kinds are read: real line breaks and tabs in strings; marks between strings that look like
JSON's, such as a full-width colon, no-break spaces, a comma too many, a comment; and what Python
prints of dicts and lists. Strings are never touched, and what is read must then be JSON by the
strict rules. Everything else is left for a person.
"""

import ast
import json
import re
import warnings
from collections.abc import Iterator

from cookbook.data.json_text.strict import NotJson, parse

LONGEST = 1_000_000  # characters of one entry
LONGEST_PYTHON = 200_000  # Python's own parser takes much memory
MAX_NESTED = 50  # brackets of a Python value

# What is not closed goes on to the end, so that nothing is looked through twice.
_STRING = re.compile(r'("[^"\\]*(?:\\.[^"\\]*)*"?)', re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*(?:[^*]|\*(?!/))*(?:\*/)?")
_LAST_COMMA = re.compile(r",(?=\s*[}\]])")
_MARKS = str.maketrans(
    dict(zip("：，｛｝［］", ":,{}[]", strict=True))
    | dict.fromkeys("\xa0\u3000\u202f\ufeff\u200b\u200c\u200d\u2060\u200e\u200f\u2028\u2029", " ")
)
_PYTHON_BEGINS = re.compile(r"\A[\[{(\s]*['\]}]")


def repaired(text: str) -> tuple[object, str] | None:
    """Return the value of a text that is nearly JSON, and the code of the change; else None."""
    if len(text) > LONGEST or text.lstrip()[:1] not in ("{", "[", "｛", "［"):
        return None
    for code, ways in (("control", (text,)), ("json-marks", _with_usual_marks(text))):
        for way in ways:
            try:
                return parse(way, strict=False), code
            except NotJson:
                continue
    value = _of_python(text)
    return None if value is None else (value, "python")


def is_no_entry(line: str) -> bool:
    """Return whether a line is none of the data: a comment, or the fence of a code block."""
    return line.lstrip().startswith(("//", "#", "```"))


def _with_usual_marks(text: str) -> Iterator[str]:
    # Every second piece is a string.
    pieces = _STRING.split(text)
    between = (_LAST_COMMA.sub("", _COMMENT.sub(" ", p.translate(_MARKS))) for p in pieces[::2])
    pieces[::2] = between
    yield "".join(pieces)


def _of_python(text: str) -> object:
    """Return the value of a dict or list as Python prints it; None for anything else."""
    if len(text) > LONGEST_PYTHON or not _PYTHON_BEGINS.match(text):
        return None
    if max(text.count("{"), text.count("[")) > 10_000 or _is_deep(text):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes
            tree = ast.parse(text.strip(), mode="eval")
        if any(_repeats_key(node) for node in ast.walk(tree)):
            return None
        value = ast.literal_eval(tree)
        return parse(json.dumps(value, ensure_ascii=False))
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError, NotJson):
        return None


def _is_deep(text: str) -> bool:
    depth = deepest = 0
    for mark in text:
        if mark in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in "}])":
            depth -= 1
    return deepest > MAX_NESTED


def _repeats_key(node: ast.AST) -> bool:
    if not isinstance(node, ast.Dict):
        return False
    names = [key.value for key in node.keys if isinstance(key, ast.Constant)]
    return len(set(names)) < len(names)
