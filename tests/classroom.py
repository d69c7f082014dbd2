"""Thirty people who work through the notebooks in one room, each in a thread with a key of theirs.

    python tests/classroom.py SLIPS.csv RESULT.json [--think SECONDS]

What runs is the notebooks' own code, cell by cell: nothing of it is copied, and every call is made
by the real `openai` client. What is left out is work that thirty laptops do for themselves, and
that would take the service's two cores here: cells after a notebook's last call (its tables and
figures; 01 has no call at all), and pictures. What is pure and the same for everybody, such as the
check of a file that ships, is worked out once. All people share one process and its interpreter, so
that the waits are rather too long than too short.

The result: what each call took, what each notebook took, and whatever went wrong.
"""

import argparse
import ast
import contextlib
import csv
import functools
import io
import json
import os
import pickle
import random
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import IPython.display
import nbformat
from openai import OpenAI

import cookbook
from cookbook import compare, data, jobs, params
from cookbook.paths import DATA

NOTEBOOKS = ["00_quickstart", "01_prepare_data", "02_choose_parameters"]
NOTEBOOKS += ["03_launch_and_monitor", "04_zhishuoxinyu"]
PURE = [(data, "check"), (data, "load"), (data, "split"), (jobs, "as_trained")]
PURE += [(params, "plan"), (params, "token_counts"), (compare, "prompt_parts")]

here = threading.local()  # the key of the person whose thread it is
notebook_of: dict[str, str] = {}  # by key
calls: list[dict[str, Any]] = []
_once = threading.RLock()


def cells(name: str) -> list[str]:
    """Return the code of a notebook up to its last call."""
    notebook = nbformat.read(DATA.parent / "notebooks" / f"{name}.ipynb", as_version=4)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    calling = [i for i, source in enumerate(sources) if "client" in source or "connect(" in source]
    return sources[: calling[-1] + 1] if calling else []


def kind_of(request: Any) -> str:
    """Return what somebody waits for."""
    path, asks = request.url.path, request.method == "POST"
    if path.endswith("/completions"):
        body = json.loads(request.content)
        return "first token of an answer" if body.get("stream") else "whole answer"
    if path == "/v1/room" or path == "/v1/models":
        return "connect"
    if path == "/v1/files":
        return "upload"
    if path.startswith("/v1/fine_tuning/jobs"):
        if asks:
            return "start a job" if path.endswith("/jobs") else "pause, resume, cancel"
        return "look at a job"
    return "other"


def time_calls() -> None:
    """Note of each call how long it took until the head of its response was there."""
    # The client has an HTTP library of its own, and joining a room another.
    with OpenAI(base_url="http://localhost/v1", api_key="none") as client:
        transports = {httpx.HTTPTransport, type(client._client._transport)}
    for transport in transports:
        transport.handle_request = timed(transport.handle_request)


def timed(send: Callable[..., Any]) -> Callable[..., Any]:
    def send_and_note(transport: Any, request: Any) -> Any:
        started = time.monotonic()
        response = send(transport, request)
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        call = {"kind": kind_of(request), "notebook": notebook_of.get(key, "-")}
        call |= {"seconds": time.monotonic() - started, "status": response.status_code}
        calls.append(call)
        return response

    return send_and_note


def worked_out_once(function: Callable[..., Any]) -> Callable[..., Any]:
    known: dict[bytes, Any] = {}

    @functools.wraps(function)
    def remembered(*args: Any, **options: Any) -> Any:
        asked = pickle.dumps((args, options))
        with _once:
            if asked not in known:
                known[asked] = function(*args, **options)
            return known[asked]

    return remembered


def prepare(address: str) -> None:
    """Put what belongs to a laptop of one's own in the place of what is shared in this process."""
    for module, name in PURE:
        setattr(module, name, worked_out_once(getattr(module, name)))
    handle = SimpleNamespace(update=lambda *_, **__: None)
    IPython.display.display = lambda *_, **__: handle
    connect = cookbook.connect

    def connect_as_this_person(service: str | None = None, **options: Any) -> Any:
        if service is not None:
            return connect(service, **options)
        # As COOKBOOK_SERVICE and COOKBOOK_KEY say on a laptop.
        return connect(address, key=here.key)

    cookbook.connect = connect_as_this_person  # type: ignore[assignment]


def run(source: str, names: dict[str, Any]) -> None:
    """Run a cell; what its last line would show is worked out, but not shown."""
    exec(compile(ast.parse(source), "<cell>", "exec"), names)


def attend(name: str, key: str, think: float) -> dict[str, Any]:
    """Work through all notebooks; return what each took."""
    here.key = key
    took: dict[str, float] = {}
    for notebook in NOTEBOOKS:
        notebook_of[key] = notebook[:2]
        names: dict[str, Any] = {"__name__": "__main__"}
        waited = 0.0
        for number, source in enumerate(cells(notebook)):
            time.sleep(random.uniform(0.5, 1.5) * think)
            started = time.monotonic()
            try:
                run(source, names)
            except BaseException:
                where = f"{name}, {notebook}, code cell {number}: {traceback.format_exc()}"
                print(where, file=sys.stderr, flush=True)
                return {"name": name, "took": took, "error": where}
            waited += time.monotonic() - started
        took[notebook[:2]] = waited
    return {"name": name, "took": took, "error": None}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("slips", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--think", type=float, default=0.0)
    args = parser.parse_args()
    people = list(csv.DictReader(io.StringIO(args.slips.read_text(encoding="utf-8-sig"))))
    columns = list(people[0])
    name, address, key = columns[:3]
    prepare(people[0][address])
    time_calls()
    started = time.monotonic()
    # What cells print is not read by anybody.
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        ThreadPoolExecutor(len(people)) as pool,
    ):
        going = [pool.submit(attend, one[name], one[key], args.think) for one in people]
        attended = [one.result() for one in going]
    result = {"people": attended, "calls": calls, "seconds": time.monotonic() - started}
    args.result.write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
