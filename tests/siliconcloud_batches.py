"""The files and batches of the server that behaves as SiliconCloud, without the HTTP around them.

Documented [A]: uploads are answered wrapped, batches are not; the states and their order; the
limits; `replace`; that results are two files, apart. Seen in public code [B]: that these are named
by an id or by a URL, and the form of their lines, which is OpenAI's. What is answered to a bad file
is ours: the platform's general fault for a parameter.
"""

import email
import email.policy
import json
import time
from uuid import uuid4

MOST_LINES = 5000
STEPS = ("in_queue", "in_progress", "finalizing")
TIMES = ("in_progress", "finalizing", "completed", "failed", "expired", "cancelling", "cancelled")


class Batches:
    """What was uploaded and started; each look at a batch takes it one step further.

    Attributes:
        next: faults of the next POSTs, in their order; None lets one pass. "cut" does what was
            asked for and closes the connection without an answer.
        next_looks: the same for the next GETs.
        steps, ends: the states before the last, and the last.
        failing: status and body of a line, by its last user message.
        unfinished: last user messages that get neither an answer nor an error.
        as_url: results are named by URLs, which need no key, rather than by ids.
        gone: files of results are named, but not kept any more.
        edit: changes the bytes of an output file.
        fetched: the Authorization header of each request for a URL.
        posts: what was asked for, by path, refused ones too.
    """

    def __init__(self, cloud):
        self.cloud = cloud
        self.next: list[int | str | None] = []
        self.next_looks: list[int | str | None] = []
        self.steps = STEPS
        self.ends = "completed"
        self.errors: list[str] | None = None
        self.failing: dict[str, tuple[int, object]] = {}
        self.unfinished: set[str] = set()
        self.as_url = False
        self.gone = False
        self.edit = bytes
        self.fetched: list[str | None] = []
        self.posts: list[str] = []
        self.files: dict[str, bytes] = {}
        self.started: dict[str, dict] = {}  # batches by id, in the order of their start
        self._replaced: dict[str, str | None] = {}

    def asked(self) -> list[str]:
        """Return the last user message of each line of each batch, in order."""
        found = []
        for batch in self.started.values():
            lines = self.files[batch["input_file_id"]].splitlines()
            found += [json.loads(line)["body"]["messages"][-1]["content"] for line in lines]
        return found

    # Each returns an HTTP status and an answer, or the name of a fault.

    def upload(self, content_type: str, body: bytes):
        head = f"content-type: {content_type}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
        fields = {part.get_param("name", header="content-disposition"): part for part in parts}
        purpose = fields["purpose"].get_payload(decode=True).decode().strip()
        if purpose != "batch":  # [A] the only one
            return "parameter"
        content = fields["file"].get_payload(decode=True)
        data = {
            "id": self._store(content),
            "object": "file",
            "bytes": len(content),
            "createdAt": int(time.time()),
            "filename": fields["file"].get_filename(),
            "purpose": purpose,
        }
        return 200, {"code": 20000, "message": "Ok", "status": True, "data": data}

    def create(self, body: dict):
        content = self.files.get(body.get("input_file_id"))
        hours = str(body.get("completion_window")).removesuffix("h")
        if content is None or not hours.isdigit() or not 24 <= int(hours) <= 336:
            return "parameter"
        if body.get("endpoint") != "/v1/chat/completions":
            return "parameter"
        replaced = (body.get("replace") or {}).get("model")
        if not _is_input(content, replaced):
            return "parameter"
        batch = {
            "id": f"batch_{uuid4().hex[:10]}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": body["input_file_id"],
            "completion_window": body["completion_window"],
            "status": "in_queue",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(time.time()),
            "expires_at": int(time.time()) + int(hours) * 3600,
            **{f"{name}_at": None for name in TIMES},
            "request_counts": None,
            "metadata": body.get("metadata"),
        }
        self.started[batch["id"]] = batch
        self._replaced[batch["id"]] = replaced
        return 200, batch

    def list(self):
        return 200, {"object": "list", "data": list(self.started.values())}

    def retrieve(self, batch_id: str):
        batch = self.started.get(batch_id)
        if batch is None:
            return 404
        states = [*self.steps, self.ends]
        if batch["status"] == "cancelling":
            self._end(batch, "cancelled")
        elif batch["status"] in states[:-1]:
            state = states[states.index(batch["status"]) + 1]
            if state == self.ends:
                self._end(batch, state)
            else:
                batch["status"] = state
        return 200, batch

    def cancel(self, batch_id: str):
        batch = self.started.get(batch_id)
        if batch is None:
            return 404
        if batch["status"] in self.steps:
            batch["status"] = "cancelling"
        return 200, batch

    def _store(self, content: bytes) -> str:
        file = f"file-{uuid4().hex[:10]}"
        self.files[file] = content
        return file

    def _end(self, batch: dict, state: str) -> None:
        batch |= {"status": state, f"{state}_at": int(time.time()), "errors": self.errors}
        if state == "failed":
            return
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            request = json.loads(line)
            question = request["body"]["messages"][-1]["content"]
            if question in self.unfinished:
                continue
            to = bad if question in self.failing else good
            to.append(self._result(batch, request, question))
        if good:
            batch["output_file_id"] = self._place(self.edit(_lines(good)))
        if bad:
            batch["error_file_id"] = self._place(_lines(bad))

    def _result(self, batch: dict, request: dict, question: str) -> dict:
        model = self._replaced[batch["id"]] or request["body"]["model"]
        status, body = self.failing.get(question) or (
            200,
            self.cloud.completion(request["body"] | {"model": model}),
        )
        response = {"status_code": status, "request_id": uuid4().hex, "body": body}
        # [B] OpenAI's form.
        return {
            "id": f"batch_req_{uuid4().hex[:10]}",
            "custom_id": request["custom_id"],
            "response": response,
            "error": None,
        }

    def _place(self, content: bytes) -> str:
        file = "file-gone" if self.gone else self._store(content)
        if not self.as_url:
            return file
        # Another name of this machine: a key that is sent there was sent to another host.
        port = self.cloud.port
        return f"http://localhost:{port}/results/{file}"


def _is_input(content: bytes, replaced: str | None) -> bool:
    """Return whether a file keeps the documented rules."""
    requests = [json.loads(line) for line in content.splitlines()]
    names = {request["custom_id"] for request in requests}
    models = {request["body"].get("model") for request in requests}
    ends = {request["body"]["messages"][-1]["role"] for request in requests}
    return (
        0 < len(requests) == len(names) <= MOST_LINES
        and ends == {"user"}
        and (replaced is not None or len(models) == 1)
    )


def _lines(values: list[dict]) -> bytes:
    return b"".join(json.dumps(value, ensure_ascii=False).encode() + b"\n" for value in values)
