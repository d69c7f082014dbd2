"""The chat engine, reachable before it is loaded.

Loading torch takes seconds, in which the service already answers.

    chat = ChatEngine()
    threading.Thread(target=chat.load, args=(base,), daemon=True).start()
    generation = chat.submit(request, on_piece)

A request that comes too early waits for the engine, and can be cancelled meanwhile. Importing
this module loads no torch.
"""

import threading
from typing import Any

from cookbook.bases import Base
from cookbook.service.chat_request import ChatRequest, Generation, OnPiece


class ChatEngine:
    """One `engine.generate.Engine`, loaded in the background."""

    def __init__(self) -> None:
        self._ready = threading.Event()
        self._engine: Any = None

    def load(self, base: Base) -> None:
        """Import torch, start the engine, and let it load `base` before anybody asks for it."""
        from cookbook.service.engine import generate

        self._engine = generate.Engine()
        self._engine.start()
        self._ready.set()
        # An engine loads a base at its first request, which then takes seconds longer.
        hello = [{"role": "user", "content": "你好"}]
        request = ChatRequest(base, None, hello, max_tokens=1)
        self._engine.submit(request, lambda piece: None)

    def submit(self, request: ChatRequest, on_piece: OnPiece) -> Generation:
        """Start an answer, now or when the engine is ready.

        `on_piece` is called in the engine's thread.
        """
        if self._ready.is_set():
            return self._engine.submit(request, on_piece)
        early = _EarlyGeneration()

        def start_when_ready() -> None:
            self._ready.wait()
            # Its client has left meanwhile.
            if early.cancelled:
                return
            early.started(self._engine.submit(request, on_piece))

        threading.Thread(target=start_when_ready, daemon=True).start()
        return early


class _EarlyGeneration:
    """An answer that may not have started yet; it can be cancelled all the same."""

    def __init__(self) -> None:
        self._generation: Generation | None = None
        self.cancelled = False

    def started(self, generation: Generation) -> None:
        self._generation = generation
        # `cancel` sets its mark before it looks here, so one of the two sees the other.
        if self.cancelled:
            generation.cancel()

    def cancel(self) -> None:
        self.cancelled = True
        if self._generation:
            self._generation.cancel()
