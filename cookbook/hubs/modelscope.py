"""ModelScope (魔搭): its listing, its cache, its refusals.

The routes are those that its documentation gives for a download without its client; the folder is
the one in which its clients, old and new, look for a model.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from cookbook import disk
from cookbook.errors import ModelError
from cookbook.hubs import cache, web
from cookbook.hubs.hub import Hub, Listing, Place, RemoteFile, checksum

if TYPE_CHECKING:
    import httpx


class ModelScope(Hub):
    """The hub at modelscope.cn."""

    key = "modelscope"
    title = "ModelScope"
    default_revision = "master"
    home = "https://www.modelscope.cn"
    variables = ("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN")  # the second is the older name

    def headers(self) -> dict[str, str]:
        """Return the token of `MODELSCOPE_API_TOKEN`, in both ways in which the hub reads it."""
        token = os.environ.get("MODELSCOPE_API_TOKEN", "").strip()
        if not token:
            return {}
        return {"Authorization": f"Bearer {token}", "Cookie": f"m_session_id={token}"}

    def listing(self, http: "httpx.Client", model: str, revision: str) -> Listing:
        """Ask for a model's files."""
        route = f"{self.address}/api/v1/models/{model}/repo"
        query = urlencode({"Revision": revision, "Recursive": "true"})
        response = web.get(http, self, f"{route}/files?{query}")
        if response.status_code != 200:
            raise self.refuse(response, model, revision)
        # A network's login page also answers with 200.
        try:
            entries = response.json()["Data"]["Files"]
            found = [entry for entry in entries if entry["Type"] != "tree"]
            files = [_file(route, revision, entry) for entry in found]
        except (ValueError, KeyError, TypeError) as error:
            raise web.unreachable(self, "not a hub's answer") from error
        return Listing(model, revision, revision, tuple(files))

    def place(self, listing: Listing) -> Place:
        """Return the model's folder in the cache."""
        # One folder for every revision, as the hub's own clients have it.
        return Folder(listing)

    def refuse(self, response: "httpx.Response", model: str, revision: str) -> Exception:
        """Return what a refusal means."""
        page = self.page(model)
        if wrong := self.wrong_password(response):
            return wrong
        if response.status_code in (401, 403):
            return ModelError(
                zh=f"ModelScope 不让下载 {model}：先在 {page} 申请，"
                "再把环境变量 MODELSCOPE_API_TOKEN 设成你的令牌",
                en=f"ModelScope does not let you download {model}: ask for access at {page}, "
                "then set MODELSCOPE_API_TOKEN to your token",
            )
        if response.status_code == 404 and revision != self.default_revision:
            return ModelError(
                zh=f"ModelScope 上没有 {model} 的版本 {revision}：检查拼写，或去掉 --revision",
                en=f"ModelScope has no revision {revision} of {model}: check the spelling, "
                "or leave --revision out",
            )
        if response.status_code == 404:
            return ModelError(
                zh=f"ModelScope 上没有 {model}：检查拼写，有些模型在两个网站上的组织名不同",
                en=f"ModelScope has no {model}: check the spelling; some organizations have "
                "another name on each hub",
            )
        return web.unreachable(self, f"HTTP {response.status_code}")

    def page(self, model: str) -> str:
        """Return the address of a model's page."""
        return f"{self.address}/models/{model}"


class Folder(Place):
    """A model's folder in ModelScope's cache: the files under their own names."""

    def __init__(self, listing: Listing):
        self.folder = cache.modelscope_folder(listing.model)
        self.lock = self.folder.parent / f".{self.folder.name}.lock"

    def part(self, file: RemoteFile) -> Path:
        """Return a file beside the one that it will be."""
        return self.folder / f"{file.name}.incomplete"

    def present(self, file: RemoteFile) -> Path | None:
        """Return the file, if it is there."""
        path = self.folder / file.name
        return path if path.is_file() else None

    def keep(self, file: RemoteFile, whole: Path) -> None:
        """Give a finished part its name."""
        if whole != self.folder / file.name:
            disk.settle(whole, self.folder / file.name)


def _file(route: str, revision: str, entry: dict[str, Any]) -> RemoteFile:
    name = str(entry["Path"])
    # By revision: the hub has no address for a commit.
    query = urlencode({"Revision": revision, "FilePath": name})
    size, sha256 = int(entry["Size"]), checksum(entry.get("Sha256"))
    return RemoteFile(name, size, f"{route}?{query}", sha256)
