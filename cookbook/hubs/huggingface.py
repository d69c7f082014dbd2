"""Hugging Face, or a mirror that `HF_ENDPOINT` names: its listing, its cache, its refusals.

The cache is laid out as its documentation says, so that every tool of the hub finds the files:
`blobs/` has the contents by checksum, `snapshots/<commit>/` links to them by name, and
`refs/<revision>` says which commit that is.
"""

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from cookbook import disk
from cookbook.errors import BaseAway, ModelError
from cookbook.hubs import cache, web
from cookbook.hubs.hub import Hub, Listing, Place, RemoteFile, checksum

if TYPE_CHECKING:
    import httpx

_COMMIT = re.compile(r"[0-9a-f]{40}")
# In either case of letters.
_TRUE = {"1", "on", "yes", "true"}


class HuggingFace(Hub):
    """The hub at huggingface.co."""

    key = "huggingface"
    title = "Hugging Face"
    default_revision = "main"
    home = "https://huggingface.co"
    variables = ("HF_ENDPOINT",)

    def headers(self) -> dict[str, str]:
        """Return the token of `HF_TOKEN`, or of `hf auth login`."""
        token = _token()
        return {"Authorization": f"Bearer {token}"} if token else {}

    def listing(self, http: "httpx.Client", model: str, revision: str) -> Listing:
        """Ask for a model's files."""
        if os.environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE:
            raise BaseAway(
                zh="环境变量 HF_HUB_OFFLINE 不许联网：删掉它再下载",
                en="HF_HUB_OFFLINE forbids the network: unset it to download",
            )
        route = f"{self.address}/api/models/{model}/revision/{quote(revision, safe='')}"
        response = web.get(http, self, f"{route}?blobs=true")
        if response.status_code != 200:
            if self._is_dataset(http, response, model):
                raise ModelError(
                    zh=f"{model} 是数据集，不是模型：写一个模型的名字",
                    en=f"{model} is a dataset, not a model: write the name of a model",
                )
            raise self.refuse(response, model, revision)
        try:
            found = response.json()
            commit = found["sha"]
            files = [self._file(model, commit, entry) for entry in found["siblings"]]
            is_commit = _COMMIT.fullmatch(commit) is not None
        # Such as the login page of a hotel's network.
        except (ValueError, KeyError, TypeError) as error:
            raise web.unreachable(self, "not a hub's answer") from error
        # It becomes the name of a folder.
        if not is_commit:
            raise web.unreachable(self, "not a hub's answer")
        # A model that was renamed is kept under the name that was asked for, by which it is found.
        return Listing(model, revision, commit, tuple(files))

    def _file(self, model: str, commit: str, entry: dict[str, Any]) -> RemoteFile:
        name, large = str(entry["rfilename"]), entry.get("lfs")
        return RemoteFile(
            name,
            size=int((large or entry)["size"]),
            url=f"{self.address}/{model}/resolve/{commit}/{quote(name)}",
            sha256=checksum(large["sha256"]) if large else None,
            blob_id=None if large else checksum(entry.get("blobId")),
        )

    def _is_dataset(self, http: "httpx.Client", response: "httpx.Response", model: str) -> bool:
        if response.status_code not in (401, 404):
            return False
        answer = web.get(http, self, f"{self.address}/api/datasets/{model}")
        return answer.status_code == 200

    def place(self, listing: Listing) -> Place:
        """Return the model's folder in the cache."""
        return Snapshot(listing)

    def refuse(self, response: "httpx.Response", model: str, revision: str) -> Exception:
        """Return what a refusal means."""
        code = response.headers.get("X-Error-Code", "")
        page = self.page(model)
        if wrong := self.wrong_password(response):
            return wrong
        if code == "GatedRepo" or response.status_code == 403:
            return ModelError(
                zh=f"{model} 要先申请：在 {page} 同意它的条款，再把环境变量 HF_TOKEN 设成你的令牌",
                en=f"{model} is gated: accept its terms at {page}, then set HF_TOKEN to your token",
            )
        if code == "RevisionNotFound":
            return ModelError(
                zh=f"{model} 没有版本 {revision}：去掉 --revision，或从 {page}/tree/main 选一个",
                en=f"{model} has no revision {revision}: leave --revision out, or choose one at "
                f"{page}/tree/main",
            )
        if response.status_code == 401 and _token() and code != "RepoNotFound":
            return ModelError(
                zh="Hugging Face 不认这个令牌（HF_TOKEN，或 hf auth login 存下的）："
                "换一个，或删掉它",
                en="Hugging Face does not accept the token (HF_TOKEN, or that of hf auth login): "
                "replace or remove it",
            )
        if response.status_code in (401, 404):
            return ModelError(
                zh=f"{self.title} 上没有 {model}：检查拼写；私有的模型要设 HF_TOKEN",
                en=f"{self.title} has no {model}: check the spelling; a private model needs "
                "HF_TOKEN",
            )
        return web.unreachable(self, f"HTTP {response.status_code}")


class Snapshot(Place):
    """One commit of a model in Hugging Face's cache."""

    def __init__(self, listing: Listing):
        self._root = cache.huggingface_folder(listing.model)
        self._listing = listing
        self.folder = self._root / "snapshots" / listing.commit
        self.lock = self._root.parent / ".locks" / self._root.name / "cookbook.lock"

    def part(self, file: RemoteFile) -> Path:
        """Return a file beside the blob that it will be."""
        blob = self._blob(file)
        return blob.with_name(blob.name + ".incomplete")

    def present(self, file: RemoteFile) -> Path | None:
        """Return the blob; on a system without links, the file itself."""
        for path in (self._blob(file), self.folder / file.name):
            if path.is_file():
                return path
        return None

    def keep(self, file: RemoteFile, whole: Path) -> None:
        """Make a blob of the file, and a link to it."""
        blob, link = self._blob(file), self.folder / file.name
        if whole == link:
            return
        if whole != blob:
            disk.settle(whole, blob)
        if link.is_file() and link.samefile(blob):
            return
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        try:
            link.symlink_to(os.path.relpath(blob, link.parent))
        except OSError:
            # Windows without developer mode has no links; the hub's own client does the same.
            shutil.move(blob, link)

    def finish(self) -> None:
        """Note which commit the revision is."""
        if self._listing.revision != self._listing.commit:
            path = self._root / "refs" / self._listing.revision
            disk.write(path, self._listing.commit.encode())

    def _blob(self, file: RemoteFile) -> Path:
        # The name is what the hub sends as ETag.
        return self._root / "blobs" / (file.sha256 or file.blob_id or file.name)


def _token() -> str:
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip():
            return os.environ[name].strip()
    if os.environ.get("HF_HUB_DISABLE_IMPLICIT_TOKEN", "").lower() in _TRUE:
        return ""
    chosen = os.environ.get("HF_TOKEN_PATH")
    path = Path(chosen).expanduser() if chosen else cache.huggingface_home() / "token"
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
