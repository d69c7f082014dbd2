"""The page of the room, as it is sent: headers, and that it names nothing of another host."""

import re
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from cookbook.bases import Base
from cookbook.paths import Home
from cookbook.service import page
from cookbook.service.app import make_app
from cookbook.service.page import PATHS
from cookbook.service.store import Store

FOLDER = Path(page.__file__).with_name("page")
NAMES = re.compile(r'^import \{([^}]{1,500})\} from "\./([a-z]{1,20}\.js)";$', flags=re.M)
EXPORTS = re.compile(r"^export (?:async )?(?:const|let|function|class) ([$\w]+)", flags=re.M)


@pytest.fixture
def http(tmp_path):
    store = Store(tmp_path / "service.db")
    bases = [Base("tiny", "nowhere")]
    app = make_app(store, home=Home(tmp_path), bases=bases, submit=None, api_key="test")
    with TestClient(app) as http:
        yield http


@pytest.fixture
def modules(http):
    """The text of each script, by its name."""
    return {name: http.get(path).text for path, name in PATHS.items() if path.endswith(".js")}


@pytest.fixture
def script(modules):
    """All scripts, one after the other."""
    return "\n".join(modules.values())


@pytest.fixture
def texts(modules):
    """The part of texts.js that holds the texts."""
    script = modules["texts.js"]
    return script[script.index("const TEXT = {") : script.index("\n};\n")]


def test_each_part_comes_without_a_key_and_with_strict_headers(http):
    for path, name in PATHS.items():
        answer = http.get(path)
        assert answer.status_code == 200 and answer.content == (FOLDER / name).read_bytes()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        for rule in ("script-src 'self'", "frame-ancestors 'none'", "form-action 'none'"):
            assert f"{rule};" in f"{policy};"
        assert "unsafe" not in policy and "*" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"


def test_each_part_has_its_type(http):
    types = {path: http.get(path).headers["content-type"] for path in PATHS}
    assert types.pop("/") == "text/html; charset=utf-8"
    assert types.pop("/room.css") == "text/css; charset=utf-8"
    # A browser runs no module of another type.
    assert set(types.values()) == {"text/javascript; charset=utf-8"}


def test_every_file_of_the_folder_is_open_and_needed(modules):
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(PATHS.values())
    reached, waiting = set(), ["room.js"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += [home for _, home in NAMES.findall(modules[name])]
    assert reached == set(modules)


def test_what_a_module_imports_is_there_and_used(modules):
    exported = {name: set(EXPORTS.findall(text)) for name, text in modules.items()}
    imported = {name: set() for name in modules}
    for name, text in modules.items():
        # Written in the one way that the pattern knows.
        assert len(re.findall(r"\bimport\b", text)) == len(NAMES.findall(text)), name
        for given, home in NAMES.findall(text):
            names = set(re.findall(r"[$\w]+", given))
            assert names <= exported[home], (name, home)
            used = set(re.findall(r"[$\w]+", NAMES.sub("", text)))
            assert names <= used, (name, home)
            imported[home] |= names
    assert imported == exported


def test_what_a_module_calls_of_another_it_imports(modules):
    exported = {one for text in modules.values() for one in EXPORTS.findall(text)}
    for name, text in modules.items():
        # Not the method of an object, but what is spread.
        called = set(re.findall(r"(?:(?<![$\w.])|(?<=\.\.\.))([$\w]{1,40})\(", text))
        own = set(re.findall(r"(?:const|let|function|class) ([$\w]{1,40})", text))
        given = {one for names, _ in NAMES.findall(text) for one in re.findall(r"[$\w]+", names)}
        assert called & exported <= own | given, name


def test_no_module_imports_itself_by_way_of_others(modules):
    needs = {name: {home for _, home in NAMES.findall(text)} for name, text in modules.items()}
    while needs:
        free = {name for name, homes in needs.items() if not homes & set(needs)}
        assert free, f"a circle among {sorted(needs)}"
        needs = {name: homes for name, homes in needs.items() if name not in free}


def test_nothing_else_of_the_folder_is_open(http):
    others = ("/room.html", "/room", "/none.js", "/page/room.js", "/../page.py", "/v1/room")
    for path in (*others, "/room.js/"):
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


def test_addresses_are_relative_so_a_proxy_may_put_a_path_before_them(http, script):
    html, style = http.get("/").text, http.get("/room.css").text
    links = re.findall(r'(?:src|href)="([^"]+)"', html)
    assert {"room.js", "room.css"} <= set(links)
    assert not [link for link in links if link.startswith(("/", "http"))]
    assert "url(" not in style and "@import" not in style
    calls = re.findall(r'["`](/?v1/[^"`]*)', script)
    assert len(calls) >= 8 and not [call for call in calls if call.startswith("/")]
    # The name of a namespace is no address.
    assert set(re.findall(r"https?://[\w./]+", script)) == {"http://www.w3.org/2000/svg"}


def test_data_never_becomes_markup(script):
    ways = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser")
    for way in ways:
        assert way not in script


def test_both_languages_have_the_same_texts(texts):
    zh, en = texts.split("\n  en: {")
    names = [re.findall(r"^ {4,6}(\w+):", part, flags=re.M) for part in (zh, en)]
    assert names[0] == names[1] and len(names[0]) > 80


def test_every_text_of_the_page_is_there(http, script, texts):
    html = http.get("/").text
    used = set(re.findall(r'data-(?:text|label|hint)="(\w+)"', html))
    used |= set(re.findall(r'\bt\("(\w+)"\)', script))
    known = set(re.findall(r"^ {4}(\w+):", texts, flags=re.M))
    assert used <= known
    # And none is left over.
    spoken = set(re.findall(r'"(\w+)"', script + html))
    assert known - {"language"} <= spoken
