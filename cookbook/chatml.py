"""Lay out a conversation as Qwen2.5's chat template does, and mark what is trained on.

    pieces([{"role": "user", "content": "问"}, {"role": "assistant", "content": "答"}])
    -> [Piece("<|im_start|>system\\n…<|im_start|>assistant\\n", trained=False),
        Piece("答<|im_end|>", trained=True),
        Piece("\\n", trained=False)]

The only place that knows the template and the loss mask: token counts, the view of a training row,
training itself, statistics and costs are made from it. Of an assistant's turn the answer and its
closing mark are trained on, unless its `weight` is 0; everything else is only read. What
SiliconCloud trains on is not documented.

A content goes into the text as it is. Where a special token may be written in one, escape the
messages first (`marks.py`). Not covered: tool calls and images.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]
"""A `role` and a `content`, both texts; an answer that is read but not learned has `weight` 0."""

NOT_LEARNED = (0, "0", "0.0")
"""The weights that keep an answer from being learned. `0.0` and `false` equal 0; a table, or a
careless export, has texts. With any other weight, or none, an answer is learned."""

START, END = "<|im_start|>", "<|im_end|>"
# In the order of their numbers in the vocabulary.
SPECIAL_TOKENS = ("<|endoftext|>", START, END)

DEFAULT_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
"""The system message that Qwen2.5-Instruct's template puts in front when the caller gives none."""

TEMPLATE = (
    "{%- if messages[0]['role'] != 'system' -%}"
    "{{ '<|im_start|>system\n" + DEFAULT_SYSTEM + "<|im_end|>\n' }}"
    "{%- endif -%}"
    "{%- for message in messages -%}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}"
)
"""The same template in Jinja2, as a tokenizer carries it."""

TURN_TOKENS = 3
"""Tokens around a turn's text: `<|im_start|>`, `<|im_end|>` and the newline after it."""

HEAD_TOKENS = 3
"""Tokens of `<|im_start|>assistant\\n`, which open an answer; a request ends in them."""

TAIL_TOKENS = 1
"""The newline after an answer's `<|im_end|>`, which is not trained on."""


@dataclass(frozen=True)
class Piece:
    """A stretch of the laid-out text that is trained on as a whole, or not at all."""

    text: str
    trained: bool


def is_trained(message: Message) -> bool:
    """Return whether it is an answer that is trained on."""
    if message["role"] != "assistant":
        return False
    # Most have no weight, and a check asks this of every message.
    return "weight" not in message or message["weight"] not in NOT_LEARNED


def with_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with the default system message in front, where there is none."""
    # No messages at all are left alone, as they have no first.
    if messages and messages[0]["role"] != "system":
        return [{"role": "system", "content": DEFAULT_SYSTEM}, *messages]
    return list(messages)


def turn(message: Message) -> str:
    """Return what the template writes between `<|im_start|>` and `<|im_end|>`."""
    return f"{message['role']}\n{message['content']}"


def render(messages: Sequence[Message], add_generation_prompt: bool = False) -> str:
    """Return the whole text of a conversation, or of a request with its opened answer."""
    text = ""
    for message in with_system(messages):
        text += f"{START}{turn(message)}{END}\n"
    if add_generation_prompt:
        text += f"{START}assistant\n"
    return text


def pieces(
    messages: Sequence[Message],
    render: Callable[[Sequence[Message], bool], str] = render,
) -> list[Piece]:
    """Return the conversation up to its last answer, cut where answers begin and end.

    An answer of weight 0 is a piece too, that is not trained on: the tokens are the same with every
    weight.

    Args:
        render: the template of another base, called as `render(messages, add_generation_prompt)`.
            What it writes for the first messages must not change when more follow, as in every
            ChatML template.
    """
    result = []
    done = ""
    for i, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        # The answer is what the template adds to its prompt.
        prompt = render(messages[:i], True)
        whole = render(messages[: i + 1], False)
        answer = whole[len(prompt) :]
        # The model ends a turn with the closing mark; the newline after it is the template's.
        closed = answer.rstrip("\n")
        result.append(Piece(prompt[len(done) :], trained=False))
        result.append(Piece(closed, trained=is_trained(message)))
        result.append(Piece(answer[len(closed) :], trained=False))
        done = whole
    return result
