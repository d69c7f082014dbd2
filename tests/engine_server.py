"""A server that behaves as vLLM's routes do, and answers with the project's own engine.

    with EngineServer(engine, base) as server: server.url, server.loaded, server.asked
    server.end_as_told()    as vLLM ends on SIGTERM
    server.restart()        what it had loaded is forgotten, the address stays

Real sockets, real adapters: a greedy answer through it must equal the embedded engine's. Routes,
statuses, texts and chunks are those of vLLM 0.3x, as far as the service relies on them: usage in
every chunk, the mark that ends a turn among the logprobs, no bytes of a part of a character.
"""

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from cookbook.service.chat_request import ChatRequest

OFF = {"detail": "Not Found"}


class EngineServer:
    """One such server.

    Args:
        engine: generates the answers; None for a server that nobody asks for one.
        base: the base that is served.
        name, root: what `/v1/models` says of it.
        runtime: adapters can be loaded while it runs.
        mounts: a path as this server sees it, and the folder that it means.
        cut_after: the number of pieces after which an answer breaks off.
        slow: seconds between two pieces.
    """

    def __init__(
        self,
        engine,
        base,
        *,
        name=None,
        root=None,
        runtime=True,
        max_lora_rank=16,
        key=None,
        mounts=None,
        static=None,
        context=None,
        cut_after=None,
        slow=0.0,
    ):
        self.engine, self.base = engine, base
        self.name, self.root = name or base.id, root or base.source
        self.runtime, self.max_lora_rank, self.key = runtime, max_lora_rank, key
        self.mounts = mounts or {}
        self.static = static or {}
        self.context = context
        self.cut_after, self.slow = cut_after, slow
        self.loaded = dict(self.static)  # adapter -> path
        self.requests = []  # (route, body) of every POST
        self.looks = 0  # requests for the list of models
        self.health_asked = 0
        self.missed = []  # paths of loaded adapters that were looked for in vain
        self.left = 0  # answers whose client has left
        self.most = 0  # answers at the same time
        self._now = 0
        self._silent = False  # streams are open, and nothing more is sent
        self._listener = None
        self._port = 0
        self._server = self._thread = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        config = uvicorn.Config(self._app(), ws="none", log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._server.capture_signals = contextlib.nullcontext  # this thread is not the main one
        target, sockets = self._server.run, [self._listener]
        self._thread = threading.Thread(target=target, kwargs={"sockets": sockets})
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    def stop(self):
        """End at once, in the middle of whatever it does."""
        if self._server is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()
        self._listener.close()
        self._server, self._silent = None, False

    def fall_silent(self):
        """Send nothing more on any stream."""
        self._silent = True

    def speak(self):
        self._silent = False

    def end_as_told(self):
        """End as vLLM does on SIGTERM: nobody is let in, and open streams are silent for ever."""
        self.fall_silent()
        self._server.should_exit = True

    def restart(self):
        self.stop()
        self.loaded = dict(self.static)
        self.start()

    def asked(self, route="/v1/chat/completions"):
        """Return the bodies that a route was sent."""
        return [body for path, body in self.requests if path == route]

    # The routes

    def _app(self):
        app = FastAPI()

        @app.middleware("http")
        async def check_key(request, call_next):
            given = request.headers.get("authorization")
            if self.key and given != f"Bearer {self.key}" and request.url.path != "/health":
                return JSONResponse({"error": "Unauthorized"}, 401)
            return await call_next(request)

        @app.get("/health")
        async def health():
            self.health_asked += 1
            return {}

        @app.get("/v1/models")
        async def models():
            self.looks += 1
            for path in self.loaded.values():
                if path not in self.static.values() and not self._seen(path).is_dir():
                    self.missed.append(path)
            cards = [{"id": self.name, "root": self.root, "parent": None, "object": "model"}]
            for name, path in self.loaded.items():
                cards.append({"id": name, "root": path, "parent": self.name, "object": "model"})
            return {"object": "list", "data": cards}

        if self.runtime:
            app.post("/v1/load_lora_adapter")(self._load)
            app.post("/v1/unload_lora_adapter")(self._unload)
        app.post("/v1/chat/completions")(self._chat)
        app.post("/v1/completions")(self._completion)
        return app

    async def _body(self, request):
        body = await request.json()
        self.requests.append((request.url.path, body))
        return body

    async def _load(self, request: Request):
        body = await request.json()
        name, path = body["lora_name"], body["lora_path"]
        if not name or not path:
            text = "Both 'lora_name' and 'lora_path' must be provided."
            return _error(400, text, "InvalidUserInput")
        self.requests.append((request.url.path, body))
        if name in self.loaded:
            text = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the "
                "adapter in place, set 'load_inplace' to True."
            )
            return _error(400, text, "InvalidUserInput")
        config = self._seen(path) / "adapter_config.json"
        if not config.is_file():
            text = f"Loading lora {name} failed: No adapter found for {path}"
            return _error(404, text, "NotFoundError")
        rank = json.loads(config.read_text(encoding="utf-8"))["r"]
        if rank > self.max_lora_rank:
            text = f"LoRA rank {rank} is greater than max_lora_rank {self.max_lora_rank}."
            return _error(500, f"Call to add_lora method failed: Worker failed with error '{text}'")
        await asyncio.sleep(0.05)
        self.loaded[name] = path
        return PlainTextResponse(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: Request):
        body = await self._body(request)
        if self.loaded.pop(body["lora_name"], None) is None:
            text = f"The lora adapter '{body['lora_name']}' cannot be found."
            return _error(404, text, "NotFoundError")
        text = f"Success: LoRA adapter '{body['lora_name']}' removed successfully."
        return PlainTextResponse(text)

    async def _chat(self, request: Request):
        body = await self._body(request)
        schema = (body.get("response_format") or {}).get("json_schema")
        asked = {
            "messages": body["messages"],
            "schema": json.dumps(schema["schema"]) if schema else None,
            "logprobs": body.get("top_logprobs") if body.get("logprobs") else None,
        }
        return await self._answer(body, asked, _chat_choice)

    async def _completion(self, request: Request):
        body = await self._body(request)
        prompt = body["prompt"]
        asked = {
            "prompt": prompt if isinstance(prompt, str) else tuple(prompt),
            "echo": body["echo"],
            "logprobs": body.get("logprobs"),
        }
        return await self._answer(body, asked, _completion_choice)

    async def _answer(self, body, asked, choice):
        name = body["model"]
        if name != self.name and name not in self.loaded:
            return _error(
                404,
                f"The model `{name}` does not exist. Valid aliases: {self.name}.",
                "NotFoundError",
            )
        limit = body.get("max_tokens")
        if self.context and limit and limit > self.context:
            text = f"max_tokens={limit} cannot be greater than max_model_len={self.context}."
            return _error(400, text)
        request = ChatRequest(
            self.base,
            self._seen(self.loaded[name]) if name in self.loaded else None,
            max_tokens=limit,
            temperature=body["temperature"],
            top_p=body["top_p"],
            top_k=max(0, body["top_k"]),
            seed=body.get("seed"),
            stop=tuple(body.get("stop", ())),
            **asked,
        )
        pieces = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def on_piece(piece):
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

        answer = self.engine.submit(request, on_piece)
        first = await pieces.get()
        if first.error:
            return _error(400, first.error)
        chunks = self._chunks(name, first, pieces, answer, choice)
        return StreamingResponse(chunks, media_type="text/event-stream")

    async def _chunks(self, name, piece, pieces, answer, choice):
        self._now += 1
        self.most = max(self.most, self._now)
        head = {"id": "chatcmpl-1", "object": "chunk", "created": 1, "model": name}
        ended = False
        try:
            usage = {"prompt_tokens": piece.prompt_tokens, "completion_tokens": 0}
            if choice is _chat_choice:
                delta = {"role": "assistant", "content": ""}
                first = {"index": 0, "delta": delta, "finish_reason": None}
                yield _event(head | {"choices": [first], "usage": usage})
            count = 0
            while True:
                usage = {
                    "prompt_tokens": piece.prompt_tokens,
                    "completion_tokens": piece.completion_tokens,
                    "total_tokens": piece.prompt_tokens + piece.completion_tokens,
                }
                yield _event(head | {"choices": [choice(piece)], "usage": usage})
                if piece.finish_reason:
                    break
                count += 1
                if count == self.cut_after:
                    raise ConnectionAbortedError("as a killed server does")
                await asyncio.sleep(self.slow)
                piece = await pieces.get()
                while self._silent:
                    await asyncio.sleep(0.01)
            yield _event(head | {"choices": [], "usage": usage})
            ended = True
            yield b"data: [DONE]\n\n"
        finally:
            self._now -= 1
            self.left += not ended
            answer.cancel()

    def _seen(self, path):
        """Return the folder that a path means here; one outside every mount is not seen."""
        for there, here in self.mounts.items():
            if path.startswith(there):
                return Path(str(here) + path[len(there) :])
        return Path(os.devnull) if self.mounts else Path(path)


def _error(status, message, kind="BadRequestError"):
    error = {"message": message, "type": kind, "param": None, "code": status}
    return JSONResponse({"error": error}, status)


def _event(chunk):
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def _chat_choice(piece):
    content = [_entry(token.token, token.logprob, token.top) for token in piece.logprobs]
    if piece.finish_reason == "stop" and piece.logprobs:
        content.append(_entry(b"", -0.5, ()))
    return {
        "index": 0,
        "delta": {"content": piece.text},
        "logprobs": {"content": content} if content else None,
        "finish_reason": piece.finish_reason,
        "stop_reason": None,
    }


def _entry(token, logprob, top):
    likeliest = [_entry(other, value, ()) for other, value in top]
    # Of a part of a character, nothing.
    text = token.decode("utf-8", "ignore")
    shown = {"token": text, "logprob": logprob, "bytes": list(text.encode())}
    return shown | {"top_logprobs": likeliest} if top else shown


def _completion_choice(piece):
    texts = [token.token.decode("utf-8", "replace") for token in piece.logprobs]
    places = []
    for token in piece.logprobs:
        by_text = {other.decode("utf-8", "replace"): value for other, value in token.top}
        if token.logprob is not None:
            by_text[token.token.decode("utf-8", "replace")] = token.logprob
        places.append(by_text or None)
    report = {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in piece.logprobs],
        "top_logprobs": places,
        "text_offset": [0] * len(texts),
    }
    return {
        "index": 0,
        "text": piece.text,
        "logprobs": report if texts else None,
        "finish_reason": piece.finish_reason,
        "stop_reason": None,
    }
