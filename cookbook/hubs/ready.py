"""Say whether the base that somebody chose can be loaded now, without network and without torch.

fault("Qwen/Qwen2.5-0.5B-Instruct")     None, or the error that says what to do
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cookbook.errors import ArgumentError, BaseAway, CookbookError, ModelError
from cookbook.hubs import cache, checkpoint, names

MOST_NAMES = 3  # files that a sentence lists
_PATH = re.compile(r"[.~/\\]|[A-Za-z]:[\\/]")  # how a path begins that is no name on a hub


def command(model: str) -> str:
    """Return the command that downloads a model."""
    return f"python -m cookbook pull {model}"


def fault(setting: str | None, known: Iterable[str] = ()) -> CookbookError | None:
    """Return why the base of a setting cannot be loaded now; None if nothing speaks against it.

    Args:
        setting: what `COOKBOOK_BASE_MODEL` may hold: a folder, or a name on a hub.
        known: names to suggest where it is neither.
    """
    if not setting:
        return None
    # What is in a folder is the engine's to judge. Unlike those of Path, these take any text.
    if os.path.isdir(os.path.expanduser(setting)):
        return None
    # Hubs allow none of these signs at the beginning of a name.
    if _PATH.match(setting):
        return BaseAway(
            zh=f"没有文件夹 {setting}：检查 COOKBOOK_BASE_MODEL",
            en=f"there is no folder {setting}: check COOKBOOK_BASE_MODEL",
        )
    try:
        model = names.read(setting, known).id
    except ArgumentError as error:
        return ArgumentError(
            zh=f"COOKBOOK_BASE_MODEL：{error.zh}", en=f"COOKBOOK_BASE_MODEL: {error.en}"
        )
    found = cache.find(model)
    if found is None or found.unfinished:
        return not_there(model, found)
    return _not_chat(found.folder, model)


def not_there(model: str, found: cache.Found | None) -> BaseAway:
    """Return the error for a model that was not downloaded, or only in part."""
    if found is None:
        return BaseAway(
            zh=f"基础模型 {model} 还没有下载，先在终端运行：{command(model)}",
            en=f"the base model {model} was not downloaded yet, run in a terminal first: "
            f"{command(model)}",
        )
    # Their number does not matter: the download knows what is there.
    lacking = _listed(found.unfinished)
    return BaseAway(
        zh=f"基础模型 {model} 没有下载完（缺 {lacking}），先在终端运行，它从断点继续："
        f"{command(model)}",
        en=f"the base model {model} was downloaded only in part ({lacking} missing), run in a "
        f"terminal first, which goes on from there: {command(model)}",
    )


def _not_chat(folder: Path, model: str) -> CookbookError | None:
    try:
        checkpoint.check_chat(folder, model)
    except ModelError as error:
        return error
    return None


def _listed(files: Iterable[str]) -> str:
    listed = list(files)
    shown = ", ".join(listed[:MOST_NAMES])
    return shown if len(listed) <= MOST_NAMES else f"{shown}, …"
