"""The training process of tests/bench/scale.py: the real driver, with a stand-in on the nodes.

Everything on the service's machine is real, and so are Ray, its nodes and the files that come back.
Only the steps are not taken: they last as long as they are told to.
"""

import os
import sys
import time
from pathlib import Path

from cookbook.memory import MemoryPlan
from cookbook.service import worker
from cookbook.service.events import Finished, Planned, Started, Step
from cookbook.service.trainers.on_ray import actor
from cookbook.service.trainers.on_ray.work import Made

STEPS = int(os.environ.get("COOKBOOK_BENCH_STEPS", "20"))
SECONDS = float(os.environ.get("COOKBOOK_BENCH_SECONDS", "0.1"))
ADAPTER_BYTES = 2**20
PLAN = MemoryPlan(2**30, 2**33, "cpu", "float32", 1024, 8, 0, 2, 64)


class StandIn(actor.Actor):
    """A worker whose steps are sleep."""

    steps, seconds = STEPS, SECONDS

    def call(self, name, *arguments):
        if name == "has_base":
            return True
        if name == "start":
            self._events = self._train(self._work._folder)
            return None
        if name == "next":
            return Made(next(self._events, None))
        return super().call(name, *arguments)

    def _train(self, folder):
        yield Planned(PLAN, 100)
        yield Started(self.steps, 100, 10, 0.5, 1, 1, 0.001, None, memory=PLAN)
        for step in range(1, self.steps + 1):
            time.sleep(self.seconds)
            yield Step(step, self.steps, 1.0, 1 / step, None, 1e-3, step, 100.0, 1.0)
        adapter = folder / f"step_{self.steps}"
        adapter.mkdir(parents=True)
        (adapter / "adapter_model.safetensors").write_bytes(bytes(ADAPTER_BYTES))
        yield Finished(self.steps, adapter, 1.0, None, 1, 1.0, 1.0)


if __name__ == "__main__":
    actor.Actor = StandIn
    sys.exit(worker.main(worker.Home(Path(sys.argv[1])), *sys.argv[2:]))
