"""Which adapters an engine has, and how long their copies stay; no sockets."""

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from cookbook.bases import Base
from cookbook.engine_options import EngineSettings
from cookbook.paths import Home
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.engines import adapters
from cookbook.service.engines.adapters import Adapters
from cookbook.service.engines.faults import EngineFault
from cookbook.service.engines.folder import own_folder
from cookbook.service.engines.remote import LOAD, RemoteEngine
from cookbook.service.engines.router import ChatRouter

BASE = Base("Qwen/x", "/models/x")
HERE = "http://127.0.0.1:8000"


@pytest.fixture
def engines():
    engines = [RemoteEngine("http://a:1"), RemoteEngine("http://b:1")]
    yield engines
    for engine in engines:
        asyncio.run(engine.close())


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def source(home):
    """Return the folder of a model."""
    source = home.models / "job-step_3"
    source.mkdir(parents=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (source / name).write_text(name)
    return source


async def ask(loads, source):
    async with loads.use("ft:x", source):
        pass


def test_what_is_loaded_while_an_engine_is_asked_for_its_list_is_not_forgotten(engines):
    engine = engines[0]
    base = {"id": "Qwen/x", "root": "/models/x"}
    lists = [[base], [base, {"id": "ft:x", "root": "/x", "parent": "Qwen/x"}]]

    async def call(method, route, body=None, *, seconds):
        if route == LOAD:
            return 200, b""
        # The first list was made before the adapter was loaded, and comes after.
        if len(lists) == 2:
            await engine.load("ft:x", "/x")
        return 200, json.dumps({"data": lists.pop(0)}).encode()

    engine._call = call
    asyncio.run(engine.look())
    assert engine.listed == {"ft:x": "/x"}


def test_a_load_goes_on_where_its_client_leaves(engines, home, source):
    engine = engines[0]
    loads = Adapters(engine, own_folder(home))

    async def leave_while_it_is_loaded():
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def load(name, path):
            begun.set()
            await may_end.wait()
            engine.listed[name] = path

        engine.load = load
        asked = asyncio.create_task(ask(loads, source))
        await begun.wait()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        may_end.set()
        async with loads.at_rest():
            assert list(engine.listed) == ["ft:x"]

    asyncio.run(leave_while_it_is_loaded())


def test_a_copy_stays_that_another_engine_is_about_to_read(engines, home, source, monkeypatch):
    monkeypatch.setattr(adapters, "MOST", 0)
    folder = own_folder(home)
    first, second = (Adapters(engine, folder) for engine in engines)
    first.siblings, second.siblings = [second], [first]
    seen = []

    async def call(method, route, body, *, seconds):
        return 200, b""

    async def call_second(method, route, body, *, seconds):
        if route == LOAD:
            # The first engine unloads the same adapter meanwhile.
            await first._make_room()
            seen.append(folder.has_copy(body["lora_path"]))
        return 200, b""

    async def ask_both():
        for one in (first, second):
            await ask(one, source)

    engines[0]._call, engines[1]._call = call, call_second
    asyncio.run(ask_both())
    assert seen == [True] and not engines[0].listed


def test_an_adapter_that_is_not_unloaded_keeps_no_answer_back(engines, home, source, monkeypatch):
    monkeypatch.setattr(adapters, "MOST", 0)
    engine = engines[0]
    engine.listed = {"ft:old": str(home.engine_models / "old")}

    async def call(method, route, body, *, seconds):
        return (200, b"") if route == LOAD else (500, b"busy")

    engine._call = call
    asyncio.run(ask(Adapters(engine, own_folder(home)), source))
    assert set(engine.listed) == {"ft:old", "ft:x"}


def test_what_cannot_be_copied_is_said_and_no_other_engine_is_asked(engines, home, source):
    loads = Adapters(engines[0], own_folder(home))
    home.engine_models.write_text("not a folder")
    with pytest.raises(EngineFault, match="检查它的权限和剩余空间") as refused:
        asyncio.run(ask(loads, source))
    assert not refused.value.elsewhere and str(home.engine_models) in refused.value.en
    (source / "adapter_model.safetensors").unlink()
    with pytest.raises(EngineFault, match="文件不在了") as refused:
        asyncio.run(ask(loads, source))
    assert refused.value.code == "model_broken" and "ft:x" in refused.value.en


def test_a_proxy_that_cannot_be_used_is_named_without_its_password(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "strange://me:hidden@proxy:1")
    with pytest.raises(EngineFault, match="HTTP_PROXY") as refused:
        RemoteEngine("http://gpu.example:8000")
    assert "hidden" not in refused.value.zh + refused.value.en


def test_a_service_that_ends_waits_for_no_engine(home):
    router = ChatRouter(ChatEngine(), EngineSettings((HERE,)), home)
    asked = threading.Event()

    async def never():
        asked.set()
        await asyncio.Event().wait()

    router._pool.look = never
    with ThreadPoolExecutor() as threads:
        loading = threads.submit(router.load, BASE)
        assert asked.wait(30)
        router.close()
        assert loading.result() is None
