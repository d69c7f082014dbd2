"""What the command line and the environment say of where jobs are trained.

The service writes its settings into its environment, where the training processes find them.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cookbook.environment import value_of
from cookbook.errors import ArgumentError

HERE, RAY = "local", "ray"
TRAINERS = (HERE, RAY)
AUTO, LOCAL = "auto", "local"
"""Addresses of a cluster: the one that this machine belongs to; one that the service starts."""

MOST_WORKERS = 64
MOST_CPUS = 256
MOST_CPUS_CHOSEN = 4
"""CPUs that a worker asks for where nobody says how many: a small base gains little by more."""

_ADDRESS = re.compile(r"[^\s:/]{1,253}:\d{1,5}|\[[0-9A-Fa-f:]{2,45}\]:\d{1,5}")


@dataclass(frozen=True)
class TrainerSettings:
    """Where jobs are trained.

    Attributes:
        name: "local" for this machine, or "ray".
        ray_address: HOST:PORT of a cluster's head, "auto" or "local".
        workers: how many workers may share one job where its base fits one of them; where it does
            not, as many as it needs.
        worker_cpus: CPUs that each worker asks for; 0 chooses.
        storage: a folder that the service and all nodes see under the same path; None without one.
    """

    name: str = HERE
    ray_address: str = AUTO
    workers: int = 1
    worker_cpus: int = 0
    storage: Path | None = None

    @classmethod
    def of_environment(cls, environment: Mapping[str, str] = os.environ) -> "TrainerSettings":
        """Return the settings of these variables.

        Raises:
            ArgumentError: one of them is wrong.
        """
        storage = value_of("COOKBOOK_STORAGE", environment)
        # An empty folder name is the current folder to `Path`, and none to whoever left it empty.
        return cls(
            name=read_name(value_of("COOKBOOK_TRAINER", environment) or HERE),
            ray_address=read_address(value_of("COOKBOOK_RAY_ADDRESS", environment) or AUTO),
            workers=_number("COOKBOOK_WORKERS", environment, 1, 1, MOST_WORKERS),
            worker_cpus=_number("COOKBOOK_WORKER_CPUS", environment, 0, 0, MOST_CPUS),
            storage=Path(storage).expanduser().resolve() if storage else None,
        )

    def to_environment(self) -> dict[str, str]:
        """Return the variables that say the same."""
        return {
            "COOKBOOK_TRAINER": self.name,
            "COOKBOOK_RAY_ADDRESS": self.ray_address,
            "COOKBOOK_WORKERS": str(self.workers),
            "COOKBOOK_WORKER_CPUS": str(self.worker_cpus),
            "COOKBOOK_STORAGE": str(self.storage or ""),
        }


def read_name(text: str) -> str:
    """Return the trainer that a setting names.

    Raises:
        ArgumentError: there is none of that name.
    """
    if text in TRAINERS:
        return text
    raise ArgumentError(
        zh=f"COOKBOOK_TRAINER={text!r}：只能是 local（这台机器）或 ray",
        en=f"COOKBOOK_TRAINER={text!r}: must be local (this machine) or ray",
    )


def read_address(text: str) -> str:
    """Return the address of a Ray cluster as it is used.

    Raises:
        ArgumentError: it is neither HOST:PORT nor one of the two words.
    """
    address = text.strip()
    if address in (AUTO, LOCAL):
        return address
    port = address.rpartition(":")[2]
    if _ADDRESS.fullmatch(address) and 0 < int(port) < 2**16:
        return address
    raise ArgumentError(
        zh=f"Ray 集群的地址 {text!r} 不对：写成 HOST:6379（head 节点的地址和端口），"
        "或者 auto（本机已加入的集群）、local（服务自己启动一个）",
        en=f"the address of the Ray cluster, {text!r}, is not valid: write HOST:6379 (the head "
        "node's address and port), auto (the cluster that this machine has joined) or local (the "
        "service starts one)",
    )


def _number(name: str, environment: Mapping[str, str], default: int, least: int, most: int) -> int:
    text = value_of(name, environment)
    if not text:
        return default
    if text.isascii() and text.isdigit() and least <= int(text) <= most:
        return int(text)
    raise ArgumentError(
        zh=f"{name}={text!r}：写 {least} 到 {most} 之间的整数",
        en=f"{name}={text!r}: give a whole number from {least} to {most}",
    )
