"""Read what a batch has answered: its output file and its error file, line by line.

The form of the lines is OpenAI's; SiliconCloud does not document its own, and public code reads the
same one from it. A line of another form is reported as a failure of its request, never guessed at.
The files may be named by an id or by a URL. A URL is fetched without the key, since it may lead to
another host.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cookbook.compare.send import BUSY, Row, storable
from cookbook.i18n import tr
from cookbook.quoted import one_line

if TYPE_CHECKING:
    from openai import OpenAI

_SECONDS = 300.0  # a file of results may be large
_SHOWN = 120  # characters of a line that is not understood


@dataclass(frozen=True)
class Results:
    """The answer of each request, or why there is none, by key; lines that name no request."""

    answers: dict[str, Row]
    errors: dict[str, str]
    unknown_lines: int


class NotFetched(Exception):
    """A file could not be fetched from its URL; `passes` says whether it may be later."""

    def __init__(self, said: str, *, passes: bool):
        super().__init__(said)
        self.passes = passes


def fetch(client: "OpenAI", place: str) -> bytes:
    """Return a file by its id or its URL.

    Raises:
        openai.OpenAIError, NotFetched: it could not be fetched.
    """
    if not place.startswith(("https://", "http://")):
        return client.files.content(place).content
    import httpx

    host = httpx.URL(place).host
    try:
        response = httpx.get(place, timeout=_SECONDS, follow_redirects=True)
    except httpx.RequestError as error:
        raise NotFetched(f"{host}: {type(error).__name__}", passes=True) from error
    if response.is_success:
        return response.content
    # Without the path of the URL, which may be signed for its owner alone.
    status = response.status_code
    raise NotFetched(f"{host}: HTTP {status}", passes=status in BUSY)


def results(files: list[bytes]) -> Results:
    """Return what the files of one batch say; of two lines about one request the first counts."""
    answers: dict[str, Row] = {}
    errors: dict[str, str] = {}
    unknown = 0
    for content in files:
        for line in content.splitlines():
            if not line.strip():
                continue
            key, found = _of_line(line)
            if key is None:
                unknown += 1
            elif isinstance(found, str):
                errors.setdefault(key, found)
            else:
                answers.setdefault(key, found)
    # A request that was tried again may have failed first.
    for key in answers:
        errors.pop(key, None)
    return Results(answers, errors, unknown)


def _of_line(line: bytes) -> tuple[str | None, Row | str]:
    """Return the key of a line, and its answer or why there is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None, ""
    key = value.get("custom_id") if isinstance(value, dict) else None
    if not isinstance(key, str):
        return None, ""
    answer = _answer(value)
    if answer is not None:
        return key, answer
    return key, _error(value) or _not_understood(line)


def _not_understood(line: bytes) -> str:
    shown = one_line(line.decode("utf-8", "replace")[:_SHOWN])
    return tr(f"结果文件里这一行看不懂：{shown}", f"this line of the results is not known: {shown}")


def _answer(value: dict[str, Any]) -> Row | None:
    response = value.get("response")
    body = response.get("body") if isinstance(response, dict) else None
    try:
        choice = body["choices"][0]  # type: ignore[index]
        text = choice["message"]["content"]
    except (LookupError, TypeError):
        return None
    if text is not None and not isinstance(text, str):
        return None
    usage = body.get("usage") if isinstance(body, dict) else None
    usage = usage if isinstance(usage, dict) else {}
    return {
        "answer": storable(text or ""),
        "finish_reason": choice.get("finish_reason"),
        "prompt_tokens": usage.get("prompt_tokens"),
        "completion_tokens": usage.get("completion_tokens"),
    }


def _error(value: dict[str, Any]) -> str | None:
    """Return the sentence of a failed line: its own error, or that of the answer."""
    response = value.get("response")
    status = body = None
    if isinstance(response, dict):
        status, body = response.get("status_code"), response.get("body")
    inner = body.get("error") if isinstance(body, dict) else None
    for place in (value.get("error"), inner, body):
        message = place.get("message") if isinstance(place, dict) else place
        if isinstance(message, str) and message:
            numbers = f"[{status}] " if status else ""
            return numbers + one_line(message)
    return None
