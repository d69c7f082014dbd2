"""Read the project's docstrings, which are plain text with backticks, as reStructuredText.

`name` is code; an indented block after an empty line is code, line by line; no other mark means
anything. Sections such as "Args:" are left for napoleon, which turns them into lists.
"""

import re
from typing import Any

_SECTION = re.compile(r"\s*(Args|Returns|Raises|Yields|Note|Example):$")
_CODE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_MODULES = re.compile(r"~?\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])")
_MARKS = re.compile(r"([*|\\])|_(?=\W|$)")


def setup(app: Any) -> dict[str, Any]:
    # Before napoleon, whose own listener has the priority 500.
    app.connect("autodoc-process-docstring", read, priority=400)
    app.connect("autodoc-process-signature", shorten)
    app.connect("autodoc-skip-member", is_error_elsewhere)
    return {"parallel_read_safe": True}


def read(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Rewrite the lines of one docstring in place."""
    lines[:] = restructured(lines)
    if what in ("attribute", "property") and lines:
        # Else napoleon takes what is before a colon in the first line for a type.
        lines[0] = lines[0].replace(": ", " – ", 1)


def shorten(
    app: Any,
    what: str,
    name: str,
    obj: Any,
    options: Any,
    signature: str | None,
    returns: str | None,
) -> tuple[str | None, str | None]:
    """Return a signature without the modules of its types, and with … for what a factory makes."""
    signature = signature and signature.replace("<factory>", "...")
    return signature and _MODULES.sub("", signature), returns and _MODULES.sub("", returns)


def is_error_elsewhere(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Skip an error that a module passes on: `cookbook.errors` documents it."""
    here = app.env.ref_context.get("py:module")
    passed_on = getattr(obj, "__module__", None) == "cookbook.errors" != here
    return True if passed_on else None


def restructured(lines: list[str]) -> list[str]:
    """Return the lines of a docstring as reStructuredText."""
    result: list[str] = []
    in_section = in_code = False
    for number, line in enumerate(lines):
        follows_empty = number > 0 and not lines[number - 1].strip()
        if line.strip() and not line.startswith(" "):
            in_code = False
            in_section = bool(_SECTION.match(line))
        elif line.strip() and follows_empty and not in_section and not in_code:
            result += ["::", ""]
            in_code = True
        result.append(line if in_code else _prose(line))
    return result


def _prose(line: str) -> str:
    """Return a line of prose, with code between double backticks and every other mark escaped."""
    if "``" in line:
        return line
    parts = _CODE.split(line)
    for number, part in enumerate(parts):
        parts[number] = f"``{part}``" if number % 2 else _MARKS.sub(r"\\\g<0>", part)
    return "".join(parts)
