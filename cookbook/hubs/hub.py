"""What the two hubs have in common: a listing of a model's files, and where they are kept.

`huggingface.py` and `modelscope.py` say the rest. Neither uses the hub's own client. That of
Hugging Face throws the part of a file away that a broken download leaves, checks no checksum over
plain HTTP, and fails behind mirrors that redirect; that of ModelScope would bring packages that
nothing else here needs.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import httpx


_CHECKSUM = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True)
class RemoteFile:
    """A file on a hub.

    Attributes:
        sha256: of its content; None where the hub does not tell.
        blob_id: Git's SHA-1 of it; None where the hub does not tell.
    """

    name: str
    size: int
    url: str
    sha256: str | None = None
    blob_id: str | None = None


def checksum(value: object) -> str | None:
    """Return a checksum as a hub tells it; None for anything else, since it names a file."""
    # Anything else could lead out of the cache.
    return value if isinstance(value, str) and _CHECKSUM.fullmatch(value) else None


@dataclass(frozen=True)
class Listing:
    """A model's files at one revision; `commit` is what the revision means at present."""

    model: str
    revision: str
    commit: str
    files: tuple[RemoteFile, ...]


class Place(ABC):
    """Where the files of a listing go in a hub's cache."""

    folder: Path
    """Where a model is loaded from."""
    lock: Path
    """Held while a process downloads the model."""

    @abstractmethod
    def part(self, file: RemoteFile) -> Path:
        """Return where a file is written until it is whole."""

    @abstractmethod
    def present(self, file: RemoteFile) -> Path | None:
        """Return where a whole file is already; None if it is not."""

    @abstractmethod
    def keep(self, file: RemoteFile, whole: Path) -> None:
        """Put a whole file, the finished part or the present one, where a model is loaded from."""

    def finish(self) -> None:
        """Note that everything is there."""
        # Where the files themselves say so, there is nothing to note.
        return


class Hub(ABC):
    """A hub: what it is called, what is asked of it, and what its refusals mean."""

    key: ClassVar[str]
    """As in `--from`."""
    title: ClassVar[str]
    default_revision: ClassVar[str]

    @property
    @abstractmethod
    def address(self) -> str:
        """Where it is, or its mirror: a URL without a slash at the end."""

    @property
    def shown(self) -> str:
        """The address without the password that a mirror's may hold: for sentences."""
        return re.sub(r"//[^/@]*@", "//", self.address)

    @abstractmethod
    def headers(self) -> dict[str, str]:
        """Return what is sent with each request, such as a token."""

    @abstractmethod
    def listing(self, http: "httpx.Client", model: str, revision: str) -> Listing:
        """Ask for a model's files.

        Raises:
            ModelError: there is no such model, or it is not for everybody.
            BaseAway: the hub is out of reach at present.
        """

    @abstractmethod
    def place(self, listing: Listing) -> Place:
        """Return where the files go."""

    @abstractmethod
    def refuse(self, response: "httpx.Response", model: str, revision: str) -> Exception:
        """Return what an answer means that is neither the content nor a passing trouble."""

    def page(self, model: str) -> str:
        """Return the address of a model's page, for people."""
        return f"{self.shown}/{model}"
