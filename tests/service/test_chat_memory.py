"""Chat and memory: bases that do not fit, idle ones that are unloaded, prompts too long."""

import gc
import queue
from types import SimpleNamespace

import psutil
import pytest
from support import write_base
from transformers import AutoTokenizer

from cookbook import machine, memory
from cookbook.bases import Base
from cookbook.machine import GB, Machine
from cookbook.paths import DATA
from cookbook.service.chat_engine import ChatEngine
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine import generate, runner
from cookbook.service.engine.generate import Engine
from cookbook.service.neighbours import Trainings

SECONDS = 60
MB = 2**20


@pytest.fixture(scope="module")
def big_bases(tmp_path_factory):
    """Two checkpoints of about 200 MB each, of which the second has another name alone."""
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")
    folder = tmp_path_factory.mktemp("bases")
    sizes = {"hidden_size": 512, "intermediate_size": 4096, "num_hidden_layers": 7}
    for name in ("one", "two"):
        write_base(folder / name, tokenizer, **sizes)
    return [Base(name, str(folder / name)) for name in ("one", "two")]


class Neighbours:
    """Trainings, and a prewarmed process, as a test says."""

    def __init__(self, *jobs, reserved=0, prewarmed=False):
        self.jobs, self.reserved, self.prewarmed = jobs, reserved, prewarmed

    def trainings(self):
        return Trainings(self.jobs, self.reserved)

    def give_prewarmed_back(self):
        was, self.prewarmed = self.prewarmed, False
        return was


def started(neighbours=None):
    engine = Engine(neighbours)
    engine.start()
    return engine


def answer(engine, base, text="你好", **options):
    """Ask, and return the last piece with the whole text."""
    return read(start(engine, base, text, **options))


def start(engine, base, text="你好", **options):
    pieces = queue.Queue()
    options = {"temperature": 0, "max_tokens": 4} | options
    messages = [{"role": "user", "content": text}]
    engine.submit(ChatRequest(base, None, messages, **options), pieces.put)
    return pieces


def read(pieces):
    text = ""
    while True:
        piece = pieces.get(timeout=SECONDS)
        text += piece.text
        if piece.finish_reason:
            return SimpleNamespace(
                text=text, error=piece.error and str(piece.error), code=piece.error_code
            )


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


def free_memory(monkeypatch, free, total=64 * GB):
    """Let the machine have so much free memory."""
    monkeypatch.setattr(
        machine, "here", lambda **_: Machine("cpu", int(free), int(total), bfloat16=False)
    )


def loaded(engine):
    return [runner.model.config._name_or_path.rpartition("/")[2] for runner in engine._runners]


def test_an_idle_base_gives_its_memory_back_and_is_loaded_again_when_it_is_asked(big_bases):
    one, _ = big_bases
    chat = ChatEngine()
    assert chat.unload_idle() == []  # before there is an engine
    chat.load(one)
    before_answer = answer(chat, one)
    with_base = resident()
    assert chat.unload_idle() == ["one"]
    assert with_base - resident() > 150 * MB
    assert chat.unload_idle() == []
    assert answer(chat, one).text == before_answer.text
    assert chat.tokens_per_second() > 0


def test_a_base_that_is_answering_stays_and_its_answer_goes_on(small_base, big_bases):
    engine = started()
    whole = answer(engine, small_base, max_tokens=60).text
    answer(engine, big_bases[0])
    pieces = start(engine, small_base, max_tokens=60)
    first = pieces.get(timeout=SECONDS)
    assert engine.unload_idle() == ["one"] and loaded(engine) == ["small"]
    assert first.text + read(pieces).text == whole


def test_a_base_that_would_not_fit_takes_the_place_of_the_one_that_was_not_used_for_longest(
    small_base, big_bases, monkeypatch
):
    one, two = big_bases
    engine = started()
    for base in (one, small_base, one):
        answer(engine, base)
    real = generate.load
    weights = 200 * MB

    def load(base, **options):
        # Room for one of the large ones beside the small one, or for two small ones.
        room = memory.RUNTIME["cpu"] + (2.2 - len(loaded(engine))) * 1.25 * weights
        free_memory(monkeypatch, room)
        return real(base, **options)

    monkeypatch.setattr(generate, "load", load)
    assert answer(engine, two).error is None
    assert loaded(engine) == ["one", "two"]


def test_beside_a_training_a_base_that_cannot_fit_is_refused_with_what_trains_and_what_is_free(
    big_bases, monkeypatch
):
    free_memory(monkeypatch, 2 * GB)
    neighbours = Neighbours("ftjob-big", reserved=int(1.8 * GB), prewarmed=True)
    refused = answer(started(neighbours), big_bases[0])
    assert refused.code == "out_of_memory" and refused.text == ""
    for words in ("ftjob-big", "约需 0.", "空闲 0.2 GB", "还要用 1.8 GB", "等它结束再问，或先暂停"):
        assert words in refused.error
    # The process that only waits for a job was asked for its memory first.
    assert not neighbours.prewarmed
    neighbours.reserved = 0
    assert answer(started(neighbours), big_bases[0]).error is None


def test_a_prompt_for_which_there_is_no_memory_fails_alone_before_it_is_read(
    big_bases, monkeypatch
):
    one, _ = big_bases
    engine = started()
    expected = answer(engine, one, max_tokens=20).text
    monkeypatch.setattr(runner.prompt_memory, "UNASKED", MB)
    free_memory(monkeypatch, 20 * MB)
    others = start(engine, one, max_tokens=20)
    refused = answer(engine, one, "长" * 400)
    assert refused.code == "out_of_memory" and "缩短提问" in refused.error
    assert read(others).text == expected


def test_a_pass_that_runs_out_of_memory_ends_the_long_answer_and_no_other(small_base, monkeypatch):
    engine, real = started(), runner.Reading
    expected = answer(engine, small_base, max_tokens=30).text

    def reading(model, prompts, *options):
        if max(map(len, prompts)) > 200:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")
        return real(model, prompts, *options)

    monkeypatch.setattr(runner, "Reading", reading)
    others = [start(engine, small_base, max_tokens=30) for _ in range(2)]
    failed = answer(engine, small_base, "长" * 300)
    assert failed.code == "out_of_memory" and "没有完成" in failed.error
    assert [read(pieces).text for pieces in others] == [expected, expected]
