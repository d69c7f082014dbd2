"""Every corpus keeps its own rules, and the tiny base was not taught what LoRA is to teach."""

import random
from collections import Counter

import pytest
from tiny_base.pretraining_text import Words, copy_pieces, plain_steps, sample
from transformers import AutoTokenizer

from cookbook import data, zhishuo
from cookbook.paths import DATA, shipped_rows
from cookbook.zhishuo import patterns
from cookbook.zhishuo.texts import GUIDE_WORDS

ZHISHUO = ["train.jsonl", "train_tiny.jsonl"]


@pytest.fixture(scope="module")
def pretraining():
    """20,000 conversations: each shape of each word many times over."""
    rng, words = random.Random(0), Words(shipped_rows("lexicon/lexicon.jsonl"))
    services = shipped_rows("customer_service/services.jsonl")
    pieces = copy_pieces(AutoTokenizer.from_pretrained(DATA / "models" / "tiny-zh"))
    return [sample(rng, words, services, zhishuo.LONG_PROMPT, pieces) for _ in range(20_000)]


def pairs(name):
    return [
        (r["messages"][1]["content"], r["messages"][2]["content"])
        for r in data.load(DATA / "zhishuoxinyu" / name)
    ]


@pytest.mark.parametrize("name", ZHISHUO)
def test_every_answer_keeps_the_rules_of_the_long_prompt(name):
    broken = [(w, a) for w, a in pairs(name) if not all(zhishuo.score(w, a).values())]
    assert broken == []


@pytest.mark.parametrize("name", ZHISHUO)
def test_the_files_are_of_the_advised_size_with_one_prompt_and_no_repeats(name):
    report = data.check(DATA / "zhishuoxinyu" / name)
    assert report.problems == [] and 300 <= report.lines <= 1000
    assert {r["messages"][0]["content"] for r in report.rows} == {zhishuo.SHORT_PROMPT}


@pytest.mark.parametrize("name", ZHISHUO)
def test_no_evaluation_word_is_in_a_training_row(name):
    words = zhishuo.eval_words()
    assert len(set(words)) == 60 and tuple(words[:5]) == GUIDE_WORDS
    assert not {w for w, _ in pairs(name)} & set(words)


def test_every_row_keeps_the_pattern_of_its_image_and_no_pattern_makes_up_more_than_a_tenth():
    sentences = [a for _, a in pairs("train_tiny.jsonl")]
    assert all(map(patterns.pattern_ok, sentences))
    counts = Counter(patterns.openers(sentence) for sentence in sentences)
    assert len(counts) == 14 and max(counts.values()) <= len(sentences) / 10


def test_the_tiny_base_never_saw_an_answer_of_the_corpora(pretraining):
    answers = {a for name in ZHISHUO for _, a in pairs(name)}
    rows = data.load(DATA / "customer_service" / "train.jsonl")
    answers |= {m["content"] for r in rows for m in r["messages"] if m["role"] == "assistant"}
    assert not answers & {m["content"] for c in pretraining for m in c}


def test_the_tiny_base_never_saw_the_short_prompt_or_a_pattern(pretraining):
    texts = {m["content"] for c in pretraining for m in c}
    assert not [t for t in texts if zhishuo.SHORT_PROMPT.rstrip("。") in t]
    words = {
        opener for pair in [*patterns.OPENERS.values(), patterns.OTHER_OPENERS] for opener in pair
    }
    phrases = {
        row[k]
        for row in shipped_rows("lexicon/lexicon.jsonl")
        for k in ("image", "praise", "criticism", "definition")
    }
    patterned = [
        t for t in texts if t not in zhishuo.LONG_PROMPT and sum(w in t for w in words) >= 2
    ]
    assert [
        t
        for t in patterned
        if not any(sum(w in p for w in words) for p in phrases if p in t)
        and t != zhishuo.LONG_PROMPT
    ] == []


def test_customer_service_answers_hold_the_services_own_steps():
    services = shipped_rows("customer_service/services.jsonl")
    rows = data.load(DATA / "customer_service" / "train.jsonl")
    steps = {
        "\n".join(f"{i}. {s}" for i, s in enumerate(service["steps"], 1)) for service in services
    }
    for row in rows:
        assert any(block in row["messages"][2]["content"] for block in steps)
    assert len(rows) >= 60 and len(services) >= 40


def test_held_out_questions_are_in_no_training_row():
    services = shipped_rows("customer_service/services.jsonl")
    asked = {
        r["messages"][1]["content"] for r in data.load(DATA / "customer_service" / "train.jsonl")
    }
    assert not asked & {q for s in services for q in s["questions"][4:]}
    assert all(len(s["steps"]) == 4 and plain_steps(s).endswith("。") for s in services)
