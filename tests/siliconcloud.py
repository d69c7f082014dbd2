"""A small HTTP server that behaves as SiliconCloud is documented to, for tests.

    with SiliconCloud(answers={"地铁": "人贴着人，心却隔着屏幕。"}) as cloud:
        cloud.next = [429, 503, "cut"]       so the next chat requests fail, one after another
        client = OpenAI(base_url=cloud.base_url, api_key=cloud.api_key)

Its answers are canned: `answers` maps the last user message to a text. Files and batches are in
`cloud.batches` (`siliconcloud_batches.py`). Marks in the comments: [A] is documented in the
platform's API reference (docs.siliconflow.cn: chat completions, models, batch, errors), [B] was
seen in public code that calls it. Not covered: user info, rate limits that count by themselves.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from uuid import uuid4

from siliconcloud_batches import Batches

from cookbook import tokens
from cookbook.siliconcloud import BASES, writer_prices

TUNED = "ft:LoRA/Qwen/Qwen2.5-7B-Instruct:t3st0rg:zhishuo:abcdefghijklmnopqrst"

# [A] Errors do not have OpenAI's shape: an object without `error`, or a bare JSON string.
FAULTS: dict[int | str, tuple[int, object]] = {
    "model": (
        400,
        {
            "code": 20012,
            "message": "Model does not exist. Please check it carefully.",
            "data": None,
        },
    ),
    "parameter": (
        400,
        {"code": 20015, "message": "The parameter is invalid. Please check again.", "data": None},
    ),
    401: (401, "Invalid token"),
    403: (403, "Forbidden"),
    "balance": (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    404: (404, "404 page not found"),
    429: (
        429,
        {
            "message": "Request was rejected due to rate limiting. Details:TPM limit reached.",
            "data": None,
        },
    ),
    503: (
        503,
        {
            "code": 50505,
            "message": "Model service overloaded. Please try again later.",
            "data": None,
        },
    ),
    504: (504, "Gateway Timeout"),  # [A] that it is a string; its text is ours
}
MODELS = tuple(writer_prices().index)  # the bases, and models that write
CUT = "cut"  # the connection closes in the middle of the answer


class SiliconCloud:
    """The server, on a free port of this machine, while the `with` block lasts."""

    def __init__(self, answers: dict[str, str] | None = None, *, tuned: tuple[str, ...] = (TUNED,)):
        self.answers = answers or {}
        self.tuned = tuned
        self.api_key = "sk-invented-for-tests"
        self.next: list[int | str] = []
        self.requests: list[dict] = []  # the bodies of the chat requests, refused ones too
        self.chunk_seconds = 0.0  # how long each chunk of a stream takes
        self.finish_reason = "eos"  # [A] besides stop, length, tool_calls
        self.batches = Batches(self)
        self._http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": self}))
        self.port = self._http.server_port
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()

    def answer(self, body: dict) -> tuple[list[int], str]:
        """Return the tokens of the canned answer, cut at `max_tokens`, and the finish reason."""
        question = body["messages"][-1]["content"]
        text = self.answers.get(question, f"这是测试服务器对“{question}”的固定回答。")
        ids = tokens.encoding().encode_ordinary(text)
        limit = body.get("max_tokens") or 4096
        if len(ids) > limit:
            return ids[:limit], "length"
        return ids, self.finish_reason

    def completion(self, body: dict) -> dict:
        """Return the whole answer to a chat request."""
        ids, reason = self.answer(body)
        message = {"role": "assistant", "content": _text(ids)}
        choice = {"index": 0, "message": message, "finish_reason": reason}
        content = {"choices": [choice], "usage": _usage(body, ids)}
        return _head_of(body, "chat.completion") | content


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # A client may hang up; that is not worth a traceback.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    cloud: SiliconCloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer are 40 ms apart
    timeout = 5  # a connection that is kept alive but not used any more

    def log_message(self, *_):
        pass

    def do_GET(self):
        path = urlsplit(self.path).path
        if path.startswith("/results/"):
            self.cloud.batches.fetched.append(self.headers.get("authorization"))
            return self._send_file(path.removeprefix("/results/"))
        if not self._authorized():
            return
        if path.startswith(("/v1/files/", "/v1/batches")):
            return self._look(path)
        if path != "/v1/models":
            return self._fail(404)
        # [B] `created` is 0, `owned_by` empty, and fine-tuned models are never in the list.
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": ""} for name in BASES]
        self._send(200, {"object": "list", "data": listed})

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("content-length") or 0))
        if not self._authorized():
            return
        if self.path.startswith(("/v1/files", "/v1/batches")):
            return self._start(raw)
        if self.path != "/v1/chat/completions":  # [A] there is no public route for fine-tuning
            return self._fail(404)
        body = json.loads(raw)
        self.cloud.requests.append(body)
        fault = self.cloud.next.pop(0) if self.cloud.next else None
        if fault in FAULTS:
            return self._fail(fault)
        # [A] A wrong model is 400, not 404.
        if body.get("model") not in (*MODELS, *self.cloud.tuned):
            return self._fail("model")
        if not body.get("messages"):
            return self._fail("parameter")
        # [B] Parameters that are not in the schema (seed, stream_options, …) are accepted.
        cut = fault == CUT
        if body.get("stream"):
            self._stream(body, cut=cut)
        else:
            self._whole(body, cut=cut)

    def _start(self, raw: bytes) -> None:
        """Answer a POST to files or batches."""
        batches = self.cloud.batches
        batches.posts.append(self.path)
        fault = batches.next.pop(0) if batches.next else None
        if fault in FAULTS:
            return self._fail(fault)
        if self.path == "/v1/files":
            answer = batches.upload(self.headers["content-type"], raw)
        elif self.path == "/v1/batches":
            answer = batches.create(json.loads(raw))
        else:
            answer = batches.cancel(self.path.split("/")[-2])
        self._answer(answer, fault)

    def _look(self, path: str) -> None:
        """Answer a GET of a file's content, or of batches."""
        batches = self.cloud.batches
        fault = batches.next_looks.pop(0) if batches.next_looks else None
        if fault in FAULTS:
            return self._fail(fault)
        *_, kind, name = path.removesuffix("/content").split("/")
        if kind == "files":
            return self._send_file(name)
        self._answer(batches.list() if name == "batches" else batches.retrieve(name), fault)

    def _answer(self, answer, fault) -> None:
        if fault == CUT:
            self.close_connection = True
        elif isinstance(answer, tuple):
            self._send(*answer)
        else:
            self._fail(answer)

    def _send_file(self, name: str) -> None:
        content = self.cloud.batches.files.get(name)
        if content is None:
            return self._fail(404)
        self._head(200, "application/octet-stream", {"content-length": str(len(content))})
        self.wfile.write(content)

    def _authorized(self) -> bool:
        ok = self.headers.get("authorization") == f"Bearer {self.cloud.api_key}"
        if not ok:
            self._fail(401)
        return ok

    def _fail(self, fault) -> None:
        self._send(*FAULTS[fault])

    def _send(self, status: int, body, *, cut: bool = False) -> None:
        content = json.dumps(body, ensure_ascii=False).encode()
        self._head(status, "application/json", {"content-length": str(len(content))})
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _head(self, status: int, kind: str, more: dict[str, str]) -> None:
        self.send_response(status)
        trace_id = f"ti_{uuid4().hex[:20]}"
        headers = {"content-type": kind, "x-siliconcloud-trace-id": trace_id} | more
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _whole(self, body: dict, *, cut: bool) -> None:
        self._send(200, self.cloud.completion(body), cut=cut)

    def _stream(self, body: dict, *, cut: bool) -> None:
        self._head(200, "text/event-stream", {"transfer-encoding": "chunked"})
        head = _head_of(body, "chat.completion.chunk")
        chunks = list(_chunks(*self.cloud.answer(body)))
        for i, (choices, ids) in enumerate(chunks):
            if cut and i == len(chunks) // 2:
                self.close_connection = True  # without the closing chunk: the client sees it
                return
            # [A] `usage` is in every chunk, cumulative, without `stream_options`.
            chunk = head | {"choices": choices, "usage": _usage(body, ids)}
            self._event(json.dumps(chunk, ensure_ascii=False))
            time.sleep(self.cloud.chunk_seconds)
        self._event("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: str) -> None:
        content = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))


def _chunks(ids: list[int], reason: str):
    """Yield (choices, the tokens up to now) of each chunk of a stream."""
    yield _choices("", role="assistant"), []
    sent = ""
    for n in range(1, len(ids) + 1):
        text = _text(ids[:n])
        yield _choices(text[len(sent) :]), ids[:n]
        sent = text
        if n == 1:
            # [A] A chunk may have no choices, and `content` may be null.
            yield [], ids[:n]
            yield _choices(None), ids[:n]
    yield _choices("", reason), ids


def _choices(content: str | None, finish_reason: str | None = None, **more: str) -> list[dict]:
    delta = {"content": content, **more}
    return [{"index": 0, "delta": delta, "finish_reason": finish_reason}]


def _text(ids: list[int]) -> str:
    return tokens.encoding().decode(ids, errors="ignore")  # a token may end within a character


def _head_of(body: dict, kind: str) -> dict:
    return {"id": uuid4().hex, "object": kind, "created": int(time.time()), "model": body["model"]}


def _usage(body: dict, ids: list[int]) -> dict:
    prompt = tokens.count_request(body["messages"])
    return {
        "prompt_tokens": prompt,
        "completion_tokens": len(ids),
        "total_tokens": prompt + len(ids),
    }
