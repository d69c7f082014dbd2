"""Open what an adapter comes in: a PEFT folder, or a zip of one. Nothing is unpacked here.

    with opened(path) as source:
        source.names                     of the files in the adapter's folder, "checkpoint-9/" too
        source.size(name), source.open(name)

The folder may be at the root or one level down. Of a zip, every entry must lead into it: absolute
paths, `..` and links are refused, though files are read by name and nothing is written by theirs.
"""

import contextlib
import os
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from cookbook.adapter_settings import CONFIG, WEIGHTS
from cookbook.errors import AdapterError, CookbookError
from cookbook.imports.weights import pickled
from cookbook.quoted import one_line

_MOST_ENTRIES = 10_000  # of a zip; the longest training leaves a few hundred files
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)
"""What reading a zip raises that is damaged, locked, or packed in a way that Python cannot read."""


class Source(Protocol):
    """The files of one adapter."""

    @property
    def names(self) -> list[str]:
        """What is in the adapter's folder; a folder's name ends in a slash."""

    def size(self, name: str) -> int:
        """Return the bytes of a file; of a zip, what it says of itself."""

    def open(self, name: str) -> IO[bytes]: ...


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Source]:
    """Open a folder or zip that holds one adapter.

    Raises:
        AdapterError: it does not, or a zip is damaged or leads out of its folder.
    """
    if path.is_dir():
        source: Source = _Folder(_root_of_folder(path))
        _check_files(source)
        yield source
        return
    with contextlib.ExitStack() as stack:
        with _readable(path):
            archive = stack.enter_context(zipfile.ZipFile(_zip(path)))
            source = _Zip(archive, _root_of_zip(archive))
        _check_files(source)
        with _readable(path):
            yield source


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        # Some of our own are of these kinds, too, and say what is wrong.
        if isinstance(error, CookbookError):
            raise
        name, reason = path.name, one_line(str(error))
        raise AdapterError(
            zh=f"{name} 读不出来（{reason}）：重新下载或复制；加了密码的先解压再导入文件夹",
            en=f"{name} cannot be read ({reason}): download or copy it again; one with a password "
            "must be unpacked before, to import the folder",
        ) from error


class _Folder:
    def __init__(self, folder: Path):
        self._folder = folder

    @property
    def names(self) -> list[str]:
        with os.scandir(self._folder) as found:
            return sorted(f"{one.name}/" if one.is_dir() else one.name for one in found)

    def size(self, name: str) -> int:
        return (self._folder / name).stat().st_size

    def open(self, name: str) -> IO[bytes]:
        path = self._folder / name
        # Links are the reader's own, as in the cache of a hub. A pipe would keep this waiting.
        if not stat.S_ISREG(path.stat().st_mode):
            raise AdapterError(zh=f"{name} 不是普通文件", en=f"{name} is not a regular file")
        return path.open("rb")


class _Zip:
    def __init__(self, archive: zipfile.ZipFile, root: str):
        self._archive, self._root = archive, root

    @property
    def names(self) -> list[str]:
        found = set()
        for name in self._archive.namelist():
            inside = name.removeprefix(self._root)
            if inside and name.startswith(self._root):
                first, slash, _ = inside.partition("/")
                found.add(first + slash)
        return sorted(found)

    def size(self, name: str) -> int:
        return self._archive.getinfo(self._root + name).file_size

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(self._root + name)


# Where the adapter is


def _root_of_folder(folder: Path) -> Path:
    if (folder / CONFIG).exists():
        return folder
    inner = sorted(path.parent for path in folder.glob(f"*/{CONFIG}"))
    if len(inner) > 1:
        raise _several([path.name for path in inner])
    # What is missing there is said by whoever looks at its files.
    return inner[0] if inner else folder


def _root_of_zip(archive: zipfile.ZipFile) -> str:
    """Return the folder of the adapter in a zip, with a slash; empty for its root.

    Raises:
        AdapterError: an entry leads out of the zip, or there are several adapters.
    """
    entries = archive.infolist()
    if len(entries) > _MOST_ENTRIES:
        raise AdapterError(
            zh=f"zip 里有 {len(entries):,} 个文件，不像一个适配器：只打包 {CONFIG}、{WEIGHTS}",
            en=f"the zip has {len(entries):,} files, more than an adapter: pack {CONFIG} and "
            f"{WEIGHTS} alone",
        )
    names = [_checked(entry) for entry in entries]
    twice, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise AdapterError(
            zh=f"zip 里有两个 {one_line(twice)}，不知道该信哪一个：重新打包",
            en=f"the zip has {one_line(twice)} twice, and one of them may be false: pack it again",
        )
    if CONFIG in names:
        return ""
    depths = (name.removesuffix(CONFIG) for name in names if name.endswith(f"/{CONFIG}"))
    inner = [root for root in depths if root.count("/") == 1]
    if len(inner) > 1:
        raise _several([root.rstrip("/") for root in inner])
    if inner:
        return inner[0]
    # Of a zip of one folder without settings, what is in it says more than its name.
    tops = {name.partition("/")[0] for name in names}
    inside = all("/" in name for name in names)
    return f"{tops.pop()}/" if inside and len(tops) == 1 else ""


def _checked(entry: zipfile.ZipInfo) -> str:
    """Return the entry's name.

    Raises:
        AdapterError: it leads out of the zip, is a link, or is locked.
    """
    # As it is in the file: zipfile has replaced the system's own separator already.
    name = entry.orig_filename
    parts = name.replace("\\", "/").split("/")
    leads_out = ".." in parts or parts[0] == "" or ":" in parts[0] or "\0" in name
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if leads_out or is_link or "\\" in name:
        raise AdapterError(
            zh=f"zip 里的 {one_line(name)} 指向它自己的文件夹之外（绝对路径、.. 或链接）：不导入，"
            "向发来的人问清楚，或重新打包",
            en=f"{one_line(name)} in the zip leads out of its folder (an absolute path, .. or a "
            "link), so nothing is imported: ask whoever sent it, or pack it again",
        )
    return name


def _several(names: list[str]) -> AdapterError:
    listed = ", ".join(one_line(name) for name in names[:5])
    return AdapterError(
        zh=f"里面有几个适配器（{listed}）：写出要导入哪个文件夹",
        en=f"there are several adapters in it ({listed}): name the folder to import",
    )


# What is in it


def _zip(path: Path) -> Path:
    if not path.exists():
        raise AdapterError(zh=f"没有 {path}：检查路径", en=f"there is no {path}: check the path")
    # A pickle of torch is a zip, too.
    if path.suffix in _PICKLES:
        raise pickled(path.name)
    if path.suffix == ".safetensors":
        raise AdapterError(
            zh=f"{path.name} 只是权重：写它所在的文件夹，{CONFIG} 也要在里面",
            en=f"{path.name} has the weights alone: name its folder, which must have {CONFIG}, too",
        )
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise AdapterError(
            zh=f"{path.name} 不是文件夹，也不是 zip：别的压缩包（tar、7z、rar）先解压",
            en=f"{path.name} is neither a folder nor a zip: unpack other archives (tar, 7z, rar) "
            "first",
        )
    return path


def _check_files(source: Source) -> None:
    """Refuse what is not an adapter, and say what it is."""
    names = source.names
    if WEIGHTS not in names:
        for name in names:
            if name.startswith("adapter_model") and name.endswith(_PICKLES):
                raise pickled(name)
    if CONFIG in names and WEIGHTS in names:
        return
    lacking = CONFIG if CONFIG not in names else WEIGHTS
    raise AdapterError(
        zh=f"缺 {lacking}：{_what_it_is(names)[0]}",
        en=f"{lacking} is missing: {_what_it_is(names)[1]}",
    )


def _what_it_is(names: list[str]) -> tuple[str, str]:
    if any(name.endswith(".gguf") for name in names):
        return (
            "这是 GGUF（llama.cpp 的格式），不能再变回适配器，要训练它的那个 PEFT 文件夹",
            "this is GGUF, llama.cpp's format, which cannot become an adapter again: the PEFT "
            "folder is needed that it was made from",
        )
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return (
            "这是整个模型，不是适配器，用 COOKBOOK_BASE_MODEL 选它作基础模型",
            "this is a whole model, not an adapter: choose it as a base with COOKBOOK_BASE_MODEL",
        )
    if "adapters.safetensors" in names:
        return (
            "这是 MLX 的适配器，先转成 PEFT 的格式",
            "this is an adapter of MLX: convert it to PEFT's format first",
        )
    for name in names:
        if name.endswith(_PICKLES):
            return pickled(one_line(name)).args
    return (
        f"要一个 PEFT 文件夹（{CONFIG} 和 {WEIGHTS}），或者它的 zip",
        f"a PEFT folder is needed ({CONFIG} and {WEIGHTS}), or a zip of one",
    )
