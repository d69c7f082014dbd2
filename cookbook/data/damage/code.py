r"""Blank out what is code: in code `\n`, `&quot;` and `<br>` mean themselves.

    without_code("写 `\n` 换行\\n")        # the first is code, the second is damage

The result is as long as the text, so that places in it are places in the text.
"""

import json
import re

BLANK = "\0"

# A fence or a backtick without an end reaches to the end of the text, or of the line.
_QUOTED = re.compile(r"```(?s:.*?)(?:```|\Z)|`[^`\n]*(?:`|$)", re.MULTILINE)

# A string of a program or of JSON: after `(`, `[`, `{`, `=`, `,` or `: `, or before `)`, `]`, `}`.
_STRING = re.compile(
    r"(?<=[(\[{=,+])[ rbfu]?(?:\"[^\"\n]*\"|'[^'\n]*')"
    r"|\"[ ]?:[ ]?\"[^\"\n]*\""
    r"|\"[^\"\n]*\"(?=[ ]?[)\]}+]|\.[a-z])"
    r"|'[^'\n]*'(?=[ ]?[)\]}+]|\.[a-z])"
    # An escape by itself in quotation marks is spoken of.
    r"|[\"'“‘「][ ]?\\[A-Za-z0-9]{1,8}[ ]?[\"'”’」]"
)

# A path of Windows, or of a share; options such as `C:\n` are not one.
_PATH = re.compile(
    r"(?<![A-Za-z])[C-PR-Zc-pr-z]:\\(?:[^nrtux\s\\\"]|[nrtux][A-Za-z0-9_.]{2})"
    r"[^\s\"'<>|*?，。；：！？）”]*"
    r"|\\\\[A-Za-z0-9_.-]{2,64}\\[^\s\"'<>|*?，。；：！？）”]*"
)
_ASCII_TOKEN = re.compile(r"[A-Za-z0-9_.\\-]+")
_OTHER_BACKSLASH = re.compile(r"\\[^nrtux\\]")
_SUFFIX = re.compile(r"[A-Za-z0-9_-]\.[A-Za-z][A-Za-z0-9]{0,4}\Z")


def without_code(text: str) -> str:
    """Return the text with fences and backtick quotes blanked out."""
    return _QUOTED.sub(_blank, text) if "`" in text else text


def without_strings(text: str) -> str:
    """Return the text with strings of programs, and paths, blanked out too."""
    if is_json(text):
        return BLANK * len(text)
    text = _STRING.sub(_blank, without_code(text))
    text = _PATH.sub(_blank, text)
    return _ASCII_TOKEN.sub(_blank_path, text)


def is_json(text: str) -> bool:
    """Return whether a text as a whole is a JSON object or array."""
    stripped = text.strip()
    if stripped[:1] + stripped[-1:] not in ("{}", "[]"):
        return False
    try:
        json.loads(stripped)
    except (ValueError, RecursionError):
        return False
    return True


def _blank(match: re.Match[str]) -> str:
    return BLANK * len(match[0])


def _blank_path(match: re.Match[str]) -> str:
    token = match[0]
    # A path has a name before its first backslash; what begins with one is an escape.
    if "\\" not in token or token[0] == "\\":
        return token
    is_path = _OTHER_BACKSLASH.search(token) or _SUFFIX.search(token)
    return BLANK * len(token) if is_path else token
