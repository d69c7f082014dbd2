"""The chat engine that loads in the background: requests that come too early."""

import queue
import threading

from cookbook.service.chat_engine import ChatEngine
from cookbook.service.chat_request import ChatRequest

SECONDS = 60  # loading torch on a busy machine


def request_to(base, **options):
    defaults = {
        "adapter": None,
        "messages": [{"role": "user", "content": "你好"}],
        "max_tokens": 3,
        "temperature": 0.0,
        "top_p": 1.0,
        "top_k": 0,
        "seed": None,
        "stop": (),
    }
    return ChatRequest(base=base, **defaults | options)


def read(pieces: queue.Queue) -> str:
    """The whole answer."""
    text = ""
    while True:
        piece = pieces.get(timeout=SECONDS)
        assert piece.error is None
        text += piece.text
        if piece.finish_reason:
            return text


def test_a_request_before_the_engine_is_loaded_is_answered_as_one_after(small_base):
    chat, early, late = ChatEngine(), queue.Queue(), queue.Queue()
    chat.submit(request_to(small_base), early.put)
    assert early.empty()
    threading.Thread(target=chat.load, args=(small_base,), daemon=True).start()
    answer = read(early)
    chat.submit(request_to(small_base), late.put)
    assert read(late) == answer


def test_a_request_can_be_cancelled_before_the_engine_is_loaded(small_base):
    chat, cancelled, other = ChatEngine(), queue.Queue(), queue.Queue()
    chat.submit(request_to(small_base, max_tokens=10_000), cancelled.put).cancel()
    chat.load(small_base)
    chat.submit(request_to(small_base, max_tokens=30), other.put)
    read(other)
    assert not any(piece.finish_reason for piece in list(cancelled.queue))
