"""Read the name of a base model as people type it, or paste it from a browser.

    read("Qwen/Qwen2.5-0.5B-Instruct")
    read("https://modelscope.cn/models/Qwen/Qwen2.5-0.5B-Instruct/files")     the hub is known, too

Nothing is asked of a hub here: whether there is such a model shows later.
"""

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from cookbook.errors import ArgumentError

EXAMPLE = "Qwen/Qwen2.5-0.5B-Instruct"

_HOSTS = {
    "huggingface.co": "huggingface",
    "hf.co": "huggingface",
    "hf-mirror.com": "huggingface",
    "modelscope.cn": "modelscope",
    "modelscope.ai": "modelscope",
}
# As both hubs allow it.
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"\w[\w./-]{0,200}", re.ASCII)
_LIKENESS = 0.75  # of two names, from which on one may be a slip of the other


@dataclass(frozen=True)
class Name:
    """A model's name on a hub; `hub` and `revision` are None where the text did not say them."""

    id: str
    hub: str | None = None
    revision: str | None = None


def read(given: str, known: Iterable[str] = ()) -> Name:
    """Return the model that a text names.

    Args:
        known: names to suggest if it is like one of them.

    Raises:
        ArgumentError: it is not the name of a model.
    """
    # Full-width letters, as a Chinese input method leaves them, are the same letters.
    text = unicodedata.normalize("NFKC", given).strip().strip("'\"").rstrip("/")
    host = _HOSTS.get(_host(text))
    if host is not None:
        return _in_url(text, host)
    if _ID.fullmatch(text) and "://" not in text:
        return Name(text)
    closest = suggestion(re.sub(r"\s", "", text), known)
    raise ArgumentError(
        zh=f"{given!r:.120} 不是模型名：写成“组织/名字”，例如 {closest or EXAMPLE}",
        en=f"{given!r:.120} is not the name of a model: write ORGANIZATION/NAME, "
        f"such as {closest or EXAMPLE}",
    )


def check_revision(revision: str) -> str:
    """Return the name of a revision, which becomes that of a file.

    Raises:
        ArgumentError: it cannot be one.
    """
    if not _REVISION.fullmatch(revision) or ".." in revision:
        raise ArgumentError(
            zh=f"{revision!r:.60} 不是版本名：写分支、标签或提交",
            en=f"{revision!r:.60} is not a revision: write a branch, a tag or a commit",
        )
    return revision


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like this one, with or without its organization."""
    short = {one.rpartition("/")[2].lower(): one for one in known}
    wanted = name.rpartition("/")[2].lower()
    close = difflib.get_close_matches(wanted, short, n=1, cutoff=_LIKENESS)
    found = short[close[0]] if close else None
    return None if found == name else found


def _host(text: str) -> str:
    """Return the host of a URL, which may lack its scheme."""
    with_scheme = text if "://" in text else f"https://{text}"
    try:
        host = urlsplit(with_scheme).hostname or ""
    except ValueError:
        return ""
    return host.removeprefix("www.")


def _in_url(text: str, hub: str) -> Name:
    path = urlsplit(text if "://" in text else f"https://{text}").path
    parts = [part for part in path.split("/") if part]
    if parts[:1] in (["datasets"], ["spaces"], ["studios"]):
        raise ArgumentError(
            zh=f"{text:.120} 不是模型，是 {parts[0]} 里的：打开模型页，复制那一页的地址",
            en=f"{text:.120} is not a model but one of {parts[0]}: copy the address of a model's "
            "page",
        )
    if parts[:1] == ["models"]:
        parts = parts[1:]
    model = "/".join(parts[:2])
    if not _ID.fullmatch(model):
        raise ArgumentError(
            zh=f"地址 {text:.120} 里没有模型名：打开模型页，复制那一页的地址",
            en=f"{text:.120} names no model: copy the address of the model's page",
        )
    # Such as …/tree/main or …/resolve/main/config.json.
    has_revision = len(parts) > 3 and parts[2] in ("tree", "blob", "resolve", "raw")
    return Name(model, hub, parts[3] if has_revision else None)
