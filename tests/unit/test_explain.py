"""`explain`: whoever answered is quoted, nobody else is blamed, and the remedy is near."""

import http.server
import threading

import httpx2
import openai
import pytest
from openai import OpenAI
from siliconcloud import FAULTS, TUNED

from cookbook import connect, jobs
from cookbook.errors import ServiceError
from cookbook.explain import explain

ASK = {"model": TUNED, "messages": [{"role": "user", "content": "你好"}]}
PLATFORM = "https://api.siliconflow.cn/v1"
LOCAL = "http://127.0.0.1:8000/v1"
ROOM = "http://room.example:8000/v1"
HTML = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"


def failure(base_url, answer):
    """The error of a chat request that a transport answers, or fails, this way."""

    def handle(request):
        if isinstance(answer, Exception):
            raise answer
        return answer

    transport = httpx2.MockTransport(handle)
    with (
        httpx2.Client(transport=transport) as http_client,
        OpenAI(base_url=base_url, api_key="x", max_retries=0, http_client=http_client) as client,
        pytest.raises(openai.APIError) as caught,
    ):
        client.chat.completions.create(**ASK)
    return caught.value


@pytest.fixture(params=["zh", "en"])
def language(request, monkeypatch):
    monkeypatch.setenv("COOKBOOK_LANG", request.param)
    return request.param


@pytest.mark.parametrize("fault", FAULTS)
def test_the_platforms_own_sentence_is_kept_beside_the_remedy(siliconcloud, language, fault):
    service = connect("siliconcloud")
    siliconcloud.next = [fault]
    status, body = FAULTS[fault]
    with (
        OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        client.chat.completions.create(**ASK)
    text = explain(caught.value)
    assert (body if isinstance(body, str) else body["message"]) in text
    assert f"[{status}" in text and "proxy" not in text and "代理" not in text


def test_a_code_that_is_not_documented_is_quoted_and_not_guessed(language):
    body = {"code": 61234, "message": "Something new", "data": None}
    text = explain(failure(PLATFORM, httpx2.Response(418, json=body)))
    assert "Something new" in text and "[418 / 61234]" in text


@pytest.mark.parametrize("base_url", [PLATFORM, LOCAL, ROOM])
@pytest.mark.parametrize("content", ["", HTML])
@pytest.mark.parametrize("status", [400, 403, 404, 407, 429, 502, 503, 504])
def test_what_a_proxy_answers_is_not_blamed_on_the_service(base_url, content, status, language):
    headers = {"content-type": "text/html"}
    text = explain(failure(base_url, httpx2.Response(status, text=content, headers=headers)))
    assert str(status) in text and ("proxy or gateway" in text or "代理或网关" in text)
    for blamed in ("Error:", "real name", "overloaded", "实名", "过载", "限流", "余额"):
        assert blamed not in text
    assert ("connect()" in text) == (base_url == LOCAL)
    assert ("502 Bad Gateway" in text) == (content == HTML)


def test_a_json_answer_of_a_stranger_on_this_machine_is_not_the_platforms():
    text = explain(failure(LOCAL, httpx2.Response(403, json={"message": "blocked"})))
    assert "实名" not in text and "NO_PROXY" in text


def test_a_page_with_the_platforms_trace_is_the_platforms():
    headers = {"x-siliconcloud-trace-id": "ti_1"}
    text = explain(failure(PLATFORM, httpx2.Response(503, text=HTML, headers=headers)))
    assert "过载" in text and "代理" not in text


@pytest.mark.parametrize("base_url", [LOCAL, ROOM])
def test_the_embedded_service_and_a_room_speak_for_themselves(base_url):
    detail = {
        "message": "没有这个模型",
        "type": "invalid_request_error",
        "code": "x",
        "param": None,
    }
    text = explain(failure(base_url, httpx2.Response(404, json={"error": detail})))
    assert text == "没有这个模型"


def test_another_service_is_quoted_without_the_platforms_remedy():
    text = explain(failure(ROOM, httpx2.Response(403, json={"message": "no key"})))
    assert "no key" in text and "实名" not in text


@pytest.mark.parametrize(
    "base_url, remedy", [(LOCAL, "connect()"), (PLATFORM, "base_url"), (ROOM, "base_url")]
)
def test_a_service_out_of_reach_gets_the_remedy_of_its_place(base_url, remedy, language):
    text = explain(failure(base_url, httpx2.ConnectError("Connection refused")))
    assert remedy in text and ("connect()" in text) == (base_url == LOCAL)


def test_a_proxy_that_refuses_is_named():
    text = explain(failure(PLATFORM, httpx2.ProxyError("407 Proxy Authentication Required")))
    assert "407" in text and "HTTPS_PROXY" in text


def test_a_certificate_that_a_proxy_replaced_is_explained():
    error = httpx2.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate")
    assert "SSL_CERT_FILE" in explain(failure(PLATFORM, error))


@pytest.mark.parametrize("base_url", [LOCAL, PLATFORM])
def test_a_timeout_is_explained(base_url):
    assert "max_tokens" in explain(failure(base_url, httpx2.ReadTimeout("slow")))


def test_an_error_without_a_request_is_explained_all_the_same():
    assert "connect()" in explain(ConnectionError("gone"))
    assert "断了" in explain(httpx2.RemoteProtocolError("peer closed connection"))


def test_a_job_is_not_said_to_be_missing_where_there_are_no_jobs(siliconcloud, language):
    service = connect("siliconcloud")
    with (
        OpenAI(base_url=service.base_url, api_key=service.api_key, max_retries=0) as client,
        pytest.raises(ServiceError, match=r"控制台|console"),
    ):
        jobs.watch(client, "ftjob-x")


class _Proxy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_real_proxy_in_between_is_named(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True).start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        with (
            OpenAI(base_url=ROOM, api_key="x", max_retries=0) as client,
            pytest.raises(openai.APIStatusError) as caught,
        ):
            client.models.list()
        proxy.shutdown()
    assert "代理或网关（503）" in explain(caught.value)
