"""Measure how long others wait for their answers while one person keeps the chat engine busy.

    PYTHONPATH=tests python tests/bench/chat_turns.py

Two rooms, with bases of random weights, whose answers never end by themselves:

    a crowd          one person has 16 long answers under way and 48 waiting; another one asks short
                     questions, one after the other: seconds to the first token
    a long prompt    one person's prompt of 4,000 tokens is read while another one's answer is
                     written: the longest pause between two of its tokens, and the first token of a
                     third one's question

The engine alone, without HTTP.
"""

import queue
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from support import write_base
from transformers import AutoTokenizer

from cookbook.bases import Base
from cookbook.paths import DATA
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine.generate import Engine

ROWS, WAITING, QUESTIONS = 16, 48, 8
LONG_PROMPT = 4000
BIG = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 12}  # half of 0.5B


class Asked:
    """An answer on its way, and when each piece of it came."""

    def __init__(self, engine: Engine, base: Base, person: str, **options: Any):
        self.at = time.perf_counter()
        self.ended = False
        self._pieces: queue.Queue[tuple[float, Any]] = queue.Queue()
        # Drawn from nearly even chances: hardly one ends before its limit.
        options = {"temperature": 1.0, "top_p": 1.0, "seed": 1, "person": person} | options
        self.generation = engine.submit(ChatRequest(base, None, **options), self._take)

    def _take(self, piece: Any) -> None:
        self._pieces.put((time.perf_counter(), piece))

    def next(self) -> float:
        """Return when the next piece came."""
        when, piece = self._pieces.get(timeout=120)
        assert piece.error is None, piece.error
        self.ended = piece.finish_reason is not None
        return when

    def first(self) -> float:
        """Return the seconds to the first token."""
        return self.next() - self.at

    def rest(self) -> list[float]:
        """Return when the other pieces came that are there."""
        times = []
        while not self._pieces.empty():
            times.append(self.next())
        return times

    def finish(self) -> None:
        while not self.ended:
            self.next()


def in_a_crowd(base: Base) -> list[float]:
    """Return the seconds to the first token of each question of the other person."""
    engine = Engine()
    engine.start()
    Asked(engine, base, "zhao", prompt=(5,) * 30, max_tokens=1).finish()
    crowd: list[Asked] = []
    seconds = []
    for number in range(QUESTIONS):
        # As many as ever, whatever has ended meanwhile.
        while len(crowd) < ROWS + WAITING:
            crowd.append(Asked(engine, base, "zhao", prompt=(5,) * 30, max_tokens=300))
        crowd[0].next()
        asked = Asked(engine, base, "qian", prompt=(99 + number,) * 20, max_tokens=20)
        seconds.append(asked.first())
        asked.finish()
        for one in crowd:
            one.rest()
        crowd = [one for one in crowd if not one.ended]
    for one in crowd:
        one.generation.cancel()
    return seconds


def beside_a_long_prompt(base: Base) -> tuple[float, float, float]:
    """Return the longest pause of an answer, a third person's first token, and the long one's."""
    engine = Engine()
    engine.start()
    writing = Asked(engine, base, "qian", prompt=(5,) * 30, max_tokens=400)
    times = [writing.next()]
    long = Asked(engine, base, "zhao", prompt=tuple(range(LONG_PROMPT)), max_tokens=1)
    time.sleep(0.3)
    third = Asked(engine, base, "sun", prompt=(7,) * 20, max_tokens=1).first()
    seconds = long.first()
    times.append(writing.next())
    writing.generation.cancel()
    times += writing.rest()
    pauses = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    return max(pauses), third, seconds


def main() -> None:
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    with tempfile.TemporaryDirectory() as folder:
        small = Base("small", str(write_base(Path(folder) / "small", tokenizer)))
        seconds = in_a_crowd(small)
        median, worst = statistics.median(seconds) * 1000, max(seconds) * 1000
        print(f"a crowd: first token {median:.0f} ms, at worst {worst:.0f} ms", flush=True)
        sizes = BIG | {"max_position_embeddings": 8192}
        big = Base("big", str(write_base(Path(folder) / "big", tokenizer, **sizes)))
        pause, third, long = beside_a_long_prompt(big)
        print(
            f"a long prompt: read in {long:.1f} s; longest pause of another answer {pause:.2f} s, "
            f"first token of a third {third:.2f} s"
        )


if __name__ == "__main__":
    main()
