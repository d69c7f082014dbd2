"""Whom `connect()` believes: the address file, the proof, and the process behind them."""

import contextlib
import hashlib
import hmac
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from fastapi.testclient import TestClient

from cookbook import __version__, address, connection, processes
from cookbook.bases import Base
from cookbook.connection import running, stop
from cookbook.errors import CookbookError
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.publication import Endpoint, Publication, remember, remembered
from cookbook.service.store import Store

TOKEN = "the-token"
posix = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes of files")


def write_address(home, **changed):
    """Write an address file as a service of this folder would; a test overrides one field."""
    content = {
        "base_url": "http://127.0.0.1:9/v1",
        "api_key": TOKEN,
        "pid": os.getpid(),
        "base_model": "tiny",
        "home": str(home),
        "started": psutil.Process().create_time(),
        "version": __version__,
        "interpreter": sys.executable,
        "managed": True,
    }
    content |= address.settings() | changed
    path = Home(home).address
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    return path


class Peer(BaseHTTPRequestHandler):
    """Any program that listens on the port; `server.answer` makes its answer from the nonce."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body of an answer are 40 ms apart

    def do_GET(self):
        self.server.heard.append((self.path, self.headers.get("authorization")))
        query = parse_qs(urlsplit(self.path).query)
        body = json.dumps(self.server.answer(*query.get("nonce", [""]))).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def peer():
    with ThreadingHTTPServer(("127.0.0.1", 0), Peer) as server:
        server.heard, server.answer = [], lambda nonce: {"status": "ok"}
        server.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


# The file


def test_a_service_is_found_by_a_file_of_this_user(tmp_path):
    assert address.read(write_address(tmp_path))["api_key"] == TOKEN


@posix
@pytest.mark.parametrize("mode", [0o606, 0o660, 0o644])
def test_a_file_that_others_can_open_is_not_believed(tmp_path, mode):
    path = write_address(tmp_path)
    path.chmod(mode)
    assert address.read(path) is None
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@posix
def test_where_files_have_no_modes_their_owner_is_enough(tmp_path, monkeypatch):
    path = write_address(tmp_path)
    path.chmod(0o777)
    # As on a Windows drive in WSL, where every file looks like this.
    monkeypatch.setattr(address.stat, "S_IMODE", lambda mode: 0o777)
    assert address.read(path) is not None


@posix
def test_a_link_and_a_pipe_are_not_read(tmp_path):
    path = write_address(tmp_path)
    link, pipe = tmp_path / "link.json", tmp_path / "pipe.json"
    link.symlink_to(path)
    os.mkfifo(pipe, 0o600)
    assert address.read(link) is None and address.read(pipe) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"base_url": "http://203.0.113.5:80/v1"},
        {"base_url": "https://127.0.0.1:9/v1"},
        {"base_url": "http://127.0.0.1@203.0.113.5:80/v1"},
        {"base_url": "http://127.0.0.1.example.com:80/v1"},
        {"base_url": "http://127.0.0.1:port/v1"},
        {"base_url": "http://127.0.0.1:9/other"},
        {"base_url": 7},
        {"api_key": "two\r\nlines"},
        {"pid": -1},
        {"pid": "1"},
    ],
)
def test_an_address_elsewhere_or_malformed_is_not_believed(tmp_path, changed):
    assert address.read(write_address(tmp_path, **changed)) is None


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 5000, '"text"', "\x00"])
def test_a_broken_file_is_no_error(tmp_path, content):
    path = write_address(tmp_path)
    path.write_text(content)
    assert address.read(path) is None and running(tmp_path) is None


# The proof


def test_a_stranger_on_the_port_learns_nothing(tmp_path, peer):
    write_address(tmp_path, base_url=peer.url)
    assert running(tmp_path) is None
    [(path, authorization)] = peer.heard
    assert authorization is None and TOKEN not in path


def test_a_service_of_another_folder_is_not_taken_for_ones_own(tmp_path, peer):
    peer.answer = lambda nonce: {"proof": address.proof(TOKEN, nonce, tmp_path / "other")}
    write_address(tmp_path, base_url=peer.url)
    assert running(tmp_path) is None


def test_a_proof_from_a_process_that_is_no_service_is_not_enough(tmp_path, peer):
    # Whoever wrote the file knows the token in it.
    peer.answer = lambda nonce: {"proof": address.proof(TOKEN, nonce, tmp_path)}
    write_address(tmp_path, base_url=peer.url)
    assert address.health(address.read(Home(tmp_path).address)) is not None
    assert running(tmp_path) is None


def test_the_token_goes_only_to_the_connection_that_gave_the_proof(tmp_path, peer):
    peer.answer = lambda nonce: {"proof": address.proof(TOKEN, nonce, tmp_path), "busy": False}
    found = address.read(write_address(tmp_path, base_url=peer.url))
    assert address.health(found, details=True)["busy"] is False
    assert [authorization for _, authorization in peer.heard] == [None, f"Bearer {TOKEN}"]


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\nx: ", b"junk\r\n" * 9])
def test_a_peer_that_never_finishes_its_answer_does_not_hold_anybody_up(
    tmp_path, sent, monkeypatch
):
    monkeypatch.setattr(address, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip():
            opened, _ = listener.accept()
            # Always something, so that no read of the other side waits for long.
            with opened, contextlib.suppress(OSError):
                opened.sendall(sent)
                while True:
                    opened.sendall(b"x")
                    time.sleep(0.05)

        threading.Thread(target=drip, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        assert address.health(address.read(write_address(tmp_path, base_url=url))) is None


def test_a_copied_folder_is_another_folder(tmp_path, peer):
    original, copy = tmp_path / "original", tmp_path / "copy"
    original.mkdir()
    peer.answer = lambda nonce: {"proof": address.proof(TOKEN, nonce, original)}
    write_address(original, base_url=peer.url)
    shutil.copytree(original, copy)
    assert running(copy) is None and not peer.heard


@posix
def test_a_folder_has_one_service_by_whatever_name(tmp_path):
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    assert address.is_folder_of(address.read(write_address(folder)), link)


# The route


@pytest.fixture
def app(tmp_path):
    return make_app(
        Store(tmp_path / "service.db"),
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=lambda request, on_piece: None,
        has_jobs=lambda: True,
        api_key=TOKEN,
    )


def test_health_proves_to_know_the_token_and_tells_only_its_owner_what_goes_on(app, tmp_path):
    message = b"n\n" + os.fsencode(tmp_path)
    expected = hmac.new(TOKEN.encode(), message, hashlib.sha256).hexdigest()
    with TestClient(app, client=("127.0.0.1", 5)) as http:
        assert http.get("/health").json() == {"status": "ok", "version": __version__}
        assert http.get("/health?nonce=n").json()["proof"] == expected
        assert http.get("/health?nonce=" + 201 * "n").status_code == 400
        wrong = {"authorization": "Bearer wrong"}
        assert "busy" not in http.get("/health", headers=wrong).json()
        right = {"authorization": f"Bearer {TOKEN}"}
        assert http.get("/health", headers=right).json()["busy"] is True


def test_health_gives_no_proof_to_other_machines(app):
    # It would let them try keys without asking the service.
    with TestClient(app, client=("203.0.113.5", 5)) as http:
        assert "proof" not in http.get("/health?nonce=n").json()


# The process


@pytest.mark.parametrize(
    ("command", "home"),
    [
        (["/usr/bin/python3", "-m", "cookbook.service", "--home", "/a b"], "/a b"),
        (["python.exe", "-X", "utf8", "-m", "cookbook", "serve", "--home=x"], "x"),
        (["python", "-m", "cookbook", "serve"], None),
        (["python", "-m", "cookbook", "status", "--home", "/a"], None),
        (["python", "-m", "cookbook.service.worker", "/a"], None),
        (["grep", "-m", "cookbook.service", "--home", "/a"], None),
        (["python", "-m", "cookbook.service", "--home"], ""),
        (["python", "-m"], None),
        ([], None),
    ],
)
def test_only_the_command_line_of_a_service_names_its_folder(command, home):
    assert processes.home_of(command) == home


@pytest.fixture
def innocent():
    """A process of this user that has nothing to do with the package."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def test_stop_leaves_a_process_alone_that_only_has_the_number(tmp_path, innocent, peer):
    started = psutil.Process(innocent.pid).create_time()
    peer.answer = lambda nonce: {"proof": address.proof(TOKEN, nonce, tmp_path)}
    write_address(tmp_path, pid=innocent.pid, started=started, base_url=peer.url)
    assert stop(tmp_path) is False
    path = write_address(tmp_path, pid=innocent.pid, base_url=peer.url)
    # As the first release wrote it.
    first = {k: v for k, v in json.loads(path.read_text()).items() if k in address._FIELDS}
    path.write_text(json.dumps(first))
    assert stop(tmp_path) is False and innocent.poll() is None


# Port and token of the last service


def test_port_and_token_outlive_the_service_but_not_in_a_copy(tmp_path):
    folder, copy, renamed = (tmp_path / name for name in ("folder", "copy", "renamed"))
    folder.mkdir()
    remember(Home(folder), Endpoint(1234, TOKEN))
    assert remembered(Home(folder)) == Endpoint(1234, TOKEN)
    if os.name != "nt":
        assert Home(folder).identity.stat().st_mode & 0o777 == 0o600
    shutil.copytree(folder, copy)
    folder.rename(renamed)
    assert remembered(Home(copy)) is None and remembered(Home(renamed)) is None
    # Nor where an archive brings the file into a folder of that name.
    shutil.copytree(copy, folder)
    assert remembered(Home(folder)) is None


@pytest.fixture
def publication(tmp_path):
    home = Home(tmp_path / "home")
    home.folder.mkdir()
    home.service_lock.touch()
    return home, Publication(
        home, base_url="http://127.0.0.1:9/v1", api_key="k", base_model="tiny", managed=True
    )


def test_a_service_removes_its_own_address_file(publication):
    home, published = publication
    published.withdraw()
    assert not home.address.exists()


def test_a_service_leaves_the_address_file_of_its_successor(publication):
    home, published = publication
    write_address(home.folder, pid=1)
    published.withdraw()
    assert home.address.exists()


def test_an_address_file_that_was_removed_comes_back(publication):
    home, published = publication
    before = home.address.read_bytes()
    home.address.unlink()
    assert published.renew() and home.address.read_bytes() == before


def test_a_folder_that_was_removed_is_not_made_again(publication):
    home, published = publication
    shutil.rmtree(home.folder)
    assert published.renew() is False and not home.folder.exists()


# The settings


def differing(tmp_path, **changed):
    return connection.differences(address.read(write_address(tmp_path, **changed)))


def test_a_service_with_the_settings_of_this_process_fits(tmp_path):
    assert differing(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "value", "key"),
    [
        ("COOKBOOK_BASE_MODEL", "Qwen/Qwen2.5-0.5B-Instruct", "COOKBOOK_BASE_MODEL"),
        ("COOKBOOK_JOBS", "2", "COOKBOOK_JOBS"),
        ("COOKBOOK_MEMORY", "6GB", "COOKBOOK_MEMORY"),
        ("COOKBOOK_DEVICE", "cpu", "COOKBOOK_DEVICE"),
        ("COOKBOOK_FAST", "0", "COOKBOOK_FAST"),
        ("COOKBOOK_ENGINE", "http://127.0.0.1:8000", "COOKBOOK_ENGINE"),
    ],
)
def test_a_changed_setting_is_seen_when_it_is_set_and_when_it_is_unset(
    tmp_path, monkeypatch, name, value, key
):
    before = address.settings()
    monkeypatch.setenv(name, value)
    during = address.settings()
    assert [key in text for text in differing(tmp_path, **before)] == [True]
    monkeypatch.delenv(name)
    assert len(differing(tmp_path, **during)) >= 1


@pytest.mark.parametrize("name, value", [("COOKBOOK_DEVICE", "mps"), ("COOKBOOK_MEMORY", "6")])
def test_a_setting_that_means_nothing_starts_no_service(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(CookbookError, match=name):
        address.settings()


def test_another_language_is_no_reason_for_another_service(tmp_path, monkeypatch):
    before = address.settings()
    monkeypatch.setenv("COOKBOOK_LANG", "en")
    assert differing(tmp_path, **before) == []


def test_another_version_and_a_removed_environment_are_seen(tmp_path):
    assert "0.0.1" in differing(tmp_path, version="0.0.1")[0]
    assert "/nowhere/python" in differing(tmp_path, interpreter="/nowhere/python")[0]
    assert differing(tmp_path, interpreter=os.__file__) == []


def test_what_somebody_chose_for_a_service_in_a_terminal_is_theirs(tmp_path, monkeypatch):
    chosen = {"base_setting": "own/base", "jobs": "4"}
    assert differing(tmp_path, managed=False, **chosen) == []
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", "other/base")
    assert len(differing(tmp_path, managed=False, **chosen)) == 1


def test_a_base_is_the_same_folder_from_wherever_it_is_named(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", "base")
    here = address.settings()
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", str(tmp_path / "base"))
    assert address.settings() == here


def test_a_folder_is_the_same_in_a_locale_without_its_letters(tmp_path):
    folder = tmp_path / "课程 数据"
    folder.mkdir()
    code = "import sys; from pathlib import Path; from cookbook.address import is_folder_of, read\n"
    code += "folder = Path(sys.argv[1]); address = read(folder / 'service.json')\n"
    code += "assert address and is_folder_of(address, folder)"
    write_address(folder)
    bare = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    command = [sys.executable, "-c", code, folder]
    assert subprocess.run(command, env=os.environ | bare).returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "/usr/bin/qemu-x86_64 /usr/bin/python3 -m cookbook.service --home /a",
        "/usr/bin/python3 pydevd.py --module --port 1 --multiprocess --file cookbook.service "
        "--home /a",
    ],
)
def test_a_service_is_known_under_an_emulator_and_a_debugger(command):
    assert processes.home_of(command.split()) == "/a"


def test_a_service_whose_clock_was_set_is_known_by_its_lock(tmp_path):
    code = "import sys, time; from filelock import FileLock; "
    code += "lock = FileLock(sys.argv[1]); lock.acquire(); print(flush=True); time.sleep(60)"
    command = [sys.executable, "-c", code, str(tmp_path / "service.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        address = {"pid": holder.pid, "home": str(tmp_path), "started": 1.0}
        assert processes.service_of(address, tmp_path).pid == holder.pid
        assert processes.service_of(address, tmp_path.parent) is None
        holder.kill()
