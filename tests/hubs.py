"""Stand-ins for Hugging Face and ModelScope: small servers that speak their download APIs.

    with Hubs() as hubs:
        hubs.models["Qwen/Tiny-Instruct"] = files(folder)
        hubs.use(monkeypatch)       HF_ENDPOINT, MODELSCOPE_ENDPOINT, both caches in a folder

Large files are redirected to another host, as the hubs redirect to their storage. What may go wrong
is set on the object, each for the next requests: `cut`, `damaged`, `statuses`, `gated`, `ranges`.
The hub's own client downloads from this server, too: tests/service/test_pull.py.
"""

import base64
import hashlib
import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_good"
BLOCK = 2**14


def files(folder):
    """Return the files of a folder, by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def is_large(name):
    """Return whether a hub keeps the file with Git LFS."""
    return name.endswith((".safetensors", ".bin", ".gguf"))


def blob_id(content):
    """Return Git's checksum of a file."""
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content).hexdigest()


class Hubs:
    """One server for both hubs.

    Attributes:
        models: by name, each with its files; datasets: names alone.
        cut: how many bytes of a large file come before the connection breaks, once for each entry.
        damaged: how often a large file comes with a wrong byte.
        statuses: what the next requests are answered with instead.
        gated: models whose files need TOKEN.
        ranges: whether a part of a file may be asked for.
        seconds: pause after each block of a large file.
        redirect_to: another server, to which every question is redirected, as some mirrors do.
        page: what is answered to every question instead, as a network's login page is.
        password: "user:password" without which requests are refused, as a company's mirror does.
        requests: what came: method, path and Range.
    """

    def __init__(self):
        self.models, self.datasets, self.gated = {}, set(), set()
        self.cut, self.statuses, self.requests = [], [], []
        self.damaged, self.ranges, self.seconds = 0, True, 0.0
        self.redirect_to, self.page, self.password = None, None, None
        hubs = self

        class Handler(_Handler):
            pass

        Handler.hubs = hubs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.storage = f"http://localhost:{self._server.server_port}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def environment(self, folder):
        """Return the variables with which both hubs are here, and their caches in `folder`."""
        return {
            "HF_ENDPOINT": self.address,
            "MODELSCOPE_ENDPOINT": self.address,
            "HF_HOME": str(folder / "hf"),
            "MODELSCOPE_CACHE": str(folder / "ms"),
        }

    def use(self, monkeypatch, folder):
        """Have this process ask here."""
        for name in ("HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in self.environment(folder).items():
            monkeypatch.setenv(name, value)

    def weights_asked(self):
        """Return the Range of each request for a large file."""
        return [range_ for _, path, range_ in self.requests if path.startswith("/storage/")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer are 40 ms apart
    hubs: Hubs

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        self.answer()

    def answer(self):
        self.hubs.requests.append((self.command, self.path, self.headers.get("Range")))
        if self.hubs.statuses:
            status = self.hubs.statuses.pop(0)
            self.refuse(status, **{"Retry-After": "0"})
            return
        if self.hubs.password and not self.knows_password():
            self.refuse(401)
            return
        if self.hubs.page:
            self.content(self.hubs.page, {})
            return
        if self.hubs.redirect_to:
            self.begin(308, 0, {"Location": self.hubs.redirect_to + self.path})
            return
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for pattern, route in ROUTES:
            if found := re.fullmatch(pattern, unquote(url.path)):
                route(self, *found.groups())
                return
        self.refuse(404)

    # Hugging Face

    def info(self, model, revision=None):
        if self.model(model) is None:
            # To somebody unknown, a private model looks the same.
            self.refuse(404 if self.knows_token() else 401, **{"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", "v1", COMMIT):
            self.refuse(404, **{"X-Error-Code": "RevisionNotFound"})
        else:
            siblings = []
            for name, content in self.model(model).items():
                entry = {"rfilename": name, "size": len(content), "blobId": blob_id(content)}
                if is_large(name):
                    entry["lfs"] = {
                        "sha256": sha256(content),
                        "size": len(content),
                        "pointerSize": 130,
                    }
                siblings.append(entry)
            self.json({"id": model, "sha": COMMIT, "siblings": siblings})

    def tree(self, model, _):
        entries = []
        for name, content in self.model(model).items():
            entry = {"type": "file", "path": name, "size": len(content), "oid": blob_id(content)}
            if is_large(name):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
            entries.append(entry)
        self.json(entries)

    def dataset(self, name):
        if name in self.hubs.datasets:
            self.json({"id": name})
        else:
            self.refuse(401, **{"X-Error-Code": "RepoNotFound"})

    def resolve(self, model, _, name):
        content = (self.model(model) or {}).get(name)
        if content is None:
            self.refuse(404, **{"X-Error-Code": "EntryNotFound"})
        elif model in self.hubs.gated and not self.knows_token():
            self.refuse(403, **{"X-Error-Code": "GatedRepo"})
        elif is_large(name):
            linked = {"X-Linked-Size": str(len(content)), "X-Linked-Etag": f'"{sha256(content)}"'}
            self.redirect(f"/storage/{model}/{name}", **linked, **{"X-Repo-Commit": COMMIT})
        else:
            self.content(content, {"ETag": f'"{blob_id(content)}"', "X-Repo-Commit": COMMIT})

    # ModelScope

    def listing(self, model):
        if self.model(model) is None or self.query["Revision"] != "master":
            self.json({"Code": 10010205001, "Success": False}, status=404)
            return
        entries = [{"Path": "figures", "Type": "tree", "Size": 0}]
        for name, content in self.model(model).items():
            entry = {"Path": name, "Type": "blob", "Size": len(content), "Sha256": sha256(content)}
            entries.append(entry)
        self.json({"Code": 200, "Data": {"Files": entries}, "Success": True})

    def file(self, model):
        name = self.query["FilePath"]
        if model in self.hubs.gated and not self.knows_token():
            self.json({"Code": 403, "Success": False}, status=403)
        elif is_large(name):
            self.redirect(f"/storage/{model}/{name}")
        else:
            self.content(self.model(model)[name], {})

    # Both

    def storage(self, model, name):
        # A token is for the hub alone.
        assert "Authorization" not in self.headers
        content = self.model(model)[name]
        if self.command == "GET" and self.hubs.damaged:
            self.hubs.damaged -= 1
            content = content[:-1] + bytes([content[-1] ^ 1])
        self.content(content, {"ETag": '"storage"'}, large=True)

    def content(self, content, headers, *, large=False):
        first = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and self.hubs.ranges:
            first = int(asked[1])
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        rest = content[first:]
        self.begin(206 if "Content-Range" in headers else 200, len(rest), headers)
        if self.command == "HEAD":
            return
        end = self.hubs.cut.pop(0) if large and self.hubs.cut else None
        for begin in range(0, len(rest[:end]), BLOCK):
            self.wfile.write(rest[begin : min(begin + BLOCK, len(rest[:end]))])
            time.sleep(self.hubs.seconds if large else 0)
        if end is not None:
            self.close_connection = True

    def model(self, name):
        return self.hubs.models.get(name)

    def knows_password(self):
        # Storage is another host.
        expected = base64.b64encode(self.hubs.password.encode()).decode()
        given = self.headers.get("Authorization")
        return self.path.startswith("/storage/") or given == f"Basic {expected}"

    def knows_token(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def json(self, value, status=200):
        body = json.dumps(value).encode()
        self.begin(status, len(body), {"Content-Type": "application/json"})
        if self.command == "GET":
            self.wfile.write(body)

    def refuse(self, status, **headers):
        self.begin(status, 0, headers)

    def redirect(self, place, **headers):
        self.begin(302, 0, {"Location": self.hubs.storage + place, **headers})

    def begin(self, status, length, headers):
        self.send_response(status)
        for key, value in {"Content-Length": str(length), **headers}.items():
            self.send_header(key, value)
        self.end_headers()

    def handle(self):
        # A client that was killed, or has read enough.
        try:
            super().handle()
        except ConnectionError:
            self.close_connection = True


def sha256(content):
    """Return the checksum that hubs tell of a large file."""
    return hashlib.sha256(content).hexdigest()


_MODEL = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    (rf"/api/models/{_MODEL}", _Handler.info),
    (rf"/api/models/{_MODEL}/revision/(.+)", _Handler.info),
    (rf"/api/models/{_MODEL}/tree/([^/]+)", _Handler.tree),
    (rf"/api/datasets/{_MODEL}", _Handler.dataset),
    (rf"/{_MODEL}/resolve/([^/]+)/(.+)", _Handler.resolve),
    (rf"/api/v1/models/{_MODEL}/repo/files", _Handler.listing),
    (rf"/api/v1/models/{_MODEL}/repo", _Handler.file),
    (rf"/storage/{_MODEL}/(.+)", _Handler.storage),
]
