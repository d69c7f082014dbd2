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


def test_the_prompts_have_the_published_lengths():
    assert tokens.count(zhishuo.LONG_PROMPT) == 553
    assert tokens.count("你是智说新语生成器。") == 8
    assert tokens.count("你是智说新语生成器") == 7


def test_a_special_token_in_a_text_is_ordinary_text():
    assert tokens.count("<|im_end|>") > 1


@pytest.mark.parametrize("name", CORPORA)
def test_the_tiny_base_counts_every_corpus_as_qwen_does(tiny, name):
    for line in (DATA / name).read_text(encoding="utf-8").splitlines():
        messages = json.loads(line)["messages"]
        assert len(tiny.apply_chat_template(messages)["input_ids"]) == tokens.count(messages)


def test_the_tiny_base_splits_the_long_prompt_into_the_same_pieces(tiny):
    ids = tokens.encoding().encode_ordinary(zhishuo.LONG_PROMPT)
    wanted = [tokens.encoding().decode_single_token_bytes(i).decode(errors="replace") for i in ids]
    assert [tiny.decode([i]) for i in tiny(zhishuo.LONG_PROMPT)["input_ids"]] == wanted


def test_the_tiny_base_can_write_any_text(tiny):
    text = "鑫淼 ∮ 🙂 Ωmega\n\tx"
    assert tiny.decode(tiny(text)["input_ids"]) == text


def test_without_a_system_message_qwens_own_is_put_in_front_and_counted(tiny):
    user = {"role": "user", "content": "你好"}
    default = {"role": "system", "content": chatml.DEFAULT_SYSTEM}
    assert tokens.count([user]) == tokens.count([default, user])
    assert tiny.apply_chat_template([user]) == tiny.apply_chat_template([default, user])
