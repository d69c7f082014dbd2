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

from cookbook.errors import ModelError
from cookbook.hubs import endpoint
from cookbook.hubs.endpoint import Endpoint

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

    home: ClassVar[str]
    """Its own address."""
    variables: ClassVar[tuple[str, ...]]
    """Names of the environment that may name a mirror, the first of them that is set."""

    @property
    def endpoint(self) -> Endpoint:
        """Where it is, or its mirror, and what requests are signed with there.

        Raises:
            ArgumentError: what names a mirror is not an address.
        """
        return endpoint.read(self.home, *self.variables)

    @property
    def address(self) -> str:
        """Where it is, or its mirror: a URL without a slash at the end, and without a password."""
        return self.endpoint.address

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

    def wrong_password(self, response: "httpx.Response") -> ModelError | None:
        """Return the error for a mirror that does not accept the user and password of its URL."""
        where = self.endpoint
        if response.status_code != 401 or where.credentials is None:
            return None
        # The hub's own answer, such as for a model that it does not have, which a mirror passes on.
        if "X-Error-Code" in response.headers:
            return None
        return ModelError(
            zh=f"镜像 {where.address} 不认 {where.variable} 里的用户名和密码：检查它们",
            en=f"the mirror {where.address} does not accept the user and password in "
            f"{where.variable}: check them",
        )

    def page(self, model: str) -> str:
        """Return the address of a model's page, for people."""
        return f"{self.address}/{model}"
