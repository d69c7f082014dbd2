"""Know the files of a base: which there must be, and whether each is all there.

    unfinished(folder)        the files that are missing, cut off or only stand-ins
    size_by_header(shard)     bytes that a file of weights must have

Only names, sizes and headers are read, so it takes milliseconds however large the weights are.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"

_POINTER = b"version https://git-lfs"
"""How a file begins that Git left out: a pointer to what `git lfs pull` fetches."""

_LONGEST_HEADER = 100_000_000  # bytes, as safetensors itself allows
# One of these sets makes a tokenizer.
_TOKENIZERS = (["tokenizer.json"], ["vocab.json", "merges.txt"], ["tokenizer.model"])


def unfinished(folder: Path) -> list[str]:
    """Return the names of the files that a checkpoint lacks, or has only a part of."""
    lacking = [name for name in ["config.json", *_shards(folder)] if not is_whole(folder / name)]
    if not has_tokenizer(folder):
        lacking.append("tokenizer.json")
    return lacking


def has_tokenizer(folder: Path) -> bool:
    """Return whether the folder has the files of a tokenizer, of one kind or another."""
    return any(all((folder / name).is_file() for name in names) for names in _TOKENIZERS)


def _shards(folder: Path) -> list[str]:
    """Return the files that the weights are in."""
    index = read_json(folder / INDEX)
    if index is None:
        return [SINGLE]
    names = index.get("weight_map")
    # An index that cannot be read is itself what is missing.
    return sorted({str(name) for name in names.values()}) if isinstance(names, dict) else [INDEX]


def is_whole(path: Path) -> bool:
    """Return whether the file is there; of weights, whether it is as long as its header says.

    A repository that was cloned without Git LFS has short texts in place of the weights.
    """
    try:
        status = path.stat()
    except OSError:
        return False
    if path.suffix != ".safetensors":
        return status.st_size > 0
    return _has_all_weights(path, status.st_size, status.st_mtime_ns)


# A job that waits is looked at several times a second.
@lru_cache(maxsize=512)
def _has_all_weights(path: Path, size: int, modified: int) -> bool:
    # Told by its time, too, so that a changed file is read again.
    try:
        return size_by_header(path) == size
    except OSError:
        return False


def size_by_header(shard: Path) -> int | None:
    """Return the bytes that a safetensors file must have by its header; None if it has none."""
    with shard.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= _LONGEST_HEADER:
            return None
        header = file.read(length)
    # The header itself is cut off.
    if len(header) < length:
        return 8 + length if header.startswith(b"{") else None
    try:
        tensors = json.loads(header)
        tensors.pop("__metadata__", None)
        ends = [tensor["data_offsets"][1] for tensor in tensors.values()]
        return 8 + length + max(ends, default=0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def is_pointer(path: Path) -> bool:
    """Return whether Git left the file out and wrote a pointer in its place."""
    with path.open("rb") as file:
        return file.read(len(_POINTER)) == _POINTER


def read_json(path: Path) -> dict[str, Any] | None:
    """Return a JSON object; None where there is no file, an empty one where it holds no object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
