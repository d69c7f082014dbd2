"""Refuse what is not an `OpenAI` client at once, in a sentence, in every helper that takes one.

    client = synchronous(client)
    is_api_key(text)                whether a client can be given it as its key

An `AsyncOpenAI` answers each call with a coroutine, so a helper would fail later, with an error
about attributes of coroutines and a warning about one that was never awaited. The same goes for
what `connect()` returned, which is an address and not a client.
"""

import inspect
import re
from typing import TYPE_CHECKING, Any

from cookbook.errors import ArgumentError

if TYPE_CHECKING:
    from openai import OpenAI

_MADE_BY = "OpenAI(base_url=service.base_url, api_key=service.api_key)"


def synchronous(client: Any) -> "OpenAI":
    """Return the client if it is one that helpers can use.

    Raises:
        ArgumentError: it is asynchronous, or no client at all.
    """
    kind = type(client).__name__
    # By what it can do: others wrap or derive from the SDK's classes.
    if hasattr(client, "__aenter__"):
        raise ArgumentError(
            zh=f"这里不能用异步客户端 {kind}：另建一个同步的，client = {_MADE_BY}，"
            "base_url 和 api_key 与原来相同",
            en=f"{kind} is asynchronous and cannot be used here: make a synchronous one, "
            f"client = {_MADE_BY}, with the same base_url and api_key",
        )
    if inspect.isclass(client) or not hasattr(client, "with_options"):
        raise ArgumentError(
            zh=f"第一个参数应当是客户端，这里是 {kind}：client = {_MADE_BY}",
            en=f"a client is needed here, not {kind}: client = {_MADE_BY}",
        )
    return client


def is_api_key(text: str) -> bool:
    """Return whether a text can be an API key: visible ASCII, since it is sent in a header."""
    return re.fullmatch(r"[!-~]+", text) is not None
