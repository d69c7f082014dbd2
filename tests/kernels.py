"""A kernel as a notebook has it, for tests: cells are run, and widgets are talked to.

with Kernel(python, folder, environment) as kernel:
    kernel.run("1 + 1")                              -> "2"
    kernel.send("comm_msg", comm_id=…, data=…)       as the page of a notebook does
"""

import subprocess
import time
from queue import Empty

from jupyter_client import KernelManager
from jupyter_client.kernelspec import KernelSpec

SECONDS = 1200  # for a cell that trains, on a machine with other work


class Kernel:
    """A kernel of `python` in a folder; `prefix` is a command that starts it."""

    def __init__(self, python, folder, environment, *, prefix=()):
        self._manager = KernelManager()
        command = [*prefix, str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._manager._kernel_spec = KernelSpec(argv=command, language="python", display_name="")
        self._manager.start_kernel(cwd=str(folder), env=dict(environment), stdin=subprocess.DEVNULL)
        self._client = self._manager.client()
        self.messages = []  # everything published, the newest last

    def __enter__(self):
        self._client.start_channels()
        self._client.wait_for_ready(timeout=SECONDS)
        return self

    def __exit__(self, *_):
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def run(self, code):
        """Run a cell and return what it showed as text; AssertionError with its traceback."""
        request = self._client.execute(code)
        published = self._until_idle(request)
        shown = []
        for message in published:
            content = message["content"]
            if message["msg_type"] == "error":
                raise AssertionError("\n".join(content["traceback"]))
            shown.append(content.get("text", "") or content.get("data", {}).get("text/plain", ""))
        return "".join(text for text in shown if isinstance(text, str)).strip()

    def send(self, kind, **content):
        """Send a message of a comm and return what was published in answer to it."""
        metadata = content.pop("metadata", None)
        message = self._client.session.msg(kind, content, metadata=metadata)
        self._client.shell_channel.send(message)
        return self._until_idle(message["header"]["msg_id"])

    def _until_idle(self, request):
        published = []
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except Empty:
                assert self._manager.is_alive(), "the kernel has ended"
                continue
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["content"].get("execution_state") == "idle":
                self.messages += published
                return published
            published.append(message)
        raise AssertionError(f"no end after {SECONDS} s")
