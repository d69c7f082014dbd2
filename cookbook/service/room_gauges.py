"""Measure the machine of a service for the leader's page: memory, disk, speed of chat.

The process list and the sizes of all files take a while to read, and a page asks every few seconds:
a reading is used again for a moment.
"""

import os
import shutil
import threading
import time
from collections.abc import Callable

import psutil
from pydantic import BaseModel

from cookbook import disk
from cookbook.machine import cgroups
from cookbook.paths import Home
from cookbook.service import status

FRESH_SECONDS = 5.0


class Reading(BaseModel):
    """Sizes are in bytes; `tokens_per_second` is null where nothing was asked lately."""

    memory_total: int
    memory_free: int
    service_bytes: int
    training_bytes: int
    disk_used: int
    disk_free: int
    tokens_per_second: float | None


class Gauges:
    """What the leader's page shows of the machine; safe to use from many threads."""

    def __init__(self, home: Home, chat_speed: Callable[[], float | None]):
        self._home = home
        self._chat_speed = chat_speed
        self._lock = threading.Lock()
        self._latest: Reading | None = None
        self._read_at = 0.0

    def read(self) -> Reading:
        """Return a reading that is a few seconds old at most."""
        # Held while measuring: whoever asks meanwhile is given the same.
        with self._lock:
            if self._latest is None or time.monotonic() - self._read_at > FRESH_SECONDS:
                self._latest = self._measure()
                self._read_at = time.monotonic()
            return self._latest

    def _measure(self) -> Reading:
        memory, container = psutil.virtual_memory(), cgroups.room()
        service_bytes, training_bytes = status.memory(os.getpid(), self._home.folder)
        return Reading(
            memory_total=min(memory.total, container.limit),
            memory_free=min(memory.available, container.free),
            service_bytes=service_bytes,
            training_bytes=training_bytes,
            disk_used=disk.used(self._home.folder),
            disk_free=shutil.disk_usage(self._home.folder).free,
            tokens_per_second=self._chat_speed(),
        )
