"""Know the nodes of a cluster: for the panel's memory plan, and for the service's log.

    nodes = Nodes(); nodes.look(address)        asks them in the background, now and then
    nodes.best(workers) -> Machine              the one with the most memory for a training

They are asked by a process of its own, `survey.py`, since Ray ends a process whose cluster dies.
"""

import dataclasses
import json
import logging
import subprocess
import threading
import time
from typing import Any

from cookbook import causes
from cookbook.i18n import tr
from cookbook.machine import CPU, Machine, in_gb
from cookbook.service import trial

SURVEY = "cookbook.service.trainers.on_ray.survey"
SURVEY_SECONDS = 90.0
AGAIN_SECONDS = 60.0

_log = logging.getLogger("cookbook")


class Nodes:
    """What the nodes have said of themselves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked_at = float("-inf")
        self._machines: list[Machine] = []
        self._said = ""

    def look(self, address: str | None) -> None:
        """Ask the nodes in the background, unless that was done a moment ago."""
        with self._lock:
            if address is None or time.monotonic() - self._asked_at < AGAIN_SECONDS:
                return
            self._asked_at = time.monotonic()
        threading.Thread(target=self._ask, args=(address,), name="cluster", daemon=True).start()

    def best(self, workers: int) -> Machine | None:
        """Return the machine with the most memory, a GPU before any processor.

        Args:
            workers: how many may share a job that fits one of them.
        """
        with self._lock:
            machines = self._machines
        if not machines:
            return None
        best = max(machines, key=lambda machine: (machine.device != CPU, machine.free))
        alike = sum(machine.devices for machine in machines if machine.device == best.device)
        return dataclasses.replace(best, workers=min(workers, alike), devices=alike)

    def _ask(self, address: str) -> None:
        try:
            done = trial.run("-m", SURVEY, address, seconds=SURVEY_SECONDS)
        except subprocess.TimeoutExpired:
            self._tell(
                tr(
                    f"Ray 集群 {address} 的节点 {SURVEY_SECONDS:g} 秒内没有回答",
                    f"the nodes of the Ray cluster {address} gave no answer within "
                    f"{SURVEY_SECONDS:g} seconds",
                )
            )
            return
        if done.returncode:
            self._tell(str(causes.cause_of_output(done.stderr, done.returncode)))
            return
        self._note(json.loads(done.stdout.splitlines()[-1]))

    def _note(self, answer: dict[str, Any]) -> None:
        """Keep what a survey found."""
        # Not by name: nodes of one computer may have the same.
        found: list[tuple[str, Machine]] = []
        for node in answer["nodes"]:
            if machine := Machine.of_dict(node["machine"] | {"devices": node["devices"]}):
                found.append((node["name"], machine))
        with self._lock:
            self._machines = [machine for _, machine in found]
        for fault in answer["faults"]:
            self._tell(tr(fault["zh"], fault["en"]))
        self._tell(_line(found))

    def _tell(self, text: str) -> None:
        """Write it to the service's log, unless that is what was written last."""
        if text != self._said:
            self._said = text
            _log.info(text)


def _line(machines: list[tuple[str, Machine]]) -> str:
    """Return who is there, in one line."""
    shown = []
    for name, machine in machines:
        kind = machine.name or "CPU"
        shown.append(f"{name} ({kind}, {in_gb(machine.free)})")
    zh = "、".join(shown) or "没有"
    en = ", ".join(shown) or "none"
    return tr(f"Ray 集群的节点：{zh}", f"nodes of the Ray cluster: {en}")
