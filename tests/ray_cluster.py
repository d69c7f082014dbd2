"""A Ray cluster on this machine: a head that trains nothing, and nodes that come and go."""

import contextlib
import os
import time

import psutil

STORE_BYTES = 100 * 2**20
ATTEMPTS = 3  # a raylet has 30 seconds to start, which a busy machine may not give it


class RayCluster:
    """Nodes by name. `environment` is what their processes have beside this one's."""

    def __init__(self, folder):
        from ray.cluster_utils import Cluster

        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        self._folder = folder
        self._nodes = {}
        self._cluster = Cluster()
        self._add(num_cpus=0, include_dashboard=False)

    @property
    def address(self):
        return self._cluster.address

    def cache(self, name):
        """Return the folder in which a node keeps what the service sends."""
        return self._folder / name / "siliconcloud-cookbook"

    def add(self, name, cpus=1, **environment):
        """Start a node that trains."""
        usual = {"XDG_CACHE_HOME": str(self._folder / name)}
        variables = usual | environment
        self._nodes[name] = self._add(num_cpus=cpus, node_name=name, env_vars=variables)

    def keep(self, *names):
        """Have these nodes and no others."""
        for name in set(self._nodes) - set(names):
            self.kill(name)
        # One that has gone is still among the others for some seconds.
        self._cluster.wait_for_nodes()
        for name in names:
            if name not in self._nodes:
                self.add(name)

    def kill(self, name, politely=False):
        """Kill a node and all that runs on it, as a power cut would, or as `ray stop` does."""
        self._cluster.remove_node(self._nodes.pop(name), allow_graceful=politely)

    def workers(self):
        """Return the processes on the nodes that train."""
        found = []
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any(part.startswith("ray::Actor") for part in process.cmdline()):
                    found.append(process)
        return found

    def gcs(self):
        """Return the process of the head that knows all nodes."""
        (process,) = self._cluster.head_node.all_processes["gcs_server"]
        return psutil.Process(process.process.pid)

    def stop(self):
        """End everything, and see that it has ended."""
        import ray

        processes = self._processes()
        ray.shutdown()
        self._cluster.shutdown()
        _, left = psutil.wait_procs(processes, timeout=20)
        for process in left:
            process.kill()
        assert not psutil.wait_procs(left, timeout=20)[1]

    def _processes(self):
        """Return the processes of all nodes."""
        found = []
        for node in [self._cluster.head_node, *self._nodes.values()]:
            for started in node.all_processes.values():
                for one in started:
                    with contextlib.suppress(psutil.NoSuchProcess):
                        process = psutil.Process(one.process.pid)
                        found += [process, *process.children(recursive=True)]
        return found

    def _add(self, **settings):
        for attempt in range(ATTEMPTS):
            try:
                return self._cluster.add_node(object_store_memory=STORE_BYTES, **settings)
            except Exception:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(2)
