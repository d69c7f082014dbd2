"""See a Ray cluster from the service, without loading Ray: is its head there, and where?

    address = head_of("auto")        HOST:PORT, or None where this machine has joined none
    fault_at(address)                why nothing can be trained there at present, or None
    local = LocalCluster(); local.start(); local.address; local.stop()

Loading Ray takes a second and a hundred megabytes, and a process that has joined a cluster is ended
by Ray when the head dies. The service must outlive that, so it only knocks at the head's port.
"""

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cookbook import environment
from cookbook.errors import ClusterAway, ServiceError
from cookbook.service.trainers.settings import AUTO

KNOCK_SECONDS = 2.0  # for the head to accept a connection
START_SECONDS = 40.0  # for its head to answer, which takes 3; `connect()` waits for 60
STOP_SECONDS = 10.0  # for it to end by itself; `cookbook stop` gives the service twice as long
OBJECT_STORE = 200 * 2**20
"""Bytes of shared memory of a cluster of the service's own: files pass through it one at a time."""

TOKEN = "RAY_AUTH_TOKEN"
_MODE = "RAY_AUTH_MODE"


def head_of(address: str) -> str | None:
    """Return HOST:PORT of a cluster's head; None where "auto" finds none.

    "auto" is what Ray means by it: `RAY_ADDRESS`, else the cluster that this machine has joined.
    """
    if address != AUTO:
        return address
    given = environment.value_of("RAY_ADDRESS", os.environ)
    if given and given != AUTO:
        return given
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return _address_file().read_text(encoding="utf-8").strip() or None
    return None


def _address_file() -> Path:
    """Return where `ray start` notes the cluster that this machine has joined."""
    root = environment.value_of("RAY_TMPDIR", os.environ)
    # Ray has its folder in /tmp even where the user has another one for temporary files.
    system = "/tmp" if sys.platform != "win32" else tempfile.gettempdir()
    return Path(root or system) / "ray" / "ray_current_cluster"


def answers(address: str) -> bool:
    """Return whether something accepts connections at HOST:PORT."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), KNOCK_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def fault_at(address: str | None) -> ClusterAway | None:
    """Return why nothing can be trained on this cluster at present; None where its head answers."""
    if address is None:
        return ClusterAway(
            zh="这台机器没有加入 Ray 集群：运行 ray start --address=HOST:6379 --num-cpus=0 加入，"
            "或用 --ray-address 写明 head 的地址；只想在本机试用就写 --ray-address local",
            en="this machine has joined no Ray cluster: join one with "
            "ray start --address=HOST:6379 --num-cpus=0, or give the head's address with "
            "--ray-address; to try it on this machine alone, --ray-address local",
        )
    if answers(address):
        return None
    return ClusterAway(
        zh=f"Ray 集群没有回应：{address} 连不上。看 head 节点是否在运行（ray status）、"
        "网络和防火墙是否通，再核对 --ray-address",
        en=f"the Ray cluster does not answer: no connection to {address}. Check that its head node "
        "runs (ray status), that network and firewall let it through, and --ray-address",
    )


class LocalCluster:
    """A cluster of this machine alone, which the service starts and ends.

    Ray listens on the machine's network address, and whoever reaches an open Ray runs code on it.
    So a random token is asked for, unless the reader has set up Ray's authentication.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        # The same after it has ended and was started again: training processes know it.
        self.address = f"127.0.0.1:{_free_port()}"

    @property
    def has_ended(self) -> bool:
        """Return whether it has ended by itself, as on a machine that was too busy to start it."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start it and wait until its head answers.

        Raises:
            ServiceError: it did not come up.
        """
        if not environment.value_of(_MODE, os.environ):
            os.environ |= {_MODE: "token", TOKEN: secrets.token_hex(32)}
        port = self.address.rpartition(":")[2]
        command = ["start", "--head", f"--port={port}", "--block", "--disable-usage-stats"]
        command += ["--include-dashboard=false", f"--object-store-memory={OBJECT_STORE}"]
        with tempfile.TemporaryFile() as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment.of_worker(),
                start_new_session=os.name != "nt",
            )
            if self._comes_up():
                return
            self.stop()
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines()
        reason = said[-1] if said else "-"
        raise ServiceError(
            zh=f"Ray 没有启动（{reason:.300}）：看 /tmp/ray/session_latest/logs",
            en=f"Ray did not start ({reason:.300}): see /tmp/ray/session_latest/logs",
        )

    def stop(self) -> None:
        """End it, with everything that trains on it."""
        process, self._process = self._process, None
        if process is None:
            return
        everything: list[psutil.Process] = []
        with contextlib.suppress(psutil.Error):
            everything = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        # What a busy machine was too slow to end would stay for ever.
        process.kill()
        for one in everything:
            with contextlib.suppress(psutil.Error):
                one.kill()
        process.wait()

    def _comes_up(self) -> bool:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:
                return False
            if answers(self.address):
                return True
            time.sleep(0.2)
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port
