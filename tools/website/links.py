"""Turn the links of a file of the repository into links of the site.

The sources link to each other as they do on a code host: `[rooms](docs/room.md)`. On the site a
page has another place, and not every file is a page. So a link becomes, in this order,

    the page of this edition that shows the file
    the page of the other edition, where the file is that one's source
    the picture, copied into the edition
    for any other file of the repository: its text and its path; or a link to a code host, where
    `repository` says which one

A link to a file that does not exist is an error. Links to other hosts and within a page stay.
"""

import posixpath
import re
from dataclasses import dataclass

from website.pages import ROOT, Edition, Page
from website.paragraphs import joined

PICTURES = (".png", ".svg", ".jpg", ".gif")

_FENCE = re.compile(r"^ {0,3}(```|~~~)", re.M)
_LINK = re.compile(r"(!?)\[([^\[\]]*)\]\(([^()\s]+)\)")
_ATTRIBUTE = re.compile(r'\b(src|srcset|href)="([^"]*)"')
_TWIN_LINE = re.compile(r"^\*\[[^\[\]]*\]\([^()\s]+\)\*\n+", re.M)
_ELSEWHERE = re.compile(r"[a-z]+:|#|//")


class BrokenLink(ValueError):
    """A link of a source to a file that does not exist."""


@dataclass(frozen=True)
class Links:
    """The links of one edition. `other` is the edition in the other language."""

    edition: Edition
    other: Edition
    repository: str = ""

    def rewritten(self, text: str, page: Page) -> str:
        """Return Markdown with its links as the site has them. Code blocks stay as they are."""
        # Each page has a switch to its twin, so a line that is no more than that is left out.
        text = _TWIN_LINE.sub("", text, count=1)
        parts = []
        for is_code, part in _parts(text):
            parts.append(part if is_code else self._prose(part, page))
        return "".join(parts)

    def _prose(self, text: str, page: Page) -> str:
        text = _ATTRIBUTE.sub(lambda found: self._attribute(found, page), text)
        return joined(_LINK.sub(lambda found: self._link(found, page), text))

    def _link(self, found: re.Match[str], page: Page) -> str:
        mark, text, target = found.groups()
        if _ELSEWHERE.match(target):
            return found[0]
        path, anchor = self._resolved(target, page)
        if mark or path.endswith(PICTURES):
            return f"{mark}[{text}]({_from(page, f'pictures/{posixpath.basename(path)}')})"
        if (name := self._name(path, self.edition)) is not None:
            suffix = _suffix(path)
            return f"[{text}]({_from(page, name + suffix)}{anchor})"
        if (name := self._name(path, self.other)) is not None:
            return f'<a href="{self._across(page, name)}{anchor}">{text}</a>'
        if self.repository:
            return f"[{text}]({self.repository}/{path}{anchor})"
        shown = text.strip("`")
        return f"`{path}`" if path.endswith(shown) else f"{text} (`{path}`)"

    def _attribute(self, found: re.Match[str], page: Page) -> str:
        """Return `src`, `srcset` or `href` of HTML inside Markdown."""
        attribute, target = found.groups()
        if _ELSEWHERE.match(target):
            return found[0]
        path, anchor = self._resolved(target, page)
        if path.endswith(PICTURES):
            return f'{attribute}="{_from(page, f"pictures/{posixpath.basename(path)}")}"'
        if (name := self._name(path, self.edition)) is not None:
            return f'{attribute}="{_from(page, name)}.html{anchor}"'
        if (name := self._name(path, self.other)) is not None:
            return f'{attribute}="{self._across(page, name)}{anchor}"'
        return f'{attribute}="{self.repository}/{path}{anchor}"' if self.repository else ""

    def _resolved(self, target: str, page: Page) -> tuple[str, str]:
        """Return the path from the root of the repository, and the anchor with its mark."""
        path, mark, anchor = target.partition("#")
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page.source), path))
        if path.startswith("..") or not (ROOT / path).exists():
            raise BrokenLink(f"{page.source}: {target} does not exist")
        return path, mark + anchor

    def _name(self, path: str, edition: Edition) -> str | None:
        names = (page.name for page in edition.pages if page.source == path)
        return next(names, None)

    def _across(self, page: Page, name: str) -> str:
        up = "../" * (page.name.count("/") + 1)
        return f"{up}{self.other.language}/{name}.html"


def _parts(text: str) -> list[tuple[bool, str]]:
    """Split Markdown at its fences: (is it a code block, its text)."""
    starts = [found.start() for found in _FENCE.finditer(text)]
    edges = [0, *starts, len(text)]
    pieces = [text[start:end] for start, end in zip(edges, edges[1:], strict=False)]
    # Every second piece begins with the opening fence.
    return [(number % 2 == 1, piece) for number, piece in enumerate(pieces)]


def _suffix(path: str) -> str:
    if path.endswith(".py"):
        return ".rst"
    return ".ipynb" if path.endswith(".ipynb") else ".md"


def _from(page: Page, target: str) -> str:
    return posixpath.relpath(target, posixpath.dirname(page.name) or ".")
