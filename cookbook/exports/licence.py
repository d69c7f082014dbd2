"""Tell the licence of a base, as far as it is known: it goes with everything made from the base.

    licence_of(base)        -> Licence("apache-2.0", "Apache-2.0"), or None where it is not known

Of Qwen2.5 it is known by name: all sizes are Apache-2.0 but 3B and 72B
(https://qwenlm.github.io/blog/qwen2.5/). Of another base it is what the head of its README.md
says, as Hugging Face and ModelScope read them. Nothing is guessed.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from cookbook.bases import Base

_HEAD = 20_000  # characters of a README that are read
_QWEN = re.compile(r"Qwen/Qwen2\.5-(\d+(?:\.\d+)?B)(?:-Instruct)?")
_ENTRY = re.compile(r"^(license|license_name|license_link):[ \t]*['\"]?([^'\"\n#]{1,200})", re.M)


@dataclass(frozen=True)
class Licence:
    """A licence: the word by which hubs know it, its name, and where its text is, if known."""

    id: str
    name: str
    link: str | None = None


APACHE = Licence("apache-2.0", "Apache-2.0")
_OTHERS = {
    "3B": Licence("other", "Qwen Research License"),
    "72B": Licence("other", "Qwen License"),
}


def licence_of(base: Base) -> Licence | None:
    """Return the licence of a base; None where it is not known."""
    # Its weights are this project's own, under the same licence.
    if base.is_shipped:
        return APACHE
    if base.on_hub and (size := _QWEN.fullmatch(base.id)):
        return _OTHERS.get(size[1], APACHE)
    # Of a base that is away there is no folder, and the one we are in has a README of its own.
    folder = Path(base.source)
    return _in_readme(folder / "README.md") if folder.is_absolute() else None


def _in_readme(path: Path) -> Licence | None:
    """Return the licence that the front matter of a README names."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_HEAD)
    except OSError:
        return None
    if not text.startswith("---\n"):
        return None
    head = text[4:].split("\n---", 1)[0]
    found = {name: value.strip() for name, value in _ENTRY.findall(head)}
    kind = found.get("license")
    if not kind:
        return None
    # "other" is followed by the name.
    name = found.get("license_name") or kind
    return Licence(kind, name, found.get("license_link"))
