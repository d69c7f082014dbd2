"""Lay out what an answer needs before its first token: prompt, room, sampler.

if is_long(answer.request): read(answer, model, tokenizer)      in a thread of its own
lay_out(answer, model, tokenizer)                               raises TooLong, BadPrompt
"""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from cookbook import chatml
from cookbook.i18n import Text
from cookbook.marks import unescape
from cookbook.service.chat_request import ChatRequest
from cookbook.service.engine import conversation
from cookbook.service.engine.answer import Answer, BadPrompt, TooLong
from cookbook.service.engine.sampling import Sampler

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


LONG = 20_000  # characters; to split a million into tokens takes seconds
_reading = threading.Lock()  # one long prompt at a time, the others wait


def is_long(request: ChatRequest) -> bool:
    """Return whether the prompt takes too long to be read between two tokens of others."""
    if request.prompt is None:
        return sum(len(message["content"]) for message in request.messages) > LONG
    return isinstance(request.prompt, str) and len(request.prompt) > LONG


def read(answer: Answer, model: Any, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Fill in the prompt of an answer, for which a client may have left meanwhile.

    Raises:
        TooLong: its text has no room in the context, whatever its tokens are.
        BadPrompt: as for `lay_out`.
    """
    with _reading:
        if not answer.cancelled:
            answer.prompt = _tokens(answer, model, tokenizer)


def lay_out(answer: Answer, model: Any, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Fill in prompt, echo, limit and sampler of an answer.

    Raises:
        TooLong: no room is left for an answer.
        BadPrompt: the prompt is empty, or has token ids that the model does not know.
        DataError: a content has a special token that this base cannot read as text.
    """
    request = answer.request
    answer.prompt = answer.prompt or _tokens(answer, model, tokenizer)
    if request.echo:
        answer.echo = _text(answer, tokenizer)
    context = model.config.max_position_embeddings
    room = context - len(answer.prompt)
    asked = room if request.max_tokens is None else request.max_tokens
    # A prompt that is only scored may fill the context.
    if room < min(asked, 1):
        number = str(len(answer.prompt))
        raise _too_long(Text(number, number), context)
    answer.limit = min(asked, room)
    generator = torch.Generator(device=model.device)
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(request.seed)
    answer.sampler = Sampler(request.temperature, request.top_p, request.top_k, generator)


def _tokens(answer: Answer, model: Any, tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    prompt = answer.request.prompt
    if prompt is None:
        tokens = _conversation_tokens(answer.request.messages, model, tokenizer)
    elif isinstance(prompt, str):
        _check_length(prompt, model, tokenizer)
        # Who sends raw text writes the special tokens in it, and means them.
        tokens = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    else:
        tokens = list(prompt)
    if not tokens:
        raise BadPrompt(
            zh="prompt 是空的：至少要有一个 token",
            en="the prompt is empty: it must have a token at least",
        )
    largest = model.config.vocab_size - 1
    if max(tokens) > largest:
        raise BadPrompt(
            zh=f"prompt 里有 token {max(tokens)}，这个模型的 token 从 0 到 {largest}",
            en=f"the prompt has token {max(tokens)}; this model's tokens are 0 to {largest}",
        )
    return tokens


def _conversation_tokens(
    messages: Sequence[chatml.Message], model: Any, tokenizer: "PreTrainedTokenizerBase"
) -> list[int]:
    escaped = conversation.escape(tokenizer, messages)
    text = conversation.render(tokenizer, escaped, add_generation_prompt=True)
    # As it was written: escapes make a text longer.
    _check_length(unescape(text), model, tokenizer)
    [tokens] = conversation.encode(tokenizer, [text])
    return tokens


def _check_length(prompt: str, model: Any, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise TooLong where even the longest tokens could not hold the text; takes no time."""
    # A short one is read as fast as it is judged.
    if len(prompt) <= LONG:
        return
    longest = max(map(len, tokenizer.get_vocab()))
    # Normalization to NFC makes one character of up to three.
    tokens = len(prompt) // (3 * longest)
    context = model.config.max_position_embeddings
    if tokens > context:
        raise _too_long(Text(f"至少 {tokens}", f"at least {tokens}"), context)


def _too_long(tokens: Text, context: int) -> TooLong:
    return TooLong(
        zh=f"提问有 {tokens.zh} 个 token，模型最多读 {context} 个：缩短提问",
        en=f"the prompt has {tokens.en} tokens, the model reads {context}: shorten it",
    )


def _text(answer: Answer, tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return the prompt as text."""
    prompt = answer.request.prompt
    return prompt if isinstance(prompt, str) else tokenizer.decode(answer.prompt)
