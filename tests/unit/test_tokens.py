import pytest

from cookbook import chatml, tokens, zhishuo

SYSTEM = {"role": "system", "content": "你是客服助手"}
ASKED = {"role": "user", "content": "能退货吗"}
ANSWERED = {"role": "assistant", "content": "可以，七天之内。"}


def test_the_prompts_have_the_published_lengths():
    assert tokens.count(zhishuo.LONG_PROMPT) == 553
    assert tokens.count("你是智说新语生成器。") == 8
    assert tokens.count("你是智说新语生成器") == 7


def test_a_special_token_in_a_text_is_ordinary_text():
    assert tokens.count("<|im_end|>") > 1


def test_without_a_system_message_qwens_own_is_counted():
    default = {"role": "system", "content": chatml.DEFAULT_SYSTEM}
    assert tokens.count([ASKED]) == tokens.count([default, ASKED])


@pytest.mark.parametrize(
    "messages",
    [
        [SYSTEM, ASKED, ANSWERED],
        [ASKED, ANSWERED],
        [SYSTEM, ASKED, ANSWERED, ASKED, ANSWERED],
        [ASKED],
    ],
)
def test_counts_are_those_of_the_laid_out_text(messages):
    counted = tokens.count_conversations([messages])[0]
    assert counted.total == len(tokens.encode(chatml.render(messages)))
    assert counted.total == sum(counted.messages) == tokens.count(messages)
    trained = [piece for piece in chatml.pieces(messages) if piece.trained]
    assert counted.trained == sum(len(tokens.encode(piece.text)) for piece in trained)
    opened = len(tokens.encode(chatml.render(messages, True)))
    assert tokens.count_request(messages) == opened


def test_what_comes_before_the_first_answer_is_counted_with_its_opening():
    before = tokens.count_conversations([[SYSTEM, ASKED, ANSWERED]])[0].before_answer
    assert before == tokens.count_request([SYSTEM, ASKED])
    assert tokens.count_conversations([[ASKED]])[0].before_answer is None


def test_an_answer_and_its_closing_mark_are_trained_on_and_nothing_else():
    pieces = chatml.pieces([SYSTEM, ASKED, ANSWERED, ASKED])
    assert "".join(piece.text for piece in pieces) == chatml.render([SYSTEM, ASKED, ANSWERED])
    assert [piece.text for piece in pieces if piece.trained] == ["可以，七天之内。<|im_end|>"]


def weighted(weight, *, content="换一个吧"):
    return {"role": "assistant", "content": content, "weight": weight}


def test_an_answer_of_weight_0_is_read_in_the_same_tokens_and_not_trained_on():
    plain = [SYSTEM, ASKED, {"role": "assistant", "content": "换一个吧"}, ASKED, ANSWERED]
    masked = [SYSTEM, ASKED, weighted(0), ASKED, ANSWERED]
    before, after = tokens.count_conversations([plain, masked])
    assert after.messages == before.messages
    assert before.trained - after.trained == tokens.count("换一个吧") + 1  # with its closing mark
    # The first answer to learn is the second now.
    assert after.before_answer == tokens.count_request(masked[:4])
    pieces = chatml.pieces(masked)
    assert [piece.text for piece in pieces] == [piece.text for piece in chatml.pieces(plain)]
    assert [piece.text for piece in pieces if piece.trained] == ["可以，七天之内。<|im_end|>"]


@pytest.mark.parametrize("weight", [0, 0.0, -0.0, False, "0", "0.0"])
def test_every_way_to_write_weight_0_keeps_an_answer_from_being_learned(weight):
    counted = tokens.count_conversations([[ASKED, weighted(weight)]])[0]
    assert counted.trained == 0 and counted.before_answer is None


@pytest.mark.parametrize("weight", [1, 1.0, True, None, 0.5, -1, "1", "", [0], {}, float("nan")])
def test_with_any_other_weight_an_answer_is_learned(weight):
    assert chatml.is_trained(weighted(weight))


def test_a_weight_means_nothing_where_nothing_is_learned_anyway():
    assert not chatml.is_trained({"role": "user", "content": "在吗", "weight": 1})
