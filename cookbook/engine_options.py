"""Declare `--engine`, `--engine-key` and `--engine-models`: which servers answer chat.

    add(command)        declare them, for `python -m cookbook serve` and `room`
    of(args)            what a command line, or else the environment, says; None without an engine

The values are checked here; the servers themselves are first asked by `cookbook/service/engines`.
"""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cookbook.client import is_api_key
from cookbook.environment import value_of
from cookbook.errors import ArgumentError
from cookbook.i18n import tr
from cookbook.quoted import without_password
from cookbook.terminal import printable

ADDRESS, KEY, MODELS = "COOKBOOK_ENGINE", "COOKBOOK_ENGINE_KEY", "COOKBOOK_ENGINE_MODELS"


@dataclass(frozen=True)
class EngineSettings:
    """The engines that answer chat, and how adapters reach them.

    Attributes:
        addresses: such as `http://127.0.0.1:8000`, without `/v1`; one may hold a password.
        key: the bearer token of every engine.
        models: a folder that the service writes and the engines read; None where there is none.
        models_there: that folder as the engines see it; empty for the same path.
    """

    addresses: tuple[str, ...]
    key: str | None = None
    models: Path | None = None
    models_there: str = ""

    # Neither key nor password.
    def __repr__(self) -> str:
        shown = ", ".join(map(without_password, self.addresses))
        return f"EngineSettings({shown}, models={self.models})"


def add(command: argparse.ArgumentParser) -> None:
    """Add the options, which `of` reads."""
    command.add_argument(
        "--engine",
        action="append",
        metavar="URL",
        help=tr(
            f"由这个地址的 vLLM 回答提问；可以写多次（默认 {ADDRESS}，没有就用内嵌引擎）",
            "let vLLM at this address answer chat; can be given several times "
            f"(default: {ADDRESS}, else the embedded engine)",
        ),
    )
    command.add_argument(
        "--engine-key",
        metavar="KEY",
        help=tr(f"vLLM 的密钥（默认 {KEY}）", f"vLLM's API key (default: {KEY})"),
    )
    command.add_argument(
        "--engine-models",
        metavar="DIR[=THERE]",
        help=tr(
            "服务和 vLLM 都能看到的目录，适配器放在里面；vLLM 看到的路径不同时写在等号后面"
            f"（默认 {MODELS}）",
            "a folder for adapters that the service and vLLM both see; after the equals sign its "
            f"path as vLLM sees it, if that differs (default: {MODELS})",
        ),
    )


def of(args: argparse.Namespace) -> EngineSettings | None:
    """Return what the command line says, and the environment where it says nothing.

    Raises:
        ArgumentError: an address, the key or the folder cannot be used, or there is no engine for
            them.
    """
    given = args.engine or re.split(r"[\s,]+", value_of(ADDRESS, os.environ))
    addresses = [_address(text) for text in given if text.strip()]
    if not addresses:
        if args.engine_key or args.engine_models:
            option = "--engine-key" if args.engine_key else "--engine-models"
            raise ArgumentError(
                zh=f"{option} 要和 --engine 一起用：写上 vLLM 的地址，例如 http://127.0.0.1:8000",
                en=f"{option} needs --engine as well: the address of vLLM, such as "
                "http://127.0.0.1:8000",
            )
        return None
    key = args.engine_key or value_of(KEY, os.environ) or None
    _check_key(key, addresses)
    folder = args.engine_models or value_of(MODELS, os.environ)
    models, there = _folder(folder) if folder else (None, "")
    # The same address twice would count for two engines.
    return EngineSettings(tuple(dict.fromkeys(addresses)), key, models, there)


def _address(text: str) -> str:
    """Return the address of an engine without its `/v1`."""
    address = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises ValueError
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and not (parts.query or parts.fragment)
        _httpx_url(address)
    except ValueError:
        is_address = False
    if not is_address or not address.isprintable() or " " in address:
        # Cut afterwards: the @ that ends a password may come late.
        shown = printable(without_password(text)[:100])
        raise ArgumentError(
            zh=f"--engine {shown} 不是地址：写成 http://127.0.0.1:8000",
            en=f"--engine {shown} is not an address: write it as http://127.0.0.1:8000",
        )
    return address


def _httpx_url(address: str) -> None:
    """Raise ValueError for an address that the client of the engines cannot read."""
    import httpx  # takes longer to import than all else here

    try:
        httpx.URL(address)
    except httpx.InvalidURL as error:
        raise ValueError(address) from error


def _check_key(key: str | None, addresses: list[str]) -> None:
    if key is None:
        return
    if not is_api_key(key):
        raise ArgumentError(
            zh="--engine-key 只能用 ASCII 字母、数字和符号",
            en="--engine-key may contain ASCII letters, digits and signs only",
        )
    for address in addresses:
        # Both are sent in the same header.
        if urlsplit(address).username is not None:
            raise ArgumentError(
                zh=f"{without_password(address)} 里已有用户名和密码，不能再用 --engine-key："
                "只留一个",
                en=f"{without_password(address)} has a user and a password, so it cannot have "
                "--engine-key as well: keep one of them",
            )


def _folder(text: str) -> tuple[Path, str]:
    """Return the folder as the service sees it, and as the engines do."""
    typed, _, there = text.partition("=")
    folder = Path(typed.strip()).expanduser().absolute()
    there = there.strip()
    # To `Path`, nothing is the current folder.
    if not typed.strip() or not folder.is_dir():
        shown = printable(typed.strip() or text)
        raise ArgumentError(
            zh=f"--engine-models {shown} 不是已有的目录："
            "先建好，并让 vLLM 也能看到它（同一台机器、共享盘或容器的挂载）",
            en=f"--engine-models {shown} is not an existing folder: create it where "
            "vLLM sees it too (the same machine, a network drive, or a container's mount)",
        )
    if there and not there.startswith("/"):
        raise ArgumentError(
            zh=f"--engine-models 等号后面的 {printable(there)} 不是绝对路径："
            "写 vLLM 看到的路径，例如 /adapters",
            en=f"--engine-models: {printable(there)} after the equals sign is not an absolute "
            "path: give the path that vLLM sees, such as /adapters",
        )
    return folder, there
