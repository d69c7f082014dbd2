"""A JupyterHub's hook, over HTTP to the service's own application; tests/soak has a whole hub."""

import asyncio
import json
import logging
import re
import threading
import time
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from fastapi.testclient import TestClient
from hypothesis import example, given
from hypothesis import strategies as st
from support import served
from tornado.web import HTTPError
from traitlets.config import Config

from cookbook.__main__ import _parser
from cookbook.bases import Base
from cookbook.errors import ServiceError
from cookbook.paths import DATA, Home
from cookbook.room import hub, names
from cookbook.service import prefix
from cookbook.service.app import make_app
from cookbook.service.page import PATHS

PREFIX = "/hub-base/services/room"


@pytest.fixture
def app(store, tmp_path):
    return make_app(
        store,
        home=Home(tmp_path),
        bases=[Base("tiny", "nowhere")],
        submit=lambda request, on_piece: None,
        api_key="leader",
        prefix=PREFIX,
    )


@pytest.fixture
def room(app, tmp_path):
    """Return a room that runs in the temporary folder."""
    with served(app) as (host, port):
        publish(tmp_path, port)
        yield hub.Room(python="python", folder=tmp_path, port=port)


def publish(folder, port, key="leader"):
    """Write the address file as the service does."""
    url = f"http://127.0.0.1:{port}/v1"
    address = {"base_url": url, "api_key": key, "home": str(folder)}
    Home(folder).address.write_text(json.dumps(address))


def spawner_of(user):
    log = logging.getLogger("a-hub")
    return SimpleNamespace(user=SimpleNamespace(name=user), environment={"OWN": "1"}, log=log)


def started(room, user):
    """Start a server as a hub does, and return its environment."""
    spawner = spawner_of(user)
    asyncio.run(room.give_key(spawner))
    return spawner.environment


def test_a_server_starts_with_a_key_of_its_person(room, store):
    environment = started(room, "anna")
    assert environment["OWN"] == "1"
    assert environment["COOKBOOK_SERVICE"] == f"http://127.0.0.1:{room.port}"
    assert store.person(environment["COOKBOOK_KEY"]).name == "anna"


def test_the_next_start_renews_the_key(room, store):
    first, second = started(room, "李雷"), started(room, "李雷")
    assert store.person(first["COOKBOOK_KEY"]) is None
    assert store.person(second["COOKBOOK_KEY"]).name == "李雷"
    assert [person.name for person in store.people()] == ["李雷"]


def test_no_key_is_logged_and_a_changed_name_is(room, caplog):
    caplog.set_level(logging.DEBUG)
    key = started(room, "li.lei@example.com")["COOKBOOK_KEY"]
    assert "li.lei@example.com is li.lei-example.com-9dab8131" in caplog.text
    assert key not in caplog.text and "leader" not in caplog.text


def test_thirty_servers_start_at_once(room, store):
    spawners = [spawner_of(f"p{number:02}") for number in range(30)]

    async def start():
        await asyncio.gather(*map(room.give_key, spawners))

    asyncio.run(start())
    found = [store.person(spawner.environment["COOKBOOK_KEY"]).name for spawner in spawners]
    assert found == [spawner.user.name for spawner in spawners]


def test_a_room_that_is_still_starting_is_waited_for(app, store, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.01)
    with served(app) as (_, port):
        room = hub.Room(python="python", folder=tmp_path, port=port)
        threading.Timer(0.1, publish, [tmp_path, port]).start()
        assert store.person(started(room, "anna")["COOKBOOK_KEY"]).name == "anna"


def test_the_hub_goes_on_while_it_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "WAIT_SECONDS", 0.2)
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(hub, "new_key", slow_and_away)

    async def longest_pause():
        task = asyncio.create_task(hub.Room("python", tmp_path).give_key(spawner_of("anna")))
        longest = 0.0
        while not task.done():
            begin = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - begin)
        with pytest.raises(HTTPError):
            task.result()
        return longest

    assert asyncio.run(longest_pause()) < 0.1


def slow_and_away(folder, name):
    time.sleep(0.15)
    raise hub._away(folder)


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_a_room_that_does_not_run_is_told_in_a_sentence(content, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "WAIT_SECONDS", 0)
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0)
    if content is not None:
        Home(tmp_path).address.write_text(content)
    with pytest.raises(HTTPError) as caught:
        started(hub.Room(python="python", folder=tmp_path), "anna")
    # What JupyterHub's page shows
    assert "没有应答" in caught.value.jupyterhub_message


def test_the_leaders_key_is_sent_to_nobody_else(app, tmp_path, monkeypatch):
    monkeypatch.setattr(hub, "WAIT_SECONDS", 0)
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0)
    seen = []

    async def watched(scope, receive, send):
        seen.append((scope["path"], b"authorization" in dict(scope["headers"])))
        await app(scope, receive, send)

    with served(watched) as (_, port):
        # What listens there does not know the key that the file has.
        publish(tmp_path, port, key="another")
        with pytest.raises(HTTPError):
            started(hub.Room(python="python", folder=tmp_path, port=port), "anna")
    assert set(seen) == {("/health", False)}


def test_what_the_room_refuses_is_told_without_waiting(room):
    with pytest.raises(ServiceError, match="name"):
        hub.new_key(room.folder, "x" * 300)


def test_a_folder_that_the_hub_may_not_read_names_the_remedy(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(HTTPError, match="root"):
        started(hub.Room(python="python", folder=tmp_path), "anna")


# Names


@pytest.mark.parametrize("user", ["anna", "p01", "李雷", "li.lei", "a_b-c"])
def test_a_name_that_a_room_allows_stays(user):
    assert hub.name_of(user) == user


@pytest.mark.parametrize(
    "user", ["Anna", "local", "Leader", "a@b", "a b", "a/b", "x" * 50, "@", ""]
)
def test_any_other_name_becomes_one_of_its_own(user):
    name = hub.name_of(user)
    assert name != user.casefold()
    assert re.search(r"-[0-9a-f]{8}$", name)


@given(st.text(max_size=60))
@example("🄰")
def test_every_name_is_one_that_a_room_allows(user):
    name = hub.name_of(user)
    assert names.tidy(name) == name == name.casefold()


@given(st.sets(st.text(alphabet="aA@./_-ß0f", max_size=4)))
def test_two_people_never_share_a_name(users):
    # A name that looks like a changed one is changed as well.
    users |= {hub.name_of(user) for user in users}
    assert len({hub.name_of(user) for user in users}) == len(users)


# The service behind the hub's proxy


@pytest.mark.parametrize("path", ["/v1/models", f"{PREFIX}/v1/models", f"{PREFIX}//v1/models/"])
def test_the_service_answers_with_and_without_the_hubs_prefix(app, path):
    http = TestClient(app, headers={"authorization": "Bearer leader"})
    assert http.get(path).json()["data"][0]["id"] == "tiny"


def test_under_the_prefix_it_asks_for_the_key_too(app):
    http = TestClient(app)
    assert http.get(f"{PREFIX}/v1/models").status_code == 401
    assert {http.get(f"{PREFIX}{path}").status_code for path in PATHS} == {200}
    bearer = {"authorization": "Bearer leader"}
    assert http.get(f"{PREFIX}-2/v1/models", headers=bearer).status_code == 404


def test_the_prefix_alone_leads_to_the_page(app):
    http = TestClient(app, follow_redirects=False)
    answer = http.get(PREFIX)
    assert answer.status_code == 307
    assert answer.headers["location"].endswith(f"{PREFIX}/")


def test_only_a_hubs_service_has_a_prefix(monkeypatch):
    # A person's own server has one, too.
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/anna/")
    monkeypatch.delenv("JUPYTERHUB_SERVICE_NAME", raising=False)
    assert prefix.of_hub() == ""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_NAME", "room")
    assert prefix.of_hub() == "/user/anna"


# The link to the notebooks


def test_the_link_is_one_that_nbgitpuller_reads():
    link = hub.notebooks_link("https://hub.example.org/", "https://git.example.org/a/course.git")
    parts = urlsplit(link)
    assert parts.path == "/hub/user-redirect/git-pull"
    assert parse_qs(parts.query) == {
        "repo": ["https://git.example.org/a/course.git"],
        "branch": ["main"],
        "targetpath": ["course"],
        "urlpath": ["lab/tree/course/notebooks/00_quickstart.ipynb"],
    }


def test_the_link_opens_a_notebook_that_is_there():
    link = hub.notebooks_link("https://hub.example.org", "https://git.example.org/a/course")
    opened = parse_qs(urlsplit(link).query)["urlpath"][0]
    assert (DATA.parent / opened.removeprefix("lab/tree/course/")).is_file()


# What docs/ says


DOCS = DATA.parent / "docs"
PAGES = [(DOCS / name).read_text(encoding="utf-8") for name in ("room_hub.md", "room_hub.zh-CN.md")]


@pytest.mark.parametrize("text", PAGES)
def test_the_pages_show_the_link_and_the_name_that_the_code_gives(text):
    repository = "https://git.example.org/course/siliconcloud-cookbook"
    link = hub.notebooks_link("https://hub.example.org", repository)
    assert repository in text and link in text
    assert hub.name_of("li.lei@example.com") in text


@pytest.mark.parametrize("text", PAGES)
def test_the_pages_name_the_versions_that_are_tested(text):
    constraints = (DATA.parent / "constraints.txt").read_text(encoding="utf-8")
    makefile = (DATA.parent / "Makefile").read_text(encoding="utf-8")
    tested = re.search(r"^jupyterhub==(.+)$", constraints, flags=re.M)[1]
    assert f"JupyterHub {tested}" in text
    tested = re.search(r"configurable-http-proxy@([0-9.]+)", makefile)[1]
    assert f"configurable-http-proxy {tested}" in text


def test_the_pages_have_the_same_commands():
    english, chinese = map(commands, PAGES)
    assert "tljh-config reload hub" in english
    assert english == chinese


def commands(text):
    """Return the commands of a page, without their comments."""
    blocks = "".join(re.findall(r"^```\n([^`]+)^```", text, flags=re.M))
    found = [line.split("#")[0].strip() for line in blocks.splitlines()]
    return [line for line in found if line and line.isascii()]


def test_the_documented_configuration_starts_a_room_and_gives_keys():
    c = Config()
    c.JupyterHub.services = [{"name": "another"}]
    exec((DOCS / "hub" / "room.py").read_text(encoding="utf-8"), {"c": c})
    another, room = c.JupyterHub.services
    assert another == {"name": "another"}
    assert (room["name"], room["url"], room["user"]) == ("room", "http://127.0.0.1:8765", "room")
    assert c.Spawner.pre_spawn_hook.__func__ is hub.Room.give_key
    for path in ("/opt/room", "/srv/room", *room["command"][:1]):
        assert path.removesuffix("/bin/python") in PAGES[0]


def test_the_rooms_command_is_one_that_it_knows():
    command = hub.Room(python="python", folder="/srv/room/data").service()["command"]
    args = _parser().parse_args(command[3:])
    assert (args.host, args.port, str(args.home)) == ("127.0.0.1", 8765, "/srv/room/data")
    assert args.hours == 0 and args.no_open
