"""Stand between openai's own API tests and the service: real ids where the tests have made-up ones.

Those tests are written for a mock server that knows every id. This application gives each request
the token, a model that is there, and a file or job of its own; it changes nothing else, in either
direction. It is a process of its own, which prints its port:

    OPENAI_BASE_URL=… OPENAI_API_KEY=… MODEL=… python tests/clients/forward.py
"""

import json
import os
import re
import socket
from collections.abc import AsyncIterator

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from support import make_row

FILE = re.compile(r"\bfile_id\b")
JOB = re.compile(r"\bft-AF1WoRqd3aJAHsqc9NY7iL8F\b")
METHODS = ["GET", "POST", "DELETE", "OPTIONS", "HEAD"]


class Forwarder:
    """An application that passes requests on to the service at `base_url`."""

    def __init__(self, base_url: str, api_key: str, model: str):
        self._root = base_url.removesuffix("/v1")
        self._client = httpx2.AsyncClient(
            timeout=120, headers={"authorization": f"Bearer {api_key}"}, trust_env=False
        )
        self._model = model
        self.app = Starlette(routes=[Route("/{path:path}", self._forward, methods=METHODS)])

    async def _forward(self, request: Request) -> Response:
        body, path = await request.body(), request.url.path
        kind = request.headers.get("content-type", "")
        if FILE.search(path):
            path = FILE.sub(await self._new_file(), path)
        if JOB.search(path):
            path = JOB.sub(await self._new_job(paused=path.endswith("/resume")), path)
        path = re.sub(r"/models/[^/]+$", f"/models/{self._model}", path)
        if "json" in kind and body:
            given = json.loads(body)
            if "model" in given:
                given["model"] = self._model
            for name in given.keys() & {"training_file", "validation_file"}:
                given[name] = await self._new_file()
            body = json.dumps(given).encode()
        sent = self._client.build_request(
            request.method,
            f"{self._root}/v1{path}",
            content=body,
            headers={"content-type": kind} if kind else {},
            params=request.query_params.multi_items(),
        )
        answer = await self._client.send(sent, stream=True)
        headers = {"content-type": answer.headers.get("content-type", "")}
        if "event-stream" in headers["content-type"]:
            return StreamingResponse(_pieces(answer), answer.status_code, headers)
        content = await answer.aread()
        if path.endswith(("/pause", "/resume")):
            # Only the answer is looked at: the job must not train for nobody.
            await self._client.post(f"{self._root}/v1{path.rpartition('/')[0]}/cancel")
        return Response(content, answer.status_code, headers)

    async def _new_file(self) -> str:
        rows = "".join(
            json.dumps(make_row(user=f"第 {number} 个问题")) + "\n" for number in range(12)
        )
        upload = await self._client.post(
            f"{self._root}/v1/files",
            files={"file": ("rows.jsonl", rows.encode())},
            data={"purpose": "fine-tune"},
        )
        return upload.raise_for_status().json()["id"]

    async def _new_job(self, *, paused: bool) -> str:
        created = await self._client.post(
            f"{self._root}/v1/fine_tuning/jobs",
            json={"model": self._model, "training_file": await self._new_file()},
        )
        job = created.raise_for_status().json()["id"]
        if paused:
            await self._client.post(f"{self._root}/v1/fine_tuning/jobs/{job}/pause")
        return job


async def _pieces(answer: httpx2.Response) -> AsyncIterator[bytes]:
    async for piece in answer.aiter_raw():
        yield piece


def main() -> None:
    environment = os.environ
    forwarder = Forwarder(
        environment["OPENAI_BASE_URL"], environment["OPENAI_API_KEY"], environment["MODEL"]
    )
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    uvicorn.Server(uvicorn.Config(forwarder.app, log_level="error")).run(sockets=[listener])


if __name__ == "__main__":
    main()
