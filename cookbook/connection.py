"""Connect to a service that speaks the OpenAI API: the embedded one, or SiliconCloud.

    service = connect()                    starts the embedded service, or attaches to the one that runs
    service = connect("siliconcloud")      reads SILICONFLOW_API_KEY
    client = OpenAI(base_url=service.base_url, api_key=service.api_key)

The only module of the package that knows the embedded service's process; it never loads torch.
"""

import atexit
import contextlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from cookbook.errors import ArgumentError, KeyMissing, ServiceError
from cookbook.paths import home as default_home

START_SECONDS = 60
# Kept, and asked at the end: Python complains of a process that outlives its object.
_started: list[subprocess.Popen] = []
atexit.register(lambda: [process.poll() for process in _started])


@dataclass(frozen=True)
class Connection:
    """Where to send requests. `trains_by_api` tells whether jobs can be created over HTTP there."""

    base_url: str
    api_key: str = field(repr=False)
    base_model: str
    trains_by_api: bool


def connect(service: str = "local", *, home: Path | None = None) -> Connection:
    """A connection to the embedded service ("local", started if need be) or to "siliconcloud".

    Raises:
        KeyMissing: no SiliconCloud key in the environment, or something that cannot be one.
        ServiceError: the embedded service does not start, or the address given for SiliconCloud is none.
        ValueError: an unknown service.
    """
    if service == "siliconcloud":
        return _siliconcloud()
    if service != "local":
        raise ArgumentError(
            zh=f"没有服务 {service!r}，可选 local、siliconcloud",
            en=f"no service {service!r}: local or siliconcloud",
        )
    home = (home or default_home()).expanduser().resolve()
    facts = running(home) or _start(home)
    return Connection(facts["base_url"], facts["api_key"], facts["base_model"], trains_by_api=True)


def running(home: Path) -> dict | None:
    """The address file of the service that runs on this data folder, if one answers."""
    import urllib.request  # half of what this package would take to import

    try:
        facts = json.loads((home / "service.json").read_text(encoding="utf-8"))
        root = facts["base_url"].removesuffix("/v1")
        # Never through a proxy: the service is on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{root}/health", timeout=5) as answer:
            return facts if json.load(answer).get("status") == "ok" else None
    except (OSError, ValueError, KeyError):
        return None


def stop(home: Path) -> bool:
    """Stop the service of this data folder; whether there was one. Training goes on when it is started again."""
    import psutil

    facts = running(home)
    if not facts:
        return False
    with contextlib.suppress(psutil.NoSuchProcess):
        service = psutil.Process(facts["pid"])
        workers = [p for p in service.children() if "cookbook.service.worker" in p.cmdline()]
        service.terminate()
        for process in (service, *workers):
            if process in workers:
                process.terminate()
        psutil.wait_procs([service, *workers], timeout=20)
    return True


def _siliconcloud() -> Connection:
    key = (
        os.environ.get("SILICONFLOW_API_KEY") or os.environ.get("SILICONCLOUD_API_KEY") or ""
    ).strip()
    if not key:
        raise KeyMissing(
            zh="没有找到 SiliconCloud 的 API key：在 https://cloud.siliconflow.cn/account/ak 新建，"
            "再设环境变量 SILICONFLOW_API_KEY（不要写进 notebook）",
            en="no SiliconCloud API key: make one at https://cloud.siliconflow.cn/account/ak and set the environment "
            "variable SILICONFLOW_API_KEY (never write it into a notebook)",
        )
    if not re.fullmatch(r"[!-~]+", key):  # never shown, not even in part
        raise KeyMissing(
            zh="环境变量 SILICONFLOW_API_KEY 里不是 API key（有空格或英文以外的字符）：从 https://cloud.siliconflow.cn/account/ak 重新复制",
            en="SILICONFLOW_API_KEY holds no API key (there are spaces or characters beyond ASCII in it): copy it again from "
            "https://cloud.siliconflow.cn/account/ak",
        )
    base_url = os.environ.get("SILICONFLOW_BASE_URL", "").strip() or "https://api.siliconflow.cn/v1"
    if not re.match(r"https?://.", base_url):
        raise ServiceError(
            zh=f"环境变量 SILICONFLOW_BASE_URL = {base_url!r} 不是地址：应以 https:// 开头，以 /v1 结尾",
            en=f"SILICONFLOW_BASE_URL = {base_url!r} is no address: it begins with https:// and ends in /v1",
        )
    return Connection(base_url, key, "Qwen/Qwen2.5-7B-Instruct", trains_by_api=False)


def _start(home: Path) -> dict:
    from filelock import FileLock

    try:
        home.mkdir(parents=True, exist_ok=True)
        log = (home / "service.log").open("ab")
    except OSError as error:
        raise ServiceError(
            zh=f"数据目录 {home} 不能写（{error.strerror}）：用环境变量 COOKBOOK_HOME 换一个可写的目录",
            en=f"cannot write to {home} ({error.strerror}): choose another folder with COOKBOOK_HOME",
        ) from error
    with log, FileLock(home / "start.lock"):  # of several kernels that ask at once, one starts it
        if facts := running(home):
            return facts
        detached = {"start_new_session": True}
        if os.name == "nt":
            detached = {
                "creationflags": subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
            }
        process = subprocess.Popen(
            [sys.executable, "-m", "cookbook.service", "--home", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **detached,
        )
        _started.append(process)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if facts := running(home):
                return facts
            if process.poll() is not None:
                break
            time.sleep(0.05)
    tail = (
        (home / "service.log")
        .read_text(encoding="utf-8", errors="replace")
        .strip()
        .splitlines()[-1:]
    )
    last = "".join(tail)
    raise ServiceError(
        zh=f"内嵌服务没有启动：{last}。缺包时运行 pip install -e '.[local]'",
        en=f"the embedded service did not start: {last}. If a package is missing: pip install -e '.[local]'",
    )
