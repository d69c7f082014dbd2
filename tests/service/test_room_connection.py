"""Join a room over a socket: who answers, who does not, and what is said about it."""

import contextlib
import http.server
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings

import openai
import pytest
from openai import OpenAI
from support import served

import cookbook
from cookbook import connect, explain, jobs, proxies, room
from cookbook.bases import Base
from cookbook.errors import ArgumentError, KeyMissing, ServiceError
from cookbook.paths import Home
from cookbook.room import answer, no_answer
from cookbook.service.app import make_app
from cookbook.service.store import Store

WRONG = "room-aaaa-aaaa-aaaa-aaaa"
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """An environment without proxies, certificates or a `.env`, as it was afterwards."""
    for name in (*PROXIES, *map(str.upper, PROXIES), "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(proxies, "_found_good", set())
    monkeypatch.setattr(explain, "_rooms", set())
    monkeypatch.setattr(answer, "_LONGEST_WAIT", 0.01)
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "service.db")


@pytest.fixture
def app(store, tmp_path):
    base = Base("tiny", "nowhere")
    return make_app(store, home=Home(tmp_path), bases=[base], submit=None, api_key="the-leader")


@pytest.fixture
def key(store):
    return store.add_person("李雷")


@pytest.fixture
def address(app):
    with served(app) as (host, port):
        yield f"http://{host}:{port}"


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers whatever the test has put into `server.answers`, the last one again and again."""

    def do_GET(self):
        self.server.asked.append((self.path, dict(self.headers)))
        status, headers, body = self.server.answers[0]
        if len(self.server.answers) > 1:
            self.server.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode() if isinstance(body, str) else body)

    def log_message(self, *_):
        pass


@pytest.fixture
def stranger():
    """A server of somebody else; `stranger(status, body)` chooses what it answers."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        server.asked = []

        def answers(*given):
            server.answers = list(given)
            return f"http://127.0.0.1:{server.server_port}"

        answers.asked = server.asked
        yield answers
        server.shutdown()
        thread.join()


def room_view(**fields):
    view = {"object": "room", "name": "李雷", "base_model": "tiny", "version": cookbook.__version__}
    return 200, {}, json.dumps(view | fields)


def refusal(call, *args, **options):
    """What a call is refused with, in both languages; neither shows the key."""
    with pytest.raises((ServiceError, ArgumentError)) as caught:
        call(*args, **options)
    error = caught.value
    for text in (error.zh, error.en):
        assert WRONG not in text and "\n" not in text and "Traceback" not in text
    return error


# A room that answers


def test_an_address_and_a_key_are_all_it_takes(address, key, monkeypatch):
    monkeypatch.setenv("COOKBOOK_SERVICE", address)
    monkeypatch.setenv("COOKBOOK_KEY", f"  {key.upper()} ")
    service = connect()
    assert service == connect(f"{address}/v1/", key=key) == connect(address)
    assert (service.base_url, service.api_key, service.room) == (f"{address}/v1", key, "李雷")
    assert service.base_model == "tiny" and service.trains_by_api
    with OpenAI(base_url=service.base_url, api_key=service.api_key) as client:
        assert [model.id for model in client.models.list()] == ["tiny"]


def test_the_connection_shows_who_and_what_the_leader_says_and_no_key(address, key, store):
    store.set_room_value("message", json.dumps({"text": "12 点休息 <b>", "at": 1}))
    store.set_room_value("closes_at", str(int(time.time()) + 60))
    service = connect(address, key=key)
    assert service.message == "12 点休息 <b>" and service.closes_at > time.time()
    for shown in (repr(service), service._repr_html_()):
        assert "李雷" in shown and "12 点休息" in shown and ":" in shown
        assert key not in shown and key[5:9] not in shown
    assert "<b>李雷" in service._repr_html_() and "休息 <b>" not in service._repr_html_()


def test_the_room_is_told_the_notebook_and_nothing_of_its_folder(stranger, monkeypatch):
    url = stranger(room_view())
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/me/secret/04_智说新语 & co.ipynb")
    connect(url, key=WRONG)
    path, headers = stranger.asked[0]
    assert path.startswith("/v1/room?notebook=04_") and "secret" not in path and "%26" in path
    assert headers["authorization"] == f"Bearer {WRONG}"


def test_a_notebooks_name_may_be_long(address, key, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", "/x/" + "n" * 250)
    assert connect(address, key=key).room == "李雷"


def test_the_leaders_own_key_joins_too(address):
    assert connect(address, key="the-leader").room == "local"


def test_a_room_answers_each_notebook_in_its_language(address, store, monkeypatch):
    rooms = {}
    for name, language in (("李雷", "zh"), ("Ada", "en")):
        monkeypatch.setenv("COOKBOOK_LANG", language)
        rooms[language] = connect(address, key=store.add_person(name))
    for language, text in (("zh", "没有任务"), ("en", "there is no job")):
        room = rooms[language]
        with (
            OpenAI(base_url=room.base_url, api_key=room.api_key, max_retries=0) as client,
            pytest.raises(openai.NotFoundError, match=text),
        ):
            client.fine_tuning.jobs.retrieve("ftjob-nowhere")


def test_a_path_in_front_of_the_room_stays(stranger):
    assert connect(stranger(room_view()) + "/room/", key=WRONG).base_url.endswith("/room/v1")
    assert stranger.asked[0][0].split("?")[0] == "/room/v1/room"


def test_a_room_with_too_much_to_do_is_asked_again(stranger):
    busy = {"error": {"message": "busy", "type": "server_error", "code": "x", "param": None}}
    url = stranger((429, {"retry-after": "0"}, json.dumps(busy)), room_view())
    assert connect(url, key=WRONG).room == "李雷" and len(stranger.asked) == 2


def test_an_embedded_service_shows_itself_as_before():
    shown = cookbook.Connection("http://127.0.0.1:1/v1", "secret", "tiny", trains_by_api=True)
    assert repr(shown) == (
        "Connection(base_url='http://127.0.0.1:1/v1', base_model='tiny', trains_by_api=True)"
    )
    assert shown._repr_html_() is None


def test_importing_the_package_loads_no_http_library():
    code = (
        "import sys, cookbook, cookbook.room; print({'httpx', 'openai', 'dotenv'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


# What is said although it works


def test_another_release_is_a_warning(stranger):
    with pytest.warns(UserWarning, match="0.1.7"):
        connect(stranger(room_view(version="0.1.7")), key=WRONG)
    patch = ".".join([*cookbook.__version__.split(".")[:2], "99"])
    connect(stranger(room_view(version=patch)), key=WRONG)


def test_a_base_of_ones_own_is_a_warning_and_without_effect(address, key, monkeypatch):
    monkeypatch.setenv("COOKBOOK_BASE_MODEL", "/no/such/folder")
    with pytest.warns(UserWarning, match="COOKBOOK_BASE_MODEL.*tiny") as caught:
        assert connect(address, key=key).base_model == "tiny"
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    ("host", "warned"),
    [
        ("192.168.1.5", False),
        ("100.100.1.1", False),
        ("[fd00::1]", False),
        ("class-pc", False),
        ("class-pc.local", False),
        ("8.8.8.8", True),
        ("class.example.org", True),
    ],
)
def test_a_key_in_the_open_is_a_warning_on_the_internet_alone(stranger, monkeypatch, host, warned):
    # A proxy that answers for every host: no name of the test is looked up, and none leaves.
    monkeypatch.setenv("HTTP_PROXY", stranger(room_view()))
    monkeypatch.setattr(proxies, "bypass", lambda *hosts: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        connect(f"http://{host}:8765", key=WRONG)
    assert any("不加密" in str(one.message) for one in caught) == warned


# Nobody answers, or somebody else


def test_a_room_that_has_gone_home(monkeypatch):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    error = refusal(connect, f"http://127.0.0.1:{port}", key=WRONG)
    assert f"http://127.0.0.1:{port}" in error.zh and "向组织者" in error.zh
    assert 'connect("local")' in error.en and "/v1" not in error.en
    monkeypatch.setenv("COOKBOOK_SERVICE", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("COOKBOOK_KEY", WRONG)
    assert "环境变量 COOKBOOK_SERVICE" in refusal(connect).zh


def test_the_file_that_leads_to_it_is_named(tmp_path):
    (tmp_path / ".env").write_text(f"COOKBOOK_SERVICE=http://127.0.0.1:9\nCOOKBOOK_KEY={WRONG}")
    assert str(tmp_path / ".env") in refusal(connect).zh


def test_a_name_that_nobody_knows():
    error = refusal(connect, "http://no-such-host.invalid:8765", key=WRONG)
    assert "主机名" in error.zh and "host name" in error.en


def test_a_room_that_is_silent(monkeypatch):
    monkeypatch.setattr(answer, "ANSWER_SECONDS", 0.2)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "超时" in refusal(connect, url, key=WRONG).zh


def test_a_wrong_key_is_said_with_what_is_odd_about_it(address, key):
    error = refusal(connect, address, key=WRONG)
    assert "COOKBOOK_KEY" in error.zh and "换过密钥" in error.zh and "（" not in error.zh
    assert "现有 12 个" in refusal(connect, address, key=key[:-5]).zh
    error = refusal(connect, address, key="room-il1o-abcd-abcd-abcd")
    assert "1 i l o" in error.zh


def test_a_key_that_was_taken_away_is_a_wrong_one(address, key, store):
    store.remove_person("李雷")
    assert "不认这把密钥" in refusal(connect, address, key=key).zh


def error_of(status, code, message="请组织者延长"):
    detail = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return status, {}, json.dumps({"error": detail})


def test_a_closed_room_speaks_for_itself(stranger):
    url = stranger(error_of(403, "room_closed", "课堂 17:00 关了，请组织者延长"))
    error = refusal(connect, url, key=WRONG)
    assert error.zh == f"课堂 {url}：课堂 17:00 关了，请组织者延长"


PAGE = "<html><head><title>家用路由器 登录</title></head></html>"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((200, {}, PAGE), "家用路由器"),
        ((404, {}, "not here"), "HTTP 404"),
        ((200, {}, '{"object": "list", "data": []}'), "HTTP 200"),
        ((200, {}, '{"object": "room"}'), "HTTP 200"),
        ((200, {}, "[" * 100_000), "HTTP 200"),
        ((200, {}, b"\xff\x00"), "HTTP 200"),
        (error_of(404, None), "不是课堂"),
        ((401, {"www-authenticate": "Basic"}, "who?"), "拒绝了请求"),
        ((403, {}, PAGE), "拒绝了请求"),
        ((502, {}, PAGE), "网关返回 HTTP 502"),
        ((302, {"location": "http://login.example/hotel"}, ""), "login.example"),
        ((302, {"location": "https://127.0.0.1/login"}, ""), "密钥没有发过去"),
    ],
)
def test_somebody_else_is_not_taken_for_a_room(stranger, given, said):
    error = refusal(connect, stranger(given), key=WRONG)
    assert said in error.zh and error.en != error.zh
    assert len(stranger.asked) == 1


def test_an_answer_without_an_end_is_not_read_for_ever(stranger, monkeypatch):
    monkeypatch.setattr(answer, "_MAX_BYTES", 1000)
    assert "HTTP 200" in refusal(connect, stranger((200, {}, "x" * 10**6)), key=WRONG).zh


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost that nobody has signed, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.fixture
def safe_address(app, certificate):
    with served(app, ssl_certfile=certificate[0], ssl_keyfile=certificate[1]) as (host, port):
        yield f"https://{host}:{port}"


def test_a_certificate_is_trusted_once_it_is_named(safe_address, certificate, key, monkeypatch):
    error = refusal(connect, safe_address, key=key)
    assert "证书" in error.zh and "SSL_CERT_FILE" in error.zh and "self-signed" in error.zh
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    assert connect(safe_address, key=key).room == "李雷"


def test_http_where_tls_is_spoken(safe_address, key):
    url = safe_address.replace("https", "http")
    assert f"改成 {safe_address}" in refusal(connect, url, key=key).zh


def test_tls_where_http_is_spoken(address, key):
    url = address.replace("http", "https")
    assert f"改成 {address}" in refusal(connect, url, key=key).zh


def test_a_room_that_moved_to_tls_is_followed_there(
    stranger, safe_address, certificate, key, monkeypatch
):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    url = stranger((308, {"location": f"{safe_address}/v1/room"}, ""))
    assert connect(url, key=key).base_url == f"{safe_address}/v1"


# Proxies


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_room_in_this_network_is_reached_without_a_proxy(
    address, key, stranger, monkeypatch, name
):
    monkeypatch.setenv(name, stranger((502, {}, PAGE)))
    assert connect(address, key=key).room == "李雷"
    assert stranger.asked == []


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("10.1.2.3", True),
        ("172.16.0.9", True),
        ("169.254.1.1", True),
        ("100.64.0.1", True),
        ("fe80::1", True),
        ("[fd12::1]", True),
        ("classroom", True),
        ("MY-PC.local", True),
        ("8.8.8.8", False),
        ("172.32.0.1", False),
        ("2400:3200::1", False),
        ("class.example.org", False),
        ("local.example.org", False),
    ],
)
def test_whether_a_host_is_near(host, near):
    assert proxies.is_near(host) == near


def test_a_near_host_is_excepted_and_others_keep_their_proxy(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    refusal(connect, "http://no-such-room:8765", key=WRONG)
    assert "no-such-room" in os.environ["NO_PROXY"].split(",")
    assert proxies.variable("http://no-such-room:8765/v1") == ""
    assert proxies.variable("http://class.example.org/v1") == "HTTP_PROXY"


def test_a_public_room_goes_through_the_proxy_and_it_is_named(stranger, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", stranger((503, {}, PAGE)))
    error = refusal(connect, "http://class.example.org:8765", key=WRONG)
    assert "HTTP_PROXY 的代理返回 HTTP 503" in error.zh and len(stranger.asked) == 1
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert "经过 HTTP_PROXY 的代理" in refusal(connect, "http://class.example.org", key=WRONG).zh


# The call itself


@pytest.mark.parametrize("service", ["openai", 7, b"http://10.0.0.1"])
def test_an_unknown_service_is_refused_with_all_there_are(service):
    with pytest.raises(ArgumentError, match="192.168.1.5:8765"):
        connect(service)


@pytest.mark.parametrize("service", ["local", "siliconcloud"])
def test_a_key_belongs_to_a_room(service):
    with pytest.raises(ArgumentError, match="key="):
        connect(service, key="x")


def test_a_room_needs_a_key():
    with pytest.raises(KeyMissing, match="COOKBOOK_KEY"):
        connect("http://10.0.0.1:8765")


# What goes wrong later


@pytest.fixture
def gone(app, key):
    """A client of a room that has ended since."""
    with served(app) as (host, port):
        service = connect(f"http://{host}:{port}", key=key)
    with OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client:
        yield client


@pytest.mark.parametrize("call", [lambda c: jobs.watch(c, "ftjob-x"), room.view])
def test_a_room_that_goes_away_is_a_sentence(gone, call):
    error = refusal(call, gone)
    place = str(gone.base_url).removesuffix("/v1/")
    assert f"课堂 {place}" in error.zh and "内嵌" not in error.zh


def test_a_button_says_it_as_well(gone):
    start = jobs.StartButton(gone, model="tiny", training_file="file-x")
    start.button.click()
    assert "连不上课堂" in start.message.value and not start.button.disabled


def test_a_limit_is_said_in_the_services_words(stranger):
    service = connect(stranger(room_view()), key=WRONG)
    stranger(error_of(429, "too_many_jobs", "你有 6 个任务没有结束，等一个结束再提交"))
    with OpenAI(base_url=service.base_url, api_key="x", max_retries=0) as client:
        start = jobs.StartButton(client, model="tiny", training_file="file-x")
        start.button.click()
        assert "等一个结束再提交" in start.message.value and not start.button.disabled
        assert refusal(room.view, client).zh == "你有 6 个任务没有结束，等一个结束再提交"


def test_a_gateway_in_front_of_a_room_is_not_a_proxy_of_the_reader(stranger):
    service = connect(stranger(room_view()), key=WRONG)
    stranger((502, {"content-type": "text/html"}, PAGE))
    with (
        OpenAI(base_url=service.base_url, api_key="x", max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.models.list()
    text = jobs.explain(caught.value)
    assert "课堂" in text and "NO_PROXY" not in text and "connect()" not in text


def test_a_probe_sends_nothing_but_a_greeting(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    received = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept():
            with listener.accept()[0] as opened, context.wrap_socket(opened, True) as safe:
                received.append(safe.recv(1000))

        thread = threading.Thread(target=accept)
        thread.start()
        assert no_answer._speaks_tls(f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        thread.join()
    assert received == [b""]
