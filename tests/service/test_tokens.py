"""The tiny base's tokenizer against Qwen2.5's vocabulary: our texts have the same tokens."""

import json

import pytest
from transformers import AutoTokenizer

from cookbook import chatml, tokens, zhishuo
from cookbook.paths import DATA

CORPORA = [
    "zhishuoxinyu/train.jsonl",
    "zhishuoxinyu/train_tiny.jsonl",
    "customer_service/train.jsonl",
]


@pytest.fixture(scope="module")
def tiny():
    return AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh")


@pytest.mark.parametrize("name", CORPORA)
def test_the_tiny_base_counts_every_corpus_as_qwen_does(tiny, name):
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        messages = json.loads(line)["messages"]
        ids = tiny.apply_chat_template(messages)["input_ids"]
        assert len(ids) == tokens.count(messages)


def test_its_template_writes_what_ours_does(tiny):
    messages = [{"role": "user", "content": "你好"}, {"role": "assistant", "content": "您好"}]
    for asked in (messages, messages[:1], [{"role": "system", "content": "简短"}, *messages]):
        for opened in (True, False):
            text = tiny.apply_chat_template(asked, tokenize=False, add_generation_prompt=opened)
            assert text == chatml.render(asked, opened)


def test_the_tiny_base_splits_the_long_prompt_into_the_same_pieces(tiny):
    ids = tokens.encoding().encode_ordinary(zhishuo.LONG_PROMPT)
    pieces = [tokens.encoding().decode_single_token_bytes(i).decode(errors="replace") for i in ids]
    assert [tiny.decode([i]) for i in tiny(zhishuo.LONG_PROMPT)["input_ids"]] == pieces


def test_the_tiny_base_can_write_any_text(tiny):
    text = "鑫淼 ∮ 🙂 Ωmega\n\tx"
    assert tiny.decode(tiny(text)["input_ids"]) == text


def test_without_a_system_message_qwens_own_is_put_in_front(tiny):
    user = {"role": "user", "content": "你好"}
    default = {"role": "system", "content": chatml.DEFAULT_SYSTEM}
    assert tiny.apply_chat_template([user]) == tiny.apply_chat_template([default, user])


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 1_200_000 + "b",
        "\u3000" * 1_200_000 + "b",
        "e" + "\u0301\u0327" * 200_000,
        "a" * 2_000_000,
        "\n" * 300_000,
    ],
)
def test_no_text_makes_counting_fail_or_take_forever(text):
    assert tokens.count(text) > 0
