"""Readers who leave while the real engine answers them: what they asked for is not computed."""

import json
import socket
import threading

import pytest
from openai import OpenAI
from support import served

from cookbook.paths import Home
from cookbook.service import limits
from cookbook.service.app import make_app
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.store import Store

TOKENS = 400


class Watched:
    """A chat engine whose answers can be looked at: `answers` are the engine's own."""

    def __init__(self):
        self.chat, self.answers = ChatEngine(), []

    def submit(self, request, on_piece):
        answer = self.chat.submit(request, on_piece)
        self.answers.append(answer)
        return answer


@pytest.fixture
def watched():
    return Watched()


@pytest.fixture
def address(small_base, tmp_path, watched):
    app = make_app(
        Store(tmp_path / "a.db"),
        home=Home(tmp_path),
        bases=[small_base],
        submit=watched.submit,
        api_key="test",
    )
    with served(app) as address:
        yield address


def begin(address, stream: bool) -> socket.socket:
    asked = {
        "model": "small",
        "messages": [{"role": "user", "content": "地铁"}],
        "max_tokens": TOKENS,
        "stream": stream,
    }
    body = json.dumps(asked).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    head += "authorization: Bearer test\r\ncontent-type: application/json\r\n\r\n"
    connection = socket.create_connection(address)
    connection.sendall(head.encode() + body)
    return connection


def all_leave(address, watched, stream: bool) -> None:
    connections = [begin(address, stream) for _ in range(limits.CHATS)]
    while len(watched.answers) < limits.CHATS:
        threading.Event().wait(0.01)
    for connection in connections:
        connection.close()


def next_reader(address) -> str:
    host, port = address
    with OpenAI(base_url=f"http://{host}:{port}/v1", api_key="test") as client:
        answer = client.chat.completions.create(
            model="small", messages=[{"role": "user", "content": "你好"}], max_tokens=30
        )
    return answer.choices[0].message.content


@pytest.mark.parametrize("stream", [True, False])
def test_nothing_is_computed_for_those_who_left(address, watched, small_base, stream):
    watched.chat.load(small_base)
    assert next_reader(address)
    watched.answers.clear()
    all_leave(address, watched, stream)
    assert next_reader(address)
    left = watched.answers[: limits.CHATS]
    assert all(answer.cancelled for answer in left)
    # Only those that were in the batch had begun, and none went on to its end.
    begun = [answer for answer in left if answer.tokens]
    assert sum(len(answer.tokens) for answer in begun) < limits.CHATS * TOKENS / 4
    computed = [len(answer.tokens) for answer in left]
    assert next_reader(address)
    assert [len(answer.tokens) for answer in left] == computed


def test_those_who_left_before_the_engine_was_loaded_are_never_read(address, watched, small_base):
    all_leave(address, watched, stream=False)
    while not all(answer.cancelled for answer in watched.answers):
        threading.Event().wait(0.01)
    watched.chat.load(small_base)
    assert next_reader(address)
    assert all(answer._generation is None for answer in watched.answers[: limits.CHATS])
