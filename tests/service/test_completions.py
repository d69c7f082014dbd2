"""Log-probabilities, several choices, and raw completions: against the model's own numbers."""

import openai
import pytest
import torch
from openai.types import Completion

from cookbook.bases import find
from cookbook.service.engine import reading
from cookbook.service.engine.load import load

TOLERANCE = 1e-3
MESSAGES = [{"role": "user", "content": "怎样修改收货地址？"}]
PROMPTS = ["你好，我想查一下订单", "加班" * 30, "好"]


@pytest.fixture
def strict(service):
    """The official client, to which an answer that does not fit its types is an error.

    Not for `echo` with `logprobs`: OpenAI's own answer has null at the first token, where the
    client's types have none.
    """
    with openai.OpenAI(
        base_url=service.base_url,
        api_key=service.api_key,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def model_and_tokenizer():
    return load(find("cookbook/tiny-zh"))


def own_logprobs(model_and_tokenizer, ids):
    """Return what the model itself says: (tokens - 1, vocabulary)."""
    model, _ = model_and_tokenizer
    with torch.inference_mode():
        return model(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)


def complete(client, service, prompt, **options):
    answer = client.completions.create(model=service.base_model, prompt=prompt, **options)
    return answer.choices


def test_echo_and_logprobs_are_the_models_own(client, service, model_and_tokenizer):
    model, tokenizer = model_and_tokenizer
    choices = complete(client, service, PROMPTS, echo=True, logprobs=3, max_tokens=0)
    assert [choice.text for choice in choices] == PROMPTS
    for choice, prompt in zip(choices, PROMPTS, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        own = own_logprobs(model_and_tokenizer, ids)
        first, *others = choice.logprobs.token_logprobs
        assert first is None and choice.logprobs.top_logprobs[0] is None
        expected = own[range(len(ids) - 1), ids[1:]].tolist()
        assert others == pytest.approx(expected, abs=TOLERANCE)
        for top, row in zip(choice.logprobs.top_logprobs[1:], own, strict=True):
            best = sorted(top.values(), reverse=True)[:3]
            assert best == pytest.approx(row.topk(3).values.tolist(), abs=TOLERANCE)


def test_prompts_that_are_read_in_several_bites_get_the_same_numbers(
    model_and_tokenizer, monkeypatch
):
    model, tokenizer = model_and_tokenizer
    prompts = [tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    with torch.inference_mode():
        whole = reading.Reading(model, prompts, 0, columns=1000, top=2)
        assert whole.read_on()
        monkeypatch.setattr(reading, "SCORED_LOGITS", 3 * len(prompts) * model.config.vocab_size)
        bites = reading.Reading(model, prompts, 0, columns=1000, top=2)
        assert not bites.read_on()
        while not bites.read_on():
            pass
    torch.testing.assert_close(whole.logits, bites.logits, atol=TOLERANCE, rtol=0)
    for one, other, prompt in zip(whole.scores(), bites.scores(), prompts, strict=True):
        assert len(one.chosen) == len(prompt) - 1
        torch.testing.assert_close(one.chosen, other.chosen, atol=TOLERANCE, rtol=0)
    assert whole.batch().cache.get_seq_length() == bites.batch().cache.get_seq_length()


def test_a_continuation_is_scored_as_lm_eval_does(client, service, model_and_tokenizer):
    _, tokenizer = model_and_tokenizer
    context, continuation = tokenizer("我想")["input_ids"], tokenizer("查一下订单")["input_ids"]
    options = {"echo": True, "logprobs": 1, "temperature": 0, "max_tokens": 1, "seed": 1234}
    ids = context + continuation
    [choice] = complete(client, service, [ids], **options)
    found = sum(choice.logprobs.token_logprobs[len(context) : -1])
    own = own_logprobs(model_and_tokenizer, ids)[range(len(ids) - 1), ids[1:]]
    assert found == pytest.approx(own[len(context) - 1 :].sum().item(), abs=TOLERANCE)
    # One token follows, and it is the likeliest, whether or not it ends the answer.
    assert len(choice.logprobs.tokens) == len(ids) + 1
    last = choice.logprobs.top_logprobs[-1]
    assert choice.logprobs.token_logprobs[-1] == max(last.values())


def test_the_tokens_of_a_choice_make_its_text(client, service):
    [choice] = complete(client, service, "你好🙂，", echo=True, logprobs=0, max_tokens=8, seed=1)
    found = choice.logprobs
    assert found.top_logprobs is None
    for token, offset in zip(found.tokens, found.text_offset, strict=True):
        whole = not token.startswith(("bytes:", "<|"))
        assert not whole or choice.text[offset:].startswith(token)


def test_several_prompts_and_choices_come_in_order_and_a_prompt_counts_once(strict, service):
    answer = strict.completions.create(
        model=service.base_model, prompt=["你好", "我想"], n=3, max_tokens=2, echo=True, seed=5
    )
    assert [choice.index for choice in answer.choices] == list(range(6))
    texts = [choice.text for choice in answer.choices]
    assert all(text.startswith("你好") for text in texts[:3])
    assert all(text.startswith("我想") for text in texts[3:])
    assert answer.usage.prompt_tokens == 2 and answer.usage.completion_tokens <= 12


@pytest.mark.parametrize("options", [{}, {"echo": True, "logprobs": 2, "n": 2}])
def test_a_streamed_completion_is_the_whole_one(client, service, options):
    options = {"prompt": "我想", "max_tokens": 9, "seed": 3, "model": service.base_model} | options
    whole = client.completions.create(**options)
    chunks = list(client.completions.create(stream=True, **options))
    assert isinstance(whole, Completion) and chunks[-1].usage == whole.usage
    for choice in whole.choices:
        own = [c.choices[0] for c in chunks if c.choices and c.choices[0].index == choice.index]
        assert "".join(piece.text for piece in own) == choice.text
        assert own[-1].finish_reason == choice.finish_reason
        if choice.logprobs:
            offsets = sum((piece.logprobs.text_offset for piece in own), [])
            values = sum((piece.logprobs.token_logprobs for piece in own), [])
            assert offsets == choice.logprobs.text_offset
            assert values[1:] == pytest.approx(choice.logprobs.token_logprobs[1:], abs=TOLERANCE)


@pytest.mark.parametrize(
    "options, word",
    [
        ({"prompt": ""}, "空"),
        ({"prompt": [10**6]}, "1000000"),
        ({"prompt": "好" * 9999, "max_tokens": 0, "echo": True}, "token"),
        ({"prompt": ["好"] * 65}, "64"),
        ({"prompt": ["好"] * 9, "n": 8}, "64"),
        ({"prompt": "好", "n": 9}, "8"),
        ({"prompt": "好", "logprobs": 21}, "20"),
        ({"prompt": "好", "best_of": 2}, "best_of"),
        ({"prompt": "好", "suffix": "。"}, "suffix"),
        ({"prompt": "好", "max_tokens": 0}, "echo"),
    ],
)
def test_what_completions_cannot_do_is_refused_with_the_reason(strict, service, options, word):
    with pytest.raises(openai.BadRequestError, match=word):
        strict.completions.create(model=service.base_model, **options)


# Chat


def test_logprobs_of_chat_are_of_the_models_own_distribution(strict, service, model_and_tokenizer):
    _, tokenizer = model_and_tokenizer
    # Neither temperature nor top_p changes them.
    options = {"temperature": 1.9, "top_p": 0.5, "seed": 2, "max_tokens": 6}
    answer = strict.chat.completions.create(
        model=service.base_model, messages=MESSAGES, logprobs=True, top_logprobs=4, **options
    )
    content = answer.choices[0].logprobs.content
    written = b"".join(bytes(token.bytes) for token in content)
    assert written.decode(errors="replace") == answer.choices[0].message.content
    prompt = tokenizer.apply_chat_template(MESSAGES, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(prompt)["input_ids"]
    own = own_logprobs(model_and_tokenizer, [*ids, 0])[-1].topk(4)
    first = [top.logprob for top in content[0].top_logprobs]
    assert first == pytest.approx(own.values.tolist(), abs=TOLERANCE)


def test_logprobs_are_streamed_and_left_out_unless_asked_for(strict, service):
    options = {"model": service.base_model, "messages": MESSAGES, "seed": 1}
    whole = strict.chat.completions.create(logprobs=True, **options)
    with strict.chat.completions.stream(logprobs=True, **options) as stream:
        streamed = stream.get_final_completion()
    assert streamed.choices[0].logprobs.content == whole.choices[0].logprobs.content
    assert whole.choices[0].logprobs.content[0].top_logprobs == []
    assert strict.chat.completions.create(**options).choices[0].logprobs is None
    with pytest.raises(openai.BadRequestError, match="top_logprobs"):
        strict.chat.completions.create(top_logprobs=2, **options)


def test_the_first_of_several_choices_is_the_answer_to_the_same_seed(strict, service):
    options = {"model": service.base_model, "messages": MESSAGES, "temperature": 2, "top_p": 1}
    options |= {"seed": 7, "max_tokens": 40}
    one = strict.chat.completions.create(**options)
    many = strict.chat.completions.create(n=8, **options)
    texts = [choice.message.content for choice in many.choices]
    assert texts[0] == one.choices[0].message.content and len(set(texts)) > 1
    again = strict.chat.completions.create(n=8, **options)
    assert [choice.message.content for choice in again.choices] == texts
    assert many.usage.prompt_tokens == one.usage.prompt_tokens
    assert many.usage.completion_tokens > one.usage.completion_tokens
    chunks = list(strict.chat.completions.create(n=8, stream=True, **options))
    streamed = dict.fromkeys(range(8), "")
    for choice in (choice for chunk in chunks for choice in chunk.choices):
        streamed[choice.index] += choice.delta.content or ""
    assert list(streamed.values()) == texts


def test_more_choices_than_the_limit_are_refused(strict, service):
    with pytest.raises(openai.BadRequestError, match="8"):
        strict.chat.completions.create(model=service.base_model, messages=MESSAGES, n=9)
