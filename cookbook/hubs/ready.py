"""Say whether the base that somebody chose can be loaded now, without network and without torch.

    fault("Qwen/Qwen2.5-0.5B-Instruct")     None, or the error that says what to do

The files of a folder are checked by `cookbook/base_files`.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from cookbook import base_files
from cookbook.errors import ArgumentError, BaseAway, CookbookError, ModelError
from cookbook.hubs import cache, names
from cookbook.hubs.names import pull_command

MOST_NAMES = 3  # files that a sentence lists
_PATH = re.compile(r"[.~/\\]|[A-Za-z]:[\\/]")  # how a path begins that is no name on a hub


def fault(setting: str, known: Iterable[str] = ()) -> CookbookError | None:
    """Return why the base of a setting cannot be loaded now; None if nothing speaks against it.

    Args:
        setting: what `COOKBOOK_BASE_MODEL` may hold: a folder, or a name on a hub.
        known: names to suggest where it is neither.
    """
    if not setting:
        return None
    # What is in a folder is for `base_files` to judge. Unlike those of Path, these take any text.
    path = os.path.expanduser(setting)
    if os.path.isdir(path):
        return None
    if os.path.isfile(path):
        return _file(setting)
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
            zh=f"COOKBOOK_BASE_MODEL：没有这个文件夹，{error.zh}",
            en=f"COOKBOOK_BASE_MODEL: there is no such folder, and {error.en}",
        )
    found = cache.find(model)
    if found is None and os.path.isdir(os.path.dirname(setting)):
        return _perhaps_a_folder(setting, model)
    if found is None or found.unfinished:
        return not_there(model, found)
    return _not_chat(found.folder, model)


def _file(setting: str) -> ModelError:
    """Return the error for a setting that names a file."""
    if setting.lower().endswith(".gguf"):
        return ModelError(
            zh=f"{setting} 是 GGUF 文件（llama.cpp 的格式），不能训练：换成它的原版，"
            "COOKBOOK_BASE_MODEL 设成放 .safetensors 的文件夹，或 hub 上的名字",
            en=f"{setting} is a GGUF file, llama.cpp's format, which cannot be trained: set "
            "COOKBOOK_BASE_MODEL to the original, a folder with .safetensors files or a name on a "
            "hub",
        )
    return ModelError(
        zh=f"{setting} 是文件，不是文件夹：把 COOKBOOK_BASE_MODEL 设成模型所在的文件夹",
        en=f"{setting} is a file, not a folder: set COOKBOOK_BASE_MODEL to the folder of the model",
    )


def _perhaps_a_folder(setting: str, model: str) -> BaseAway:
    """Return the error for what may be a name on a hub, or a folder that was typed wrong."""
    return BaseAway(
        zh=f"没有文件夹 {setting}：检查 COOKBOOK_BASE_MODEL；如果是 hub 上的模型，"
        f"先在终端运行：{pull_command(model)}",
        en=f"there is no folder {setting}: check COOKBOOK_BASE_MODEL; for a model on a hub, run "
        f"in a terminal first: {pull_command(model)}",
    )


def not_there(model: str, found: cache.Found | None) -> BaseAway:
    """Return the error for a model that was not downloaded, or only in part."""
    if found is None:
        return BaseAway(
            zh=f"基础模型 {model} 还没有下载，先在终端运行：{pull_command(model)}",
            en=f"the base model {model} was not downloaded yet, run in a terminal first: "
            f"{pull_command(model)}",
        )
    # Their number does not matter: the download knows what is there.
    lacking = _listed(found.unfinished)
    return BaseAway(
        zh=f"基础模型 {model} 没有下载完（缺 {lacking}），先在终端运行，它从断点继续："
        f"{pull_command(model)}",
        en=f"the base model {model} was downloaded only in part ({lacking} missing), run in a "
        f"terminal first, which goes on from there: {pull_command(model)}",
    )


def _not_chat(folder: Path, model: str) -> CookbookError | None:
    try:
        base_files.check_chat(folder, model)
    except ModelError as error:
        return error
    return None


def _listed(files: Iterable[str]) -> str:
    listed = list(files)
    shown = ", ".join(listed[:MOST_NAMES])
    return shown if len(listed) <= MOST_NAMES else f"{shown}, …"
