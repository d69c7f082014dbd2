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
