"""Join the lines of Chinese paragraphs: a page would show a space at each break."""

import re

_PAUSES = "，。；：、！？）》”"
_ENDS = re.compile(f"[\u3400-\u9fff{_PAUSES}]$")
_CONTINUES = re.compile(r" {0,3}[\u3400-\u9fff“（《]")
# A number with a dot or a bracket begins the item of a list.
_CONTINUES_AFTER_A_PAUSE = re.compile(r" {0,3}([A-Za-z`\[]|\*\*|\d+(?![\d.)]))")


def joined(text: str) -> str:
    """Return Markdown without the line breaks that no reader should see.

    A break goes between two Chinese characters, and after a full-width mark before anything that
    goes on with the sentence. Headings and tables keep theirs.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        if lines and _goes_on(lines[-1], line):
            lines[-1] += line.lstrip()
        else:
            lines.append(line)
    return "\n".join(lines)


def _goes_on(before: str, line: str) -> bool:
    if before.startswith(("#", "|")) or not _ENDS.search(before):
        return False
    after_a_pause = before[-1] in _PAUSES and _CONTINUES_AFTER_A_PAUSE.match(line)
    return bool(_CONTINUES.match(line) or after_a_pause)
