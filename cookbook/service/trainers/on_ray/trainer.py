"""The trainer that trains on a Ray cluster. Importing this does not load Ray."""

import importlib
import logging
import os
import sys
import threading
import time
from collections.abc import Generator
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from cookbook import causes
from cookbook.bases import Base
from cookbook.errors import ClusterAway, CookbookError, ServiceError
from cookbook.machine import Machine
from cookbook.service.events import TrainingEvent
from cookbook.service.trainers.on_ray import cluster
from cookbook.service.trainers.on_ray.nodes import Nodes
from cookbook.service.trainers.settings import LOCAL, TrainerSettings

LOOK_SECONDS = 5.0
"""For so long what was seen of the cluster's head is believed: jobs are looked at five times a
second."""

_log = logging.getLogger("cookbook")


class OnRay:
    """A Ray cluster. Each job's process is a driver of it, on the service's machine."""

    jobs = 64
    most_seeking = 4

    def __init__(self, settings: TrainerSettings):
        self._settings = settings
        self._local: cluster.LocalCluster | None = None
        self._nodes = Nodes()
        self._lock = threading.Lock()  # of what was seen
        self._seen_at = float("-inf")
        self._fault: ClusterAway | None = None

    # In the job's own process

    def prepare(self) -> None:
        """Load Ray."""
        # Ray loads jsonschema, which compiles a grammar of addresses where it finds this package of
        # Jupyter's: half of the time that a training process takes to start.
        sys.modules.setdefault("rfc3987_syntax", cast(ModuleType, None))
        importlib.import_module("cookbook.service.trainers.on_ray.driver")

    def train(
        self,
        base: Base,
        train_rows: list[dict[str, Any]],
        valid_rows: list[dict[str, Any]],
        hp: dict[str, Any],
        *,
        folder: Path,
        seed: int = 42,
        level: int = 0,
    ) -> Generator[TrainingEvent, None, None]:
        """Train on the cluster's nodes; see `Trainer.train`."""
        from cookbook.service.trainers.on_ray.driver import train

        rows = train_rows, valid_rows
        return train(self._settings, base, *rows, hp, folder=folder, seed=seed, level=level)

    # In the service

    def start(self) -> None:
        """Start a cluster where that was asked for, and look who is there.

        A cluster that is away may come: jobs wait for it.

        Raises:
            ServiceError: Ray is not installed, or its own cluster did not start.
        """
        if find_spec("ray") is None:
            command = causes.install("local,cluster")
            raise ServiceError(
                zh=f"没有安装 Ray：运行 {command}，或去掉 --trainer ray",
                en=f"Ray is not installed: run {command}, or leave --trainer ray out",
            )
        self._check_storage()
        if self._settings.ray_address == LOCAL:
            self._local = cluster.LocalCluster()
            self._local.start()
            # Where the training processes find it.
            os.environ["COOKBOOK_RAY_ADDRESS"] = self._local.address
        if fault := self.fault():
            _log.warning(fault)
            return
        self._nodes.look(self._address())

    def stop(self) -> None:
        """End a cluster that was started here."""
        # Forgotten first: a look at the head would start it again.
        local, self._local = self._local, None
        if local:
            local.stop()

    def fault(self) -> CookbookError | None:
        """Return why the cluster's head is not there; None where it is."""
        with self._lock:
            if time.monotonic() - self._seen_at > LOOK_SECONDS:
                self._fault = self._look()
                self._seen_at = time.monotonic()
            return self._fault

    def _look(self) -> ClusterAway | None:
        """Look at the head; start a cluster of the service's own again where it has ended."""
        local = self._local
        if local and local.has_ended:
            try:
                local.start()
            except ServiceError as error:
                return ClusterAway(zh=error.zh, en=error.en)
        return cluster.fault_at(self._address())

    def machine(self) -> Machine | None:
        """Return the best of the cluster's nodes; None as long as none is known."""
        # As the queue has seen it last: a request does not wait for a head that does not answer.
        if self._fault is None:
            self._nodes.look(self._address())
        return self._nodes.best(self._settings.workers)

    def _address(self) -> str | None:
        local = self._local
        return local.address if local else cluster.head_of(self._settings.ray_address)

    def _check_storage(self) -> None:
        """Raise ServiceError where the shared folder is not there for this machine."""
        storage = self._settings.storage
        if storage is None or os.access(storage, os.W_OK | os.X_OK):
            return
        raise ServiceError(
            zh=f"--storage {storage} 不是可写的文件夹：检查共享盘是否已挂载",
            en=f"--storage {storage} is not a folder that can be written to: "
            "check that the shared disk is mounted",
        )
