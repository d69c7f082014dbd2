"""The chat engine that cannot be loaded: who waits is told, and loading is tried again."""

import queue
import sys
import threading
import time
from types import SimpleNamespace

from cookbook.bases import Base
from cookbook.service import chat_engine
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.chat_request import ChatRequest, Piece

MODULE = "cookbook.service.engine.generate"
REQUEST = ChatRequest(Base("tiny", "nowhere"), None, [{"role": "user", "content": "你好"}])


class Engine:
    def __init__(self, neighbours):
        pass

    def start(self):
        pass

    def submit(self, request, on_piece):
        on_piece(Piece("好", 1, 1, "stop"))
        return SimpleNamespace(cancel=lambda: None)


class Broken:
    def __init__(self, neighbours):
        raise MemoryError


def use(monkeypatch, engine):
    import cookbook.service.engine as package

    module = SimpleNamespace(Engine=engine)
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(package, "generate", module, raising=False)


def ask(chat):
    pieces = queue.Queue()
    chat.submit(REQUEST, pieces.put)
    return pieces.get(timeout=10)


def test_requests_before_and_after_the_failure_are_told_why(monkeypatch):
    use(monkeypatch, Broken)
    chat, early = ChatEngine(), queue.Queue()
    chat.submit(REQUEST, early.put)
    chat.load(REQUEST.base)
    for piece in (early.get(timeout=10), ask(chat)):
        assert piece.error_code == "model_unavailable" and piece.finish_reason
        assert "内存不够" in str(piece.error)


def test_a_reason_that_has_passed_is_forgotten(monkeypatch):
    monkeypatch.setattr(chat_engine, "RETRY_SECONDS", 0.0)
    use(monkeypatch, Broken)
    chat = ChatEngine()
    chat.load(REQUEST.base)
    assert ask(chat).error
    use(monkeypatch, Engine)
    deadline = time.monotonic() + 20
    while ask(chat).error:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert ask(chat).text == "好"


def test_loading_is_not_tried_again_at_every_request(monkeypatch):
    tries = []

    class Counted:
        def __init__(self, neighbours):
            tries.append(threading.current_thread().name)
            raise MemoryError

    use(monkeypatch, Counted)
    chat = ChatEngine()
    chat.load(REQUEST.base)
    for _ in range(20):
        ask(chat)
    assert len(tries) == 1


def test_an_unclear_second_failure_leaves_the_first_cause(monkeypatch):
    class Odd:
        def __init__(self, neighbours):
            raise RuntimeError("function already has a docstring")

    use(monkeypatch, Broken)
    chat = ChatEngine()
    chat.load(REQUEST.base)
    use(monkeypatch, Odd)
    chat.load(REQUEST.base)
    assert "内存不够" in str(ask(chat).error)


def test_the_mark_is_there_only_while_the_engine_is_loaded(monkeypatch, tmp_path):
    mark, seen = tmp_path / "mark", []

    class Looking(Engine):
        def __init__(self, neighbours):
            seen.append(mark.exists())

    use(monkeypatch, Looking)
    ChatEngine(mark).load(REQUEST.base)
    assert seen == [True] and not mark.exists()
