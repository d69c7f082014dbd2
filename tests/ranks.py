"""Processes that train one job together, for tests: they start once and do what they are given.

    with Ranks(2) as ranks:
        results = ranks.call(function, *arguments)     function(rank, *arguments) in each process

The function is one of a module, and what it takes and returns can be pickled.
"""

import contextlib
import multiprocessing
import os
import tempfile
from pathlib import Path


class Ranks:
    """So many processes of this machine in one process group, by gloo."""

    def __init__(self, world):
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory()
        meeting = Path(self._folder.name) / "meeting"
        self._pipes = []
        self._processes = []
        for rank in range(world):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(theirs, rank, world, meeting))
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def call(self, function, *arguments, **environment):
        """Return what the function returns in each process; raise what the first one raised."""
        for pipe in self._pipes:
            pipe.send((function, arguments, environment))
        answers = [pipe.recv() for pipe in self._pipes]
        for _, error in answers:
            if error is not None:
                raise error
        return [answer for answer, _ in answers]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pipe in self._pipes:
            pipe.close()
        for process in self._processes:
            process.join(10)
            process.kill()
        self._folder.cleanup()


def _serve(pipe, rank, world, meeting):
    """Call what the pipe brings, until it is closed."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    address = meeting.as_uri()
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    with contextlib.suppress(EOFError):
        while True:
            function, arguments, environment = pipe.recv()
            os.environ |= environment
            try:
                pipe.send((function(rank, *arguments), None))
            except Exception as error:
                pipe.send((None, error))
            for name in environment:
                del os.environ[name]
    dist.destroy_process_group()
