"""Batches: requests sent to a model, and what came back, joined by `custom_id`."""

from collections.abc import Mapping

from cookbook.data.report.names import MAX_NAME
from cookbook.data.shapes import lists
from cookbook.data.shapes.shape import Converted, Options, Refused, Shape, is_empty, only_text

_JOINED = 'data.from_messages(path, requests="requests.jsonl")'

# Requests have no answers: those are in the file of the results.
_REQUESTED = 'data.from_messages("results.jsonl", requests=path)'

BATCH_INPUT = Shape("batch-input", "批量推理的请求（只有提问）", "batch requests", call=_REQUESTED)
BATCH_OUTPUT = Shape("batch-output", "批量推理的结果", "batch results", call=_JOINED)

_OK = 200
_CUT = ("length", "max_tokens", "MAX_TOKENS")
_TOOLS = ("tool_calls", "function_call", "tool_use")
_FILTERED = ("content_filter", "refusal", "SAFETY")


def is_output(entry: Mapping) -> bool:
    """Return whether an entry is a result of a batch."""
    return "custom_id" in entry and any(key in entry for key in ("response", "error", "result"))


def is_input(entry: Mapping) -> bool:
    """Return whether an entry is a request of a batch."""
    body = entry.get("body", entry.get("params"))
    return "custom_id" in entry and isinstance(body, dict)


def requested(entry: object) -> tuple[str, list] | None:
    """Return the id and the messages of a request; None where it is none."""
    if not isinstance(entry, dict):
        return None
    name = entry.get("custom_id")
    body = entry.get("body", entry.get("params"))
    if not isinstance(name, str) or not isinstance(body, dict):
        return None
    messages = body.get("messages")
    if not isinstance(messages, list):
        return None
    # Anthropic keeps the system message beside them.
    if isinstance(body.get("system"), str) and body["system"]:
        messages = [{"role": "system", "content": body["system"]}, *messages]
    return name, messages


def convert_input(entry: object, options: Options) -> Converted:
    """Return the messages of a request that has its answer; mostly it has none."""
    found = requested(entry)
    messages = found[1] if found else []
    result = lists.of_list(messages, options)
    last = result.messages[-1] if result.messages else None
    if not isinstance(last, dict) or last.get("role") != "assistant":
        raise Refused(
            zh="这是批量推理的请求，只有提问，没有回答",
            en="this is a batch request: it has no answer",
            fix=(
                f"和结果文件一起转换：{_REQUESTED}",
                f"convert it with the results: {_REQUESTED}",
            ),
            key="custom_id",
        )
    assert isinstance(entry, dict)
    result.leave(entry, {"custom_id", "method", "url", "body", "params"})
    lists.add_system(result, {}, options)
    return result


def convert_output(entry: object, options: Options) -> Converted:
    """Return the messages of a result and of the request that it answers."""
    assert isinstance(entry, dict)
    answer = Converted([])
    message = _answer(entry, answer)
    name = entry["custom_id"]
    shown = str(name)[:MAX_NAME]
    # The failure of a request comes first: its question would not help.
    if options.requests is None:
        raise Refused(
            zh="这是批量推理的结果，只有回答，提问在请求文件里",
            en="this is a batch result: the question is in the request file",
            fix=(
                f"给出请求文件：{_JOINED}",
                f"pass the request file: {_JOINED}",
            ),
            key="custom_id",
        )
    asked = options.requests.get(name) if isinstance(name, str) else None
    if asked is None and isinstance(name, str) and name in options.requests:
        raise Refused(
            zh=f"请求里有不止一条 custom_id {shown!r}",
            en=f"several requests have the custom_id {shown!r}",
            fix=("只留一条", "keep one of them"),
            key="custom_id",
        )
    if asked is None:
        raise Refused(
            zh=f"请求里没有 custom_id {shown!r}",
            en=f"no request has the custom_id {shown!r}",
            fix=("换成这一批的请求文件", "pass the request file of this batch"),
            key="custom_id",
        )
    result = lists.of_list([*asked, message], options)
    result.add(answer)
    lists.add_system(result, {}, options)
    return result


def _answer(entry: Mapping, result: Converted) -> object:
    """Return the message that came back.

    Raises:
        Refused: the request failed, or the answer was cut.
    """
    response = entry.get("response") or entry.get("result")
    response = response if isinstance(response, dict) else {}
    status = response.get("status_code", _OK)
    error = entry.get("error") or response.get("error")
    if error or str(status) != str(_OK):
        what = _error_code(error) or _error_code({"code": status})
        raise _failed(f"请求失败了（{what}）", f"the request failed ({what})")
    # Anthropic has no body: the message is in the result itself.
    body = response.get("body", response)
    body = body if isinstance(body, dict) else {}
    message, reason = _message(body, result)
    if reason in _CUT:
        raise _failed(f"回答被截断了（{reason}）", f"the answer was cut ({reason})")
    if reason in _FILTERED:
        raise _failed(f"回答被拦下了（{reason}）", f"the answer was withheld ({reason})")
    if reason in _TOOLS:
        raise Refused(zh="有工具调用", en="has tool calls", code="tool-calls")
    if message is None:
        raise _failed("结果里没有回答", "the result has no answer")
    return message


def _message(body: Mapping, result: Converted) -> tuple[dict | None, object]:
    """Return the first answer of a body, and why it ended."""
    if isinstance(body.get("message"), dict):  # Anthropic
        message = body["message"]
        content = only_text(message.get("content"))
        return {"role": "assistant", "content": content}, message.get("stop_reason")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None, None
    if len(choices) > 1:
        n = len(choices)
        result.note("choices", f"（choices，共 {n} 个）", f"(choices has {n})")
    choice = choices[0]
    message = choice.get("message")
    if not isinstance(message, dict):
        text = choice.get("text")
        message = {"role": "assistant", "content": text} if isinstance(text, str) else None
    if message is not None:
        # A refusal that says nothing is in every answer of the platform.
        message = {key: value for key, value in message.items() if not is_empty(value)}
        message.setdefault("role", "assistant")
        message.setdefault("content", "")
    return message, choice.get("finish_reason")


def _failed(zh: str, en: str) -> Refused:
    return Refused(
        zh=zh,
        en=en,
        fix=("重新请求这一条，或删去", "send this request again, or drop it"),
        key="custom_id",
    )


def _error_code(error: object) -> str:
    code = error.get("code") if isinstance(error, dict) else None
    # A server's sentence is in its own language; a code can be looked up.
    is_code = isinstance(code, str | int) and str(code).isascii() and " " not in str(code)
    return str(code)[:MAX_NAME] if is_code else ""
