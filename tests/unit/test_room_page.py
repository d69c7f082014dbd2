"""The page of the room, as it is sent: headers, and that it names nothing of another host."""

import re

import pytest
from fastapi.testclient import TestClient

from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service.app import make_app
from cookbook.service.page import PATHS
from cookbook.service.store import Store


@pytest.fixture
def http(tmp_path):
    store = Store(tmp_path / "service.db")
    bases = [Base("tiny", "nowhere")]
    app = make_app(store, home=Home(tmp_path), bases=bases, submit=None, api_key="test")
    with TestClient(app) as http:
        yield http


@pytest.mark.parametrize("path", PATHS)
def test_each_part_comes_without_a_key_and_with_strict_headers(http, path):
    answer = http.get(path)
    assert answer.status_code == 200 and len(answer.content) > 1000
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    for rule in ("script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"):
        assert f"{rule};" in f"{policy};"
    assert "unsafe" not in policy and "*" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"


def test_each_part_has_its_type(http):
    types = [http.get(path).headers["content-type"].partition(";")[0] for path in PATHS]
    assert types == ["text/html", "text/javascript", "text/css"]


def test_nothing_else_of_the_folder_is_open(http):
    for path in ("/room.html", "/page/room.js", "/room.js/", "/../page.py", "/v1/room"):
        answer = http.get(path)
        assert answer.status_code == (200 if path == "/room.js/" else 401), path
    assert http.post("/").status_code == 404


def test_a_page_that_is_left_open_is_no_sign_of_anybody(http):
    store = http.app.state.shared.store
    person = {"authorization": f"Bearer {store.add_person('p01')}"}
    leader = {"authorization": "Bearer test"}

    def seen_at():
        return http.get("/v1/room", headers=leader).json()["people"][0]["seen_at"]

    assert http.get("/v1/room", headers=person).json()["name"] == "p01"
    assert seen_at() is None
    http.get("/v1/models", headers=person)
    assert seen_at()


def test_the_page_has_no_script_or_style_of_its_own(http):
    html = http.get("/").text
    assert re.findall(r"<script[^>]*>", html) == ['<script type="module" src="room.js">']
    assert "<style" not in html and " style=" not in html and not re.search(r"\son[a-z]+=", html)


def test_addresses_are_relative_so_a_proxy_may_put_a_path_before_them(http):
    html, script, style = (http.get(path).text for path in PATHS)
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert {"room.js", "room.css"} <= set(links)
    assert not [link for link in links if link.startswith(("/", "http"))]
    assert "url(" not in style and "@import" not in style
    calls = re.findall(r'["`](/?v1/[^"`]*)', script)
    assert len(calls) >= 8 and not [call for call in calls if call.startswith("/")]
    # The name of a namespace is no address.
    assert set(re.findall(r"https?://[\w./]+", script)) == {"http://www.w3.org/2000/svg"}


def test_data_never_becomes_markup(http):
    script = http.get("/room.js").text
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser")
    for way in ways:
        assert way not in script


def test_both_languages_have_the_same_texts(http):
    script = http.get("/room.js").text
    texts = script[script.index("const TEXT = {") : script.index("\n};\n")]
    zh, en = texts.split("\n  en: {")
    names = [re.findall(r"^ {4,6}(\w+):", part, flags=re.M) for part in (zh, en)]
    assert names[0] == names[1] and len(names[0]) > 80


def test_every_text_of_the_page_is_there(http):
    html, script, _ = (http.get(path).text for path in PATHS)
    used = set(re.findall(r'data-(?:text|label|hint)="(\w+)"', html))
    used |= set(re.findall(r'\bt\("(\w+)"\)', script))
    texts = script[script.index("const TEXT = {") : script.index("\n};\n")]
    known = set(re.findall(r"^ {4}(\w+):", texts, flags=re.M))
    assert used <= known
    # And none is left over.
    spoken = set(re.findall(r'"(\w+)"', script + html))
    assert known - {"language"} <= spoken
