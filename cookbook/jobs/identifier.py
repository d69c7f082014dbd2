"""Take the model identifier that SiliconCloud's console gives, check it, and remember it.

    jobs.IdentifierBox(client)       a box to paste it into
    jobs.verify(client, text)        the same as a call: the model must answer a short question
    jobs.remembered(client)          the identifier that was verified last, or None

Identifiers are kept in the data folder (`paths.Home.identifiers`) by the platform's address, never
in the notebook; the key is not kept at all. How an identifier is built is in
`cookbook.siliconcloud`.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cookbook import data_folder, disk, html, paths, siliconcloud
from cookbook.client import synchronous
from cookbook.errors import IdentifierError, ServiceError
from cookbook.explain import explain
from cookbook.i18n import tr
from cookbook.jobs.buttons import button_bundle
from cookbook.terminal import printable

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletionMessageParam

ANSWER_TOKENS = 16
"""The most tokens of the answer that proves an identifier: enough to see, and cheap."""

_REMEMBERED = """
{% if model %}
{{ tr("上次记住的：", "remembered: ") }}<code>{{ model }}</code>
{%- else %}
{{ tr("还没有记住的标识符", "no identifier is remembered yet") }}
{%- endif %}
"""


@dataclass(frozen=True)
class Verified:
    """A fine-tuned model that answered, and its answer to the short question."""

    model: str
    parts: siliconcloud.Identifier
    answer: str
    remembered: bool

    def __repr__(self) -> str:
        outcome = tr("可以调用，已记住", "can be called; remembered")
        if not self.remembered:
            outcome = tr(
                "可以调用；数据目录不能写，没有记住，用 COOKBOOK_HOME 换一个",
                "can be called; not remembered, since the data folder cannot be written: "
                "choose another with COOKBOOK_HOME",
            )
        name = f"{self.parts.task} ({self.parts.base})"
        return printable(f"✔ {name}: {outcome} · {self.answer}")


def verify(client: "OpenAI", text: str, *, question: str = "你好") -> Verified:
    """Check an identifier's form, ask the model for at most 16 tokens, and remember the identifier.

    Raises:
        IdentifierError: the text is not an identifier, or the platform refuses it; with the reason
            and what to do.
    """
    import openai

    # First the form: a wrong one is explained without a request.
    parts = siliconcloud.identifier(text)
    model = text.strip()
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": question}]
    try:
        completion = synchronous(client).chat.completions.create(
            model=model, messages=messages, max_tokens=ANSWER_TOKENS
        )
    except openai.APIError as error:
        reason = explain(error)
        raise IdentifierError(zh=reason, en=reason) from error
    answer = completion.choices[0].message.content or ""
    return Verified(model, parts, answer, remembered=_remember(client, model))


def remembered(client: "OpenAI") -> str | None:
    """Return the identifier verified last at the platform of `client`; None if there is none."""
    entry = _read().get(str(synchronous(client).base_url))
    # The reader may have edited the file.
    return entry.get("model") if isinstance(entry, dict) else None


def _path() -> Path:
    return paths.Home(paths.home()).identifiers


def _read() -> dict[str, Any]:
    """Return what is kept, by address. A broken file counts as empty: verifying repairs it."""
    try:
        content = json.loads(_path().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _remember(client: "OpenAI", model: str) -> bool:
    """Return whether it could be written."""
    entry = {"model": model, "verified_at": int(time.time())}
    # Those of other platforms are kept.
    entries = _read() | {str(client.base_url): entry}
    content = json.dumps(entries, ensure_ascii=False, indent=1)
    try:
        data_folder.prepare(paths.Home(paths.home()))
        disk.write(_path(), content.encode(), private=True)
    except (OSError, ServiceError):
        # The model answers all the same, so the reader can go on.
        return False
    return True


class IdentifierBox(html.Displayed):
    """A box to paste the identifier into. A click verifies it and, if it works, remembers it."""

    def __init__(self, client: "OpenAI") -> None:
        import ipywidgets as w

        self._client = synchronous(client)
        self.text = w.Text(
            placeholder="ft:LoRA/…",
            description=tr("标识符", "identifier"),
            layout=w.Layout(width="46em"),
        )
        self.text.add_class("cookbook-identifier")
        self.button = w.Button(
            description=tr("验证并记住", "verify and remember"), button_style="primary"
        )
        self.button.add_class("cookbook-verify")
        # A reader who comes back sees that there is nothing to paste again.
        note = html.template(_REMEMBERED).render(model=remembered(client))
        self.message = w.HTML(note)
        line = w.HBox([self.text, self.button])
        self.widget = w.VBox([line, self.message])
        self.button.on_click(self._click)

    def _click(self, _: object) -> None:
        try:
            verified = verify(self._client, self.text.value)
            message = html.coloured(repr(verified), html.OK)
        except IdentifierError as error:
            message = html.coloured(f"✘ {error}", html.ERROR)
        self.message.value = message

    def _repr_mimebundle_(self, **options: Any) -> html.Bundle:
        return button_bundle(self.widget, self.button.description)
