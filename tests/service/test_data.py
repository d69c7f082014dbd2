"""What `data` says about training, against what training does."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from cookbook import data, tokens
from cookbook.paths import DATA
from cookbook.service.engine.examples import encode, encode_all


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")


def test_tokens_are_split_into_read_and_learned_as_training_does(tokenizer):
    rows = data.load(DATA / "customer_service" / "train.jsonl")[:40]
    table = data.statistics(rows)
    examples = [encode(tokenizer, row["messages"], 4096) for row in rows]
    assert list(table.tokens) == [len(example.ids) for example in examples]
    assert list(table.tokens) == [tokens.count(row["messages"]) for row in rows]
    assert list(table.trained_tokens) == [sum(example.trained) for example in examples]


TEXT = st.text(max_size=30) | st.sampled_from(
    ["\n", "<|im_end|>", "<|im_start|>user\n", "\n\n答\n", "\u2028", "e\u0301"]
)


@st.composite
def conversations(draw):
    messages = []
    system = draw(st.none() | TEXT)
    if system is not None:
        messages.append({"role": "system", "content": system})
    for question, answer in draw(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=3)):
        messages.append({"role": "user", "content": question})
        messages.append({"role": "assistant", "content": answer})
    return {"messages": messages}


@settings(deadline=None)
@given(st.lists(conversations(), min_size=1, max_size=3))
def test_what_is_free_of_errors_can_be_trained_on(tokenizer, rows):
    report = data.check_bytes(data.to_jsonl(rows), "a.jsonl")
    if report.ok:
        assert all(any(e.trained) for e in encode_all(tokenizer, report.rows, 4096))


def test_one_line_of_nine_megabytes_and_a_file_of_bad_lines_end(row):
    assert "too-long" in [p.code for p in data.check([row(assistant="好" * 3_000_000)]).problems]
    report = data.check_bytes(b"x\n" * 100_000, "a.jsonl")
    assert report.errors == 100_001  # each line, and their number
    assert len(report.problems) <= 20_000
