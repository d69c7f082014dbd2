"""Find a model in the caches of Hugging Face and ModelScope, without network and without torch.

    find("Qwen/Qwen2.5-0.5B-Instruct")      where it is, and which of its files are missing

Whoever downloaded it, `python -m cookbook pull` or a tool of either hub: the folders are theirs, as
their documentation describes them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from cookbook.hubs import checkpoint


@dataclass(frozen=True)
class Found:
    """A model's folder in the cache of a hub; `unfinished` names the files that it still lacks."""

    folder: Path
    hub: str
    unfinished: tuple[str, ...]


def find(model: str) -> Found | None:
    """Return a whole copy of a model if there is one, else a part of one, else None."""
    first_part = None
    for hub, folder in _candidates(model):
        found = Found(folder, hub, tuple(checkpoint.unfinished(folder)))
        if not found.unfinished:
            return found
        first_part = first_part or found
    return first_part


def _candidates(model: str) -> list[tuple[str, Path]]:
    """Return the folders that may hold a model, the preferred first."""
    found = [("huggingface", folder) for folder in _snapshots(huggingface_folder(model))]
    # Newer clients of ModelScope use the layout of Hugging Face.
    for root in _modelscope_roots():
        found += [("modelscope", root / "models" / _with_owner(model))]
        snapshots = root / "models" / model.replace("/", "--") / "snapshots"
        found += [("modelscope", folder) for folder in _newest_first(snapshots)]
    return [(hub, folder) for hub, folder in found if folder.is_dir()]


# Hugging Face


def huggingface_folder(model: str) -> Path:
    """Return the folder of a model, which has `blobs`, `snapshots` and `refs`."""
    return _huggingface_root() / f"models--{model.replace('/', '--')}"


def huggingface_home() -> Path:
    """Return the folder of everything that Hugging Face's libraries keep."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(cache, "huggingface")
    return _path(home)


def _huggingface_root() -> Path:
    chosen = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return _path(chosen) if chosen else huggingface_home() / "hub"


def _snapshots(folder: Path) -> list[Path]:
    """Return the versions of a model that are there, the one of `main` first."""
    found = _newest_first(folder / "snapshots")
    try:
        current = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except OSError:
        return found
    return sorted(found, key=lambda path: path.name != current)


# ModelScope


def modelscope_folder(model: str) -> Path:
    """Return the folder in which ModelScope's clients, old and new, look for a model."""
    return _modelscope_roots()[0] / "models" / _with_owner(model)


def _modelscope_roots() -> list[Path]:
    """Return the folders that have `models`, the one to write to first."""
    chosen = os.environ.get("MODELSCOPE_CACHE")
    if chosen:
        root = _path(chosen)
        return [root, root / "hub"]
    root = _path("~/.cache/modelscope")
    return [root / "hub", root]


def _with_owner(model: str) -> Path:
    owner, _, name = model.partition("/")
    # A dot in a name would make trouble where a folder is imported as a Python module.
    return Path(owner) / name.replace(".", "___")


def _newest_first(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    except OSError:
        return []


def _path(text: str) -> Path:
    return Path(os.path.expandvars(text)).expanduser()
